"""Limits how many requests are under way at once: of a route, at a target, or by a caller; the limit may find itself.

A rate says nothing of how long requests take: when a target slows down, more and more of them pile up in front of it
until all are late. A limit on what is under way sheds the surplus while the rest is still served in time.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gateway.errors import FirstByteTimeout, Forbidden, PoolExhausted, TooManyRequests, TotalTimeout
from gateway.http import Handler, Request, Response
from gateway.plugin import AdminView, Context, Gate, Plugin, Scope, Stage
from gateway.plugin.subject import OnMissingKey, client, compile_subject
from gateway.services.clock import Deadlines
from gateway.services.shared import Hold
from plugins.concurrency_limit.gradient import Gradient
from plugins.concurrency_limit.limiter import Limiter, Limiters, Rules, Watch
from plugins.concurrency_limit.settings import Adaptive, ConcurrencyLimitSettings, Priority, Queue

__all__ = [
    "Adaptive",
    "ConcurrencyLimit",
    "ConcurrencyLimitSettings",
    "Overloaded",
    "Priority",
    "Queue",
    "TooManyInFlight",
]

_SLOWEST: Final = 60
"""Seconds: the longest `Retry-After`."""
_MOST: Final = 1000
"""Targets remembered."""
_LATE: Final = (FirstByteTimeout, TotalTimeout)


class Overloaded(PoolExhausted):
    """As many requests as the route or target takes are under way, and the line is full or took too long."""

    code = "overloaded"


class TooManyInFlight(TooManyRequests):
    """The caller has as many requests under way as it may."""

    code = "too_many_in_flight"


class Place:
    """A request's place, to be given back once."""

    __slots__ = ("_limiter",)

    def __init__(self, limiter: Limiter) -> None:
        self._limiter: Limiter | None = limiter

    def leave(self, _exchange: object = None) -> None:
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter.leave()


class Room:
    """What the balancer asks before it chooses a target: one with a free place is better than a line."""

    __slots__ = ("_limiter", "_rules")

    def __init__(self, limiter: Limiter, rules: Rules) -> None:
        self._limiter = limiter
        self._rules = rules

    def admits(self) -> bool:
        return self._limiter.has_room(self._rules)


class ConcurrencyLimit(Plugin[ConcurrencyLimitSettings]):
    stage = Stage.ANYWHERE  # outermost it guards the gateway, innermost the target, by principal behind authentication
    refuses = True
    on_attempt = True
    on_route = True
    scope = Scope.WORKER

    def __init__(self, settings: ConcurrencyLimitSettings, context: Context) -> None:
        super().__init__(settings, context)
        priority = settings.priority
        self._classes: Sequence[str] = priority.classes if priority is not None else ("all",)
        reserve = priority.reserve if priority is not None else 0.0
        shares = tuple(1 - reserve * rank for rank in range(len(self._classes)))
        queue = settings.queue
        self._rules = Rules(settings.first, shares, queue.size, queue.timeout, adaptive=settings.adaptive is not None)
        self._rank = _ranks(priority) if priority is not None else None
        self._subject = compile_subject(settings.key, settings.ipv6_prefix).read if settings.key is not None else None
        self._client = client(settings.ipv6_prefix)
        self._deadlines: Deadlines | None = None
        self._hold: Hold[Limiters] | None = None
        self._targets: dict[str, Limiter] = {}
        self._route: Limiter | None = None
        self._declare()

    def _declare(self) -> None:
        metrics, place = self.context.metrics, ("route", "plugin", "target")
        self._gauges = (
            metrics.gauge("concurrency_limit_in_flight", "Requests that have a place.", place),
            metrics.gauge("concurrency_limit_queued", "Requests that wait for a place.", place),
            metrics.gauge("concurrency_limit_limit", "Places that there are (by key: for each).", place),
        )
        self._shed = metrics.counter(
            "concurrency_limit_shed_total",
            "Requests without a place, by class and why: the line was full, a higher class took the place in it "
            "(evicted), or it took too long (timeout).",
            ("route", "plugin", "class", "reason", "mode"),
        )
        self._waited = metrics.histogram(
            "concurrency_limit_wait_seconds", "How long requests waited that got a place.", ("route", "plugin")
        ).child(self.context.route, self.context.id)

    @classmethod
    def check(cls, settings: ConcurrencyLimitSettings) -> Sequence[str]:
        lowest = 1 - settings.priority.reserve * (len(settings.priority.classes) - 1) if settings.priority else 1.0
        if settings.priority is not None and settings.first * lowest < 1:
            return [f"limit: {settings.first} places leave the lowest class less than one, which it gets all the same"]
        return []

    async def open(self) -> None:
        self._deadlines = Deadlines(asyncio.get_running_loop(), self.settings.queue.timeout)
        here = (self.context.route, self.context.id)

        def forget() -> None:
            for family in self._gauges:
                family.remove(*here)

        kind = "key" if self._subject is not None else "target" if self.context.on_attempt else "route"
        self._hold = self.context.shared.hold(("concurrency_limit", *here, kind), lambda: Limiters(forget))
        if kind == "route":
            self._route = self._named("*")

    async def close(self) -> None:
        if self._hold is not None:
            await self._hold.release()
            self._hold = None
        if self._deadlines is not None and not len(self._deadlines):
            self._deadlines.close()

    # -- whose places --------------------------------------------------------------------------------------------------

    def _watch(self, target: str) -> Watch:
        return Watch(*(family.child(self.context.route, self.context.id, target) for family in self._gauges))

    def _named(self, target: str) -> Limiter:
        """The limiter of a target, or of the route; of those before a reload if there are."""
        assert self._hold is not None, "it was opened"
        known = self._hold.thing.by_name
        found = known.get(target)
        if found is None:
            if len(known) >= _MOST:  # reloads bring new targets, and nobody says that old ones are gone
                for name in [name for name, each in known.items() if not each.in_flight and not each.queued]:
                    del known[name]
            found = known[target] = Limiter(target, self.context.clock, self._watch(target))
        adaptive = self.settings.adaptive
        if adaptive is None:
            found.gradient = None
        elif found.gradient is None or found.gradient.settings != adaptive:
            limit = found.gradient.limit if found.gradient is not None else float(self._rules.limit)
            found.gradient = Gradient(adaptive, limit, self.context.clock.now(), probes=not self.shadow)
        self._watch(target).limit.set(found.limit(self._rules))
        return found

    def _of(self, request: Request) -> Limiter | None:
        """Whose places the request needs; None if it is not limited."""
        if self._subject is not None:
            return self._caller(request)
        if self._route is not None:
            return self._route
        return self._at(request.attempt.target if request.attempt is not None else "-")

    def _at(self, target: str) -> Limiter:
        found = self._targets.get(target)
        if found is None:
            found = self._targets[target] = self._named(target)
        return found

    def _caller(self, request: Request) -> Limiter | None:
        assert self._subject is not None, "there is a key"
        subject = self._subject(request)
        if not subject:
            choice = self.settings.on_missing_key
            if choice is OnMissingKey.DENY:
                why = f"no {self.settings.key}"
                self.refuse(Forbidden("The request lacks what it must be counted by.", reason=why))
            if choice is not OnMissingKey.IP:
                return None
            subject = "\0" + self._client(request)  # so that nobody who is called like an address shares its places
        assert self._hold is not None, "it was opened"
        callers = self._hold.thing.by_name
        target = request.attempt.target if request.attempt is not None else "*"
        name = (target, subject)
        found = callers.get(name)
        if found is None:
            # As many as requests are under way, so the listeners' bounds are theirs.
            watch = self._watch(target)
            watch.limit.set(self._rules.limit)

            def forget() -> None:
                callers.pop(name, None)

            found = callers[name] = Limiter("", self.context.clock, watch, forget)
        return found

    def gate(self, target: str) -> Gate | None:
        """Whether a target has a free place, for the balancer."""
        if self._subject is not None or self.shadow:
            return None
        return Room(self._at(target), self._rules)

    # -- a request -----------------------------------------------------------------------------------------------------

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        limiter = self._of(request)
        if limiter is None:
            return await proceed(request)
        rank = self._rank(request) if self._rank is not None else 0
        if not limiter.enter(self._rules, rank):
            await self._enter(limiter, rank)
        place = Place(limiter)
        now = self.context.clock.now
        began = now()
        try:
            response = await proceed(request)
        except BaseException:
            place.leave()
            raise
        # What fails at once would look like a fast target; what is late is the plainest sign of a slow one.
        if response.status < 500 if response.error is None else isinstance(response.error, _LATE):
            ended = now()
            limiter.took(ended, ended - began)
        if self.settings.hold == "head":
            place.leave()
        elif response.tunnel is not None:
            request.when_done(place.leave)
        else:
            response.body.at_end(place.leave)
        return response

    async def _enter(self, limiter: Limiter, rank: int) -> None:
        """Wait for a place. Raises `Overloaded` or `TooManyInFlight` if there is none."""
        rules = self._rules
        if self.shadow:
            # Nobody is held back: who would have waited goes on, who would have found the line full is counted.
            over = limiter.in_flight >= limiter.limit(rules) * rules.shares[rank] + rules.size
            limiter.take()
            if over:
                self._refuse(limiter, rank, "full")
            return
        assert self._deadlines is not None, "it was opened"
        began = self.context.clock.now()
        why = await limiter.wait(rules, rank, self._deadlines)
        if why:
            self._refuse(limiter, rank, why)
        self._waited.observe(self.context.clock.now() - began)

    def _refuse(self, limiter: Limiter, rank: int, why: str) -> None:
        here, name, limit = self.context, self._classes[rank], limiter.limit(self._rules)
        self._shed.child(here.route, here.id, name, why, str(here.mode)).inc()
        seconds = min(max(math.ceil((limiter.queued + 1) * limiter.pace / max(limit, 1)), 1), _SLOWEST)
        kind = Overloaded if self._subject is None else TooManyInFlight
        what = (
            "The service has as much to do as it can." if self._subject is None else "Wait for earlier requests to end."
        )
        reason = f"{limiter.in_flight} of {limit} places taken, {limiter.queued} waiting; class {name}: {why}"
        self.refuse(kind(what, headers=(("Retry-After", str(seconds)),), reason=reason))

    # -- for people ----------------------------------------------------------------------------------------------------

    def admin(self) -> Sequence[AdminView]:
        async def show(_query: Mapping[str, str]) -> Any:
            if self._hold is None:
                return []
            limiters = list(self._hold.thing.by_name.values())
            if self._subject is None:
                return [limiter.snapshot(self._rules) for limiter in limiters]
            busiest = max(limiters, key=lambda each: each.in_flight, default=None)
            return {
                "callers": len(limiters),
                "in_flight": sum(each.in_flight for each in limiters),
                "queued": sum(each.queued for each in limiters),
                "most_of_one": busiest.in_flight if busiest is not None else 0,
            }

        return (AdminView("places", show),)


def _ranks(priority: Priority) -> Callable[[Request], int]:
    """The class of a request as its place in ``classes``."""
    ranks = {name: rank for rank, name in enumerate(priority.classes)}
    by_rate_class = {name: ranks[found] for name, found in priority.rate_classes.items()}
    by_route = {name: ranks[found] for name, found in priority.routes.items()}
    header, default = priority.header, ranks[priority.default]

    def rank(request: Request) -> int:
        if header is not None and request.peer is not None and request.peer.trusted:
            said = ranks.get(request.headers.get(header, ""))
            if said is not None:
                return said
        principal = request.principal
        if principal is not None and principal.rate_class in by_rate_class:
            return by_rate_class[principal.rate_class]
        return by_route.get(request.route.name, default)

    return rank
