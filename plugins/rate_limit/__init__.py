"""Limits how often a caller may ask: by address, principal, tenant, header or any mixture; in memory or in Redis.

All limits of a request are judged and charged in one atomic step. What is refused costs the caller nothing further.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

from gateway.errors import Forbidden, StoreUnavailable
from gateway.http import Handler, Request, Response
from gateway.plugin import Context, Plugin, Scope, Stage
from gateway.plugin.subject import OnMissingKey, client, compile_subject
from gateway.services.store import Degrading, KeyPrefix, MemoryStore
from plugins.rate_limit.algorithm import DECIDE, Verdict
from plugins.rate_limit.fields import Told, later, longest
from plugins.rate_limit.here import DECIDE_HERE, plan_of
from plugins.rate_limit.memory import Offenders, Refusals, Refused
from plugins.rate_limit.settings import (
    DEFAULT,
    Algorithm,
    Exempt,
    Limit,
    RateLimitSettings,
    idle,
)

__all__ = ["Algorithm", "Exempt", "Limit", "OnMissingKey", "RateLimit", "RateLimitSettings"]

KNOWN: Final = 4096
"""Subjects whose keys are kept ready, per plan; others' are made anew."""
LONGEST: Final = 256
"""Characters of a subject that are kept: thousands are remembered, and clients choose some of them."""


class Policy:
    """A plan's limits, made ready for the path of a request."""

    def __init__(self, limits: Sequence[Limit], settings: RateLimitSettings, prefix: KeyPrefix) -> None:
        self.periods = [limit.period for limit in limits]
        self.told = Told(limits, headers=settings.headers, legacy=settings.legacy_headers)
        numbers = [number for limit in limits for number in limit.numbers()]
        self.args = {cost: (cost, *numbers) for cost in settings.costs if limits and cost}
        """By cost; a cost that is not there is not charged."""
        self.refusals = Refusals()
        fields = _fields(limits)

        def keys(subject: str) -> tuple[bytes, ...]:
            return tuple([prefix.key(subject, field) for field in fields])

        self.keys = lru_cache(KNOWN)(keys)
        self.here: dict[int, Any] = {cost: (plan_of(fields, args),) for cost, args in self.args.items()}
        """The same for a store in this process."""
        self.key = lru_cache(KNOWN)(prefix.key)


def _fields(limits: Sequence[Limit]) -> list[str]:
    """Where each limit's count is kept. Of algorithm and period, so that a changed rate goes on with the same count."""
    names = [f"{limit.algorithm.value[0]}{limit.micros}" for limit in limits]
    return [f"{name}.{names[:at].count(name)}" if name in names[:at] else name for at, name in enumerate(names)]


class RateLimit(Plugin[RateLimitSettings]):
    stage = Stage.ANYWHERE  # before authentication by address, behind it by principal: both are right
    refuses = True
    scope = Scope.FLEET

    def __init__(self, settings: RateLimitSettings, context: Context) -> None:
        super().__init__(settings, context)
        prefix = KeyPrefix("rate_limit", context.route, context.id)
        self._everybody = Policy(settings.everybody, settings, prefix)
        plans = {name: limits for name, limits in settings.plans.items() if name != DEFAULT}
        self._plans = {name: Policy(limits, settings, prefix) for name, limits in plans.items()}
        self._costs: Mapping[str, int] | None = settings.cost if isinstance(settings.cost, Mapping) else None
        self._cost = settings.cost if isinstance(settings.cost, int) else settings.cost.get(DEFAULT, 1)
        self._subject = compile_subject(settings.key, settings.ipv6_prefix)
        self._client = client(settings.ipv6_prefix)
        self._exempts = _exemption(settings.exempt)
        self._tells = (settings.headers or settings.legacy_headers) and not self.shadow
        self._offenders = Offenders()
        self._memory: MemoryStore | None = None
        self._degrading: Degrading | None = None
        self._mode = context.mode.value
        place, metrics = (context.route, context.id), context.metrics
        self._violations = metrics.counter(
            "rate_limit_violations_total",
            "Requests over a limit, by what they are counted by.",
            ("route", "plugin", "key", "limit", "mode"),
        )
        self._unasked = metrics.counter(
            "rate_limit_remembered_refusals_total",
            "Requests over a limit that were refused without asking the store again.",
            ("route", "plugin"),
        ).child(*place)
        self._degraded = metrics.counter(
            "rate_limit_degraded_total",
            "Requests that met no store, by what became of them.",
            ("route", "plugin", "outcome"),
        ).child(*place, settings.on_store_error.value)
        self._approximate = metrics.gauge(
            "rate_limit_approximate",
            "1 where each worker counts its share of a limit by itself.",
            ("route", "plugin"),
            rule="max",
        ).child(*place)

    @classmethod
    def check(cls, settings: RateLimitSettings) -> Sequence[str]:
        plans = {"limits": settings.limits, **{f"plans.{name}": plan for name, plan in settings.plans.items()}}
        found = [
            f"{place}: {limit.label} can never bind: whatever {other.label} lets through fits it"
            for place, limits in plans.items()
            for limit, other in idle(limits)
        ]
        if settings.legacy_headers and not settings.headers:
            found.append("legacy_headers: sent without `RateLimit`, which newer clients look for")
        return found

    async def open(self) -> None:
        store = self.context.store()
        self._memory = store if isinstance(store, MemoryStore) else None
        self._degrading = Degrading(store, self.settings.on_store_error)
        self._approximate.set(int(store.approximate))

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        if self._exempts is not None and self._exempts(request):
            return await proceed(request)
        policy = self._policy_of(request) if self._plans else self._everybody
        cost = self._cost if self._costs is None else self._costs.get(request.method, self._cost)
        args = policy.args.get(cost)
        if args is None:  # no limit, or nothing to charge
            return await proceed(request)
        subject = self._subject.read(request) or self._without_key(request)
        if not subject:
            return await proceed(request)
        if len(subject) > LONGEST:
            subject = _shortened(subject)
        memory = self._memory
        if memory is not None:
            verdict: Verdict | None = memory.run_now(DECIDE_HERE, (policy.key(subject),), policy.here[args[0]])
        else:
            verdict = await self._ask(policy, subject, args)
        if verdict is None:
            return await proceed(request)
        if not verdict[0]:
            self._over(policy, subject, verdict)
        response = await proceed(request)
        if self._tells:
            policy.told.write(response, verdict)
        return response

    def _policy_of(self, request: Request) -> Policy:
        principal = request.principal
        if principal is None or principal.rate_class is None:
            return self._everybody
        return self._plans.get(principal.rate_class, self._everybody)

    def _without_key(self, request: Request) -> str:
        """Whom a request without its key is counted by; nobody if it is not limited, or shadow lets it pass."""
        choice = self.settings.on_missing_key
        if choice is OnMissingKey.IP:
            # Marked, so that nobody who is called like an address shares its count. All without an address share one.
            return "\0" + self._client(request)
        if choice is OnMissingKey.DENY:
            self.refuse(Forbidden("The request lacks what it must be counted by.", reason=f"no {self.settings.key}"))
        return ""

    async def _ask(self, policy: Policy, subject: str, args: tuple[int, ...]) -> Verdict | None:
        """The store's verdict, or what is known of it; None if the request is to pass without one."""
        now, cost = self.context.clock.now(), args[0]
        known = policy.refusals.find(subject, cost, now)
        if known is not None:
            self._unasked.value += 1
            return later(known.verdict, int((now - known.since) * 1_000_000))
        degrading, ports = self._degrading, self.context.ports
        assert degrading is not None, "it was opened"
        if degrading.local is not None:
            degrading.local.share = 1 / (ports.replicas * ports.workers)  # replicas come and go
        try:
            outcome = await degrading.run(DECIDE, policy.keys(subject), args)
        except StoreUnavailable as error:
            self._degraded.value += 1
            self.refuse(error)
            return None
        if outcome is None or outcome.degraded:
            self._degraded.value += 1
            return None if outcome is None else outcome.result
        verdict = outcome.result
        if not verdict[0]:
            policy.refusals.keep(subject, Refused(now, now + longest(verdict) / 1_000_000, cost, verdict))
        return verdict

    def _over(self, policy: Policy, subject: str, verdict: Verdict) -> None:
        kind, told = self._subject.kind, policy.told
        violated = told.violated(verdict)
        for index in violated:
            self._violations.child(self.context.route, self.context.id, kind, told.labels[index], self._mode).value += 1
        names = ", ".join([told.labels[index] for index in violated])
        window = max(policy.periods[index] for index in violated)
        count = self._offenders.note(subject, window, self.context.clock.now())
        if count is not None:
            who = _shown(subject, secret=self._subject.secret)
            fields = {"route": self.context.route, "plugin": self.context.id, "key": kind, "subject": who}
            self.context.log.warning(
                "abuse on %s: %s %s is over %s; %d refused since the last such line",
                self.context.route,
                kind,
                who,
                names,
                count,
                extra={**fields, "limit": names, "count": count, "mode": self._mode},
            )
        self.refuse(told.refusal(verdict))


def _shortened(subject: str) -> str:
    """A subject that is too long to be remembered as it stands, as a digest that no other has."""
    return "\1" + blake2b(subject.encode(errors="surrogateescape"), digest_size=20).hexdigest()


def _shown(subject: str, *, secret: bool) -> str:
    """A subject for the log: what clients choose, or may be a credential, as a digest that stays the same."""
    if subject.startswith("\0"):
        return subject[1:] or "unknown"
    if secret:
        return "#" + blake2b(subject.encode(errors="surrogateescape"), digest_size=6).hexdigest()
    return subject[:120].encode("unicode_escape").decode()


def _exemption(exempt: Exempt) -> Callable[[Request], bool] | None:
    if not exempt.clients and not exempt.principals:
        return None
    principals = frozenset(exempt.principals)
    is_within = lru_cache(KNOWN)(exempt.holds)

    def exempts(request: Request) -> bool:
        principal = request.principal
        return (principal is not None and principal.id in principals) or is_within(request.client_ip)

    return exempts
