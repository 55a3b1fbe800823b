"""pii_masking in a worker: what reaches the sinks of both logs, and the port that everything else is shown through."""

from __future__ import annotations

import contextlib
import json
import logging

import aiohttp
import pytest

from gateway.config.load import load_text
from gateway.services.log import Sink, configure
from gateway.services.masking import token_of
from gateway.supervisor.worker import Worker
from gateway.testing import origin

KEY = "0123456789abcdef0123456789abcdef"


class Kept(Sink):
    def __init__(self):
        super().__init__()
        self.data = b""

    def _put(self, data):
        self.data += data


CONFIG = """
listeners: [{bind: "127.0.0.1:0"}]
access_log: {file: "${FILE}"}
defaults: {DEFAULTS}
upstreams: {app: {targets: ["${TARGET}"]}}
routes:
  - {name: a, match: {path: /a/}, upstream: app}
  - name: b
    match: {path: /b/}
    upstream: app
    without: [pii_masking]
  - name: c
    match: {path: /c/}
    upstream: app
    without: [pii_masking]
    plugins: [{plugin: pii_masking, with: {actions: {email: hash}, key: "0123456789abcdef0123456789abcdef"}}]
"""


class Serving:
    """A worker, its access log, and the gateway's own."""

    def __init__(self, text, variables):
        self.text, self.variables = text, variables
        self.worker = Worker(self.config())
        self.sink = Kept()

    def config(self, **changed):
        variables = self.variables | changed
        return load_text(self.text.replace("DEFAULTS", variables["DEFAULTS"]), variables).config

    async def get(self, *paths):
        port = self.worker.listeners[0].port
        async with aiohttp.ClientSession() as session:
            for path in paths:
                async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                    await answer.read()

    async def reload(self, **changed):
        await self.worker.prepare(self.config(**changed))
        self.worker.commit()


@contextlib.asynccontextmanager
async def serving(file, defaults):
    root = logging.getLogger()
    before = list(root.handlers), root.level, logging.getLogger("gateway").level
    async with origin(200) as service:
        made = Serving(CONFIG, {"FILE": str(file), "TARGET": service.url, "DEFAULTS": defaults})
        configure("info", made.sink)
        try:
            await made.worker.start()
            yield made
        finally:
            await made.worker.close()
            made.sink.close()
            root.handlers[:], root.level = before[0], before[1]
            logging.getLogger("gateway").setLevel(before[2])


@pytest.mark.parametrize(
    "defaults",
    [
        pytest.param("", id="no file says a word of it"),
        pytest.param("plugins: [{plugin: pii_masking}]", id="it is named in the defaults"),
    ],
)
async def test_no_line_of_either_log_escapes(tmp_path, defaults):
    file = tmp_path / "access.log"
    async with serving(file, defaults) as gateway:
        await gateway.get("/a/ada@shop.example", "/b/bob@shop.example", "/none/eve@shop.example")
        logging.getLogger("gateway").warning("no mail for ada@shop.example", extra={"password": "s3cret"})
    said = file.read_text()
    assert "/a/[email]" in said
    assert "eve@" not in said, "what no route takes goes through everybody's"
    assert "/b/bob@shop.example" in said, "the route leaves it out"
    assert b"no mail for" in gateway.sink.data
    assert b"ada@" not in gateway.sink.data
    assert b"s3cret" not in gateway.sink.data


async def test_a_routes_own_key_makes_tokens_that_join_what_is_shown_of_it(tmp_path):
    file = tmp_path / "access.log"
    async with serving(file, "") as gateway:
        await gateway.get("/c/ada@shop.example")
        masking = gateway.worker.services.masking
        token = token_of(KEY.encode(), "email", "ada@shop.example")
        assert masking.body(b'{"email":"ADA@shop.example"}', "application/json", "c") == json.dumps(
            {"email": token}, separators=(",", ":")
        )
        assert masking.attributes({"user.email": "ada@shop.example"}, "c") == {"user.email": token}
        assert masking.fields([("Authorization", "Bearer x")], "c") == [("Authorization", "Bearer [credential]")]
    assert json.loads(file.read_text())["path"] == f"/c/{token}"


async def test_a_reload_switches_it_off_and_the_floor_stays(tmp_path):
    file = tmp_path / "access.log"
    async with serving(file, "") as gateway:
        await gateway.get("/a/ada@shop.example")
        await gateway.reload(DEFAULTS="masking: off")
        await gateway.get("/a/ada@shop.example")
        masking = gateway.worker.services.masking
        assert masking.fields([("Authorization", "Bearer x"), ("From", "ada@shop.example")], "a") == [
            ("Authorization", "[secret]"),
            ("From", "ada@shop.example"),
        ]
    assert [json.loads(line)["path"] for line in file.read_text().splitlines()] == ["/a/[email]", "/a/ada@shop.example"]
