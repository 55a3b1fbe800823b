"""`gateway cache`: what it says when it cannot do what it is asked. What it can do stands in tests/integration."""

from __future__ import annotations

import argparse
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plugins.cache.command import COMMAND

ROUTES = {"routes": [{"name": "a/b", "chain": [{"id": "cache", "plugin": "cache", "mode": "enforce"}]}]}


class Admin(http.server.BaseHTTPRequestHandler):
    """An admin API that says what it was told to say."""

    answers: dict[str, tuple[int, Any]]
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path} {self.headers.get('Authorization', '-')}")
        status, body = self.answers.get(self.path.partition("?")[0], (404, {"detail": "not here"}))
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def admin() -> Iterator[tuple[str, type[Admin]]]:
    kind = type("One", (Admin,), {"answers": {"/routes": (200, ROUTES)}, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", kind
    server.shutdown()
    thread.join()
    server.server_close()


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    COMMAND.arguments(parser)
    return COMMAND.run(parser.parse_args(words))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["purge"], "say what to purge", id="nothing to purge"),
        pytest.param(["warm"], "say what to warm", id="nothing to warm"),
        pytest.param(["warm", "--file", "/nowhere/urls"], "No such file", id="a file that is not there"),
        pytest.param(["purge", "/a", "--route", "x"], "route x has no cache", id="another route"),
        pytest.param(["purge", "/a", "--admin", "ftp://x"], "--admin wants", id="no address"),
        pytest.param(["stats", "--admin", "unix:/nowhere/sock"], "No such file", id="a socket that is not there"),
        pytest.param(["stats", "--admin", "http://127.0.0.1:1"], "refused", id="nobody listens"),
        pytest.param(["stats"], "not here", id="the API says no"),
    ],
)
def test_what_goes_wrong(
    admin: tuple[str, type[Admin]], capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    where = [] if "--admin" in words else ["--admin", admin[0]]
    assert run(*words, *where) == 1
    assert said in capsys.readouterr().err


def test_the_token_goes_along_and_many_urls_in_several_calls(
    admin: tuple[str, type[Admin]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    address, kind = admin
    kind.answers["/plugins/a%2Fb/cache/purge"] = (200, {"workers": [{"purged": 2, "replicas_told": True}] * 2})
    kind.answers["/plugins/a%2Fb/cache/warm"] = (200, {"workers": [{"answered": 2, "failed": 1, "late": 0}]})
    monkeypatch.setenv("SIDEGATE_ADMIN_TOKEN", "sesame")
    assert run("purge", "--admin", address, *[f"http://a.test/{'x' * 100}/{number}" for number in range(60)]) == 0
    assert capsys.readouterr().out == "8 answers taken out\n"
    assert len(kind.asked) == 3
    assert all(each.endswith("Bearer sesame") for each in kind.asked)
    urls = tmp_path / "urls"
    urls.write_text("# all of them\nhttp://a.test/1\n\nhttp://a.test/2\n")
    assert run("warm", "--admin", address, "--file", str(urls)) == 1, "one failed"
    assert capsys.readouterr().out == "2 answered, 1 failed\n"
    assert "urls=http%3A%2F%2Fa.test%2F1+http%3A%2F%2Fa.test%2F2" in kind.asked[-1]


def test_replicas_that_were_not_told_are_an_error(
    admin: tuple[str, type[Admin]], capsys: pytest.CaptureFixture[str]
) -> None:
    address, kind = admin
    kind.answers["/plugins/a%2Fb/cache/purge"] = (200, {"workers": [{"purged": 2, "replicas_told": False}]})
    assert run("purge", "--admin", address, "--soft", "--group", "g") == 1
    told = capsys.readouterr()
    assert (told.out, "learn of it when it is back" in told.err) == ("2 answers made stale\n", True)
