"""Services as they come, behind a real gateway, driven by their own clients: what comes through is what was sent."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import gzip
import http.client
import http.server
import itertools
import json
import os
import random
import signal
import subprocess
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import brotli
import pytest
import websockets

ANSWER = frozenset({"content-length", "via", "x-request-id", "date", "connection", "keep-alive", "transfer-encoding"})
"""Fields of an answer that a proxy has a say in."""
REQUEST = frozenset(
    {"host", "via", "forwarded", "x-request-id", "traceparent", "connection", "transfer-encoding", "content-length"}
)
"""Fields of a request that a proxy has a say in."""
DECODE: dict[str, Any] = {"gzip": gzip.decompress, "deflate": zlib.decompress, "br": brotli.decompress}


# -- httpbin -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def httpbin(httpbin_url: str, module_gateway: Any) -> str:
    """The gateway in front of it."""
    process = module_gateway(
        {
            "upstreams": {"httpbin": {"targets": [httpbin_url]}},
            "routes": [{"name": "all", "match": {"path": "/"}, "upstream": "httpbin"}],
            "limits": {"headers": "64KB"},
        }
    )
    url: str = process.url
    return url


def comparable(headers: Any, body: bytes) -> tuple[Any, Any]:
    """An answer without what may differ: a proxy's own fields, and what httpbin tells of the connection it sees."""
    # Where the length stands among the fields means nothing: framing is each connection's own.
    length = headers.get("Content-Length")
    fields = [(name.lower(), value) for name, value in headers.items() if name.lower() not in ANSWER]
    plain = DECODE.get(headers.get("Content-Encoding", ""), bytes)(body)
    try:
        lines = [json.loads(plain)]
    except ValueError:
        try:
            lines = [json.loads(line) for line in plain.splitlines()]
        except ValueError:
            lines = []
    if not lines or not all(isinstance(told, dict) and "headers" in told for told in lines):
        return [*fields, length], body
    return fields, [told_of(line) for line in lines]  # the length follows from what is left out here


def told_of(seen: dict[str, Any]) -> dict[str, Any]:
    """What httpbin says of a request, without what a proxy has a say in."""
    headers = {
        name: value
        for name, value in seen["headers"].items()
        if name.lower() not in REQUEST and not name.lower().startswith("x-forwarded")
    }
    url = seen.get("url", "").partition("://")[2].partition("/")[2]
    return {**seen, "headers": headers, "origin": "", "url": url}


ZOO = [
    *(
        pytest.param(method, "/anything/a%20b/c?x=1&x=2&y=%C3%A9", {}, body, id=f"{method} with {kind}")
        for method in ("POST", "PUT", "PATCH", "DELETE")
        for kind, body in (("a body", b'{"a": [1, 2]}'), ("a chunked body", [b"a" * 70_000, b"b", b"c" * 5000]))
    ),
    pytest.param("GET", "/get?a=b", {}, None, id="GET"),
    pytest.param("HEAD", "/html", {}, None, id="HEAD"),
    pytest.param("HEAD", "/bytes/100000?seed=1", {}, None, id="HEAD of what is long"),
    pytest.param("OPTIONS", "/get", {}, None, id="OPTIONS"),
    pytest.param("GET", "/gzip", {}, None, id="gzip"),
    pytest.param("GET", "/brotli", {}, None, id="brotli"),
    pytest.param("GET", "/deflate", {}, None, id="deflate"),
    pytest.param("GET", "/encoding/utf8", {}, None, id="UTF-8"),
    pytest.param("GET", "/html", {}, None, id="HTML"),
    pytest.param("GET", "/image/png", {}, None, id="a picture"),
    pytest.param("GET", "/image", {"Accept": "image/webp"}, None, id="a picture of the kind asked for"),
    pytest.param("GET", "/image", {"Accept": "text/plain"}, None, id="406"),
    pytest.param("GET", "/bytes/102400?seed=7", {}, None, id="100 KB"),
    pytest.param("GET", "/stream-bytes/102400?seed=7&chunk_size=333", {}, None, id="100 KB in small chunks"),
    pytest.param("GET", "/stream/20", {}, None, id="a stream of lines"),
    pytest.param("GET", "/drip?duration=0.5&numbytes=20&delay=0", {}, None, id="drips"),
    pytest.param("GET", "/range/1024", {}, None, id="the whole of a range"),
    pytest.param("GET", "/range/1024", {"Range": "bytes=10-99"}, None, id="part of a range"),
    pytest.param("GET", "/range/1024", {"Range": "bytes=-5"}, None, id="the end of a range"),
    pytest.param("GET", "/range/1024", {"Range": "bytes=5000-"}, None, id="beyond a range"),
    pytest.param("GET", "/redirect/3", {}, None, id="a redirect is handed on"),
    pytest.param("GET", "/redirect-to?url=http://other.example/&status_code=307", {}, None, id="elsewhere, 307"),
    pytest.param("GET", "/cookies/set?a=1&b=two", {}, None, id="two cookies in two fields"),
    pytest.param("GET", "/cookies", {"Cookie": "a=1; b=two"}, None, id="cookies sent"),
    pytest.param("GET", "/cookies/delete?a=", {"Cookie": "a=1"}, None, id="a cookie taken away"),
    pytest.param("GET", "/basic-auth/u/p", {}, None, id="401"),
    pytest.param("GET", "/basic-auth/u/p", {"Authorization": "Basic dTpw"}, None, id="basic authentication"),
    pytest.param("GET", "/bearer", {"Authorization": "Bearer abc"}, None, id="a bearer token"),
    pytest.param("GET", "/digest-auth/auth/u/p?require-cookie=0", {"Authorization": "Digest x"}, None, id="digest"),
    pytest.param("GET", "/etag/abc", {"If-None-Match": '"abc"'}, None, id="304 by a tag"),
    pytest.param("GET", "/etag/abc", {"If-Match": '"other"'}, None, id="412"),
    pytest.param("GET", "/cache", {"If-Modified-Since": "Sat, 01 Jan 2026 00:00:00 GMT"}, None, id="304 by a date"),
    pytest.param("GET", "/response-headers?X-A=1&X-A=2&X-B=%22q%22", {}, None, id="fields that repeat"),
    pytest.param("GET", "/headers", {"X-Large": "v" * 30_000}, None, id="a large field"),
    pytest.param("GET", "/headers", {f"X-{n}": str(n) for n in range(80)}, None, id="many fields"),
    pytest.param("GET", "/delay/0.2", {}, None, id="late"),
    pytest.param("GET", "/base64/" + base64.urlsafe_b64encode(b"\xf0\x9f\x90\x8d ok").decode(), {}, None, id="base64"),
    *(
        pytest.param("GET", f"/status/{status}", {}, None, id=f"status {status}")
        for status in (
            200,
            201,
            202,
            203,
            204,
            205,
            206,
            300,
            301,
            304,
            400,
            402,
            404,
            409,
            418,
            429,
            451,
            500,
            501,
            599,
        )
    ),
]


@pytest.mark.parametrize(("method", "path", "headers", "body"), ZOO)
async def test_httpbin_answers_through_the_gateway_as_without_it(
    httpbin: str, httpbin_url: str, session: Any, method: str, path: str, headers: dict[str, str], body: Any
) -> None:
    async def chunks() -> Any:
        for chunk in body:
            yield chunk

    async def ask(base: str) -> Any:
        data = chunks() if isinstance(body, list) else body
        url = aiohttp.client.URL(base + path, encoded=True)
        async with session.request(method, url, headers=headers, data=data, allow_redirects=False) as answer:
            return answer.status, answer.reason, *comparable(answer.headers, await answer.read())

    assert await ask(httpbin) == await ask(httpbin_url)


async def test_form_and_multipart_arrive_as_they_were_sent(httpbin: str) -> None:
    async with aiohttp.ClientSession() as session:
        form = aiohttp.FormData({"a": "1", "b": "ü"})
        form.add_field("file", os.urandom(0) + b"\x00\xff" * 50_000, filename="f.bin")
        async with session.post(f"{httpbin}/post", data=form) as answer:
            told = await answer.json()
    assert told["form"] == {"a": "1", "b": "ü"}
    assert told["files"]["file"].endswith(base64.b64encode(b"\x00\xff" * 50_000).decode())


# -- git -----------------------------------------------------------------------------------------------------------


class GitBackend(http.server.BaseHTTPRequestHandler):
    """``git http-backend`` by CGI (RFC 3875), as a web server runs it."""

    protocol_version = "HTTP/1.1"
    root = ""
    seen: list[str] = []  # noqa: RUF012 - one server a test

    def log_message(self, *_: object) -> None:
        pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append("chunked")
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _run(self) -> None:
        path, _, query = self.path.partition("?")
        body = self._body()
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "GIT_PROJECT_ROOT": self.root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "tester",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environ, capture_output=True, check=True)
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = next((int(value.split()[0]) for name, value in fields if name == "Status"), 200)
        self.send_response(status)
        for name, value in fields:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for at in range(0, len(answer), 100_000):
            piece = answer[at : at + 100_000]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = _run  # noqa: N815 - http.server's names


class Threaded(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


def serving(handler: Any) -> tuple[Threaded, str]:
    server = Threaded(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


def git(*words: str, cwd: Path) -> str:
    environ = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "http.proxy=", "-c", "core.compression=0"]
    done = subprocess.run(["git", *who, *words], cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_git_clones_from_and_pushes_fifty_megabytes_through_it(gateway: Any, behind: Any, tmp_path: Path) -> None:
    bare = tmp_path / "root" / "repo.git"
    bare.mkdir(parents=True)
    git("init", "-q", "--bare", "-b", "main", cwd=bare)
    git("config", "http.receivepack", "true", cwd=bare)
    seen: list[str] = []
    server, url = serving(type("Backend", (GitBackend,), {"root": str(bare.parent), "seen": seen}))
    try:
        process = gateway(behind(url))
        remote = f"{process.url}/repo.git"
        work = tmp_path / "work"
        await asyncio.to_thread(git, "clone", "-q", remote, str(work), cwd=tmp_path)
        git("checkout", "-q", "-b", "main", cwd=work)
        (work / "big").write_bytes(random.Random(1).randbytes(50 * 1024 * 1024))
        git("add", "big", cwd=work)
        git("commit", "-q", "-m", "fifty megabytes", cwd=work)
        push = functools.partial(git, "-c", "http.postBuffer=65536", "push", "-q", "origin", "main", cwd=work)
        await asyncio.to_thread(push)
        assert "chunked" in seen
        git("fsck", "--full", "--strict", cwd=bare)
        again = tmp_path / "again"
        await asyncio.to_thread(git, "clone", "-q", remote, str(again), cwd=tmp_path)
        git("fsck", "--full", "--strict", cwd=again)
        assert git("rev-parse", "HEAD", cwd=again) == git("rev-parse", "HEAD", cwd=work)
        assert (again / "big").read_bytes() == (work / "big").read_bytes()
    finally:
        server.shutdown()
        server.server_close()


# -- WebSockets ----------------------------------------------------------------------------------------------------


async def _echo(socket: Any) -> None:
    async for message in socket:
        if message == "bye":
            await socket.close(4321, "as you wish")
            return
        await socket.send(message)


def _address(server: Any) -> str:
    return f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def test_websockets_text_binary_ping_and_large(gateway: Any, behind: Any) -> None:
    async with websockets.serve(_echo, "127.0.0.1", 0, max_size=None) as server:
        process = gateway(behind(_address(server)))
        async with websockets.connect(process.url.replace("http", "ws") + "/a?b=c", max_size=None) as socket:
            for message in ("text ü", b"\x00\xff", "", b"", "x" * 125, "x" * 126, b"y" * 65_536, os.urandom(3_000_000)):
                await socket.send(message)
                assert await socket.recv() == message
            await socket.send(["three ", "fragments ", "in one"])
            assert await socket.recv() == "three fragments in one"
            await asyncio.wait_for(await socket.ping(b"payload"), 60)


@pytest.mark.parametrize("code", [1000, 1001, 1008, 3000, 4999])
async def test_websockets_close_codes_pass_both_ways(gateway: Any, behind: Any, code: int) -> None:
    closed: list[tuple[int | None, str | None]] = []

    async def note(socket: Any) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):  # what is no regular end
            await _echo(socket)
        await socket.wait_closed()
        closed.append((socket.close_code, socket.close_reason))

    async with websockets.serve(note, "127.0.0.1", 0) as server:
        process = gateway(behind(_address(server)))
        url = process.url.replace("http", "ws")
        async with websockets.connect(url) as socket:
            await socket.close(code, "bye")
        async with websockets.connect(url) as socket:
            await socket.send("bye")
            await socket.wait_closed()
            assert (socket.close_code, socket.close_reason) == (4321, "as you wish")
    assert closed[0] == (code, "bye")


async def test_twenty_websockets_at_once_and_a_subprotocol(gateway: Any, behind: Any) -> None:
    async with websockets.serve(_echo, "127.0.0.1", 0, subprotocols=["chat"]) as server:  # type: ignore[list-item]
        process = gateway(behind(_address(server)))
        url = process.url.replace("http", "ws")

        async def talk(number: int) -> int:
            async with websockets.connect(url, subprotocols=["other", "chat"]) as socket:  # type: ignore[list-item]
                assert socket.subprotocol == "chat"
                for turn in range(50):
                    await socket.send(f"{number} {turn}")
                    assert await socket.recv() == f"{number} {turn}"
                return number

        assert await asyncio.gather(*(talk(number) for number in range(20))) == list(range(20))
        assert await process.metric("requests_total", status="101") == 20


# -- streams and files ---------------------------------------------------------------------------------------------


async def test_events_may_be_silent_for_longer_than_every_other_deadline(
    gateway: Any, behind: Any, origin: Any
) -> None:
    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for event in (b"data: one\n\n", b"data: two\n\n", b"data: three\n\n"):
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await writer.drain()
            await asyncio.sleep(1.2)
        writer.write(b"0\r\n\r\n")

    short = {"connect": "300ms", "first_byte": "300ms", "total": "300ms", "stream_idle": "1m"}
    limits = dict.fromkeys(("head", "body_idle", "send_idle", "keepalive_idle"), "300ms")
    process = gateway({**behind((await origin(conduct)).url, timeout=short), "limits": limits})
    arrived = []
    async with aiohttp.ClientSession() as session, session.get(process.url) as answer:
        loop = asyncio.get_running_loop()
        while line := await answer.content.readline():
            if line.strip():
                arrived.append((line, loop.time()))
    assert [line for line, _ in arrived] == [b"data: one\n", b"data: two\n", b"data: three\n"]
    gaps = [b - a for (_, a), (_, b) in itertools.pairwise(arrived)]
    assert min(gaps) > 0.3  # each came when it was sent: nothing was held back


@pytest.fixture(params=["HTTP/1.0", "HTTP/1.1"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Python's own file server: 1.0 closes after each answer, 1.1 keeps alive."""
    handler = type(
        "Files",
        (http.server.SimpleHTTPRequestHandler,),
        {"protocol_version": request.param, "log_message": lambda *_: None},
    )
    server, url = serving(functools.partial(handler, directory=str(tmp_path)))
    yield url, tmp_path
    server.shutdown()
    server.server_close()


async def test_pythons_file_server(gateway: Any, behind: Any, session: Any, files: tuple[str, Path]) -> None:
    url, root = files
    content = os.urandom(5_000_000)
    (root / "a b.bin").write_bytes(content)
    process = gateway(behind(url))
    for _ in range(3):
        async with session.get(f"{process.url}/a%20b.bin") as answer:
            assert (answer.status, await answer.read()) == (200, content)
    async with session.head(f"{process.url}/a%20b.bin") as answer:
        assert (answer.status, answer.headers["Content-Length"], await answer.read()) == (200, "5000000", b"")
        modified = answer.headers["Last-Modified"]
    async with session.get(f"{process.url}/a%20b.bin", headers={"If-Modified-Since": modified}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    async with session.get(f"{process.url}/none") as answer:
        assert answer.status == 404
        assert b"File not found" in await answer.read()


async def test_aiohttps_file_server_and_its_ranges(gateway: Any, behind: Any, session: Any, tmp_path: Path) -> None:
    content = os.urandom(1_000_000)
    (tmp_path / "f.bin").write_bytes(content)
    app = aiohttp.web.Application()
    app.router.add_static("/files", tmp_path)
    runner = aiohttp.web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
        process = gateway(behind(f"http://127.0.0.1:{runner.addresses[0][1]}"))
        url = f"{process.url}/files/f.bin"
        for asked, status, expected in (
            ("bytes=0-99", 206, content[:100]),
            ("bytes=999990-", 206, content[-10:]),
            ("bytes=-7", 206, content[-7:]),
            ("bytes=2000000-", 416, None),
        ):
            async with session.get(url, headers={"Range": asked}) as answer:
                body = await answer.read()
                assert answer.status == status
                assert expected is None or body == expected
        async with session.head(url) as answer:
            assert (answer.headers["Content-Length"], answer.headers["Accept-Ranges"]) == ("1000000", "bytes")
            tag = answer.headers["ETag"]
        async with session.get(url, headers={"If-None-Match": tag}) as answer:
            assert answer.status == 304
        # A download in pieces, as a client that resumes makes it.
        pieces = []
        for at in range(0, 1_000_000, 300_000):
            async with session.get(url, headers={"Range": f"bytes={at}-{at + 299_999}", "If-Range": tag}) as answer:
                pieces.append(await answer.read())
        assert b"".join(pieces) == content
    finally:
        await runner.cleanup()


async def test_an_answer_that_ends_with_its_connection(gateway: Any, behind: Any, origin: Any) -> None:
    """HTTP/1.0 without a length: to a client of 1.1 it is chunked, to one of 1.0 it ends with the connection."""

    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        for _ in range(50):
            writer.write(b"x" * 1000)
            await writer.drain()

    process = gateway(behind((await origin(conduct)).url))

    def ask(version: str) -> tuple[bytes, dict[str, str]]:
        connection = http.client.HTTPConnection(*process.address, timeout=10)
        connection._http_vsn, connection._http_vsn_str = int(version[5] + version[7]), version  # type: ignore[attr-defined]
        connection.request("GET", "/")
        answer = connection.getresponse()
        told = answer.read(), dict(answer.getheaders())
        connection.close()
        return told

    body, headers = await asyncio.to_thread(ask, "HTTP/1.1")
    assert (len(body), headers.get("Transfer-Encoding")) == (50_000, "chunked")
    body, headers = await asyncio.to_thread(ask, "HTTP/1.0")
    assert (len(body), headers.get("Transfer-Encoding")) == (50_000, None)


async def test_a_request_that_is_there_when_its_connection_is_accepted_has_met_its_deadline(
    gateway: Any, behind: Any, origin: Any
) -> None:
    """The deadline for a head is not left running beside the answer."""

    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(1.0)
        writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\nok")

    process = gateway({**behind((await origin(conduct)).url), "limits": {"head": "200ms"}})
    process.signal(signal.SIGSTOP)
    reader, writer = await asyncio.open_connection(*process.address)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    await writer.drain()
    process.signal(signal.SIGCONT)
    assert (await reader.read()).endswith(b"\r\n\r\nok")
    writer.close()
