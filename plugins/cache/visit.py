"""One request's way through the cache, where it is not a plain hit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError, Source
from gateway.http import Body, Handler, Request, Response
from plugins.cache.answer import shaped, stored
from plugins.cache.asked import CONDITION, CONTROL, NO_WISHES, PRECONDITION, RANGE, wishes_of
from plugins.cache.condition import unmodified
from plugins.cache.entry import Entry, Since
from plugins.cache.flight import Flight, Landed, copied

if TYPE_CHECKING:
    from plugins.cache import Cache

ROUNDS: Final = 3
"""Fetches of others that a request waits for in vain before it goes on its own."""


class NothingStored(GatewayError):
    """The client wants a stored answer or none (RFC 9111 §5.2.1.7)."""

    code, status, title, source = "only_if_cached", 504, "Nothing is stored that would do", Source.CLIENT


class Visit:
    """A request that could not be answered in passing."""

    __slots__ = ("bits", "cache", "key", "proceed", "request", "url", "wishes")

    def __init__(self, cache: Cache, request: Request, proceed: Handler, bits: int, key: str, url: str) -> None:
        self.cache = cache
        self.request = request
        self.proceed = proceed
        self.bits = bits
        self.key = key
        self.url = url
        heeds = bits & CONTROL and cache.settings.request_directives
        self.wishes = wishes_of(request) if heeds else NO_WISHES

    async def run(self) -> Response:
        """Answer it from what is stored, from a fetch that is under way, or from a new one."""
        wishes, cache = self.wishes, self.cache
        if self.bits & PRECONDITION or wishes.no_store:  # §4.3.2: the target's to judge
            return await self.forward("request")
        for _ in range(ROUNDS):
            passing = cache.passing(self.key)
            if passing is not None and not passing.stores:
                entry = cache.shelf.memory.find(self.key, self.request.headers)  # nobody else has it either
                if entry is not None and cache.shelf.purged(entry):
                    entry = None
            else:
                entry = await cache.shelf.find(self.key, self.url, self.request)
            if entry is not None and (response := self._use(entry)) is not None:
                return response
            if wishes.only_if_cached:
                raise NothingStored
            if self.request.method == "HEAD":
                return await self._head(entry)
            way = "stale" if entry is not None else self._miss()
            if entry is None and self.bits & RANGE:
                return await self.forward(way)
            if passing and entry is None and not passing.stores:
                return await self.forward(way, "hit-for-miss")
            alone = passing is not None or (entry is not None and not entry.terms.fresh)
            if (response := await self._fetched(entry, way, alone=alone)) is not None:
                return response
        return await self.forward("miss")

    def _miss(self) -> str:
        return "vary-miss" if self.cache.shelf.memory.all_of(self.key) else "uri-miss"

    # -- from what is stored -----------------------------------------------------------------------------------

    def _use(self, entry: Entry) -> Response | None:
        """The stored answer, if this request may have it as it is (RFC 9111 §4)."""
        cache, wishes = self.cache, self.wishes
        now = cache.clock.now()
        age, left = now - entry.born, entry.fresh_until - now
        if left > 0 and wishes.satisfied(age, left):
            if now >= entry.early and cache.draw(entry, now):
                cache.refresh(entry, self)
            return self._stored(entry, now, "hit")
        if left > 0 or wishes.no_cache or wishes.min_fresh or (wishes.max_age is not None and age > wishes.max_age):
            return None
        if wishes.max_stale is not None and not entry.terms.strict and -left <= wishes.max_stale:
            return self._stored(entry, now, "stale")
        if now < entry.stale_until:
            cache.refresh(entry, self)
            return self._stored(entry, now, "stale")
        return None

    def _stored(self, entry: Entry, now: float, result: str, status: str = "") -> Response:
        told = b""
        if self.cache.settings.status_header:
            told = (status or f"sidegate; hit; ttl={int(entry.fresh_until - now)}").encode()
        response = stored(entry, self.request, self.bits, now, told)
        self.cache.counts.hit(entry, now, result, response)
        return response

    # -- from the target ---------------------------------------------------------------------------------------

    async def forward(self, way: str, detail: str = "") -> Response:
        """On its own, as if there were no cache. Nothing is kept."""
        response = await self.proceed(self.request)
        self.cache.count("pass")
        note = f"fwd={way}; fwd-status={response.status}" + (f"; detail={detail}" if detail else "")
        self.cache.tell(response, note)
        return response

    async def _head(self, entry: Entry | None) -> Response:
        """HEAD goes to the target as it is; what it says of a stored GET counts (RFC 9111 §4.3.5)."""
        cache, request = self.cache, self.request
        asked, since = cache.clock.time(), cache.since()
        response = await self.proceed(request)
        if response.status == 200 and entry is not None:
            self._freshen_by_head(entry, response, asked, since)
        elif response.status < 500 and entry is not None and response.status not in (304, 206):
            cache.shelf.discard(entry)
        cache.count("pass")
        cache.tell(response, f"fwd={'stale' if entry is not None else self._miss()}; fwd-status={response.status}")
        return response

    def _freshen_by_head(self, entry: Entry, response: Response, asked: float, since: Since) -> None:
        headers = response.headers
        length = headers.get("Content-Length")
        same = (
            headers.get("ETag", entry.etag) == entry.etag
            and headers.get("Last-Modified", entry.modified_text) == entry.modified_text
            and (length is None or length == str(len(entry.body)))
        )
        if same:
            authorized = self.cache.shares_authorized(self.request, self.bits)
            self.cache.freshen(entry, response, asked, since=since, authorized=authorized)
        else:
            self.cache.shelf.discard(entry)

    async def _fetched(self, entry: Entry | None, way: str, *, alone: bool) -> Response | None:
        """The answer of a fetch, one's own or another's; None if another's does not do."""
        cache, request = self.cache, self.request
        flight = None if alone else cache.flight_for(self.key, self.url, request)
        first = flight is None
        if flight is None:
            flight = cache.fly(self, entry, alone=alone)
            if flight is None:
                return await self.forward(way, "busy")
        landed = await flight.head(request)
        if landed.error is not None:
            cache.count("error")
            raise copied(landed.error)
        if landed.response is not None or landed.entry is None:
            if not first or landed.response is None:
                return None
            cache.count("pass")
            cache.tell(landed.response, f"fwd={way}; {landed.note}")
            return self._conditioned(landed.response)
        if not first and not (landed.shared and cache.suits(landed.entry, request)):
            flight.abandon(request)
            return None
        response = self._landed(flight, landed, landed.entry, way, first=first)
        if first and landed.own and response is not None and response.lines is not None:
            response.lines += landed.own
        return response

    def _conditioned(self, response: Response) -> Response:
        """The conditions were not sent along, so they are looked at here (RFC 9110 §13.2)."""
        if response.status != 200 or not self.bits & CONDITION or response.error is not None:
            return response
        etag = response.headers.get("ETag", "")
        if not etag or not unmodified(self.request.headers, etag, float("inf"), float("inf")):
            return response
        response.body.close()
        kept = {"content-type", "content-length", "content-encoding", "content-language", "transfer-encoding"}
        fields = [(name, value) for name, value in response.fields if name.decode("latin-1").lower() not in kept]
        twin = Response(304, fields=fields)
        twin.dated = response.dated
        return twin

    def _landed(self, flight: Flight, landed: Landed, entry: Entry, way: str, *, first: bool) -> Response | None:
        """What a fetch brought, for this request."""
        cache = self.cache
        now = cache.clock.now()
        note = "" if not cache.settings.status_header else f"sidegate; fwd={way}; {landed.note}"
        if note and (not first or landed.result == "collapsed"):
            note += "; collapsed"
        cache.count(landed.result if first else "collapsed")
        if not flight.streams or flight.whole is not None:
            flight.abandon(self.request)
            return stored(entry, self.request, self.bits, now, note.encode(), fetched=first)
        lines = [*entry.lines]
        if (age := int(now - entry.born)) > 0:
            lines.append(b"Age: %d" % age)
        if note:
            lines.append(b"Cache-Status: " + note.encode())
        date = entry.date or entry.arrived
        if self.bits & CONDITION and entry.status == 200 and unmodified(
            self.request.headers, entry.etag, entry.modified, date
        ):  # fmt: skip
            flight.abandon(self.request)
            return shaped(entry, self.request, self.bits, lines)
        follower = flight.join(self.request)
        if follower is None:
            return None
        response = Response(entry.status, lines=lines, body=Body(None, follower, flight.length), reason=entry.reason)
        response.dated = True
        return response
