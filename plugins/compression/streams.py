"""Bodies that are coded, or no longer are: as they pass, piece by piece, and whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.errors import GatewayError
from gateway.http import Body
from gateway.services.metrics import Counter, Histogram
from plugins.compression.aside import Threads
from plugins.compression.coding import Encoder, encoder
from plugins.compression.unpacking import Excess, Unpacking


class Tally:
    """What is counted of one coding."""

    __slots__ = ("_in", "_out", "_ratio")

    def __init__(self, came: Counter, went: Counter, ratio: Histogram) -> None:
        self._in = came
        self._out = went
        self._ratio = ratio

    def count(self, came: int, went: int) -> None:
        """Bytes before and after."""
        self._in.value += came
        self._out.value += went

    def ended(self, came: int, went: int) -> None:
        """An answer was coded to its end."""
        if came and went:
            self._ratio.observe(came / went)


class Coded:
    """A source that codes what another body brings; large pieces beside the loop."""

    __slots__ = ("_body", "_came", "_flush", "_inline", "_made", "_over", "_tally", "_threads", "_went")

    def __init__(self, body: Body, made: Encoder, tally: Tally, threads: Threads, *, inline: int, flush: bool) -> None:
        self._body = body
        self._made = made
        self._tally = tally
        self._threads = threads
        self._inline = inline
        self._flush = flush
        self._over = False
        self._came = self._went = 0

    @property
    def trailers(self) -> None:
        """Dropped with the bytes that they speak of."""
        return

    async def read(self) -> bytes:
        """The next bytes that come out."""
        while not self._over:
            chunk = await self._body.pull()
            self._over = not chunk
            work: Callable[[bytes], bytes] = self._piece if chunk else self._last
            # What was held back is done with the last piece, however small that is.
            aside = not self._inline if not chunk else len(chunk) >= self._inline
            out = await self._threads.run(work, chunk) if aside else work(chunk)
            self._came += len(chunk)
            self._went += len(out)
            self._tally.count(len(chunk), len(out))
            if self._over:
                self._tally.ended(self._came, self._went)
            if out:
                return out
        return b""

    def _piece(self, chunk: bytes) -> bytes:
        out = self._made.feed(chunk)
        return out + self._made.flush() if self._flush else out

    def _last(self, _nothing: bytes) -> bytes:
        return self._made.finish()

    def close(self) -> None:
        """Give up what was not read."""
        self._body.close()


class Uncoded:
    """A source that undoes a coding, a piece at a time and only when it is asked: no bomb is ever held."""

    __slots__ = ("_body", "_refuse", "_unpacking")

    def __init__(self, body: Body, unpacking: Unpacking, refuse: Callable[[GatewayError], Any]) -> None:
        self._body = body
        self._unpacking = unpacking
        self._refuse = refuse

    @property
    def trailers(self) -> None:
        """Dropped with the bytes that they speak of."""
        return

    async def read(self) -> bytes:
        """The next plain bytes. Raises Bomb, Undecodable."""
        unpacking = self._unpacking
        while True:
            try:
                if part := unpacking.next():
                    return part
                chunk = await self._body.pull()
                if not chunk:
                    unpacking.end()
                    return b""
                if part := unpacking.feed(chunk):
                    return part
            except Excess as excess:
                unpacking.bounded = False  # in shadow, where `refuse` comes back, once is enough
                self._refuse(excess.bomb())
                return excess.part

    def close(self) -> None:
        """Give up what was not read."""
        self._body.close()


def code(coding: str, level: int, data: bytes) -> bytes:
    """A whole body in a coding."""
    made = encoder(coding, level)
    return made.feed(data) + made.finish()


def unpack(unpacking: Unpacking, data: bytes) -> bytes:
    """A whole body without its coding. Raises Excess, Undecodable."""
    parts = [unpacking.feed(data)] if data else []
    while part := unpacking.next():
        parts.append(part)
    unpacking.end()
    return b"".join(parts)
