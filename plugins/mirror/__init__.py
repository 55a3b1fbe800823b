"""Sends a copy of a share of requests to another upstream, and, if asked, compares the answers.

The client never waits for the copy and never sees what became of it. A body that streams is copied as it passes; the
copy is sent when it is whole, and not at all beyond a limit.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator

from gateway.errors import GatewayError, PayloadTooLarge
from gateway.http import Body, Exchange, Handler, Request, Response
from gateway.http.reserved import ReservedFields
from gateway.plugin import Context, Count, Duration, Percent, Plugin, Settings, Size, Stage
from gateway.plugin.field import FieldName
from gateway.plugin.settings import expected
from gateway.plugin.upstream import UpstreamName
from gateway.services.metrics import DURATIONS
from plugins.mirror.copy import Pair, copy_of, record
from plugins.mirror.difference import BODY, HEADERS, STATUS, Rules, Seen

__all__ = ["Compare", "Mirror", "MirrorSettings"]

SAFE: Final = ("GET", "HEAD", "OPTIONS")
UNSAFE: Final = ("POST", "PUT", "PATCH", "DELETE")
DISCARDED: Final = 1_000_000
"""Bytes of an answer that are read away so that its connection can be used again."""
OUTCOMES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx", "failed", "timeout", "too_large", "cut", "full")
RESULTS: Final = ("same", STATUS, HEADERS, BODY, "skipped")


def _pointer(text: str) -> str:
    if not text.startswith("/"):
        raise expected("a JSON Pointer such as /meta/took, with * for any one member")
    return text


class Compare(Settings):
    """How the copy's answer is held against the client's. Values are never logged: only where the answers differ."""

    status: bool = Field(default=True, description="Whether the status must be the same.")
    headers: bool = Field(
        default=False,
        description="Whether header fields must be the same. `Date`, `Server`, `ETag`, `Last-Modified`, `Set-Cookie`, "
        "`Age`, `Expires` and what is about the connection are passed over.",
    )
    body: bool = Field(
        default=True, description="Whether the body must be the same: JSON by value, anything else byte by byte."
    )
    ignore_headers: tuple[FieldName, ...] = Field(default=(), description="Header fields to pass over, besides.")
    ignore_paths: tuple[Annotated[str, AfterValidator(_pointer)], ...] = Field(
        default=(),
        max_length=100,
        description="Places of JSON bodies to pass over: JSON Pointers, `*` for any one member, such as `/items/*/id`.",
    )
    max_body: Size = Field(
        default=100_000,
        le=10_000_000,
        description="Largest body that is held for comparison, of each answer; a larger one is not compared, nor one "
        "in a coding other than gzip.",
    )
    log_every: Duration = Field(
        default=60.0, ge=1, description="At most one line about differences in this time, with how many there were."
    )


class MirrorSettings(Settings):
    """Put it last in the list, so that what is copied is what the route's own target gets."""

    upstream: UpstreamName = Field(description="Where copies go. Paths and Host are rewritten as the route does it.")
    percent: Percent = Field(default=1.0, gt=0, description="Share of the requests that is copied, drawn by chance.")
    methods: tuple[str, ...] = Field(
        default=SAFE,
        min_length=1,
        description="Methods that are copied. A copy of POST, PUT, PATCH or DELETE does its work a second time: name "
        "them only if the other upstream does not share its data.",
    )
    max_body: Size = Field(
        default=1_000_000, description="Largest request body that is copied; a request with more is not."
    )
    max_in_flight: Annotated[Count, Field(ge=1, le=10_000)] = Field(
        default=100, description="Copies under way at once in a worker; what comes meanwhile is not copied."
    )
    deadline: Duration = Field(default=10.0, gt=0, description="How long a copy may take, its answer's body included.")
    header: FieldName = Field(
        default="X-Mirrored",
        description="Field that marks a copy: its value is the route's name. A client's is dropped.",
    )
    remove: tuple[FieldName, ...] = Field(
        default=(),
        description="Fields that copies do without, such as `Authorization` and `Cookie` where the other upstream must "
        "not have them.",
    )
    compare: Compare | None = Field(
        default=None, description="Compares the copy's answer with the client's. Unset: it is counted and thrown away."
    )

    @model_validator(mode="after")
    def _whole(self) -> MirrorSettings:
        if unknown := set(self.methods) - {*SAFE, *UNSAFE}:
            raise expected(f"`methods` out of {', '.join((*SAFE, *UNSAFE))}, not {', '.join(sorted(unknown))}")
        return self


class Mirror(Plugin[MirrorSettings]):
    stage = Stage.ANYWHERE

    def __init__(self, settings: MirrorSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._methods = frozenset(settings.methods)
        self._mark = ReservedFields([settings.header])
        self._draw = random.random  # chance samples here and guards nothing
        self._in_flight = 0
        compare = settings.compare
        self._rules = (
            Rules(
                status=compare.status,
                headers=compare.headers,
                body=compare.body,
                ignore_headers=compare.ignore_headers,
                ignore_paths=compare.ignore_paths,
            )
            if compare is not None
            else None
        )
        self._said_at = -float("inf")
        self._unsaid = 0
        place, metrics = (context.route, context.id), context.metrics
        sent = metrics.counter(
            "mirror_requests_total",
            "Copies by what became of them, and those not made.",
            ("route", "plugin", "outcome"),
        )
        self._outcomes = {each: sent.child(*place, each) for each in OUTCOMES}
        compared = metrics.counter(
            "mirror_compared_total",
            "Pairs of answers: the same, or in what they differ.",
            ("route", "plugin", "outcome"),
        )
        self._results = {each: compared.child(*place, each) for each in RESULTS}
        self._seconds = metrics.histogram(
            "mirror_duration_seconds",
            "From a copy's start to its answer's head.",
            ("route", "plugin"),
            bounds=DURATIONS,
        ).child(*place)

    @classmethod
    def check(cls, settings: MirrorSettings) -> Sequence[str]:
        unsafe = [each for each in settings.methods if each in UNSAFE]
        return [f"methods: each copied {', '.join(unsafe)} does its work a second time"] if unsafe else []

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        self._mark.take_out(request)  # a client's request must not pass for a copy
        if request.method not in self._methods or request.upgrade or not self._drawn():
            return await proceed(request)
        if self._in_flight >= self.settings.max_in_flight:
            self._count("full")
            return await proceed(request)
        compare = self.settings.compare
        pair = None
        if compare is not None:
            pair = Pair(partial(self._compare, request.id))
            request.when_done(pair.over)
        self._copy(request, pair)
        response = await proceed(request)
        if compare is not None and pair is not None:
            pair.listen(response, compare.max_body)
        return response

    def _drawn(self) -> bool:
        share = self.settings.percent
        return share >= 1 or self._draw() < share

    # -- the copy ----------------------------------------------------------------------------------------------

    def _copy(self, request: Request, pair: Pair | None) -> None:
        """Send a copy as soon as the body is whole. What holds a body, or waits for an answer, is under way."""
        settings = self.settings
        # Taken now: what plugins further in make of the request is not what this one was put here to copy.
        copy = copy_of(request, (settings.header, self.context.route), settings.remove)
        waiting = True
        self._in_flight += 1

        def recorded(body: bytes | None) -> None:
            nonlocal waiting
            if not waiting:  # the exchange is over already
                return
            waiting = False
            if body is None:
                self._in_flight -= 1
                self._count("too_large")
                return
            copy.body = Body(body)
            _ = self.context.spawn(self._send(copy, pair), f"mirror: a copy on {self.context.route}")

        def cut(_exchange: Exchange) -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                self._in_flight -= 1
                self._count("cut")

        record(request.body, settings.max_body, recorded)
        if waiting:
            request.when_done(cut)

    def _count(self, outcome: str) -> None:
        """What became of a copy, or why there is none."""
        self._outcomes[outcome].value += 1

    async def _send(self, copy: Request, pair: Pair | None) -> None:
        seen: Seen | None = None
        try:
            async with asyncio.timeout(self.settings.deadline):
                seen = await self._exchange(copy)
        except TimeoutError:
            self._count("timeout")
        except (GatewayError, KeyError):  # no such upstream: a reload has taken it away meanwhile
            self._count("failed")
        finally:
            self._in_flight -= 1
        if pair is not None:
            pair.copy(seen)

    async def _exchange(self, request: Request) -> Seen:
        """The copy's answer, read and forgotten but for what is compared."""
        began = self.context.clock.now()
        response: Response | None = None
        try:
            response = await self.context.onward(self.settings.upstream)(request)
            if response.error is not None:
                raise response.error
            self._seconds.observe(self.context.clock.now() - began)
            seen = Seen(response)
            compare = self.settings.compare
            seen.body = await _read(response.body, DISCARDED if compare is None else compare.max_body)
        finally:
            if response is not None:
                response.body.close()
                if response.tunnel is not None:
                    response.tunnel.close()
            request.finish(
                Exchange(
                    request,
                    response,
                    status=response.status if response is not None else 0,
                    duration=self.context.clock.now() - began,
                    aborted=response is None,
                )
            )
        self._count(f"{min(max(response.status // 100, 1), 5)}xx")
        return seen

    # -- comparing ---------------------------------------------------------------------------------------------

    def _compare(self, request_id: str, first: Seen | None, second: Seen | None) -> None:
        """Both answers are there, or will not be."""
        if self._rules is None or first is None or second is None:
            self._results["skipped"].value += 1
            return
        found = self._rules.differences(first, second)
        for part in found:
            self._results[part].value += 1
        if found:
            self._say(request_id, found)
        else:
            self._results["same" if self._rules.whole(first, second) else "skipped"].value += 1

    def _say(self, request_id: str, found: dict[str, list[str]]) -> None:
        compare, now = self.settings.compare, self.context.clock.now()
        assert compare is not None
        self._unsaid += 1
        if now - self._said_at < compare.log_every:
            return
        self._said_at, count, self._unsaid = now, self._unsaid, 0
        where = "; ".join(f"{part}: {', '.join(places)}" for part, places in found.items())
        self.context.log.warning(
            "mirror on %s: %d answers of %s differ since the last such line; the last in %s",
            self.context.route,
            count,
            self.settings.upstream,
            where,
            extra={
                "route": self.context.route,
                "plugin": self.context.id,
                "request_id": request_id,
                "count": count,
                "differs": sorted(found),
            },
        )


async def _read(body: Body, limit: int) -> bytes | None:
    """The whole body, or None if it is larger than is looked at."""
    try:
        return await body.read(limit)
    except PayloadTooLarge:
        return None
