"""Keeps answers and uses them again: a shared cache as RFC 9111 has it, which asks a target once however many wait.

What the origin says decides; operators may add to it. A fetch belongs to no client: whoever asks for the same meanwhile
reads along, and when a target breaks off, it breaks off for all of them and nothing is kept.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from gateway.errors import GatewayError, InternalError, PayloadTooLarge, Source
from gateway.http import Handler, Request, Response
from gateway.plugin import AdminView, Command, Context, Plugin, Stage
from plugins.cache.answer import hit, own_taken_out
from plugins.cache.asked import AUTHORIZATION, DOUBTFUL, RETOLD, bits_of
from plugins.cache.command import COMMAND
from plugins.cache.condition import merged
from plugins.cache.counts import Counts
from plugins.cache.dates import format_date
from plugins.cache.entry import Entry, Place, Since, fields_of_lines, update_lines, without
from plugins.cache.fetch import Fetch
from plugins.cache.flight import Flight, Landed
from plugins.cache.freshness import Terms, Unstored, judge
from plugins.cache.groups import groups_of
from plugins.cache.key import KeyMaker, authority, digest
from plugins.cache.memory import MOST_HITS
from plugins.cache.posted import keep_posted
from plugins.cache.purge import Kind, Purge, related, undisturbed
from plugins.cache.settings import CacheSettings
from plugins.cache.shelf import Shelf
from plugins.cache.vary import Selecting, chosen_by, selecting_of
from plugins.cache.views import views_of
from plugins.cache.visit import Visit

__all__ = ["Cache", "CacheSettings"]

MOST_FLIGHTS: Final = 1024
"""Fetches under way at once; what comes then goes to the target on its own."""
MOST_REMEMBERED: Final = 16384
"""URLs of which something is remembered though nothing is stored."""
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"})
"""Methods that change nothing (RFC 9110 §9.2.1 and the registry); any other invalidates."""


_LOOKED_INTO: Final = ~(AUTHORIZATION | RETOLD)


class Passing:
    """A URL whose answer was not for several."""

    __slots__ = ("stores", "until")

    def __init__(self, until: float, *, stores: bool) -> None:
        self.until = until
        self.stores = stores
        """It was kept, to be validated for each request."""


def _ended(_task: asyncio.Task[bool]) -> None:
    """Nobody waits for it; what it fails with is logged where it runs."""


class Cache(Plugin[CacheSettings]):
    stage = Stage.CACHE
    recovers = True  # stale answers stand in for errors
    buffers_body = True  # those of requests whose method was declared to have no effect

    def __init__(self, settings: CacheSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.clock = context.clock
        self.rules = settings.rules()
        self.shelf: Shelf = Shelf(settings, context)
        self.flights: dict[str, Flight] = {}
        self.counts: Counts = Counts(context)
        own = settings.targets[:1] if settings.targets[:1] == ("Sidegate-Cache-Control",) else ()
        self.private_fields = frozenset(name.lower() for name in own)
        self._keys = KeyMaker(settings)
        self._methods = frozenset(settings.methods)
        self._gets = "GET" in self._methods
        # By hash: keys are as long as clients like, and one taken for another does no harm here.
        self._passing: OrderedDict[int, Passing] = OrderedDict()
        self._hints: OrderedDict[int, Selecting] = OrderedDict()
        self._declared = [each.declared() for each in settings.invalidate]
        self._told = settings.status_header
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self.shelf.open()
        self.counts.show(self)

    async def close(self) -> None:
        self.counts.hide(self)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for flight in self.flights.values():  # whose task ended before it began
            if not flight.landed.done():
                flight.land(Landed(error=InternalError(reason="the cache was closed")))
        await self.shelf.close()

    async def erase(self, subject: str) -> int:
        return await self.shelf.erase(subject)

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        method = request.method
        usual = method == "GET" or (method == "HEAD" and "HEAD" in self._methods)
        if not usual or not self._gets or request.upgrade or request.body.length != 0:
            return await self._unusual(request, proceed)
        bits = bits_of(request)
        found = self._keys.of(request, bits)
        if found is None or bits & DOUBTFUL:
            return await self._pass(request, proceed)
        key, url = found
        entry = self.shelf.memory.index.get(key)
        if not bits & _LOOKED_INTO and type(entry) is Entry and method == "GET":
            now = self.clock.now()
            if now < entry.early and entry.vouched == self.shelf.purges.seq:
                if entry.hits < MOST_HITS:
                    entry.hits += 1
                counts = self.counts
                counts.hits.value += 1
                counts.hit_bytes.value += len(entry.body)
                counts.age.observe(now - entry.born)
                return hit(entry, now, told=self._told)
        return await Visit(self, request, proceed, bits, key, url).run()

    # -- what is not looked up ---------------------------------------------------------------------------------

    async def _unusual(self, request: Request, proceed: Handler) -> Response:
        method = request.method
        if method in self._methods and not request.upgrade and method not in ("GET", "HEAD"):
            return await self._with_body(request, proceed)
        if method in SAFE or method in self._methods or request.upgrade:
            return await self._pass(request, proceed)
        asked, before = self.clock.time(), self.shelf.purges.seq
        try:
            response = await proceed(request)
        except (asyncio.CancelledError, GatewayError) as error:
            # Nobody knows what became of it: the target may have acted.
            if not isinstance(error, GatewayError) or error.source is Source.UPSTREAM:
                self._purge_anyway(self._purges_of(request, None)).add_done_callback(_ended)
            raise
        if response.status < 400 and response.error is None and response.tunnel is None:
            place = self._posted(request, response, before) if method == "POST" and "GET" in self._methods else None
            groups = groups_of(response.headers.getall("Cache-Groups", ()))
            seen = {} if place is None else self.shelf.purges.declared(place.url, groups)
            purges = self._purges_of(request, response)
            # To its end, even if the client leaves meanwhile.
            await asyncio.shield(self._purge_anyway(purges))
            if place is not None and undisturbed(seen, self.shelf.purges.declared(place.url, groups), purges):
                keep_posted(self, request, response, place, asked, bits_of(request))
        self.count("pass")
        self.tell(response, f"fwd=method; fwd-status={response.status}")
        return response

    def _posted(self, request: Request, response: Response, before: int) -> Place | None:
        """Where the answer could be kept; None if it may have been purged since purge number ``before``."""
        bits = bits_of(request)
        found = self._keys.of(request, bits)
        if found is None or bits & DOUBTFUL or "Content-Location" not in response.headers:
            return None
        groups = groups_of(response.headers.getall("Cache-Groups", ()))
        return None if self.shelf.purges.missed_by(found[1], groups, before) else Place(*found)

    async def _with_body(self, request: Request, proceed: Handler) -> Response:
        """A request whose body tells answers apart (the operator says that it changes nothing)."""
        try:
            body = await request.body.read(self.settings.max_request)
        except PayloadTooLarge:
            return await self._pass(request, proceed)
        bits = bits_of(request)
        found = self._keys.of(request, bits)
        if found is None or bits & DOUBTFUL:
            return await self._pass(request, proceed)
        key, url = f"{found[0]}\n{request.method}={digest(body)}", found[1]
        return await Visit(self, request, proceed, bits, key, url).run()

    async def _pass(self, request: Request, proceed: Handler) -> Response:
        response = await proceed(request)
        self.count("pass")
        self.tell(response, f"fwd=bypass; fwd-status={response.status}")
        return response

    def _purges_of(self, request: Request, response: Response | None) -> list[Purge]:
        """What an unsafe request makes out of date (RFC 9111 §4.4, RFC 9875 §3, and what was declared)."""
        host = authority(request)
        urls = dict.fromkeys(self._keys.urls_of(request, host))
        groups: dict[str, None] = {}
        if response is not None:
            urls |= dict.fromkeys(related(request, response, host))
            groups |= dict.fromkeys(groups_of(response.headers.getall("Cache-Group-Invalidation", ())))
        purges = [Purge(Kind.URL, url) for url in urls]
        for url in urls:  # what shares a group with what is invalidated goes with it (RFC 9875 §2.2.1)
            for entry in self.shelf.memory.all_of(f"{request.scheme}://{url}"):
                groups |= dict.fromkeys(entry.groups)
        purges += [Purge(Kind.GROUP, f"{host}\n{name}") for name in groups]
        for declared in self._declared:
            purges += declared.purges(request.method, request.path)
        return purges

    def _purge_anyway(self, purges: Sequence[Purge]) -> asyncio.Task[bool]:
        task: asyncio.Task[bool] = self.context.spawn(self.purge(purges), "cache invalidation")
        return task

    # -- stored answers ----------------------------------------------------------------------------------------

    def suits(self, entry: Entry, request: Request) -> bool:
        """Whether the request selects it."""
        return not entry.selecting or chosen_by(entry.selecting, request.headers) == entry.chosen

    def freshen(self, entry: Entry, response: Response, asked: float, *, since: Since, authorized: bool) -> Entry:
        """A stored answer with what a 304, or the answer to a HEAD, says of it; kept in its place if it may be."""
        arrived = self.clock.time()
        update = update_lines(response)
        if not any(name.lower() == b"date" for name, _ in update):
            update.append((b"Date", format_date(arrived).encode()))
        lines = merged(entry.lines, update)
        headers = fields_of_lines(lines)
        for line in response.headers.getall("Age", ()):
            headers.add("Age", line)
        terms = judge(entry.status, headers, self.rules, authorized=authorized, asked=asked, arrived=arrived)
        if isinstance(terms, Unstored) or selecting_of(headers) != entry.selecting:
            # Not to be kept, or told apart by other fields than those by which it was found (RFC 9111 §4.1).
            self.shelf.discard(entry)
            terms, keeps = Terms(0.0, 0.0, True, True, 0.0, 0.0, 0.0, True), False
        else:
            keeps = not self.shelf.purges.missed_by(entry.url, entry.groups, since.seq)
            keeps = keeps and not self.shelf.memory.has_newer(entry)  # another fetch was faster, and knows better
        unstored = terms.unstored_fields | self.private_fields
        made = entry.refreshed(without(lines, frozenset(name.encode() for name in unstored)), since)
        made.delay, made.hits = entry.delay, entry.hits
        made.hold(terms, self.clock.now(), arrived, self.settings.early_refresh)
        if keeps:
            self.shelf.put(made)
        return made

    # -- fetches -----------------------------------------------------------------------------------------------

    def flight_key(self, key: str, request: Request) -> str:
        """What a fetch is known by: the key, and the fields by which its answers were told apart before."""
        names = self._hints.get(hash(key))
        return key if names is None else f"{key}\n{chosen_by(names, request.headers)}"

    def flight_for(self, key: str, url: str, request: Request) -> Flight | None:
        """A fetch under way that this request may join: not one that began before a purge of what it fetches."""
        flight = self.flights.get(self.flight_key(key, request))
        if flight is None or flight.since.seq == self.shelf.purges.seq:
            return flight
        return None if self.shelf.purges.missed_by(url, flight.groups, flight.since.seq) else flight

    def relabel(self, flight: Flight, place: Place) -> None:
        """The answer varies: who asks for the same variant may still join."""
        self._hints[hash(place.key)] = place.selecting
        if len(self._hints) > MOST_REMEMBERED:
            self._hints.popitem(last=False)
        label = f"{place.key}\n{place.chosen}"
        if flight.label and flight.label != label:
            self.flights.pop(flight.label, None)
            flight.label = label if self.flights.setdefault(label, flight) is flight else ""

    def fly(self, visit: Visit, entry: Entry | None, *, alone: bool) -> Flight | None:
        """Begin a fetch; None if too many are under way."""
        if self.counts.in_flight >= MOST_FLIGHTS:
            return None
        request = visit.request
        flight = Flight(request, self.since(), self.clock.now())
        if not alone:
            flight.label = self.flight_key(visit.key, request)
            self.flights[flight.label] = flight
        fetch = Fetch(self, flight, request, visit.proceed, Place(visit.key, visit.url), entry)
        fetch.authorized = self.shares_authorized(request, visit.bits)
        self.counts.in_flight += 1
        task = self.context.spawn(fetch.run(), f"cache fetch {visit.url[:100]}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return flight

    def refresh(self, entry: Entry, visit: Visit) -> None:
        """Fetch anew in the background, unless that is under way."""
        if self.flight_for(visit.key, visit.url, visit.request) is not None:
            return
        request = visit.request.fork(body=visit.request.body)
        request.inform = None  # its client has its answer by then
        if request.method == "HEAD":
            request.method = "GET"
        self.fly(Visit(self, request, visit.proceed, visit.bits, visit.key, visit.url), entry, alone=False)

    def landed(self, flight: Flight) -> None:
        """Nobody can join any more."""
        if flight.label and self.flights.get(flight.label) is flight:
            del self.flights[flight.label]
        flight.label = ""

    def since(self) -> Since:
        """Where the purge log stands."""
        return Since(self.shelf.purges.seq, self.shelf.purges.fleet)

    def shares_authorized(self, request: Request, bits: int) -> bool:
        """Whether the request has credentials, and a stored answer could go to somebody else."""
        if not bits & AUTHORIZATION:
            return False
        return not (self.settings.authenticated and self._keys.apart(request))

    def draw(self, entry: Entry, now: float) -> bool:
        """Whether this request is the one that fetches early (XFetch): ever more likely the nearer the end."""
        gap = entry.delay * self.settings.early_refresh
        return now - gap * math.log(1.0 - random.random()) >= entry.fresh_until  # noqa: S311 - chance, no secret

    def passing(self, key: str) -> Passing | None:
        """What is remembered of a URL whose answer was not for several."""
        found = self._passing.get(hash(key))
        if found is not None and found.until <= self.clock.now():
            del self._passing[hash(key)]
            return None
        return found

    def remember(self, key: str, *, stores: bool) -> None:
        """Its answer was not for several."""
        self._passing.pop(hash(key), None)
        self._passing[hash(key)] = Passing(self.clock.now() + self.settings.pass_memory, stores=stores)
        if len(self._passing) > MOST_REMEMBERED:
            self._passing.popitem(last=False)

    # -- purges ------------------------------------------------------------------------------------------------

    async def purge(self, purges: Sequence[Purge], *, asked_all: bool = False) -> bool:
        """Declare out of date, here and wherever else it is stored. Whether everybody has been told.

        ``asked_all``: every worker of this gateway does the same.
        """
        self.counts.purges.value += len(purges)
        named = dict.fromkeys(purges)
        for purge in purges:
            if purge.kind in (Kind.URL, Kind.PATTERN) and (kept := self._keys.kept_as(purge.what)) != purge.what:
                named[Purge(purge.kind, kept, purge.soft)] = None
        return await self.shelf.purge([*named], asked_all=asked_all)

    def admin(self) -> Sequence[AdminView]:
        return views_of(self)

    @classmethod
    def commands(cls) -> Sequence[Command]:
        return (COMMAND,)

    # -- what is counted and told ------------------------------------------------------------------------------

    def count(self, result: str) -> None:
        """A request that ended so."""
        self.counts.results[result].value += 1

    def tell(self, response: Response, note: str) -> None:
        """``Cache-Status`` on an answer that was not stored, and off with what only we are told."""
        if response.tunnel is not None:
            return
        line = b"Cache-Status: sidegate; " + note.encode()
        lines = response.lines
        if lines is not None and not response.edited:
            response.lines = own_taken_out(lines, self.private_fields)
            if self._told:
                response.lines = [*response.lines, line]
            return
        edited = response.edit_headers()
        for name in self.private_fields:
            edited.popall(name, None)
        if self._told:
            edited.add("Cache-Status", line[14:].decode())
