"""A message's body: bytes that are here, or a stream that is pulled.

A body that arrived whole is ``bytes`` and takes a path with no generator and no filter call per chunk in it. Any other
streams by default and is held only by `Body.read`, under an explicit limit. Whoever ends an exchange calls
`Body.close`; it reaches the source through every filter, so no layer can forget it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from multidict import MultiMapping

from gateway.errors import GatewayError, InternalError, PayloadTooLarge

log = logging.getLogger("gateway.http")


class Source(Protocol):
    """Where a streamed body comes from: the client's connection, a target's, or a plugin's own."""

    @property
    def trailers(self) -> MultiMapping[str] | None:
        """Trailer fields, known after the end."""
        ...

    async def read(self) -> bytes:
        """The next bytes, never empty before the end; ``b""`` at the end and ever after.

        Raises GatewayError when cut short.
        """
        ...

    def close(self) -> None:
        """Give up what was not read. Idempotent; after a clean end it does nothing."""
        ...


class Filter(Protocol):
    """What a plugin puts on a body. May raise a GatewayError from either method."""

    def feed(self, chunk: bytes) -> bytes:
        """What becomes of the next bytes; may be empty."""
        ...

    def finish(self) -> bytes:
        """What follows the last byte; called once, not after an abort."""
        ...


class Body:
    """Bytes held, or a stream that can be read once.

    ``length`` is the number of bytes to come if it is known beforehand, else None (chunked on the wire).
    """

    __slots__ = (
        "_ahead",
        "_at_end",
        "_filters",
        "_keeps_trailers",
        "_over",
        "_source",
        "complete",
        "failure",
        "length",
        "started",
        "whole",
    )

    def __init__(self, data: bytes | None = b"", source: Source | None = None, length: int | None = None) -> None:
        self.whole = data
        """All bytes, if they are here. A plain attribute, since it is asked for several times in each exchange; set
        through `replace`."""
        self._source = source
        self.length = len(data) if data is not None else length
        self._filters: list[Filter] | None = None
        self._at_end: list[Callable[[], None]] | None = None
        self._keeps_trailers = True
        self._ahead = b""
        """Pulled by `read`, which gave up: the first bytes of whoever streams next."""
        self._over = source is None
        self.started = False
        """A byte of the stream was pulled and is gone."""
        self.complete = source is None
        """All has come; known at the latest when an `at_end` callback runs."""
        self.failure: GatewayError | None = None
        """What cut the stream short at its source, if something did."""

    @property
    def replayable(self) -> bool:
        """May be sent again: it is held, or nobody has begun to stream it."""
        return self.whole is not None or not self.started

    @property
    def trailers(self) -> MultiMapping[str] | None:
        """Trailer fields (RFC 9110 §6.5), after the end; None once a filter has changed the bytes."""
        return self._source.trailers if self._source is not None and self._keeps_trailers else None

    async def read(self, limit: int) -> bytes:
        """Hold the whole body and return it.

        Raises PayloadTooLarge beyond ``limit`` bytes, and then nothing is lost: the body streams as if never read, so
        that a plugin in shadow mode, or one that only deals with small bodies, can let it pass.
        """
        if self.whole is not None:
            if len(self.whole) > limit:
                raise PayloadTooLarge
            return self.whole
        if self.length is not None and self.length > limit:
            raise PayloadTooLarge
        self._begin()
        held = bytearray()
        while chunk := await self.pull():
            held += chunk
            if len(held) > limit:
                self._ahead = bytes(held)
                self.started = False
                raise PayloadTooLarge
        self.whole = bytes(held)
        self.length = len(held)
        return self.whole

    def filter(self, added: Filter, *, changes: bool = True) -> None:
        """Put a filter on the bytes to come, outside those already there.

        ``changes=False`` promises that bytes pass as they are (counting, recording): length and trailers are kept. On
        a body that is whole the filter runs here and now, so its errors are raised here.
        """
        if changes:
            self._keeps_trailers = False
        if self.whole is not None:
            data = self.whole
            self.whole = (added.feed(data) if data else b"") + added.finish()
            self.length = len(self.whole)
            return
        if changes:
            self.length = None
        if self._ahead:
            self._ahead = added.feed(self._ahead)
        if self._filters is None:
            self._filters = [added]
        else:
            self._filters.append(added)

    def replace(self, data: bytes) -> None:
        """Take these bytes instead; what streamed is given up."""
        self.close()
        self.whole, self._source, self._filters = data, None, None
        self.length = len(data)

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self.whole is not None:
            return _Once(self.whole)
        self._begin()
        return self

    def _begin(self) -> None:
        if self.started:
            raise InternalError(reason="a streamed body was read a second time")

    async def __anext__(self) -> bytes:
        chunk = await self.pull()
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def pull(self) -> bytes:
        """The next filtered bytes of a stream, never empty before the end; ``b""`` at the end. Ask `whole` first."""
        source = self._source
        if source is None:
            return b""
        self.started = True
        if self._ahead:
            ahead, self._ahead = self._ahead, b""
            return ahead
        filters = self._filters
        while True:
            try:
                chunk = await source.read()
            except GatewayError as error:
                self.failure = error
                raise
            if filters is None:
                if not chunk:
                    self.complete = True
                    self._ended()
                return chunk
            if not chunk:
                self.complete = True
                tail = b""
                for each in filters:
                    tail = (each.feed(tail) if tail else b"") + each.finish()
                self._filters = None
                if not tail:
                    self._ended()
                return tail
            for each in filters:
                chunk = each.feed(chunk)
                if not chunk:
                    break
            else:
                return chunk

    def at_end(self, callback: Callable[[], None]) -> None:
        """Call this once after the last byte or the abort; at once if the body is whole or has ended."""
        if self._over:
            callback()
        elif self._at_end is None:
            self._at_end = [callback]
        else:
            self._at_end.append(callback)

    def _ended(self) -> None:
        self._over = True
        callbacks, self._at_end = self._at_end, None
        for callback in callbacks or ():
            try:
                callback()
            except Exception:
                log.exception("what was to be done at the end of a body failed")

    def close(self) -> None:
        """Give up what was not read; closes every layer down to the connection. Idempotent."""
        if self._source is not None:
            self._ahead = b""
            self._source.close()
            self._ended()


class _Once:
    """A whole body, asked for chunk by chunk."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data, self._data = self._data, b""
        if not data:
            raise StopAsyncIteration
        return data
