"""An upstream made live: its targets with their connections and health, and the forwarders that lead to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from gateway.config.upstream import Timeout, Upstream
from gateway.errors import GatewayError
from gateway.forward.balance import Pick
from gateway.forward.eject import FAILING, Ejector, counts
from gateway.forward.forwarder import Forwarder, Rewriter, exchange_forked
from gateway.forward.probe import Prober
from gateway.forward.retry import Budget, Rules
from gateway.forward.select import Selection, other, select
from gateway.forward.sticky import Stickiness
from gateway.forward.target import LiveTarget
from gateway.forward.traced import TracedSend
from gateway.forward.watch import Watch
from gateway.http import Handler, Request, Response
from gateway.plugin import Gate
from gateway.services.clock import Clock, Wheel
from gateway.services.metrics import Metrics
from gateway.transport.endpoint import Endpoint, Tls
from gateway.transport.exchange import send
from gateway.transport.pool import Pool, PoolLimits

log = logging.getLogger("gateway.upstreams")

Send = Callable[..., Awaitable[Response]]
"""As `gateway.transport.exchange.send`."""

_RAMP: Final = 20
"""Steps in which a slow start's shares grow."""


class LiveUpstream:
    """A service behind the gateway, in one worker. Needs a running loop from the start."""

    def __init__(
        self,
        name: str,
        settings: Upstream,
        *,
        wheel: Wheel,
        clock: Clock,
        buffer: memoryview,
        metrics: Metrics | None = None,
        compose_attempt: Callable[[Handler], Handler] | None = None,
        probe: bool = True,
        traced: bool = False,
    ) -> None:
        """``compose_attempt`` puts the plugins of the attempt chain around its end; None if there are none.

        ``probe`` says whether this worker runs the active checks; one that does not is told by `report`. ``traced``:
        attempts are noted in the trace of their exchange, if it has one. Raises OSError or ssl.SSLError for TLS files
        that cannot be used.
        """
        self.name = name
        self.settings = settings
        self.wheel = wheel
        self.clock = clock
        self.key: Any = None
        """By what a reload knows it; for the runtime's use."""
        self.budget = Budget(settings.retry.budget, clock.now())
        self.rules = Rules(settings.retry)
        self.suspect = min([*FAILING, *self.rules.statuses])
        """Answers below this status are fine and need no second look."""
        self.send: Send = TracedSend(name) if traced else send
        self.chain = compose_attempt(exchange_forked) if compose_attempt is not None else None
        self._watch = Watch(metrics or Metrics(), name)
        self.targets = self._make(buffer)
        self.sticky = Stickiness(settings.sticky, name, self.targets) if settings.sticky is not None else None
        passive = settings.health.passive
        self._ejector = Ejector(passive, self.targets) if passive is not None else None
        active = settings.health.active
        self._prober = Prober(active, self.targets, wheel, buffer, self.report) if active and probe else None
        self._timer: asyncio.TimerHandle | None = None
        self._gated = False
        self._closed = False
        self._given: set[LiveTarget] = set()
        """Targets whose connections a successor has now."""
        self.plain = self.sticky is None and self.chain is None
        """Nothing stands between the balancer's choice and the exchange."""
        self.selection: Selection
        self.pick: Pick
        self._select()

    def _make(self, buffer: memoryview) -> tuple[LiveTarget, ...]:
        settings = self.settings
        tls = Tls(**{key: _text(getattr(settings.tls, key)) for key in ("ca", "sni", "cert", "key", "verify")})
        limits = PoolLimits(
            connections=settings.pool.max_connections,
            waiting=settings.pool.queue,
            waiting_time=settings.pool.queue_timeout,
            idle=settings.pool.idle,
            connect=settings.timeout.connect,
        )
        made = []
        for target in settings.targets:
            endpoint = Endpoint(target.url, tls, settings.dns.ttl, settings.dns.family)
            pool = Pool(endpoint, limits, buffer)
            tally = self._watch.tally(target.url)
            made.append(LiveTarget(endpoint, pool, tally, weight=target.weight, priority=target.priority))
        return tuple(made)

    # -- life --------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Begin to watch the targets."""
        self._watch.open(self)
        if self._prober is not None:
            self._prober.open()

    async def close(self) -> None:
        """Stop watching and close idle connections; those in use are closed when they are done. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._prober is not None:
            await self._prober.close()
        for target in self.targets:
            target.gate = None  # what a plugin knows of a target goes with the last upstream that has it
            if target not in self._given:
                target.pool.close()
                target.endpoint.close()
        self._watch.close(self)

    def adopt(self, old: LiveUpstream) -> None:
        """Take over connections and health of targets that a changed upstream of the same name still has.

        Called when this one comes into force, not before: until then the old one needs them. Targets that are new
        start slowly if that is asked for.
        """
        mine, its = self.settings, old.settings
        same_way = (mine.tls, mine.dns, mine.pool, mine.timeout.connect) == (
            its.tls,
            its.dns,
            its.pool,
            its.timeout.connect,
        )
        before = {target.name: target for target in old.targets}
        for target in self.targets:
            known = before.pop(target.name, None)
            if known is None:
                target.started = self.clock.now()
                continue
            target.resume(known)
            if same_way and known not in old._given:
                target.pool.close()
                target.endpoint.close()
                target.pool, target.endpoint = known.pool, known.endpoint
                old._given.add(known)
        if mine.health.passive is None:
            for target in self.targets:
                target.ejected = False
        if mine.health.active is None:
            for target in self.targets:
                target.probed = True
        self._select()

    async def drain(self, seconds: float) -> bool:
        """Wait until no exchange is under way, at most ``seconds``. False if some are left."""
        until = self.clock.now() + seconds
        while self.active and self.clock.now() < until:  # noqa: ASYNC110 - an event would be the path's to set
            await asyncio.sleep(0.02)
        return not self.active

    @property
    def active(self) -> int:
        """Exchanges under way."""
        return sum(target.active for target in self.targets)

    @property
    def well(self) -> bool:
        """At least one target is well."""
        return any(target.well and target.weight for target in self.targets)

    def snapshot(self) -> dict[str, Any]:
        """For ``/upstreams`` and readiness."""
        return {
            "upstream": self.name,
            "critical": self.settings.critical,
            "well": self.well,
            "panicking": self.selection.panicking,
            "serving": [target.name for target in self.selection.targets],
            "targets": [target.snapshot() for target in self.targets],
        }

    # -- what routes and plugins use ---------------------------------------------------------------------------

    def forwarder(self, timeout: Timeout, *, rewrite: Rewriter | None = None, host: str | None = None) -> Handler:
        """A way here, bound once by a route. ``host``: ``target`` (or None), ``preserve``, or a name."""
        return Forwarder(self, timeout, rewrite, host).forward

    def publish(self, make: Callable[[str], Gate | None]) -> None:
        """Ask a plugin for its gate of each target (by URL); the balancer reads them from now on."""
        for target in self.targets:
            gate = make(target.name)
            if gate is not None:
                target.gate = gate if target.gate is None else _Both(target.gate, gate)
                self._gated = True
        self.plain = self.plain and not self._gated

    # -- choosing ----------------------------------------------------------------------------------------------

    def choose(self, request: Request) -> LiveTarget:
        """A target for a first attempt. Raises NoTarget."""
        if self.sticky is not None:
            bound = self.sticky.target(request)
            if bound is not None and bound.well and (bound.gate is None or bound.gate.admits()):
                return bound
        chosen = self.selection.pick(request)
        if not self._gated or chosen.gate is None or chosen.gate.admits():
            return chosen
        # Where no gate admits, the plugin behind the first one refuses in its own words.
        return other(self.selection, (chosen,), _admitted) or chosen

    def hindrance(self) -> str:
        """Why a request that nobody waits for should not be sent now; empty if it may be.

        While most targets are ill clients' requests are sent even so (`gateway.forward.select`); these can wait.
        """
        well = [target for target in self.targets if target.weight and target.well]
        if not well:
            return "no_target"
        return "" if any(_admitted(target) for target in well) else "circuit_open"

    def _select(self) -> None:
        now = self.clock.now()
        settings = self.settings
        before = getattr(self, "selection", None)
        self.selection = select(
            self.targets,
            settings.balance,
            panic=settings.health.panic_threshold,
            slow_start=settings.slow_start,
            now=now,
        )
        self.pick = self.selection.pick
        if before is not None and before.panicking != self.selection.panicking:
            word = "panics: most targets are ill, so all are used" if self.selection.panicking else "panics no longer"
            log.warning("upstream %s %s", self.name, word, extra={"upstream": self.name})
        due = [] if self._ejector is None or (end := self._ejector.due()) is None else [end]
        if self.selection.starting:
            due.append(now + settings.slow_start / _RAMP)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if due and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(max(0.01, min(due) - now), self.tick)

    def tick(self) -> None:
        """Look at the clock: ejections that are over end, shares that grow are worked out again."""
        if self._ejector is not None:
            for target in self._ejector.expire(self.clock.now()):
                self._say(target, "is used again after an ejection", logging.INFO)
        self._select()

    # -- health ------------------------------------------------------------------------------------------------

    def record(self, target: LiveTarget, ended: Response | GatewayError) -> None:
        """Count the end of an attempt, for or against its target."""
        if isinstance(ended, Response):
            if ended.status not in FAILING:
                target.ok.value += 1
                if ended.body.whole is not None:
                    target.failures = 0
                return
            target.tally.bad.value += 1
            reason = f"answered {ended.status}"
        else:
            if not counts(ended):
                return
            target.tally.failed.value += 1
            reason = ended.reason
        if self._ejector is not None and self._ejector.failed(target, self.clock.now()):
            self._watch.ejected(target.name)
            seconds = target.ejected_until - self.clock.now()
            self._say(target, f"is ejected for {seconds:g}s after {target.failures} failures, last: {reason}")
            self._select()

    def streamed(self, target: LiveTarget, response: Response) -> None:
        """The body of an answer has ended: what its target cut short is held against it as no answer is."""
        target.active -= 1
        body = response.body
        if body.failure is not None:
            self.record(target, body.failure)
        elif body.complete and response.status not in FAILING:
            target.failures = 0

    def report(self, target: str, healthy: bool, why: str = "") -> None:
        """What active checks found of a target, by URL: here, or in the worker that runs them."""
        for each in self.targets:
            if each.name == target and each.probed != healthy:
                each.probed = healthy
                if healthy:
                    each.started = self.clock.now()
                    self._say(each, "is well again", logging.INFO)
                else:
                    self._say(each, f"is ill: {why}" if why else "is ill")
                self._select()

    def _say(self, target: LiveTarget, what: str, level: int = logging.WARNING) -> None:
        extra = {"upstream": self.name, "target": target.name}
        log.log(level, "target %s of upstream %s %s", target.name, self.name, what, extra=extra)

    # -- counting ----------------------------------------------------------------------------------------------

    def retried(self, target: LiveTarget) -> None:
        """Another attempt is made, at ``target``."""
        self._watch.retried(target.name)

    def skipped(self, reason: str) -> None:
        """An attempt failed and no other is made."""
        self._watch.skipped(reason)


class _Both:
    """Two gates in a row."""

    __slots__ = ("_first", "_second")

    def __init__(self, first: Gate, second: Gate) -> None:
        self._first = first
        self._second = second

    def admits(self) -> bool:
        return self._first.admits() and self._second.admits()


def _admitted(target: LiveTarget) -> bool:
    return target.gate is None or target.gate.admits()


def _text(value: Any) -> Any:
    return value if isinstance(value, bool) or value is None else str(value)
