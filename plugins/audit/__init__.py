"""Records who did what to which resource, and with which result, in the chained records of the audit trail.

Where, for how long and under which key they are kept says `audit` at the top of the configuration; `gateway audit`
verifies and exports them. Put it outermost, best into `defaults`: only what it stands around is recorded, and being
refused is to be recorded, too. A record follows the end of the exchange, and no request waits for it unless it should.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gateway.errors import GatewayError, Source
from gateway.http import Exchange, Handler, Request, Response
from gateway.plugin import Context, Plugin, Stage
from gateway.plugin.claims import find
from gateway.plugin.template import compile_template, tenant_of
from gateway.services.audit import Event, Kind, Result
from plugins.audit.settings import AuditSettings

__all__ = ["Audit", "AuditSettings", "AuditUnavailable"]

LONGEST: Final = 256
"""Characters of a header field and of a claim that are kept."""
MOST: Final = 32
"""Entries of a claim that are kept."""
PATIENCE: Final = 5.0
"""Seconds that an answer waits for its record."""


class AuditUnavailable(GatewayError):
    """What happens here has to be recorded, and cannot be."""

    code, status, title, source = "audit_unavailable", 503, "Audit unavailable", Source.INTERNAL


class Audit(Plugin[AuditSettings]):
    stage = Stage.DRESS
    refuses = True
    audits = True

    def __init__(self, settings: AuditSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._audit = context.audit
        self._action = compile_template(settings.action)
        self._resource = compile_template(settings.resource)
        self._methods = frozenset(settings.methods)
        self._wanted = _wanted(settings)

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        if self._methods and request.method not in self._methods:
            return await proceed(request)
        if why := self._audit.refusing:
            self.refuse(_unavailable(why))
        response = await proceed(request)
        if self.settings.wait or response.tunnel is not None:
            await self._at_its_head(request, response)
        return response

    async def _at_its_head(self, request: Request, response: Response) -> None:
        """Record an answer before it is given; of a connection that may stay for days, that it begins."""
        result = _result(response.status, response.error, aborted=False)
        if not self._wanted(response.status, result):
            return
        facts = _facts(request, response.status, response.error, self.context.clock.now() - request.received)
        if response.tunnel is not None:
            facts["tunnel"] = "opened"
        event = self._event(request, result, facts)
        if self.settings.wait:
            await self._on_disk(event, response)
        else:
            self._audit.record(event)

    async def _on_disk(self, event: Event, response: Response) -> None:
        """Wait until it is, and keep the answer back if it does not get there."""
        if await self._audit.record_and_wait(event, PATIENCE) or not self._audit.refusing:
            return
        if not self.shadow:
            response.body.close()
            if response.tunnel is not None:
                response.tunnel.close()
        self.refuse(_unavailable(self._audit.refusing))

    def done(self, exchange: Exchange) -> None:
        """Record the exchange."""
        request = exchange.request
        if self._methods and request.method not in self._methods:
            return
        response = exchange.response
        tunnelled = response is not None and response.tunnel is not None
        aborted = exchange.aborted or response is None
        if self.settings.wait and not aborted and not tunnelled:
            return  # recorded already
        result = _result(exchange.status, exchange.error, aborted=aborted)
        if not self._wanted(exchange.status, result):
            return
        facts = _facts(request, exchange.status, exchange.error, exchange.duration)
        if tunnelled:
            facts["tunnel"] = "closed"
        facts["bytes_in"], facts["bytes_out"] = exchange.received_bytes, exchange.sent_bytes
        self._audit.record(self._event(request, result, facts))

    def _event(self, request: Request, result: Result, facts: dict[str, Any]) -> Event:
        principal, settings = request.principal, self.settings
        details: dict[str, Any] = {"client": request.client_ip}
        tenant = tenant_of(request)
        if tenant is not None:
            details["tenant"] = tenant[:LONGEST]
        if settings.claims and principal is not None:
            claims = {name: _cut(find(principal.claims, name)) for name in settings.claims}
            details["claims"] = {name: value for name, value in claims.items() if value is not None}
        if settings.headers:
            fields = {name: request.headers.get(name) for name in settings.headers}
            details["headers"] = {name: value[:LONGEST] for name, value in fields.items() if value is not None}
        return Event(
            Kind.REQUEST,
            self._action(request),
            self._resource(request),
            result,
            principal.id if principal is not None else "",
            self.context.route,
            facts,
            details,
        )


def _facts(request: Request, status: int, error: GatewayError | None, duration: float) -> dict[str, Any]:
    """What the gateway says of an exchange; nothing of it comes from outside as it is."""
    facts: dict[str, Any] = {
        "status": status,
        "request_id": request.id,
        "method": request.method,
        "target": request.target,
        "duration_ms": round(duration * 1000, 3),
    }
    if error is not None:
        facts["error"] = error.code
    if request.trace is not None:
        facts["trace"] = request.trace[3:35].decode()
    return facts


def _result(status: int, error: GatewayError | None, *, aborted: bool) -> Result:
    if aborted:
        return Result.ABORTED
    if status < 400:
        return Result.SUCCESS
    ours = error is not None and error.source in (Source.POLICY, Source.CLIENT)
    return Result.REFUSED if ours or status in (401, 403) else Result.FAILED


def _wanted(settings: AuditSettings) -> Callable[[int, Result], bool]:
    statuses = frozenset(
        number for text in settings.statuses for number in (_class(text) if text.endswith("xx") else (int(text),))
    )
    results = frozenset(map(Result, settings.results))
    if not statuses and not results:
        return lambda _status, _result: True
    return lambda status, result: (not statuses or status in statuses) and (not results or result in results)


def _class(text: str) -> range:
    first = int(text[0]) * 100
    return range(first, first + 100)


def _unavailable(why: str) -> AuditUnavailable:
    return AuditUnavailable(headers=(("Retry-After", "5"),), reason=f"the audit trail cannot be written: {why}")


def _cut(value: Any) -> Any:
    """A claim as far as it is kept."""
    if isinstance(value, str):
        return value[:LONGEST]
    if isinstance(value, list | tuple | set | frozenset):
        return [_cut(each) for each in list(value)[:MOST] if isinstance(each, str | int | float | bool)]
    return value if value is None or isinstance(value, int | float | bool) else str(value)[:LONGEST]
