"""WebSocket frames to the letter."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest


def frame(
    payload: bytes = b"",
    *,
    opcode: int = 1,
    fin: bool = True,
    masked: bool = True,
    rsv: int = 0,
    length: int | None = None,
) -> bytes:
    """One frame (RFC 6455 §5.2); ``length`` is what its head says, if it is not to be the truth."""
    size = len(payload) if length is None else length
    first = (0x80 if fin else 0) | rsv | opcode
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes([first, mask | size])
    elif size < 65536:
        head = bytes([first, mask | 126]) + struct.pack("!H", size)
    else:
        head = bytes([first, mask | 127]) + struct.pack("!Q", size)
    return head + (b"\1\2\3\4" if masked else b"") + payload


@pytest.fixture(scope="session", name="frame")
def frame_fixture() -> Callable[..., bytes]:
    return frame
