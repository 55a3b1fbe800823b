"""Finds whose request it is: the tenant that limits, cache, metrics and the access log are kept apart by.

A tenant may be said by the caller's credentials (`claim`, `principal`), which an authenticator before has verified, or
by the client (`host`, `header`, `path`, `parameter`), which may say anything. Where both are sources the credentials
must name one, so that nobody chooses a tenant by a header.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.errors import BadRequest, Forbidden, GatewayError, Unauthorized
from gateway.http import Exchange, Handler, Request, ReservedFields, Response
from gateway.plugin import Context, Count, FromFile, Plugin, Settings, Stage
from gateway.plugin.claims import find
from gateway.plugin.field import FieldName
from gateway.plugin.path import Path, PathPattern, key_of
from gateway.plugin.settings import expected
from gateway.services.metrics import OTHER

_ALNUM: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_PLACE: Final = "{tenant}"
_CLASSES: Final = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")
_MOST_CHILDREN: Final = 100_000

Read = Callable[[Request], str | None]


class TenantRequired(BadRequest):
    """Nothing in the request says whose it is."""

    code, title = "tenant_required", "Tenant required"


class InvalidTenant(BadRequest):
    """What the client says is no tenant's name, or it says two."""

    code, title = "invalid_tenant", "Invalid tenant"


class TenantRefused(Forbidden):
    """The tenant is none that is served here, or the caller's credentials name none."""

    code, title = "tenant_refused", "Tenant not allowed"


class TenantMismatch(Forbidden):
    """The request says in one place that it is one tenant's, and in another that it is another's."""

    code, title = "tenant_mismatch", "Tenants differ"


def _host_pattern(text: str) -> str:
    if text.count(_PLACE) != 1 or "*" in text or ":" in text or not text.replace(_PLACE, "x").isascii():
        raise expected("a host name with one {tenant} in it, such as {tenant}.example.com, without a port")
    if not text.partition(_PLACE)[2].lstrip("."):
        raise expected("a domain after {tenant}: without one, any host at all would name a tenant")
    return text.lower().rstrip(".")


def _path_pattern(text: str) -> str:
    if text.split("/").count(_PLACE) != 1:
        raise expected("a path with {tenant} as one of its segments, such as /t/{tenant}/")
    return text


class Source(Settings):
    """One place that may say it; exactly one key."""

    claim: str | None = Field(
        default=None, min_length=1, max_length=512, description="A claim by name or path, such as `org.id`. Verified."
    )
    principal: Literal[True] | None = Field(
        default=None, description="The tenant that the authenticator found with the caller. Verified."
    )
    host: Annotated[str, AfterValidator(_host_pattern)] | None = Field(
        default=None, description="A label of the host, as in `{tenant}.example.com`. The client chooses it."
    )
    header: FieldName | None = Field(default=None, description="A header field. The client chooses it.")
    path: Annotated[PathPattern, AfterValidator(_path_pattern)] | None = Field(
        default=None, description="A segment of the path, as in `/t/{tenant}/`. The client chooses it."
    )
    parameter: str | None = Field(
        default=None, min_length=1, max_length=64, description="A parameter of the route's path. The client chooses it."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(getattr(self, name) is not None for name in type(self).model_fields) != 1:
            raise expected("exactly one of claim, principal, host, header, path, parameter")
        return self

    @property
    def verified(self) -> bool:
        """Credentials say it, not the client."""
        return self.claim is not None or self.principal is not None

    @property
    def name(self) -> str:
        """For the log."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)


class TenantSettings(Settings):
    """Names are compared, limited and logged in their normal form."""

    sources: tuple[Source, ...] = Field(
        default=(Source(principal=True),), min_length=1, max_length=8, description="Places that say it, asked in order."
    )
    agree: bool = Field(
        default=True, description="All places that say something must say the same. Else the first that does decides."
    )
    unverified: bool = Field(
        default=False,
        description="Believe the client's own word also where a source is `claim` or `principal` and the caller's "
        "credentials name no tenant, or nobody is authenticated. Then any caller without tenant may choose one.",
    )
    required: bool = Field(default=True, description="Refuse requests that are nobody's.")
    keep_case: bool = Field(default=False, description="`Acme` and `acme` are two; otherwise names are in lower case.")
    characters: str = Field(
        default="-_.",
        pattern=r"^[-_.~@+=,!$]*$",
        description="What a name may hold besides ASCII letters and digits; the first is always one of these two.",
    )
    max_length: Count = Field(default=64, ge=1, le=256, description="Characters of a name at most.")
    allow: Annotated[tuple[str, ...] | None, FromFile] = Field(
        default=None, max_length=100_000, description="Tenants that are served, and no others. Unset: all."
    )
    map: Annotated[dict[str, str] | None, FromFile] = Field(
        default=None,
        max_length=100_000,
        description="What a tenant is called from here on, by a name that a request may give it: `{acme-corp: t17}`. "
        "Tenants that are in it neither way are refused.",
    )
    header: FieldName | None = Field(
        default=None,
        description="A field that tells the target the tenant. The client's own of this name, and of those in "
        "`sources`, go. Unset: fields are left alone.",
    )
    labels: Count = Field(
        default=100,
        ge=0,
        le=1000,
        description="Tenants with metrics of their own: the first of `allow` or `map`; without these the first that "
        "are answered without an error, in each worker. The rest share the label `__other__`.",
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.allow is not None and self.map is not None:
            raise expected("`allow` or `map`, not both: what `map` holds is allowed")
        normal = Normal(self)
        for given in (*(self.allow or ()), *(self.map or {}), *(self.map or {}).values()):
            if normal(given) != given:
                raise expected(f"names in their normal form; {given[:64]!r} is not")
        for given in set((self.map or {}).values()):
            if (self.map or {}).get(given, given) != given:
                raise expected(f"names that mean one tenant; {given!r} is one and stands for another")
        return self


class Normal:
    """The one form of a name."""

    __slots__ = ("_fold", "_most", "_taken")

    def __init__(self, settings: TenantSettings) -> None:
        self._fold = not settings.keep_case
        self._taken = _ALNUM | frozenset(settings.characters)
        self._most = settings.max_length

    def __call__(self, text: str) -> str | None:
        """None for what is no name."""
        if not 0 < len(text) <= self._most or text[0] not in _ALNUM or not self._taken.issuperset(text):
            return None
        return text.lower() if self._fold else text


# -- where it is read --------------------------------------------------------------------------------------------------


def _reader(source: Source) -> Read:
    if source.host is not None:
        return _of_host(source.host)
    if source.header is not None:
        return _of_header(source.header)
    if source.path is not None:
        return _of_path(source.path)
    if source.parameter is not None:
        name = source.parameter
        return lambda request: (request.path_params or {}).get(name) or None
    if source.claim is not None:
        return _of_claim(source.claim)
    return lambda request: request.principal.tenant if request.principal is not None else None


def _of_host(pattern: str) -> Read:
    before, _, after = pattern.partition(_PLACE)

    def read(request: Request) -> str | None:
        host = request.host.lower()
        if not host.endswith("]"):
            name, colon, port = host.rpartition(":")
            host = name if colon and (port.isdecimal() or not port) else host
        host = host.rstrip(".")
        if not host.startswith(before) or not host.endswith(after) or len(host) <= len(before) + len(after):
            return None
        found = host[len(before) : len(host) - len(after)]
        return found if "." not in found else None

    return read


def _of_header(name: str) -> Read:
    def read(request: Request) -> str | None:
        lines = request.headers.getall(name, ())
        if len(lines) > 1:
            raise InvalidTenant("The tenant is said more than once.", reason=f"{len(lines)} fields {name}")
        return lines[0].strip(" \t") if lines else None

    return read


def _of_path(pattern: str) -> Read:
    path = Path(pattern)
    at = pattern.split("/").index(_PLACE)

    def read(request: Request) -> str | None:
        return request.path.split("/")[at] if path.matches(key_of(request.path)) else None

    return read


def _of_claim(name: str) -> Read:
    def read(request: Request) -> str | None:
        found: Any = find(request.principal.claims, name) if request.principal is not None else None
        if isinstance(found, list) and len(found) == 1:
            found = found[0]
        if found is None or isinstance(found, str):
            return found or None
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
        raise TenantRefused(reason=f"claim {name} is no name")

    return read


class _Counts:
    """One tenant's exchanges."""

    __slots__ = ("by_class", "seconds")

    def __init__(self, by_class: Mapping[str, Any], seconds: Any) -> None:
        self.by_class = by_class
        self.seconds = seconds


class Tenant(Plugin[TenantSettings]):
    stage = Stage.ANYWHERE
    refuses = True

    def __init__(self, settings: TenantSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._normal = Normal(settings)
        self._sources = tuple((each, _reader(each)) for each in settings.sources)
        self._needs_verified = not settings.unverified and any(each.verified for each in settings.sources)
        self._names = self._meanings()
        own = [settings.header, *(each.header for each in settings.sources)] if settings.header is not None else []
        self._ours = ReservedFields(name for name in own if name is not None) if own else None
        self._challenge = f'Bearer realm="{context.route}"'
        labels = ("route", "plugin", "tenant")
        self._requests = context.metrics.counter(
            "tenant_requests_total",
            "Requests by tenant and class of status.",
            (*labels, "status"),
            limit=_MOST_CHILDREN,
        )
        self._seconds = context.metrics.counter(
            "tenant_request_seconds_total", "Time that they took.", labels, limit=_MOST_CHILDREN
        )
        self._others = self._counts_of(OTHER)
        self._counts: dict[str, _Counts] = {}
        named = None if self._names is None else tuple(dict.fromkeys(self._names.values()))
        self._labelled = None if named is None else frozenset(named[: settings.labels])

    def _meanings(self) -> dict[str, str] | None:
        settings = self.settings
        if settings.map is not None:
            return {**{each: each for each in settings.map.values()}, **settings.map}
        return {each: each for each in settings.allow} if settings.allow is not None else None

    @classmethod
    def check(cls, settings: TenantSettings) -> Sequence[str]:
        verified = [each.verified for each in settings.sources]
        found = []
        if not settings.agree and any(verified) and not verified[0]:
            found.append("the client's own word goes before its credentials, and they need not agree")
        if settings.unverified and not any(verified):
            found.append("`unverified` changes nothing: no source is verified")
        return found

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        try:
            tenant = self._find(request)
        except GatewayError as error:
            tenant = None
            self._cleanse(request)
            self.refuse(error)
        else:
            self._cleanse(request)
        if tenant is not None:
            request.tenant = tenant
            if self.settings.header is not None:
                request.edit_headers()[self.settings.header] = tenant
        return await proceed(request)

    def _cleanse(self, request: Request) -> None:
        if self._ours is not None:
            self._ours.take_out(request)

    def _find(self, request: Request) -> str | None:
        """Whose it is, in normal form. Raises GatewayError."""
        decided: str | None = None
        by = ""
        vouched = False
        for source, read in self._sources:
            said = read(request)
            if said is None:
                continue
            vouched = vouched or source.verified
            found = self._known(said, source)
            if decided is None:
                decided, by = found, source.name
            elif found != decided and self.settings.agree:
                raise TenantMismatch(reason=f"{by} says {decided}, {source.name} says {found}")
        if self._needs_verified and not vouched and (decided is not None or self.settings.required):
            if request.principal is None:
                raise Unauthorized(
                    reason="no credentials that name a tenant", headers=(("WWW-Authenticate", self._challenge),)
                )
            raise TenantRefused(reason="the caller's credentials name no tenant")
        if decided is None and self.settings.required:
            raise TenantRequired("The request does not say which tenant it is for.", reason="no source says it")
        return decided

    def _known(self, said: str, source: Source) -> str:
        found = self._normal(said)
        if found is None:
            reason = f"{source.name} says what is no name"
            if source.verified:
                raise TenantRefused(reason=reason)
            raise InvalidTenant("This is no tenant's name.", reason=reason)
        if self._names is None:
            return found
        meant = self._names.get(found)
        if meant is None:
            raise TenantRefused(reason=f"{source.name} says {found}, which is not served")
        return meant

    # -- metrics -------------------------------------------------------------------------------------------------------

    def _counts_of(self, label: str) -> _Counts:
        route, own = self.context.route, self.context.id
        by_class = {each: self._requests.child(route, own, label, each) for each in _CLASSES}
        return _Counts(by_class, self._seconds.child(route, own, label))

    def done(self, exchange: Exchange) -> None:
        tenant = exchange.request.tenant
        if tenant is None:
            return
        counts = self._counts.get(tenant)
        if counts is None:
            if self._labelled is not None:
                own = tenant in self._labelled
            else:  # names that are made up do not use up the labels
                own = len(self._counts) < self.settings.labels and 200 <= exchange.status < 400
            if own:
                counts = self._counts[tenant] = self._counts_of(tenant)
            else:
                counts = self._others
        counts.by_class[_CLASSES[exchange.status // 100 if 100 <= exchange.status < 600 else 0]].value += 1
        counts.seconds.value += exchange.duration
