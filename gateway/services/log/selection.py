"""Which exchanges get a line, and which were slow and where their time went."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.errors import Source
from gateway.http import Exchange
from gateway.http.spent import Spent

log = logging.getLogger("gateway.slow")

MOST_SLOW: Final = 100
"""Lines of slow requests in a second and worker: when all are slow, what says so must not make it worse."""
_OURS: Final = frozenset({Source.UPSTREAM, Source.INTERNAL})


class Sampling:
    """The share of lines that is written, by route and by class of status.

    Errors are always written: answers of 500 and above, failures of targets and of the gateway itself, and what was cut
    short. Of answers with 4xx only what is said of their class leaves any out. Each exchange is drawn by itself. It is
    not its trace that decides: that comes from the client, who could choose one of which no line is ever written.
    """

    def __init__(
        self,
        rate: float = 1.0,
        classes: Mapping[int, float] | None = None,
        routes: Mapping[str, float] | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._draw = draw
        self._rate = rate
        self._classes = dict(classes or {})
        self._routes = dict(routes or {})

    def share(self, exchange: Exchange) -> float:
        """How likely this one gets its line, from 0 to 1."""
        status, error = exchange.status, exchange.error
        # 499 is a client's leaving, whose exchange is always cut short; that alone is no error.
        if status >= 500 or (error is not None and error.source in _OURS) or (exchange.aborted and status != 499):
            return 1.0
        group = status // 100
        if group == 4:
            return self._classes.get(4, 1.0)
        share = self._routes.get(exchange.request.route.name, self._rate)
        return min(share, self._classes.get(group, 1.0))

    def __call__(self, exchange: Exchange) -> float:
        """The share, or 0 if this one gets no line."""
        share = self.share(exchange)
        return share if share >= 1.0 or self._draw() < share else 0.0


class Slow:
    """Tells of slow requests: a line of the gateway's own log, at level warning."""

    def __init__(
        self,
        after: float | None,
        routes: Mapping[str, float | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``after`` seconds a request is slow; ``routes`` have their own, or None for never."""
        self._after = after
        self._routes = dict(routes or {})
        self._clock = clock
        self._second = 0.0
        self._told = 0
        self.untold = 0
        """Slow requests that got no line, because there were too many."""

    def limit(self, route: str) -> float | None:
        """Seconds after which a request of this route is slow."""
        return self._routes.get(route, self._after)

    def __call__(self, exchange: Exchange) -> bool:
        """Whether it was slow; then its line is written."""
        limit = self.limit(exchange.request.route.name)
        # What was upgraded lasts as long as both sides like.
        if limit is None or exchange.duration < limit or exchange.status == 101:
            return False
        now = self._clock()
        if now - self._second >= 1.0:
            self._second, self._told = now, 0
        self._told += 1
        if self._told > MOST_SLOW:
            self.untold += 1
            return True
        if not log.isEnabledFor(logging.WARNING):
            return True
        fields = told(exchange, limit)
        if self.untold:
            fields["untold"], self.untold = self.untold, 0
        # Not by `extra`, which refuses what the record has already: within a trace it has ids, of the one under way.
        record = log.makeRecord(log.name, logging.WARNING, __file__, 0, "slow request", (), None)
        vars(record).update(fields)
        log.handle(record)
        return True


def told(exchange: Exchange, limit: float) -> dict[str, Any]:
    """What the line of a slow request says beside time and level."""
    request = exchange.request
    fields: dict[str, Any] = {
        "request_id": request.id,
        "client": request.client_ip,
        "method": request.method,
        "host": request.host,
        "path": request.path[:2048],
        "status": exchange.status,
        "route": request.route.name,
        "target": request.target,
        "attempts": request.attempts,
        "duration_ms": round(exchange.duration * 1000, 3),
        "limit_ms": round(limit * 1000, 3),
        **where(exchange),
    }
    if exchange.aborted:
        fields["aborted"] = True
    if request.trace is not None:
        fields["trace"], fields["span"] = request.trace[3:35].decode(), request.trace[36:52].decode()
    return fields


def where(exchange: Exchange) -> dict[str, Any]:
    """Where the time went, in milliseconds; the parts add up to the whole.

    ``queue`` in the line for a connection, ``connect`` to make one, ``upload`` while the client's body went to the
    target, ``first_byte`` from the end of the request to the head of the answer, ``body`` from there to the last byte
    for the client, ``gateway`` the rest: plugins, waits between attempts, reading a body that a plugin holds. Of
    several attempts the parts are added up.
    """
    request = exchange.request
    spent = request.spent if request.spent is not None else Spent()
    queue, connect, upload = spent.queue, spent.connect, spent.upload
    first_byte = spent.first_byte + request.first_byte
    answered = max(request.answered, spent.answered)
    body = max(request.received + exchange.duration - answered, 0.0) if answered else 0.0
    rest = max(exchange.duration - queue - connect - upload - first_byte - body, 0.0)
    parts: dict[str, Any] = {
        f"{name}_ms": round(seconds * 1000, 3)
        for name, seconds in (
            ("gateway", rest),
            ("queue", queue),
            ("connect", connect),
            ("upload", upload),
            ("first_byte", first_byte),
            ("body", body),
        )
    }
    if spent.plugins is not None:
        parts["plugins_ms"] = plugin_times(spent)
    return parts


def plugin_times(spent: Spent) -> dict[str, float]:
    """Milliseconds in each plugin itself, without what it called."""
    return {name: round(max(seconds, 0.0) * 1000, 3) for name, seconds in (spent.plugins or {}).items()}
