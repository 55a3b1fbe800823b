"""One fetch that many wait for: it belongs to no client, and its body is handed on while it arrives.

The body of an answer that is to be kept is taken as fast as the target sends it, and every follower reads along at its
own pace. One that turns out too large to be kept goes on as a window, which moves with the slowest of those who read.
If it breaks off, it breaks off for everybody, and nothing is kept.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from multidict import MultiMapping

from gateway.errors import GatewayError, TruncatedAnswer
from gateway.http import Fields, Request, Response
from plugins.cache.entry import Entry, Since

SLICE: Final = 64 * 1024
"""Bytes of a body that is here which a follower gets at once."""
WINDOW: Final = 512 * 1024
"""Bytes of a body too large to be kept that may wait for its readers."""
PATIENCE: Final = 10.0
"""Seconds that those who have read all wait for one who has not, before that one is left behind."""


@dataclass(slots=True)
class Landed:
    """What a fetch came to. One of the three is set, or none: then each has to ask for itself."""

    entry: Entry | None = None
    """To be used by everybody whom it suits; its body may still be on its way (`Flight.streams`)."""
    error: GatewayError | None = None
    response: Response | None = None
    """For the one who asked first, and for nobody else."""
    note: str = ""
    """The parameters of ``Cache-Status``."""
    result: str = "miss"
    """What the first one's request is counted as."""
    shared: bool = True
    """Others than the first may have it."""
    own: Sequence[bytes] = ()
    """Fields for the one who asked first: ``private`` or ``no-cache`` names them, so that no other may have them."""
    opaque: bool = False
    """It is not to be looked at for conditions and ranges: the status is not ours to change."""


class Flight:
    """A fetch under way."""

    __slots__ = (
        "_arrivals",
        "_base",
        "_chunks",
        "_error",
        "_followers",
        "_patience",
        "_paused",
        "_room",
        "began",
        "deserted",
        "ended",
        "first",
        "groups",
        "held",
        "label",
        "landed",
        "length",
        "reserved",
        "since",
        "streams",
        "trailers",
        "waiting",
        "whole",
    )

    def __init__(self, first: Request, since: Since, began: float) -> None:
        self.first = first
        """Whose request it was made of."""
        self.since = since
        """The purge log's numbers when it began."""
        self.began = began
        self.groups: tuple[str, ...] = ()
        """Of the answer, when its head is here (RFC 9875)."""
        self.label = ""
        """By which others find it; nothing if none may join."""
        self.landed: asyncio.Future[Landed] = asyncio.get_running_loop().create_future()
        """The head is here. Never fails: errors are a kind of `Landed`."""
        self.waiting: dict[Request, None] = {}
        """Who waits for the head."""
        self.reserved: dict[Request, Follower] = {}
        """The places of those who waited and have not yet come for the body."""
        self.deserted: Callable[[], object] | None = None
        """Called when the last who reads has left."""
        self.streams = False
        self.ended = False
        self.length: int | None = None
        self.whole: bytes | None = None
        self.trailers: MultiMapping[str] | None = None
        self._chunks: list[bytes] = []
        self._base = 0
        """Number of the first chunk that is still here."""
        self._error: GatewayError | None = None
        self._arrivals: list[asyncio.Future[None]] = []
        self._followers: set[Follower] = set()
        self._room: asyncio.Future[None] | None = None
        self.held = 0
        """Bytes of the body that are here for those who read along."""
        self._patience = PATIENCE
        self._paused = 0.0
        """When room was last looked for."""

    def inform(self, status: int, fields: Fields) -> None:
        """Hand an interim answer (1xx) to those who wait for the head."""
        for request in self.waiting:
            if request.inform is not None:
                request.inform(status, fields)

    def land(self, landed: Landed) -> None:
        """The head is here. What is for the first alone is closed if that one has left."""
        if landed.response is not None and self.first not in self.waiting:
            landed.response.body.close()
            landed.response = None
        if self.streams:
            # Their places are taken now: before the first of them runs, much of the body may have come.
            self.reserved = {request: self.follow() for request in self.waiting}
        self.landed.set_result(landed)

    async def head(self, request: Request) -> Landed:
        """Wait for the head."""
        if self.landed.done():
            return self.landed.result()
        self.waiting[request] = None
        try:
            return await asyncio.shield(self.landed)
        except asyncio.CancelledError:
            self.abandon(request)
            raise
        finally:
            self.waiting.pop(request, None)

    def abandon(self, request: Request) -> None:
        """Its client has left, or needs no body: what was for it alone is closed."""
        follower = self.reserved.pop(request, None)
        if follower is not None:
            follower.close()
        if request is self.first and self.landed.done():
            response = self.landed.result().response
            if response is not None:
                response.body.close()

    def join(self, request: Request) -> Follower | None:
        """The body from its beginning, for this request; None if the beginning is gone."""
        follower = self.reserved.pop(request, None)
        if follower is not None:
            return follower
        return None if self._base else self.follow()

    def follow(self) -> Follower:
        """The body from its beginning, for one more."""
        follower = Follower(self)
        self._followers.add(follower)
        return follower

    @property
    def followed(self) -> bool:
        """Somebody reads along."""
        return bool(self._followers)

    def feed(self, chunk: bytes) -> None:
        """More of the body."""
        self._chunks.append(chunk)
        self.held += len(chunk)
        self._wake()

    def joined(self) -> bytes:
        """All that has come."""
        return b"".join(self._chunks)

    def finish(self, whole: bytes | None) -> None:
        """The body is complete; ``whole`` if it was kept, so that it need not be held twice."""
        self.whole = whole
        self.ended = True
        if whole is not None:
            for follower in self._followers:
                follower.offset = sum([len(chunk) for chunk in self._chunks[: follower.number - self._base]])
            self._chunks = []
            self.held = 0
        self._wake()

    def fail(self, error: GatewayError) -> None:
        """The body broke off."""
        self._error = error
        self.ended = True
        self._wake()

    async def room(self, most: Callable[[], int]) -> bool:
        """Of a body that is not kept: wait until those who read have room. False if nobody reads any more.

        ``most`` says how many bytes may wait for them. Who keeps the others waiting for long is left behind.
        """
        loop = asyncio.get_running_loop()
        while self._followers:
            slowest = min([follower.number for follower in self._followers])
            self.held -= sum([len(chunk) for chunk in self._chunks[: slowest - self._base]])
            del self._chunks[: slowest - self._base]
            self._base = max(self._base, slowest)
            began = loop.time()
            self._patience = min(PATIENCE, self._patience + began - self._paused)
            if self.held < most():
                self._paused = began
                return True
            here = self._base + len(self._chunks)
            hungry = any(follower.number == here for follower in self._followers)
            self._room = loop.create_future()
            try:
                async with asyncio.timeout(self._patience if hungry else None):
                    await self._room
            except TimeoutError:
                self._followers = {follower for follower in self._followers if follower.number > slowest}
                self._patience = PATIENCE
            finally:
                self._room = None
                self._paused = loop.time()
            if hungry:
                self._patience -= self._paused - began
        return False

    def _wake(self) -> None:
        arrivals, self._arrivals = self._arrivals, []
        for arrival in arrivals:
            if not arrival.done():
                arrival.set_result(None)

    def _moved(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    async def next_for(self, follower: Follower) -> bytes:
        """What follows for this one. Raises what broke the body off."""
        while True:
            if self.whole is not None:
                piece = self.whole[follower.offset : follower.offset + SLICE]
                follower.offset += len(piece)
                return piece
            at = follower.number - self._base
            if at < 0:
                raise TruncatedAnswer(reason="too slow for those who read along")
            if at < len(self._chunks):
                follower.number += 1
                self._moved()
                return self._chunks[at]
            if self._error is not None:
                raise copied(self._error)
            if self.ended:
                return b""
            arrival = asyncio.get_running_loop().create_future()
            self._arrivals.append(arrival)
            await arrival

    def leave(self, follower: Follower) -> None:
        """One reads no further."""
        self._followers.discard(follower)
        self._moved()
        if not self._followers and self.deserted is not None and not self.ended:
            self.deserted()


class Follower:
    """A body's source that reads along with a fetch."""

    __slots__ = ("_closed", "_flight", "number", "offset")

    def __init__(self, flight: Flight) -> None:
        self._flight = flight
        self._closed = False
        self.number = 0
        self.offset = 0

    @property
    def trailers(self) -> MultiMapping[str] | None:
        """Trailer fields, known after the end."""
        return self._flight.trailers if self._flight.ended else None

    async def read(self) -> bytes:
        """The next bytes; ``b""`` at the end. Raises what broke the fetch off."""
        if self._closed:
            raise TruncatedAnswer(reason="closed by its reader")
        return await self._flight.next_for(self)

    def close(self) -> None:
        """Read no further; the fetch goes on."""
        self._closed = True
        self._flight.leave(self)


def copied(error: GatewayError) -> GatewayError:
    """An error for one more to raise: each has a traceback and fields of its own."""
    twin: Any = copy.copy(error)
    twin.__traceback__ = None
    made: GatewayError = twin
    return made
