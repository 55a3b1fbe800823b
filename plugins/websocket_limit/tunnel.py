"""A tunnel with an eye on what goes through it: both directions are followed, and it can be ended politely.

To end, each side gets a Close frame where a frame could begin: at once, or when the frame under way is over. The client
is then heard for its own Close, so that ours is not lost with the connection, for two seconds at most.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from gateway.errors import GatewayError
from gateway.http import Tunnel
from gateway.services.clock import Clock
from plugins.websocket_limit.frames import Direction, close_frame

PATIENCE: Final = 2.0
"""Seconds for the frames under way to end and for the client's own Close after ours."""
_EXPIRED: Final = "expired"
_IDLE: Final = "idle"


class WatchedTunnel:
    """Stands before the target's side of a tunnel. Made after the 101."""

    __slots__ = (
        "_clock",
        "_close",
        "_down",
        "_expires",
        "_given_up",
        "_idle",
        "_inner",
        "_last",
        "_object_to",
        "_over",
        "_timer",
        "_told_client",
        "_told_target",
        "_up",
        "_woken",
    )

    def __init__(
        self,
        inner: Tunnel,
        clock: Clock,
        object_to: Callable[[str], tuple[int, str] | None],
        *,
        up: Callable[[Callable[[str], bool]], Direction],
        down: Callable[[Callable[[str], bool]], Direction],
        idle: float | None,
        expires: float | None,
    ) -> None:
        """``object_to(what)`` gives the Close code and reason that something is ended with; None lets it pass.

        ``idle`` is in seconds, ``expires`` seconds since the epoch.
        """
        self._inner = inner
        self._clock = clock
        self._object_to = object_to
        self._up = up(self._object)
        self._down = down(self._object)
        self._idle = idle
        self._expires = expires
        self._last = clock.now()
        self._close: tuple[int, str] | None = None
        """What it is ended with."""
        self._told_client = False
        self._told_target = False
        self._given_up = False
        self._woken = False
        self._over = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._watch_the_time()

    # -- gateway.http.Tunnel -----------------------------------------------------------------------------------

    @property
    def gone(self) -> bool:
        """The connection to the target is lost."""
        return self._inner.gone

    async def read(self) -> bytes:
        """What goes to the client."""
        while not self._given_up:
            if self._close is not None and self._down.between:
                if not self._told_client:
                    self._told_client = True
                    if not self._down.said_goodbye:
                        return close_frame(*self._close, masked=False)
                await self._part()
                return b""
            chunk = await self._inner.read()
            if chunk:
                self._last = self._clock.now()
                out = self._down.feed(chunk)
                if out:
                    return out
            elif self._woken:
                self._woken = False
            else:
                return b""
        return b""

    async def write(self, data: bytes) -> None:
        """What comes from the client."""
        self._last = self._clock.now()
        out = self._up.feed(data)
        if out:
            await self._inner.write(out)
        if self._close is not None:
            await self._tell_target()
            if self._up.closed:
                self._over.set()

    async def _part(self) -> None:
        """The client is told; tell the target, and hear the client's own Close. A target that does not read is left."""
        telling = asyncio.ensure_future(self._tell_target())
        try:
            await self._over.wait()
        finally:
            telling.cancel()

    async def _tell_target(self) -> None:
        if self._close is not None and not self._told_target and self._up.between:
            self._told_target = True
            if not self._up.said_goodbye and not self._inner.gone:
                with contextlib.suppress(GatewayError):  # it has gone meanwhile
                    await self._inner.write(close_frame(*self._close, masked=True))

    def wake(self) -> None:
        """As the protocol says, for whoever stands before this one."""
        self._inner.wake()

    def end(self) -> None:
        """The client sends no more."""
        self._over.set()
        self._inner.end()

    def close(self) -> None:
        """Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._over.set()
        self._inner.close()

    # -- ending ------------------------------------------------------------------------------------------------

    def _object(self, what: str) -> bool:
        """Something is not in order; whether that ends it."""
        if self._close is not None:
            return True
        self._close = self._object_to(what)
        if self._close is None:
            return False
        self._up.cut = self._down.cut = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._give_up)
        if self._up.closed:
            self._over.set()
        self._stir()
        return True

    def _stir(self) -> None:
        self._woken = True
        self._inner.wake()

    def _give_up(self) -> None:
        """A frame that does not end, or a client that does not answer."""
        self._timer = None
        self._given_up = True
        self._over.set()
        self._stir()

    # -- time --------------------------------------------------------------------------------------------------

    def _watch_the_time(self) -> None:
        """One timer for both ends of time; bytes that pass do not touch it."""
        waits = []
        if self._idle is not None:
            waits.append(self._last + self._idle - self._clock.now())
        if self._expires is not None:
            waits.append(self._expires - self._clock.time())
        if waits:
            # Not at once, and not for so long that a step of the machine's clock is noticed a day late.
            wait = min(max(min(waits), 0.001), 60.0)
            self._timer = asyncio.get_running_loop().call_later(wait, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        if self._expires is not None and self._clock.time() >= self._expires:
            self._expires = None
            if self._object(_EXPIRED):
                return
        if self._idle is not None and self._clock.now() - self._last >= self._idle:
            if self._object(_IDLE):
                return
            self._last = self._clock.now()
        self._watch_the_time()
