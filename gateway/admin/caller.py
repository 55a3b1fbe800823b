"""Who is on the other end of a connection to the admin listener, as the kernel knows it: nothing that a caller says."""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from typing import Any, Final

_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
"""Connections of this network namespace, with the user of each end that is in it (proc(5))."""
_LOCAL, _REMOTE, _UID = 1, 2, 7


def caller_of(connection: Any) -> str:
    """``unix:uid=1000,pid=7`` of a unix socket, ``loopback:uid=1000`` of a caller on this machine; else nothing.

    Reads a table of the kernel, which blocks for as long as there are connections in it.
    """
    if connection is None:
        return ""
    try:
        if connection.family == socket.AF_UNIX:  # unix(7), SO_PEERCRED
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            pid, uid, _ = struct.unpack("3i", credentials)
            return f"unix:uid={uid},pid={pid}"
        peer, own = connection.getpeername()[:2], connection.getsockname()[:2]
    except (OSError, AttributeError):  # it is gone, or the system has no such thing
        return ""
    if not _plain(peer[0]).is_loopback:
        return ""
    uid = _user_of(peer, own)
    return f"loopback:uid={uid}" if uid is not None else "loopback"


def _user_of(peer: tuple[str, int], own: tuple[str, int]) -> int | None:
    """The user whose socket the other end is."""
    wanted = {(_written(*peer, mapped=mapped), _written(*own, mapped=mapped)) for mapped in (False, True)}
    for table in _TABLES:
        try:
            with open(table, encoding="ascii") as lines:  # noqa: PTH123 - a table of the kernel
                for line in lines:
                    columns = line.split(None, _UID + 1)
                    if len(columns) > _UID and (columns[_LOCAL], columns[_REMOTE]) in wanted:
                        return int(columns[_UID])
        except (OSError, ValueError):
            continue
    return None


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Of an IPv4 address that IPv6 shows as its own, the IPv4 address."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


def _written(address: str, port: int, *, mapped: bool) -> str:
    """As the tables have it: words of four bytes in the machine's order, in hex; ``mapped``: IPv4 among IPv6."""
    packed = _plain(address).packed
    if mapped and len(packed) == 4:
        packed = b"\0" * 10 + b"\xff\xff" + packed
    words = [packed[index : index + 4] for index in range(0, len(packed), 4)]
    if sys.byteorder == "little":
        words = [word[::-1] for word in words]
    return f"{b''.join(words).hex().upper()}:{port:04X}"
