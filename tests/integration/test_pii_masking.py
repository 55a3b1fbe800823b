"""pii_masking in a worker: what reaches the sinks of both logs."""

from __future__ import annotations

import logging

import aiohttp

from gateway.config.load import load_text
from gateway.services.log import Sink, configure
from gateway.supervisor.worker import Worker
from gateway.testing import origin


class Kept(Sink):
    def __init__(self):
        super().__init__()
        self.data = b""

    def _put(self, data):
        self.data += data


CONFIG = """
listeners: [{bind: "127.0.0.1:0"}]
access_log: {file: "${FILE}"}
defaults: {plugins: [{plugin: pii_masking}]}
upstreams: {app: {targets: ["${TARGET}"]}}
routes:
  - {name: a, match: {path: /a/}, upstream: app}
  - name: b
    match: {path: /b/}
    upstream: app
    without: [pii_masking]
"""


async def test_no_line_of_either_log_escapes(tmp_path):
    root = logging.getLogger()
    before = list(root.handlers), root.level, logging.getLogger("gateway").level
    sink, file = Kept(), tmp_path / "access.log"
    configure("info", sink)
    try:
        async with origin(200) as service:
            worker = Worker(load_text(CONFIG, {"FILE": str(file), "TARGET": service.url}).config)
            try:
                await worker.start()
                port = worker.listeners[0].port
                async with aiohttp.ClientSession() as session:
                    for path in ("/a/ada@shop.example", "/b/bob@shop.example", "/none/eve@shop.example"):
                        async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                            await answer.read()
                logging.getLogger("gateway").warning("no mail for ada@shop.example", extra={"password": "s3cret"})
            finally:
                await worker.close()
    finally:
        sink.close()
        root.handlers[:], root.level = before[0], before[1]
        logging.getLogger("gateway").setLevel(before[2])
    said = file.read_text()
    assert "/a/[email]" in said and "/none/[email]" in said
    assert "/b/bob@shop.example" in said, "the route leaves it out"
    assert b"no mail for [email]" in sink.data
    assert b"s3cret" not in sink.data
