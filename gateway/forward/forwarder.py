"""The end of a route's chain: choose a target, exchange, and try again where that is safe.

Nearly every request takes the short way through `Forwarder.forward`: a whole body, a connection at hand, no plugin
around the attempt, an answer that counts as success. Whatever is not so goes on in `Course`, one object a request, in
which the loop over attempts is written out.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.config.upstream import Timeout
from gateway.errors import FirstByteTimeout, GatewayError, NoTarget, TotalTimeout
from gateway.forward.retry import GOES_ON, LONGEST_WAIT, Outcome, Verdict, backoff, idempotent, outcome_of, retry_after
from gateway.forward.retry import verdict as judge
from gateway.forward.select import other
from gateway.forward.target import LiveTarget
from gateway.http import Attempt, Body, Exchange, Request, Response
from gateway.http.spent import Spent
from gateway.transport.exchange import Timing

if TYPE_CHECKING:
    from gateway.forward.upstream import LiveUpstream

Rewriter = Callable[[str, Mapping[str, str] | None], str]
"""(path in normal form, path parameters) → path in normal form."""

_LENIENCE: Final = 0.01
"""Seconds by which the loop's clock may be behind, so that a deadline is met early."""


class LiveAttempt(Attempt):
    """What the plugins of the attempt chain see, and what the end of that chain needs."""

    __slots__ = ("authority", "forwarder", "fresh", "live", "timing")

    def __init__(self, course: Course, live: LiveTarget, limit: float, timing: Timing, *, fresh: bool) -> None:
        asked, told = course.request.host, course.forwarder.host
        self.authority = live.authority if told is None else told
        """As `Forwarder.host`; empty: the client's."""
        host = self.authority.decode("ascii", "replace") or asked
        super().__init__(
            course.upstream.name, live.name, course.number, monotonic() + limit, path=course.path, host=host
        )
        self.forwarder = course.forwarder
        self.live = live
        self.timing = timing
        self.fresh = fresh


class Forwarder:
    """One route's way to an upstream: its deadlines, its rewriting, its Host."""

    __slots__ = ("first", "host", "later", "rewrite", "send", "total", "total_first", "upstream")

    def __init__(
        self, upstream: LiveUpstream, timeout: Timeout, rewrite: Rewriter | None = None, host: str | None = None
    ) -> None:
        self.upstream = upstream
        self.send = upstream.send
        self.rewrite = rewrite
        self.host = None if host in (None, "target") else b"" if host == "preserve" else (host or "").encode("ascii")
        """None: the target's own; empty: the client's."""
        self.total = timeout.total
        wheel = upstream.wheel
        idle = wheel.of(timeout.stream_idle) if timeout.stream_idle is not None else None
        first_byte = timeout.first_byte
        shorter = min((each for each in (first_byte, timeout.total) if each is not None), default=None)
        self.total_first = shorter is not None and shorter == timeout.total
        """A first attempt that meets its deadline has used up the total time."""
        # The first attempt's deadlines begin together, so that the shorter one stands for both.
        self.first = Timing(wheel.of(shorter) if shorter is not None else None, idle, timeout.connect)
        self.later = Timing(wheel.of(first_byte) if first_byte is not None else None, idle, timeout.connect)

    async def forward(self, request: Request) -> Response:
        """Forward a request. Raises what `gateway.transport.exchange.send` does, NoTarget, or TotalTimeout."""
        rewrite = self.rewrite
        path = request.path if rewrite is None else rewrite(request.path, request.path_params)
        if request.query:
            path = f"{path}?{request.query}"
        upstream = self.upstream
        upstream.budget.requests += 1
        if upstream.plain:
            live = upstream.pick(request)
            pool = live.pool
            if pool.ready and request.body.whole is not None and not request.upgrade:
                started = monotonic()
                request.target = live.name
                request.attempts = 1
                live.active += 1
                host = self.host
                try:
                    response = await self.send(
                        pool, request, path, live.authority if host is None else host, self.first
                    )
                except GatewayError as error:
                    live.active -= 1
                    answered = request.answered = monotonic()
                    request.first_byte = answered - started
                    ended: Response | GatewayError = error
                except BaseException:
                    live.active -= 1
                    raise
                else:
                    answered = request.answered = monotonic()
                    took = request.first_byte = answered - started
                    live.timed(took)
                    if response.body.whole is None:
                        response.body.at_end(partial(upstream.streamed, live, response))
                    else:
                        live.active -= 1
                        if response.status < upstream.suspect:
                            live.failures = 0
                    if response.status < upstream.suspect:
                        live.ok.value += 1
                        return response
                    ended = response
                upstream.record(live, ended)
                return await Course(self, request, path, started).after(live, ended)
            return await Course(self, request, path, monotonic()).run(live)
        return await Course(self, request, path, monotonic()).run()


class Course:
    """One request's way through attempts, where it is not the short one."""

    __slots__ = (
        "began",
        "deadline",
        "fork",
        "forwarder",
        "number",
        "path",
        "request",
        "retries",
        "reused",
        "tried",
        "upstream",
    )

    def __init__(self, forwarder: Forwarder, request: Request, path: str, started: float) -> None:
        self.forwarder = forwarder
        self.upstream = forwarder.upstream
        self.request = request
        self.path = path
        self.deadline = None if forwarder.total is None else started + forwarder.total
        self.tried: list[LiveTarget] = []
        self.fork: Request | None = None
        """What the attempt chain was given, until it is finished."""
        self.began = started
        self.number = 0
        self.retries = 0
        self.reused = False

    async def run(self, live: LiveTarget | None = None) -> Response:
        """Attempt until there is an answer or no further attempt may be made."""
        upstream, request = self.upstream, self.request
        if upstream.rules.holds(request):
            await request.body.read(upstream.rules.max_body)
        live = live or upstream.choose(request)
        return await self.after(live, await self.attempt(live))

    async def after(self, live: LiveTarget, ended: Response | GatewayError) -> Response:
        """Go on from the end of an attempt at ``live``."""
        self.number = max(self.number, 1)
        while True:
            if isinstance(ended, FirstByteTimeout) and self.late():
                ended = TotalTimeout(reason=ended.reason)
            further = await self.next(live, ended)
            if further is None:
                if self.fork is not None:
                    self.request.when_done(partial(_finish, self.fork))
                if isinstance(ended, GatewayError):
                    raise ended
                if self.upstream.sticky is not None and ended.error is None:
                    self.upstream.sticky.bind(self.request, ended, live)
                return ended
            self.end_fork(ended if isinstance(ended, Response) else None)
            live, fresh = further
            ended = await self.attempt(live, fresh=fresh)

    def remaining(self) -> float:
        """Seconds until the deadline over all attempts."""
        return math.inf if self.deadline is None else self.deadline - monotonic()

    def late(self) -> bool:
        """Whether it was the time over all attempts that ended the one that has just met a deadline."""
        if self.request.body.whole is None:
            return self.forwarder.total_first
        return self.remaining() <= _LENIENCE

    # -- one attempt -------------------------------------------------------------------------------------------

    async def attempt(self, live: LiveTarget, *, fresh: bool = False) -> Response | GatewayError:
        """Try a target; what it ends in is counted. Only cancellation, and bugs, are raised."""
        request, forwarder = self.request, self.forwarder
        self.number += 1
        request.attempts = self.number
        request.target = live.name
        if request.spent is None:
            request.spent = Spent()
        if live not in self.tried:
            self.tried.append(live)
        whole = request.body.whole is not None
        # The time a client takes to send its body is not the target's: a streamed one's deadline begins at its end.
        timing = forwarder.later if whole else forwarder.first
        limit = self.remaining() if whole else math.inf
        if limit <= 0:
            return TotalTimeout(reason="no time is left for an attempt")
        attempt = LiveAttempt(self, live, limit, timing, fresh=fresh)
        scope = asyncio.timeout(None if limit == math.inf else limit)
        try:
            async with scope:
                return await self.through(attempt)
        except GatewayError as error:
            return error
        except TimeoutError:
            if not scope.expired():
                raise
        late = TotalTimeout(reason=f"no answer from {live.name} within the total time")
        self.upstream.record(live, late)
        return late

    async def through(self, attempt: LiveAttempt) -> Response:
        """Through the plugins around the attempt, if there are any, to the target."""
        chain = self.upstream.chain
        if chain is None:
            return await exchange(attempt, self.request)
        whole = self.request.body.whole
        self.fork = fork = self.request.fork(body=Body(whole) if whole is not None else None)
        fork.spent = self.request.spent
        self.began = monotonic()
        fork.attempt = attempt
        try:
            return await chain(fork)
        except BaseException as error:
            self.end_fork(None, error if isinstance(error, GatewayError) else None)
            raise

    def end_fork(self, response: Response | None, error: GatewayError | None = None) -> None:
        """The attempt is over and another follows, or none can: what its plugins put off is done."""
        fork, self.fork = self.fork, None
        if fork is None:
            return
        if response is not None:
            status, error = response.status, response.error
        else:
            status = error.status if error is not None else 499
        duration = monotonic() - self.began
        fork.finish(Exchange(fork, response, status=status, duration=duration, aborted=response is None, error=error))

    # -- whether and where to go on ----------------------------------------------------------------------------

    async def next(self, live: LiveTarget, ended: Response | GatewayError) -> tuple[LiveTarget, bool] | None:
        """The target of the next attempt, after the wait for it, and whether a new connection is wanted; or None."""
        upstream, request = self.upstream, self.request
        rules = upstream.rules
        outcome = outcome_of(ended, rules.statuses)
        if outcome is Outcome.FINAL:
            return None
        decided = judge(outcome, idempotent=idempotent(request), replayable=request.body.replayable, on=rules.on)
        if decided is Verdict.AT_ONCE:
            if not self.reused and self.remaining() > 0:
                self.reused = True
                upstream.retried(live)
                return live, True
            decided = Verdict.AGAIN
        if decided not in GOES_ON:
            return self.last(decided)
        if self.retries + 1 >= rules.attempts:
            return self.last("attempts") if rules.attempts > 1 else None
        if live not in self.tried:
            self.tried.append(live)
        further = other(upstream.selection, self.tried, _admitted)
        if further is None and decided is Verdict.ELSEWHERE:
            return self.last("no_other_target")
        wait = backoff(rules.backoff, self.retries)
        if further is None and isinstance(ended, Response):
            asked = retry_after(ended, upstream.clock.time())
            wait = max(wait, asked or 0.0)
        if wait >= min(self.remaining(), LONGEST_WAIT if self.deadline is None else math.inf):
            return self.last("time")
        if not upstream.budget.take(monotonic()):
            return self.last("budget")
        if isinstance(ended, Response):
            ended.body.close()  # its connection is free, or gone, while this waits
        await asyncio.sleep(wait)
        self.retries += 1
        chosen = further or upstream.choose(request)
        upstream.retried(chosen)
        return chosen, False

    def last(self, reason: str) -> tuple[LiveTarget, bool] | None:
        """Note why an attempt that failed is the last one."""
        self.request.gave_up = reason
        self.upstream.skipped(reason)
        return None


async def exchange(attempt: LiveAttempt, request: Request) -> Response:
    """One exchange with one target, counted. Raises what `send` does."""
    live, upstream = attempt.live, attempt.forwarder.upstream
    started = monotonic()
    spent = request.spent or Spent()
    waited = spent.queue + spent.connect + spent.upload
    live.active += 1
    try:
        response = await upstream.send(
            live.pool, request, attempt.path, attempt.authority, attempt.timing, fresh=attempt.fresh
        )
    except GatewayError as error:
        live.active -= 1
        upstream.record(live, error)
        raise
    except BaseException:
        live.active -= 1
        raise
    finally:
        spent.answered = monotonic()
        waited = spent.queue + spent.connect + spent.upload - waited
        spent.first_byte += max(spent.answered - started - waited, 0.0)
    if response.tunnel is not None:
        request.when_done(lambda _exchange: live.release())
    elif response.body.whole is None:
        response.body.at_end(partial(upstream.streamed, live, response))
    else:
        live.active -= 1
    live.timed(spent.answered - started)
    upstream.record(live, response)
    return response


async def exchange_forked(request: Request) -> Response:
    """The end of an upstream's attempt chain."""
    attempt = request.attempt
    if not isinstance(attempt, LiveAttempt):
        raise NoTarget(reason="an attempt chain ran outside an attempt")
    return await exchange(attempt, request)


def _finish(fork: Request, exchange: Exchange) -> None:
    """End the fork that got the answer, together with the exchange it was made for."""
    fork.finish(
        Exchange(
            fork,
            exchange.response,
            status=exchange.status,
            duration=exchange.duration,
            sent_bytes=exchange.sent_bytes,
            received_bytes=exchange.received_bytes,
            aborted=exchange.aborted,
            error=exchange.error,
        )
    )


def _admitted(target: LiveTarget) -> bool:
    return target.gate is None or target.gate.admits()
