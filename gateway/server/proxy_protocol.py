"""The PROXY protocol, versions 1 and 2: what a balancer says of a connection before the first byte of it.

After HAProxy's `proxy-protocol.txt`. Only peers in ``trusted_proxies`` may say it; anyone else is turned away, for an
address that everybody could write would be worth nothing.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.http.peer import Peer

if TYPE_CHECKING:
    from gateway.server.connection import ClientConnection
    from gateway.server.edge import Edge

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
V1_LIMIT: Final = 107
"""Bytes of the longest line of version 1, its CRLF included (§2.1)."""
V2_LIMIT: Final = 4096
"""Bytes after the fixed part of version 2 that are taken; balancers send some hundred."""
_FIXED: Final = struct.Struct("!12sBBH")
_LOCAL, _PROXY = 0, 1
_STREAM: Final = 1
_SIZES: Final = {1: 12, 2: 36, 3: 216}
"""Address family → bytes of its two addresses."""
_TLV_SSL: Final = 0x20
_CLIENT_SSL: Final = 0x01


class ProxyProtocolError(ValueError):
    """What came is not a PROXY header."""


@dataclass(frozen=True, slots=True)
class Announced:
    """What a header said."""

    size: int
    """Bytes of the header; what follows is the connection."""
    address: str = ""
    """The client's, or empty if it was not told: then the balancer's own stands."""
    port: int = 0
    own: bool = False
    """The balancer speaks for itself (LOCAL), as in a health check."""
    tls: bool = False
    """The client speaks TLS to the balancer."""

    def peer(self, socket: Peer, edge: Edge) -> Peer:
        """The connection's other end, seen past the balancer."""
        scheme = "https" if self.tls else socket.scheme
        if not self.address:
            return Peer(
                socket.address,
                socket.port,
                scheme=scheme,
                trusted=self.own and socket.trusted,
                certificate=socket.certificate,
                chain=socket.chain,
                known=self.own,
                balancer=socket,
            )
        return Peer(
            self.address,
            self.port,
            scheme=scheme,
            trusted=edge.is_trusted(self.address),
            certificate=socket.certificate,
            chain=socket.chain,
            balancer=socket,
        )


def parse(data: bytes) -> Announced | None:
    """The header at the beginning of ``data``, or None while it is not whole. Raises ProxyProtocolError."""
    if data[:1] == b"\r":
        return _parse_v2(data)
    if data[:6] == b"PROXY "[: len(data)]:
        return _parse_v1(data)
    raise ProxyProtocolError("neither version 1 nor 2")


def _parse_v1(data: bytes) -> Announced | None:
    end = data.find(b"\r\n", 0, V1_LIMIT)
    if end < 0:
        if len(data) >= V1_LIMIT:
            raise ProxyProtocolError("a line too long")
        return None
    words = data[:end].split(b" ")
    if words[1] == b"UNKNOWN":
        return Announced(end + 2)
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise ProxyProtocolError("not the words of version 1")
    family = ipaddress.IPv4Address if words[1] == b"TCP4" else ipaddress.IPv6Address
    try:
        source, _ = (family(word.decode("ascii")) for word in words[2:4])
    except ValueError:
        raise ProxyProtocolError("no address") from None
    port, _ = (_port(word) for word in words[4:])
    return Announced(end + 2, _text(source), port)


def _port(word: bytes) -> int:
    if not word.isdigit() or len(word) > 5 or (word[:1] == b"0" and word != b"0") or int(word) > 65535:
        raise ProxyProtocolError("no port")
    return int(word)


def _parse_v2(data: bytes) -> Announced | None:
    if data[:12] != SIGNATURE[: len(data)]:
        raise ProxyProtocolError("no signature")
    if len(data) < _FIXED.size:
        return None
    _, version_command, family_protocol, length = _FIXED.unpack_from(data)
    version, command = divmod(version_command, 16)
    family, protocol = divmod(family_protocol, 16)
    if version != 2 or command not in (_LOCAL, _PROXY) or length > V2_LIMIT:
        raise ProxyProtocolError("a version, command or length that is not known")
    size = _FIXED.size + length
    if len(data) < size:
        return None
    if command == _LOCAL:
        return Announced(size, own=True)
    if family == 0:
        return Announced(size)
    if family not in _SIZES or protocol != _STREAM or length < _SIZES[family]:
        raise ProxyProtocolError("an address that is none of a stream's")
    tls = _says_tls(data[_FIXED.size + _SIZES[family] : size])
    block = data[_FIXED.size :]
    if family == 1:
        return Announced(size, str(ipaddress.IPv4Address(block[:4])), int.from_bytes(block[8:10], "big"), tls=tls)
    if family == 2:
        return Announced(size, _text(ipaddress.IPv6Address(block[:16])), int.from_bytes(block[32:34], "big"), tls=tls)
    return Announced(size, tls=tls)


def _says_tls(extras: bytes) -> bool:
    """Look for `PP2_TYPE_SSL` (§2.2.6) among the type-length-values."""
    at, found = 0, False
    while at < len(extras):
        if at + 3 > len(extras):
            raise ProxyProtocolError("half an extra value")
        kind, length = extras[at], int.from_bytes(extras[at + 1 : at + 3], "big")
        at += 3
        if at + length > len(extras):
            raise ProxyProtocolError("an extra value longer than the header")
        if kind == _TLV_SSL and length >= 5:
            found = bool(extras[at] & _CLIENT_SSL)
        at += length
    return found


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


class ProxyPreface:
    """Reads the header of one plain connection before HTTP begins."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, connection: ClientConnection, data: bytes) -> bytes | None:
        """What follows the header; None while it is not whole, or after the connection was cut."""
        held = self._held + data
        try:
            announced = parse(held)
        except ProxyProtocolError:
            connection.turn_away()
            return None
        if announced is None:
            self._held = held
            return None
        connection.peer = announced.peer(connection.peer, connection.edge)
        return held[announced.size :]
