"""What is printed, to the letter, and the exit codes."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main

RICH = Path(__file__).with_name("rich.yaml")


@pytest.fixture
def rich(here: Path) -> Path:
    shutil.copy(RICH, here / "rich.yaml")
    return Path("rich.yaml")


GOLDEN = {
    "a template, another host, a deadline of the route's own": (
        ["GET", "http://a.example.com//users/./5?full=1", "-H", "X-User: ann"],
        0,
        """\
request   GET http://a.example.com//users/./5?full=1  from 127.0.0.1
path      /users/5  (sent as //users/./5)
route     user  (rich.yaml:21:5): host matches *.example.com, path matches /users/{id}, method is taken
          with id = '5'
not taken robots: path /users/5 does not match /robots.txt
          shop: path /users/5 does not match /shop/
          moved: path /users/5 does not match /old/
chain     1. headers  from defaults, rich.yaml:5:7
             {"response": {"remove": ["Server"]}}
masked by pii_masking, built in (`defaults: {masking: off}` leaves it out)
left out  general  mode: off  (rich.yaml:7:7)
upstream  users  (rich.yaml:16:3): the route's upstream
target    http://10.0.1.3:80: consistent_hash by header X-User: as long as it is well
sent      GET /v2/5?full=1  Host: a.example.com
timeout   connect 2s, first_byte 3s (the route says so), total 1m, stream_idle 5m
retry     none
""",
    ),
    "a split that is drawn": (
        ["POST", "/shop/cart"],
        0,
        """\
request   POST /shop/cart  from 127.0.0.1
path      /shop/cart
route     shop  (rich.yaml:26:5): path matches /shop/
not taken robots: path /shop/cart does not match /robots.txt
          moved: path /shop/cart does not match /old/
          user: host is not given, not *.example.com
chain     1. headers  from defaults, rich.yaml:5:7
             {"response": {"remove": ["Server"]}}
          2. size_limit  [shadow]  when {"methods": ["POST"]}: holds  from route, rich.yaml:33:9
             {"json": "1KB"}
masked by pii_masking, built in (`defaults: {masking: off}` leaves it out)
left out  general  mode: off  (rich.yaml:7:7)
upstream  old  (rich.yaml:11:3): split; sticky by cookie:sid, which this request does not have (yet), so drawn\
  gets 90% of such requests
target    http://127.0.0.1:9001: the only one
sent      POST /v1/cart  Host: 127.0.0.1:9001
timeout   connect 2s, first_byte 15s, total 1m, stream_idle 5m
retry     up to 2 attempts, on unsent, reset, 502, 503, 504; budget 20%; POST is not idempotent, so only what reached\
 no target is tried again
upstream  new  (rich.yaml:12:3): split; sticky by cookie:sid, which this request does not have (yet), so drawn\
  gets 10% of such requests
target    round_robin: in turn, by weight
          http://10.0.0.1:9002  75%
          http://10.0.0.2:9002  25%
          http://10.0.0.3  only while those before it are not well (priority 1)
sent      POST /v1/cart  Host: the target's own
timeout   connect 2s, first_byte 15s, total 30s, stream_idle 5m
retry     up to 3 attempts, on unsent, reset, 502, 503, 504; budget 20%; POST is not idempotent, so only what reached\
 no target is tried again
""",
    ),
    "a redirect": (
        ["GET", "/old/"],
        0,
        """\
request   GET /old/  from 127.0.0.1
path      /old/
route     moved  (rich.yaml:37:5): path matches /old/
not taken robots: path /old/ does not match /robots.txt
          shop: path /old/ does not match /shop/
          user: host is not given, not *.example.com
chain     1. headers  from defaults, rich.yaml:5:7
             {"response": {"remove": ["Server"]}}
masked by pii_masking, built in (`defaults: {masking: off}` leaves it out)
left out  general  mode: off  (rich.yaml:7:7)
redirect  308 to /shop/
""",
    ),
    "a plugin that answers": (
        ["GET", "/robots.txt", "--client", "::1"],
        0,
        """\
request   GET /robots.txt  from ::1
path      /robots.txt
route     robots  (rich.yaml:40:5): path matches /robots.txt, method is taken
not taken shop: path /robots.txt does not match /shop/
          moved: path /robots.txt does not match /old/
          user: host is not given, not *.example.com
chain     1. respond  from route, rich.yaml:43:15  answers by itself
             {"body": "x"}
masked by pii_masking, built in (`defaults: {masking: off}` leaves it out)
left out  headers  the route is without it  (rich.yaml:5:7)
          general  mode: off  (rich.yaml:7:7)
upstream  none is asked: a plugin answers
""",
    ),
    "a method that no route for the path takes": (
        ["DELETE", "/robots.txt"],
        1,
        """\
request   DELETE /robots.txt  from 127.0.0.1
path      /robots.txt
refused   405 method_not_allowed: routes for this path take GET, HEAD only
not taken robots: method is DELETE, not GET or HEAD
          shop: path /robots.txt does not match /shop/
          moved: path /robots.txt does not match /old/
          user: host is not given, not *.example.com
""",
    ),
    "a path with two meanings": (
        ["GET", "/shop/..%2fadmin"],
        1,
        """\
request   GET /shop/..%2fadmin  from 127.0.0.1
refused   400 malformed_path: an encoded slash or backslash
""",
    ),
}


@pytest.mark.parametrize(("words", "code", "printed"), [pytest.param(*case, id=name) for name, case in GOLDEN.items()])
def test_printed(rich: Path, capsys: Any, words: list[str], code: int, printed: str):
    assert main(["explain", *words, "-c", str(rich)]) == code
    out, err = capsys.readouterr()
    assert out == printed
    assert err == ""


def test_for_scripts(rich: Path, capsys: Any):
    assert main(["explain", "GET", "http://x/shop/a", "-H", "X-Canary: 1", "-c", str(rich), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["route"]["name"] == "shop"
    assert [entry["plugin"] for entry in told["chain"]] == ["headers", "size_limit"]
    (way,) = told["ways"]
    assert (way["upstream"], way["why"]) == ("new", "override: header X-Canary is there with the value wanted")
    assert way["sent"]["path"] == "/v1/a"
    assert way["timeout"]["total"] == {"value": "30s", "from": "upstream"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(["GET"], "the following arguments are required: URL", id="no URL"),
        pytest.param(["G T", "/"], "expected a method such as GET", id="not a method"),
        pytest.param(["GET", "orders"], "expected a URL such as", id="not a URL"),
        pytest.param(["GET", "/", "-H", "X-User"], "expected 'Name: value'", id="not a header"),
        pytest.param(["GET", "/", "--client", "me"], "expected an IP address", id="not an address"),
    ],
)
def test_usage(rich: Path, capsys: Any, words: list[str], told: str):
    assert main(["explain", *words]) == 2
    out, err = capsys.readouterr()
    assert told in err
    assert out == ""


def test_a_configuration_with_mistakes_explains_nothing(here: Path, capsys: Any):
    (here / "bad.yaml").write_text("routes: [{name: a, upstream: b}]")
    assert main(["explain", "GET", "/", "-c", "bad.yaml"]) == 1
    out, err = capsys.readouterr()
    assert "no upstream is called 'b'" in err
    assert out == ""


def test_no_socket_is_opened(rich: Path, monkeypatch: Any, capsys: Any):
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert main(["explain", "GET", "http://a.example.com/users/5", "-c", str(rich)]) == 0


def test_as_a_process(gateway: Callable[..., Any], rich: Path):
    ended = gateway("explain", "GET", "/nowhere", "-c", rich)
    assert ended.returncode == 1
    assert "refused   404 route_not_found" in ended.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["GET", "/x", "FILE"], id="behind the URL"),
        pytest.param(["GET", "/x", "-H", "A: b", "FILE"], id="behind an option"),
        pytest.param(["-H", "A: b", "GET", "/x", "FILE"], id="an option first"),
        pytest.param(["GET", "/x", "-c", "FILE"], id="by its option"),
    ],
)
def test_the_file_may_stand_as_with_check(tmp_path: Path, capsys: Any, arguments: list[str]) -> None:
    file = tmp_path / "here.yaml"
    file.write_text("routes: [{name: only-here, match: {path: /x}, plugins: [{plugin: respond}]}]")
    assert main(["explain", *(str(file) if each == "FILE" else each for each in arguments)]) == 0
    assert "only-here" in capsys.readouterr().out
    assert main(["explain", "GET", "/x", "-H", "A: b", str(file), "--no-such"]) == 2
