"""One direction of a WebSocket (RFC 6455 §5): followed frame by frame as the bytes come, judged by frame heads alone.

A head is held back until it is whole and let through, which is fourteen bytes at most; payload is never held. So a
stream can be ended where a frame could begin, before the first byte of the frame that is too much.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.services.metrics import Counter

CONTINUATION: Final = 0x0
CLOSE: Final = 0x8
_KNOWN: Final = frozenset({0x0, 0x1, 0x2, 0x8, 0x9, 0xA})

PROTOCOL: Final = "protocol"
SIZE: Final = "size"
FRAGMENTS: Final = "fragments"
RATE: Final = "rate"


class Rate:
    """Messages let through: ``rate`` in ``period`` seconds, ``burst`` at once after a rest (GCRA)."""

    __slots__ = ("_due", "_every", "_room", "_time")

    def __init__(self, rate: int, period: float, burst: int, time: Callable[[], float]) -> None:
        self._every = period / rate
        self._room = self._every * (burst - 1) + self._every * 1e-6  # times are sums of fractions
        self._time = time
        self._due = 0.0

    def take(self) -> bool:
        """Whether another one may pass now."""
        now = self._time()
        due = max(self._due, now)
        if due - now > self._room:
            return False
        self._due = due + self._every
        return True


class Direction:
    """Follows what one side sends.

    ``object_to(what)`` is asked about each frame that is not in order; if it says so, that frame and all after it are
    not let through. Otherwise (shadow mode) everything passes.
    """

    __slots__ = (
        "_extended",
        "_head",
        "_left",
        "_masked",
        "_max_fragments",
        "_max_message",
        "_messages",
        "_object_to",
        "_opcode",
        "_open",
        "_parts",
        "_passing",
        "_rate",
        "_size",
        "closed",
        "cut",
        "said_goodbye",
    )

    def __init__(
        self,
        object_to: Callable[[str], bool],
        *,
        masked: bool,
        extended: bool,
        max_message: int | None,
        max_fragments: int,
        rate: Rate | None = None,
        messages: Counter | None = None,
    ) -> None:
        self._object_to = object_to
        self._masked = masked
        self._extended = extended
        """An extension was agreed on: reserved bits and opcodes have a meaning that is not known here."""
        self._max_message = max_message
        self._max_fragments = max_fragments
        self._rate = rate
        self._head = b""
        self._left = 0
        self._opcode = 0
        self._passing = True
        self._open = False
        """A message is under way, its last fragment not seen."""
        self._size = 0
        self._parts = 0
        self._messages = messages or Counter()
        self.cut = False
        """No further frame is let through; the one under way is ended."""
        self.closed = False
        """A Close frame was sent, let through or not."""
        self.said_goodbye = False
        """A Close frame was let through."""

    @property
    def between(self) -> bool:
        """A frame may be put in here: none that was let through is under way."""
        return self._left == 0 or not self._passing

    def feed(self, data: bytes) -> bytes:
        """What of these bytes, and of those held back before, goes on now."""
        if self._left > len(data):
            self._left -= len(data)
            return data if self._passing else b""
        if self._head:
            data, self._head = self._head + data, b""
        out: list[bytes] = []
        size, position = len(data), self._left
        begin = 0 if self._passing else position  # of what passes
        if self._left:
            self._left = 0
            self._ended()
        while position < size:
            need = _head_size(data, position)
            if position + need > size:
                self._head = data[position:]
                break
            length = self._take(data[position : position + need])
            if not self._passing:
                out.append(data[begin:position])
                begin = min(position + need + length, size)
            position += need + length
            if position > size:
                self._left = position - size
                position = size
                break
            self._ended()
        if begin == 0 and position == size:
            return data
        if begin < position:
            out.append(data[begin:position])
        return b"".join(out)

    def _ended(self) -> None:
        """A frame is over."""
        if self._opcode == CLOSE:
            self.closed = True
            self.said_goodbye = self.said_goodbye or self._passing
        self._opcode = CONTINUATION

    def _take(self, head: bytes) -> int:
        """Judge a frame by its head; how many bytes of payload follow."""
        self._opcode = head[0] & 0x0F
        length = _payload_size(head)
        if not self.cut:
            what = self._objection(head, length)
            if what is not None and self._object_to(what):
                self.cut = True
        self._passing = not self.cut
        return length

    def _objection(self, head: bytes, length: int) -> str | None:
        opcode, final = self._opcode, bool(head[0] & 0x80)
        if bool(head[1] & 0x80) is not self._masked:  # §5.1
            return PROTOCOL
        if not self._extended and (head[0] & 0x70 or opcode not in _KNOWN):  # §5.2
            return PROTOCOL
        if length >> 63:
            return PROTOCOL
        if opcode >= CLOSE:
            if not final or length > 125:  # §5.5
                return PROTOCOL
            return None if self._rate is None or opcode == CLOSE or self._rate.take() else RATE
        return self._objection_to_data(opcode, final, length)

    def _objection_to_data(self, opcode: int, final: bool, length: int) -> str | None:
        if (opcode == CONTINUATION) is not self._open:  # §5.4
            return PROTOCOL
        self._open = not final
        if opcode != CONTINUATION:
            self._size = self._parts = 0
            self._messages.value += 1
            if self._rate is not None and not self._rate.take():
                return RATE
        self._size += length
        self._parts += 1
        if self._max_message is not None and self._size > self._max_message:
            return SIZE
        return FRAGMENTS if self._parts > self._max_fragments else None


def _head_size(data: bytes, at: int) -> int:
    """How long the head that begins here is; two until that is known."""
    if len(data) < at + 2:
        return 2
    second = data[at + 1]
    size = 6 if second & 0x80 else 2
    short = second & 0x7F
    return size if short < 126 else size + 2 if short == 126 else size + 8


def _payload_size(head: bytes) -> int:
    short = head[1] & 0x7F
    if short < 126:
        return short
    return int.from_bytes(head[2:4] if short == 126 else head[2:10], "big")


def close_frame(code: int, reason: str, *, masked: bool) -> bytes:
    """A Close frame (§5.5.1); a client's is masked (§5.3), and a mask of zeros is one."""
    payload = code.to_bytes(2, "big") + reason.encode()[:123]
    return bytes([0x80 | CLOSE, len(payload) | (0x80 if masked else 0)]) + (b"\0\0\0\0" if masked else b"") + payload
