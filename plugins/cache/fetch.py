"""A fetch from the target, detached from the client whose request began it: what comes of its answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import (
    ConnectFailed,
    ConnectTimeout,
    GatewayError,
    InternalError,
    StoreUnavailable,
    TotalTimeout,
    TruncatedAnswer,
    UpstreamReset,
)
from gateway.http import Handler, Request, Response
from gateway.services.store import Lock
from plugins.cache.condition import ask_for
from plugins.cache.entry import Entry, Place, own_lines, stored_lines
from plugins.cache.flight import SLICE, WINDOW, Flight, Landed
from plugins.cache.freshness import Terms, Unstored, judge
from plugins.cache.vary import UNKNOWABLE, chosen_by, misspelt, selecting_of

if TYPE_CHECKING:
    from plugins.cache import Cache

UNREACHABLE: Final = (ConnectFailed, ConnectTimeout, UpstreamReset, TotalTimeout)
"""No target could be asked: the cache is disconnected (RFC 9111 §4.2.4)."""
LOOK: Final = 0.02
"""Seconds between two looks whether another has fetched it."""
CONDITIONS: Final = ("if-none-match", "if-modified-since", "if-range", "range")


class Fetch:
    """One fetch: of something new, or to validate what is stored."""

    __slots__ = (
        "_counted", "_leaving", "_task", "authorized", "cache", "entry", "flight", "key", "marking", "proceed",
        "request", "turn", "url",
    )  # fmt: skip

    def __init__(
        self, cache: Cache, flight: Flight, request: Request, proceed: Handler, place: Place, entry: Entry | None
    ) -> None:
        self.cache = cache
        self.flight = flight
        self.request = request
        self.proceed = proceed
        self.key, self.url = place.key, place.url
        self.entry = entry
        self.turn: Lock | None = None
        self.marking: asyncio.Future[None] | None = None
        self.authorized = False
        """The request has credentials, and others might get the answer."""
        self._counted = 0
        """Bytes of the flight that are in the cache's account of what is under way."""
        self._leaving: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """To the end of the body. Lands the flight in any case."""
        flight, cache = self.flight, self.cache
        self._task = asyncio.current_task()
        try:
            found = await self._elsewhere() if flight.label and cache.shelf.shared is not None else None
            if found is None:
                await self._run()
            else:
                flight.land(Landed(entry=found, note="detail=fetched-elsewhere", result="collapsed"))
                flight.finish(found.body)
        except asyncio.CancelledError:  # the gateway closes
            error = TruncatedAnswer(reason="the fetch was cancelled")
            self._give_up(error)
            raise
        except Exception as bug:
            cache.context.log.error("a fetch failed", exc_info=bug)
            self._give_up(InternalError(reason=type(bug).__name__))
        finally:
            cache.counts.in_flight -= 1
            cache.landed(flight)
            if self.turn is not None:
                await self._pass_turn(self.turn)

    # -- one fetch, of all workers and replicas ----------------------------------------------------------------

    async def _elsewhere(self) -> Entry | None:
        """What another worker or replica is fetching just now, when it has; None if it is for us to fetch."""
        cache, shared = self.cache, self.cache.shelf.shared
        patience = cache.settings.wait_elsewhere
        if shared is None or not patience:
            return None
        turn, loop = shared.turn(self.key, self.url, cache.settings.fetch_timeout), asyncio.get_running_loop()
        until, waited = loop.time() + patience, False
        try:
            while not await turn.acquire():
                waited = True
                await asyncio.sleep(LOOK)
                if await shared.marked(self.key, self.url):
                    return None
                if (found := await self._newer()) is not None or loop.time() >= until:
                    return found
        except StoreUnavailable:
            return None
        self.turn = turn
        # Another worker may have been here before, also between our answer's end and our turn.
        return await self._newer() if waited or self.entry is not None else None

    async def _newer(self) -> Entry | None:
        found = await self.cache.shelf.look(self.key, self.url, self.request)
        if found is None or found.fresh_until <= self.cache.clock.now():
            return None
        return found if self.entry is None or found.arrived > self.entry.arrived else None

    async def _pass_turn(self, turn: Lock) -> None:
        if self.marking is not None:
            await self.marking
        await self.cache.shelf.settled()  # those who wait look for the answer before they fetch
        with contextlib.suppress(StoreUnavailable):  # the lease ends by itself
            await turn.release()

    def _give_up(self, error: GatewayError) -> None:
        if not self.flight.landed.done():
            self.flight.land(Landed(error=error))
        if not self.flight.ended:
            self.flight.fail(error)

    async def _run(self) -> None:
        entry = self.entry
        stored = [entry] if entry is not None and entry.has_validator else []
        while True:
            asked, began = self.cache.clock.time(), self.cache.clock.now()
            try:
                response = await self._ask(stored)
            except GatewayError as error:
                self._failed(error)
                return
            if response.status == 304 and stored:
                if self._validated(stored, response, asked, began):
                    return
                stored = []  # it speaks of an answer that we have not: ask for the whole
                continue
            break
        if response.status >= 500 and entry is not None and self._serves_on_error(entry):
            response.body.close()
            self._stale(entry, f"fwd-status={response.status}; detail=stale-if-error")
            return
        await self._take(response, asked, began)

    async def _ask(self, stored: Sequence[Entry]) -> Response:
        fork = self.request.fork(body=self.request.body)
        fork.inform = self.flight.inform if self.request.inform is not None else None
        if stored:
            modified = self.entry.modified_text if self.entry is not None else ""
            ask_for(fork.edit_headers(), [each.etag for each in stored], modified)
        elif any(name in fork.headers for name in CONDITIONS):
            fork.drop(*CONDITIONS)
        try:
            return await self.cache.context.detached(fork, self._proceed, self.cache.settings.fetch_timeout)
        except TimeoutError:
            raise TotalTimeout(reason="the fetch took too long") from None

    async def _proceed(self, twin: Request) -> Response:
        first = self.flight.first
        try:
            return await self.proceed(twin)
        finally:
            if first in self.flight.waiting:  # for its line in the log
                first.target, first.attempts = twin.target, twin.attempts

    # -- instead of an answer ----------------------------------------------------------------------------------

    def _failed(self, error: GatewayError) -> None:
        entry, now = self.entry, self.cache.clock.now()
        if entry is not None:
            if self._serves_on_error(entry):
                self._stale(entry, "detail=stale-if-error")
                return
            lasts = now < entry.disconnected_until and not self.cache.shelf.purged(entry)
            if isinstance(error, UNREACHABLE) and lasts:
                self._stale(entry, "detail=disconnected")
                return
        self.flight.land(Landed(error=error))
        self.flight.fail(error)

    def _serves_on_error(self, entry: Entry) -> bool:
        return self.cache.clock.now() < entry.error_until and not self.cache.shelf.purged(entry)

    def _stale(self, entry: Entry, note: str) -> None:
        self.flight.land(Landed(entry=entry, note=note, result="stale"))
        self.flight.finish(entry.body)

    # -- 304 ---------------------------------------------------------------------------------------------------

    def _validated(self, stored: Sequence[Entry], response: Response, asked: float, began: float) -> bool:
        """Renew what a 304 speaks of (RFC 9111 §4.3.4). False if it is none of ours."""
        entry = _named(stored, response)
        if entry is None:
            return False
        made = self.cache.freshen(entry, response, asked, since=self.flight.since, authorized=self.authorized)
        made.delay = self.cache.clock.now() - began
        self.flight.land(
            Landed(
                entry=made,
                note="fwd-status=304; stored",
                result="revalidated",
                shared=made.terms.fresh,
                own=own_lines(response, made.terms.own_fields),
            )
        )
        self.flight.finish(made.body)
        return True

    # -- a new answer ------------------------------------------------------------------------------------------

    async def _take(self, response: Response, asked: float, began: float) -> None:
        cache, flight = self.cache, self.flight
        arrived, delay = cache.clock.time(), cache.clock.now() - began
        terms = self._judged(response, asked, arrived)
        if isinstance(terms, Unstored):
            self._unstored(response, terms)
            return
        place, lines = self._placed(response, terms, arrived)
        entry = Entry(place, response.status, response.reason, lines, b"", flight.since)
        entry.delay = delay
        entry.hold(terms, cache.clock.now(), arrived, cache.settings.early_refresh)
        flight.groups = entry.groups
        if not terms.fresh:
            cache.remember(self.key, stores=True)
        if place.selecting:
            cache.relabel(flight, place)
        whole, own = response.body.whole, own_lines(response, terms.own_fields)
        note = f"fwd-status={response.status}; stored"
        if whole is not None:
            entry.body = whole
            if not self._keep(entry):
                note = f"fwd-status={response.status}"
            flight.land(Landed(entry=entry, note=note, shared=terms.fresh, own=own))
            flight.finish(whole)
            return
        flight.streams = True
        flight.length = response.body.length
        flight.land(Landed(entry=entry, note=note, shared=terms.fresh, own=own))
        await self._stream(response, entry)

    def _judged(self, response: Response, asked: float, arrived: float) -> Terms | Unstored:
        cache = self.cache
        if response.error is not None or response.tunnel is not None:
            return Unstored.STATUS
        length = response.body.length
        if length is not None and length > cache.settings.max_object:
            return Unstored.TOO_LARGE
        selecting = selecting_of(response.headers)
        if selecting and (selecting == UNKNOWABLE or misspelt(self.request, frozenset(selecting))):
            return Unstored.VARY
        return judge(
            response.status,
            response.headers,
            cache.rules,
            authorized=self.authorized,
            asked=asked,
            arrived=arrived,
            explicit_only=self.request.method not in ("GET", "HEAD"),
        )

    def _placed(self, response: Response, terms: Terms, arrived: float) -> tuple[Place, list[bytes]]:
        selecting = selecting_of(response.headers)
        chosen = chosen_by(selecting, self.request.headers) if selecting else ""
        return (
            Place(self.key, self.url, selecting, chosen),
            stored_lines(response, terms.unstored_fields | self.cache.private_fields, arrived),
        )

    def _unstored(self, response: Response, why: Unstored) -> None:
        cache, entry = self.cache, self.entry
        cache.counts.unstored(why)
        if response.status < 500:
            cache.remember(self.key, stores=False)
            if self.turn is not None and cache.shelf.shared is not None:
                seconds = max(cache.settings.pass_memory, 1.0)
                self.marking = asyncio.ensure_future(cache.shelf.shared.mark(self.key, self.url, seconds))
            if entry is not None and response.status != 304:
                cache.shelf.discard(entry)  # it is not what the target has any more
        self.flight.land(
            Landed(response=response, note=f"fwd-status={response.status}; detail={why.value}", shared=False)
        )
        self.flight.finish(None)

    def _keep(self, entry: Entry) -> bool:
        cache = self.cache
        if len(entry.body) > cache.settings.max_object:
            cache.counts.unstored(Unstored.TOO_LARGE)
        elif cache.shelf.purges.missed_by(entry.url, entry.groups, entry.seq):
            cache.counts.unstored(Unstored.PURGED)
        else:
            return cache.shelf.put(entry)
        return False

    async def _stream(self, response: Response, entry: Entry) -> None:
        """Take the body as it comes, for those who follow and to be kept."""
        flight, most, counts = self.flight, self.cache.settings.max_object, self.cache.counts
        body = response.body
        flight.deserted = self._deserted
        if not flight.followed:
            self._deserted()
        try:
            while chunk := await body.pull():
                flight.feed(chunk)
                self._count()
                if flight.held > most or counts.buffered > self.cache.settings.memory:
                    break
            else:
                flight.trailers = body.trailers
                entry.body = flight.joined()
                entry.delay = max(entry.delay, self.cache.clock.now() - flight.began)
                self._keep(entry)
                flight.finish(entry.body)
                return
            counts.unstored(Unstored.TOO_LARGE if flight.held > most else Unstored.BUSY)
            self.cache.remember(self.key, stores=False)
            self.cache.landed(flight)
            await self._pass_on(response)
        except GatewayError as error:
            self.cache.counts.unstored(Unstored.TRUNCATED)
            flight.fail(error)
        finally:
            counts.buffered -= self._counted
            self._counted = 0
            if self._leaving is not None:
                self._leaving.cancel()
            if not flight.ended:
                body.close()

    def _count(self) -> None:
        """Keep the account of what is under way."""
        self.cache.counts.buffered += self.flight.held - self._counted
        self._counted = self.flight.held

    def _deserted(self) -> None:
        """Nobody reads any more: what may be kept is taken to its end, if that comes in time."""
        if self._leaving is None:
            loop = asyncio.get_running_loop()
            self._leaving = loop.call_later(self.cache.settings.fetch_timeout, self._leave)

    def _leave(self) -> None:
        self._leaving = None
        if not self.flight.followed and not self.flight.ended and self._task is not None:
            self._task.cancel()

    def _most(self) -> int:
        """Bytes that may wait for those who read a body that is not kept; little, if all together hold much."""
        self._count()
        return WINDOW if self.cache.counts.buffered <= self.cache.settings.memory else SLICE

    async def _pass_on(self, response: Response) -> None:
        """The rest of a body that is too large to be kept, at the pace of those who read it."""
        flight, body = self.flight, response.body
        flight.deserted = self._task.cancel if self._task is not None else None  # the target may be silent just then
        while await flight.room(self._most):
            chunk = await body.pull()
            if not chunk:
                flight.trailers = body.trailers
                flight.finish(None)
                return
            flight.feed(chunk)
        body.close()
        flight.fail(TruncatedAnswer(reason="nobody reads any more"))


def _named(stored: Sequence[Entry], response: Response) -> Entry | None:
    """The stored answer that a 304 speaks of: by its validator, or the one that was asked about."""
    etag = response.headers.get("ETag", "").strip()
    if etag:
        for entry in stored:
            if entry.etag == etag:
                return entry
        weak = etag.removeprefix("W/")
        if etag != weak or all(entry.etag.startswith("W/") for entry in stored if entry.etag):
            for entry in stored:
                if entry.etag.removeprefix("W/") == weak:
                    return entry
        return None if any(entry.etag for entry in stored) else stored[0]
    return stored[0]
