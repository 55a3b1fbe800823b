"""Announces the end of an API version, answers 410 after it, and knows who still calls.

What is said: `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and `Link` to what explains or replaces the version.
Brownouts before the end find the callers who read no header fields.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from gateway.errors import GatewayError, Source
from gateway.http import Exchange, Handler, Request, Response
from gateway.plugin import AdminView, Context, Count, Plugin, Settings, Stage
from gateway.plugin.field import FieldValue
from gateway.plugin.moment import Moment


class Gone(GatewayError):
    """The version that was asked for has been switched off (RFC 9110 §15.5.11)."""

    code, status, title, source = "api_gone", 410, "Gone", Source.POLICY


class Brownout(GatewayError):
    """The version is switched off for a while, so that those who still call it notice before its end."""

    code, status, title, source = "api_brownout", 503, "Switched off for a while", Source.POLICY


_MOMENT: Final = "A date (its beginning in UTC) or a time with its zone."
Relation = Literal["deprecation", "sunset", "successor-version", "latest-version", "alternate"]


class Window(Settings):
    """A brownout."""

    from_: Moment = Field(alias="from", description=f"When it begins. {_MOMENT}")
    until: Moment = Field(description="When it ends, as `from`.")

    @model_validator(mode="after")
    def _has_length(self) -> Window:
        if self.until <= self.from_:
            raise ValueError("`until` is after `from`")
        return self


class DeprecationSettings(Settings):
    """Dates may lie in the future: callers are told before, and everything happens by itself."""

    since: Moment = Field(description=f"From when on the version is deprecated: `Deprecation`. {_MOMENT}")
    sunset: Moment | None = Field(
        default=None, description="When it is switched off: `Sunset`. Not before `since`. Unset: no end is announced."
    )
    links: Mapping[Relation, Annotated[FieldValue, Field(pattern=r"^[^\s<>]{1,2000}$")]] = Field(
        default={},
        description="`Link` fields: `deprecation` explains it, `sunset` the policy, `successor-version` replaces it.",
    )
    after_sunset: Literal["refuse", "serve"] = Field(
        default="refuse", description="`refuse`: 410 from the sunset on. `serve`: as before, with the fields."
    )
    brownouts: tuple[Window, ...] = Field(
        default=(), max_length=100, description="Times before the sunset at which requests get 503 and `Retry-After`."
    )
    override: bool = Field(default=False, description="Replace what the service itself says in these fields.")
    callers: Count = Field(
        default=200, ge=0, le=10_000, description="How many callers are told apart in the metric and the admin view."
    )

    @model_validator(mode="after")
    def _in_order(self) -> DeprecationSettings:
        if self.sunset is not None and self.sunset < self.since:
            raise ValueError("`sunset` is not before `since` (RFC 9745 §4)")
        return self


class Deprecation(Plugin[DeprecationSettings]):
    stage = Stage.DRESS
    refuses = True

    def __init__(self, settings: DeprecationSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._time = context.clock.time
        self._fields = [("Deprecation", f"@{int(settings.since.timestamp())}")]
        if settings.sunset is not None:
            self._fields.append(("Sunset", format_datetime(settings.sunset.astimezone(UTC), usegmt=True)))
        self._links = [f'<{target}>; rel="{relation}"' for relation, target in settings.links.items()]
        sunset = settings.sunset if settings.after_sunset == "refuse" else None
        self._sunset = sunset.timestamp() if sunset is not None else float("inf")
        self._brownouts = [(each.from_.timestamp(), each.until.timestamp()) for each in settings.brownouts]
        self._callers: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._calls = context.metrics.counter(
            "deprecation_calls_total",
            "Requests to deprecated routes by who sent them.",
            ("route", "plugin", "caller"),
        )

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        now = self._time()
        if now >= self._sunset:
            self.refuse(Gone("This version is no longer available.", headers=self._said()))
        for begin, end in self._brownouts:
            if begin <= now < end:
                later = ("Retry-After", str(int(end - now) + 1))
                self.refuse(Brownout("This version will be switched off.", headers=(later, *self._said())))
        response = await proceed(request)
        headers = response.edit_headers()
        for name, value in self._fields:
            if self.settings.override or name not in headers:
                headers[name] = value
        for link in self._links:
            headers.add("Link", link)
        return response

    def _said(self) -> tuple[tuple[str, str], ...]:
        return (*self._fields, *(("Link", link) for link in self._links))

    def done(self, exchange: Exchange) -> None:
        """Only now is the caller known: authentication may stand further inside."""
        caller = exchange.request.principal
        name = caller.id if caller is not None else "anonymous"
        known = self._callers.pop(name, None)
        if known is None and len(self._callers) >= self.settings.callers:
            # Who came first keeps its name: ever new callers must not push out the ones that an operator looks for.
            name = "other"
            known = self._callers.pop(name, None)
        self._callers[name] = ((known[0] if known is not None else 0) + 1, self._time())
        self._calls.child(self.context.route, self.context.id, name).value += 1

    def admin(self) -> Sequence[AdminView]:
        return (AdminView("callers", self._who),)

    async def _who(self, query: Mapping[str, str]) -> Any:
        """Who has called since the worker began, the latest first."""
        del query
        return [
            {"caller": name, "calls": calls, "last": datetime.fromtimestamp(last, UTC).isoformat(timespec="seconds")}
            for name, (calls, last) in reversed(self._callers.items())
        ]
