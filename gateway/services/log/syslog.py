"""Lines to a syslog server: RFC 5424 messages over UDP (RFC 5426), TCP (RFC 6587), TLS (RFC 5425) or a unix socket."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import ssl
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal

from gateway.services.log.address import FACILITIES, Secure, SyslogAddress
from gateway.services.log.layout import SERVICE, Layout, Record, encode, is_access, level_of, record_of_line
from gateway.services.log.sink import Sink, Unwritten

SEVERITIES: Final = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
LONGEST_DATAGRAM: Final = 8192
"""Bytes of a message over UDP or a unix datagram socket: what common receivers take; longer texts are cut."""
PATIENCE: Final = 5.0
"""Seconds to connect, and for each write."""
GOODBYE: Final = 0.5
"""Seconds for the end of TLS (RFC 5425 §4.4), without which a server may take what came last for cut off."""
_NOT_NAME: Final = re.compile(r"[^!-~]")


class SyslogLayout:
    """Makes a message of a line: header, no structured data, and the line (its layout's bytes) as the text.

    The text has no byte order mark (RFC 5424 §6.4 wants one before UTF-8): collectors that look for JSON trip over it,
    and JSON is UTF-8 anyway.
    """

    def __init__(self, inner: Layout | None, facility: str, name: str) -> None:
        self._inner = inner
        self._facility = FACILITIES[facility] * 8
        host = _NOT_NAME.sub("", socket.gethostname())[:255] or "-"
        self._tail = f"{host} {_NOT_NAME.sub('', name)[:48] or SERVICE} {os.getpid()}"

    def __call__(self, record: Record) -> bytes:
        """The message without framing."""
        severity = SEVERITIES.get(level_of(record), 6)
        stamp = str(record.get("ts", "-"))
        stamp = stamp if re.fullmatch(r"[0-9T:.Z-]{20,27}", stamp) else "-"
        head = f"<{self._facility + severity}>1 {stamp} {self._tail} {'access' if is_access(record) else 'gateway'} - "
        text = encode(record) if self._inner is None else self._inner(record)
        # One that is for people may have several lines; a message must not be taken for two.
        return head.encode() + text.rstrip(b"\n").replace(b"\n", b" ")


class SyslogSink(Sink):
    """Messages to one server. What cannot be sent waits, up to a bound, and is sent when the server is back."""

    keeps: ClassVar[bool] = True

    def __init__(
        self,
        address: SyslogAddress,
        *,
        facility: str = "local0",
        app_name: str = SERVICE,
        framing: Literal["octet", "newline"] = "octet",
        layout: Layout | None = None,
        secure: Secure | None = None,
        name: str = "syslog",
    ) -> None:
        """``secure`` is for TLS, whose framing is always ``octet``."""
        super().__init__(None, name=name)
        self._address = address
        self._message = SyslogLayout(layout, facility, app_name)
        self._octets = framing == "octet" or address.kind == "tls"
        self._secure = secure or Secure()
        self._socket: socket.socket | None = None
        self._stream = address.kind in ("tcp", "tls")

    def _deliver(self, lines: list[bytes]) -> None:
        try:
            if self._socket is None:
                self._socket = self._connect()
            if self._stream:
                self._send_stream(lines)
            else:
                self._send_datagrams(lines)
        except OSError:
            self._disconnect()
            raise
        except Unwritten:
            self._disconnect()
            raise

    def _connect(self) -> socket.socket:
        address = self._address
        if address.kind in ("tcp", "tls"):
            made = socket.create_connection((address.host, address.port), PATIENCE)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return made if address.kind == "tcp" else self._greet(made)
        if address.kind == "udp":
            family, kind, _, _, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
            return _connected(socket.socket(family, kind), place)
        try:
            made = _connected(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), address.path)
        except OSError as error:
            if not isinstance(error, ConnectionError) and error.errno != errno.EPROTOTYPE:  # it is a stream
                raise
            made = _connected(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), address.path)
            self._stream = True
        return made

    def _greet(self, made: socket.socket) -> socket.socket:
        try:
            return self._secure.context().wrap_socket(made, server_hostname=self._address.host)
        except BaseException:
            made.close()
            raise

    def _disconnect(self) -> None:
        made, self._socket = self._socket, None
        if made is None:
            return
        with contextlib.suppress(OSError, ValueError):
            if isinstance(made, ssl.SSLSocket):
                made.settimeout(GOODBYE)
                made.unwrap()
        with contextlib.suppress(OSError):
            made.close()

    def _framed(self, line: bytes, limit: int | None) -> bytes | None:
        try:
            record: dict[str, Any] = record_of_line(line)
            message = self._message(record)
            if limit is not None and len(message) > limit:
                message = self._message(shortened(record, len(message) - limit))[:limit]
        except Exception:  # noqa: BLE001 - one line that is odd must not hold up the others
            self.dropped += 1
            return None
        if not self._stream:
            return message
        return b"%d %b" % (len(message), message) if self._octets else message + b"\n"

    def _send_stream(self, lines: list[bytes]) -> None:
        """In pieces, so that after a connection is lost little is sent twice and nothing is left out."""
        assert self._socket is not None
        if _hung_up(self._socket):
            self._disconnect()
            self._socket = self._connect()
        at = 0
        while at < len(lines):
            if self.too_late:
                raise Unwritten(lines[at:], "there was no time left")
            end, data = at, bytearray()
            while end < len(lines) and len(data) < 32 * 1024:
                data += self._framed(lines[end], None) or b""
                end += 1
            try:
                self._socket.sendall(data)
            except OSError as error:
                raise Unwritten(lines[at:], error.strerror or type(error).__name__) from error
            at = end

    def _send_datagrams(self, lines: list[bytes]) -> None:
        assert self._socket is not None
        for at, line in enumerate(lines):
            message = self._framed(line, LONGEST_DATAGRAM)
            if message is None:
                continue
            try:
                self._socket.send(message)
            except OSError as error:
                # UDP tells with the next message that nobody took the one before: that one is gone, this one is not.
                raise Unwritten(lines[at:], error.strerror or type(error).__name__) from error

    def close(self) -> None:
        """Send what is left, once, and close the socket. Idempotent."""
        if not self._closed:
            super().close()
            if self._thread is None or not self._thread.is_alive():
                self._disconnect()


def _connected(made: socket.socket, place: Any) -> socket.socket:
    try:
        made.settimeout(PATIENCE)
        made.connect(place)
    except BaseException:
        made.close()
        raise
    return made


def _hung_up(connection: socket.socket) -> bool:
    """The server closed a connection on which it never says anything: what is sent now would be lost silently."""
    connection.setblocking(False)
    try:
        return connection.recv(4096) == b""
    except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(PATIENCE)


def shortened(record: Record, by: int) -> dict[str, Any]:
    """With its longest texts cut, so that it is so many bytes shorter and still a whole object."""
    made = dict(record)
    texts: Sequence[str] = sorted(
        (key for key, value in made.items() if isinstance(value, str) and key != "ts"),
        key=lambda key: len(made[key]),
        reverse=True,
    )
    for key in texts:
        if by <= 0:
            break
        before = len(encode(made[key]))
        keep = max(len(made[key]) - by - 16, 64)
        made[key] = made[key][:keep] + "…" if keep < len(made[key]) else made[key]
        by -= before - len(encode(made[key]))
    return made
