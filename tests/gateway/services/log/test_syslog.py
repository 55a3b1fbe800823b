"""Lines at a syslog server: real sockets of each kind, and servers that come and go."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.services.log import sink as sinks
from gateway.services.log.address import Secure, SyslogAddress
from gateway.services.log.layout import console, ecs
from gateway.services.log.syslog import LONGEST_DATAGRAM, SyslogLayout, SyslogSink, shortened
from gateway.testing.authority import Authority

ACCESS = b'{"ts":"2026-11-21T12:00:00.123Z","method":"GET","path":"/a","status":200}\n'
FAILED = b'{"ts":"2026-11-21T12:00:00.123Z","method":"GET","path":"/a","status":502}\n'
OWN = b'{"ts":"2026-11-21T12:00:00.123Z","level":"warning","logger":"gateway.x","msg":"odd \\u00e9"}\n'

# RFC 5424 §6: the header's fields, each one space apart, nil for structured data.
MESSAGE = re.compile(rb"<(\d{1,3})>1 (\S+) (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32}) - (.*)", re.DOTALL)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "SHORTEST_PAUSE", 0.01)
    monkeypatch.setattr(sinks, "LONGEST_PAUSE", 0.05)


def soon(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("line", "priority", "kind", "text"),
    [
        pytest.param(ACCESS, 16 * 8 + 6, b"access", json.loads(ACCESS), id="an exchange is informational"),
        pytest.param(FAILED, 16 * 8 + 3, b"access", json.loads(FAILED), id="one that failed is an error"),
        pytest.param(OWN, 16 * 8 + 4, b"gateway", json.loads(OWN), id="a line of the gateway has its own level"),
    ],
)
def test_a_message(line: bytes, priority: int, kind: bytes, text: dict[str, Any]) -> None:
    found = MESSAGE.fullmatch(SyslogLayout(None, "local0", "sidegate")(json.loads(line)))
    assert found is not None
    assert (int(found[1]), found[2], found[4], found[6]) == (priority, b"2026-11-21T12:00:00.123Z", b"sidegate", kind)
    assert found[5].isdigit()
    assert json.loads(found[7]) == text


@pytest.mark.parametrize(
    ("stamp", "written"),
    [("2026-11-21T12:00:00Z", b"2026-11-21T12:00:00Z"), ("today at noon, 12:00:00", b"-"), (None, b"-"), (7, b"-")],
)
def test_a_time_that_is_none_is_left_out(stamp: object, written: bytes) -> None:
    found = MESSAGE.fullmatch(SyslogLayout(None, "user", "x")({"ts": stamp, "msg": "m"}))
    assert found is not None
    assert found[2] == written


def test_what_has_several_lines_is_one_message() -> None:
    made = SyslogLayout(console, "user", "x")({"msg": "m", "level": "error", "exception": "a\nb"})
    assert b"\n" not in made and made.endswith(b"a b")


def test_over_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(60)
        sink = SyslogSink(SyslogAddress("udp", *server.getsockname()), layout=ecs, app_name="shop")
        for line in (ACCESS, b"no json\n", OWN):
            sink.write(line)
        got = [server.recv(65536) for _ in range(2)]
        sink.close()
    assert [MESSAGE.fullmatch(each)[6] for each in got] == [b"access", b"gateway"]  # type: ignore[index]
    assert b'"http.response.status_code":200' in got[0]
    assert sink.dropped == 1


def test_a_datagram_is_cut_and_still_json() -> None:
    long = json.dumps({"ts": "2026-11-21T12:00:00.123Z", "msg": "é" * 9000, "exception": '"\n' * 9000}).encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(60)
        sink = SyslogSink(SyslogAddress("udp", *server.getsockname()))
        sink.write(long + b"\n")
        got = server.recv(65536)
        sink.close()
    assert len(got) <= LONGEST_DATAGRAM
    found = MESSAGE.fullmatch(got)
    assert found is not None
    assert set(json.loads(found[7])) == {"ts", "msg", "exception"}


def test_shortened_takes_from_the_longest_first() -> None:
    made = shortened({"ts": "t" * 500, "a": "x" * 100, "b": "y" * 1000, "n": 5}, 300)
    assert (made["ts"], made["a"], made["n"]) == ("t" * 500, "x" * 100, 5)
    assert len(made["b"]) < 720


class Receiver:
    """A TCP or unix stream server that keeps what it gets; it may be stopped and begun again on its port."""

    def __init__(self, family: int = socket.AF_INET, place: Any = ("127.0.0.1", 0)) -> None:
        self.data = b""
        self.connections: list[socket.socket] = []
        self.server = socket.socket(family)
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.server.bind(place)
        self.server.listen()
        self.place = self.server.getsockname()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            self.connections.append(connection)
            try:
                while more := connection.recv(65536):
                    self.data += more
            except OSError:
                pass

    def stop(self) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self.thread.join(60)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


def framed(data: bytes) -> list[bytes]:
    """Messages by their octet counts (RFC 6587 §3.4.1)."""
    found = []
    while data:
        count, _, data = data.partition(b" ")
        found.append(data[: int(count)])
        assert len(found[-1]) == int(count)
        data = data[int(count) :]
    return found


def numbered(number: int) -> bytes:
    return b'{"ts":"2026-11-21T12:00:00.123Z","msg":"n","number":%d}\n' % number


def numbers(messages: list[bytes]) -> list[int]:
    return [json.loads(MESSAGE.fullmatch(each)[7])["number"] for each in messages]  # type: ignore[index]


def test_over_tcp_by_octet_counts(receiver: Receiver) -> None:
    sink = SyslogSink(SyslogAddress("tcp", *receiver.place))
    for number in range(3000):
        sink.write(numbered(number))
    sink.close()
    soon(lambda: receiver.data.count(b'"number"') == 3000)
    assert numbers(framed(receiver.data)) == list(range(3000))
    assert sink.dropped == 0


@pytest.fixture
def secure(tmp_path: Path) -> Secure:
    """An authority, and a certificate of 127.0.0.1 with its key, for both sides."""
    authority = Authority()
    return Secure(authority.write(tmp_path), *authority.issue(ip=("127.0.0.1",)).write(tmp_path, "own"))


def server_side(secure: Secure) -> ssl.SSLContext:
    assert secure.cert is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(secure.cert, secure.key)
    return context


def test_over_tls(secure: Secure) -> None:
    context = server_side(secure)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(secure.ca)
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with context.wrap_socket(server.accept()[0], server_side=True) as one:
                while data := one.recv(65536):  # raises if it is cut off without a goodbye
                    got.append(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        sink = SyslogSink(SyslogAddress("tls", *server.getsockname()), framing="newline", secure=secure)
        for number in range(3000):
            sink.write(numbered(number))
            if number == 1000:
                soon(lambda: bool(got))  # so that it has been idle in between, with tickets of the session waiting
        sink.close()
        thread.join(60)
    assert numbers(framed(b"".join(got))) == list(range(3000))
    assert (sink.dropped, sink.failures) == (0, 0)


def test_over_tls_nothing_goes_to_a_server_that_is_not_trusted(secure: Secure) -> None:
    context = server_side(secure)
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError), context.wrap_socket(server.accept()[0], server_side=True) as one:
                got.append(one.recv(65536))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        sink = SyslogSink(SyslogAddress("tls", *server.getsockname()))
        sink.write(numbered(1))
        thread.join(60)
        soon(lambda: sink.failures > 0)
    sink.close()
    assert not any(got)
    assert sink.dropped == 1


def test_over_tcp_by_line_ends(receiver: Receiver) -> None:
    sink = SyslogSink(SyslogAddress("tcp", *receiver.place), framing="newline")
    for number in range(10):
        sink.write(numbered(number))
    sink.close()
    soon(lambda: receiver.data.count(b"\n") == 10)
    assert numbers(receiver.data.splitlines()) == list(range(10))


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["datagrams", "a stream"])
def test_over_a_unix_socket(tmp_path: Path, kind: int) -> None:
    path = str(tmp_path / "log")
    if kind == socket.SOCK_DGRAM:
        with socket.socket(socket.AF_UNIX, kind) as server:
            server.bind(path)
            server.settimeout(60)
            sink = SyslogSink(SyslogAddress("unix", path=path))
            sink.write(numbered(1))
            assert numbers([server.recv(65536)]) == [1]
            sink.close()
        return
    receiver = Receiver(socket.AF_UNIX, path)
    sink = SyslogSink(SyslogAddress("unix", path=path))
    sink.write(numbered(1))
    sink.close()
    soon(lambda: b"number" in receiver.data)
    assert numbers(framed(receiver.data)) == [1]
    receiver.stop()


def test_lines_wait_for_a_server_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    first = Receiver()
    sink = SyslogSink(SyslogAddress("tcp", *first.place), name="tcp://logs")
    sink.write(numbered(0))
    soon(lambda: b"number" in first.data)
    first.stop()
    for number in range(1, 500):
        sink.write(numbered(number))
    soon(lambda: sink.failures > 0)
    second = Receiver(place=first.place)
    soon(lambda: second.data.count(b'"number"') >= 499)
    sink.close()
    assert numbers(framed(second.data)) == list(range(1, 500))
    assert sink.dropped == 0
    said = [each.getMessage() for each in caplog.records if "tcp://logs" in each.getMessage()]
    assert said[0].endswith("lines wait for it")
    assert said[-1] == "log sink tcp://logs works again; 0 lines were dropped"
    second.stop()


def test_a_server_that_is_away_for_long_costs_lines_and_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "MOST", 20_000)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        sink = SyslogSink(SyslogAddress("tcp", *nobody.getsockname()))
        for number in range(2000):
            sink.write(numbered(number))
            if number == 100:
                soon(lambda: sink.failures > 0)
        assert sum(map(len, sink._lines + sink._unwritten)) <= 20_000
        assert sink.dropped >= 2000 - 20_000 // len(numbered(0)) - 1
        sink.close()
    assert sink.dropped == 2000  # each is accounted for
