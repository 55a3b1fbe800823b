"""Asks a service of yours whether a request may go on, and takes over what it says of the caller.

The service is an upstream like any other: it gets the caller's credentials and where they want to go, and answers 2xx
for yes. From 300 to 499 is its refusal, which the client gets with its status; all else means that it is broken.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from typing import Final, Literal

from multidict import MultiMapping
from pydantic import Field, model_validator

from gateway.errors import GatewayError, Source
from gateway.http import Body, Handler, Principal, Request, ReservedFields, Response
from gateway.plugin import Authenticator, Context, Count, Duration, Settings, Size
from gateway.plugin.field import FieldName
from gateway.plugin.upstream import UpstreamName

MOST_ENTRIES: Final = 1000
"""Roles or scopes of one caller."""
LONGEST: Final = 512
"""Characters of a caller's name."""
ANSWER: Final = 65536
"""Bytes of the service's answer that are read, so that its connection can be used again."""
_TOLD: Final = ("X-Forwarded-Method", "X-Forwarded-Uri")
_CHAIN: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto")
"""Kept for the forwarder, which goes on with a trusted proxy's and drops everybody else's."""


class AuthRefused(GatewayError):
    """The service that was asked said no; the status is its own."""

    code, status, title, source = "forward_auth_refused", 403, "Not allowed", Source.POLICY


class AuthUnavailable(GatewayError):
    """The service that was asked did not answer with yes or no."""

    code, status, title, source = "forward_auth_unavailable", 503, "Authorization unavailable", Source.UPSTREAM


class Identity(Settings):
    """The header fields of the service's yes that say who the caller is."""

    id: FieldName | None = Field(
        default=None,
        description="The caller, for limits and logs. Unset, or absent: a digest of the credentials that were sent.",
    )
    tenant: FieldName | None = Field(default=None, description="The caller's tenant.")
    roles: FieldName | None = Field(default=None, description="Roles, separated by commas.")
    scopes: FieldName | None = Field(default=None, description="Scopes, separated by spaces or commas.")
    rate_class: FieldName | None = Field(default=None, description="For limits that differ by class.")


class Remember(Settings):
    """A yes is remembered for requests of the same method, path and credentials; a no never is."""

    ttl: Duration = Field(default=0.0, le=3600, description="For how long. 0: the service is asked each time.")
    size: Count = Field(default=10_000, gt=0, le=1_000_000, description="How many answers are kept in each worker.")


class ForwardAuthSettings(Settings):
    """What is sent, what is taken over, and what happens when there is no answer."""

    upstream: UpstreamName = Field(description="The service that is asked, under `upstreams`.")
    path: str = Field(
        default="/", pattern=r"^/[!-~]*$", description="The path it is asked at, with GET and without a body."
    )
    request_headers: tuple[FieldName, ...] = Field(
        default=("Authorization", "Cookie", "Accept", "Origin", "User-Agent", "X-API-Key", "X-Requested-With"),
        description="The client's fields it gets, beside the forwarding ones and `X-Forwarded-Method`, `-Uri`.",
    )
    body: Size = Field(
        default=0, le=10_000_000, description="Send the request's body too, up to this size; larger ones get 413."
    )
    upstream_headers: tuple[FieldName, ...] = Field(
        default=(), description="Fields of its yes that go on to the target. What clients send in these is taken out."
    )
    response_headers: tuple[FieldName, ...] = Field(
        default=(), description="Fields of its yes that go back to the client, such as `Set-Cookie`."
    )
    client_headers: tuple[FieldName, ...] = Field(
        default=("Location", "Set-Cookie", "WWW-Authenticate"),
        description="Fields of its no that go back to the client.",
    )
    principal: Identity = Field(default=Identity(), description="Who the caller is, from fields of its yes.")
    timeout: Duration = Field(default=5.0, gt=0, le=60, description="How long an answer may take, retries included.")
    on_error: Literal["deny", "allow"] = Field(
        default="deny",
        description="Without a yes or no: `deny` answers 503; `allow` lets everybody in without a principal.",
    )
    remember: Remember = Field(default=Remember(), description="Asking less often.")

    @model_validator(mode="after")
    def _credentials_make_the_difference(self) -> ForwardAuthSettings:
        if self.remember.ttl and not self.request_headers:
            raise ValueError("`remember` needs `request_headers`: without any, one caller's yes would be everybody's")
        if self.remember.ttl and self.body:
            raise ValueError("`remember` and `body` do not go together: a yes to one body is none to another")
        return self


class _Yes:
    __slots__ = ("back", "principal", "until", "up")

    def __init__(self, principal: Principal, up: list[tuple[str, str]], back: list[tuple[str, str]]) -> None:
        self.principal = principal
        self.up = up
        self.back = back
        self.until = 0.0


class ForwardAuth(Authenticator[ForwardAuthSettings]):
    buffers_body = True

    def __init__(self, settings: ForwardAuthSettings, context: Context) -> None:
        super().__init__(settings, context)
        path, _, self._query = settings.path.partition("?")
        self._path = path
        identity = settings.principal
        ours = {*settings.upstream_headers, *filter(None, identity.model_dump().values())}
        self._ours = ReservedFields(ours) if ours else None
        self._known: OrderedDict[bytes, _Yes] = OrderedDict()
        self._now = context.clock.now
        answers = context.metrics.counter(
            "forward_auth_requests_total", "Requests by what the service said of them.", ("route", "plugin", "outcome")
        )
        self._yes, self._no, self._failed, self._remembered = (
            answers.child(context.route, context.id, answer) for answer in ("yes", "no", "error", "remembered")
        )

    def challenge(self) -> str:
        return f'Forward realm="{self.context.route}"'

    @classmethod
    def alone(cls, settings: ForwardAuthSettings) -> str:
        return "response_headers" if settings.response_headers else ""

    def cleanse(self, request: Request) -> None:
        """Nothing that the service says of a caller can be said by the caller."""
        if self._ours is not None:
            self._ours.take_out(request)

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        self.cleanse(request)
        yes: _Yes | None = None
        try:
            yes = await self._ask(request)
        except GatewayError as error:
            self.refuse(error)
        if yes is None:
            return await proceed(request)
        request.principal = yes.principal
        response = await proceed(request)
        for name, value in yes.back:
            response.edit_headers().add(name, value)
        return response

    async def authenticate(self, request: Request) -> Principal | None:
        """As a member of `any:`. Raises AuthRefused, AuthUnavailable."""
        yes = await self._ask(request)
        return yes.principal if yes is not None else None

    async def _ask(self, request: Request) -> _Yes | None:
        """None: there was no answer, and everybody is let in then. Raises AuthRefused, AuthUnavailable."""
        ttl = self.settings.remember.ttl
        name = self._name(request) if ttl else b""
        yes = self._known.get(name) if ttl else None
        if yes is not None and self._now() < yes.until:
            self._known.move_to_end(name)
            self._remembered.value += 1
        else:
            yes = await self._answer(request)
            if yes is not None and ttl:
                self._remember(name, yes)
        if yes is not None and yes.up:
            headers = request.edit_headers()
            for field, value in yes.up:
                headers.add(field, value)
        return yes

    def _remember(self, name: bytes, yes: _Yes) -> None:
        yes.until = self._now() + self.settings.remember.ttl
        self._known[name] = yes
        self._known.move_to_end(name)
        if len(self._known) > self.settings.remember.size:
            self._known.popitem(last=False)

    async def _answer(self, request: Request) -> _Yes | None:
        question = await self._question(request)
        try:
            async with asyncio.timeout(self.settings.timeout):
                response = await self.context.upstream(self.settings.upstream)(question)
                try:
                    await response.body.read(ANSWER)
                finally:
                    response.body.close()
        except (GatewayError, TimeoutError, KeyError) as failure:
            return self._without(failure.reason if isinstance(failure, GatewayError) else type(failure).__name__)
        status, fields = response.status, response.headers
        if 300 <= status < 500 and status != 304:  # nobody asked whether something had changed
            self._no.value += 1
            headers = tuple(_picked(fields, self.settings.client_headers))
            error = AuthRefused(reason=f"the service said {status}", headers=headers)
            error.status = status
            raise error
        if not 200 <= status < 300:
            return self._without(f"it said {status}")
        self._yes.value += 1
        up, back = self.settings.upstream_headers, self.settings.response_headers
        return _Yes(self._principal(request, fields), _picked(fields, up), _picked(fields, back))

    def _without(self, reason: str) -> _Yes | None:
        """Neither yes nor no. Raises AuthUnavailable unless that lets everybody in."""
        self._failed.value += 1
        if self.settings.on_error == "deny":
            raise AuthUnavailable(reason=reason)
        self.context.log.warning("let in without an answer on route %s: %s", self.context.route, reason)
        return None

    async def _question(self, request: Request) -> Request:
        body = await request.body.read(self.settings.body) if self.settings.body else b""
        question = request.fork(body=Body(body))
        question.method = "POST" if body else "GET"
        question.path, question.query = self._path, self._query
        question.upgrade, question.inform, question.upstream = "", None, None
        question.attempts = 0
        sent = self.settings.request_headers + (("Content-Type",) if body else ())
        fields = _picked(request.headers, sent)
        headers = question.edit_headers()
        headers.clear()
        headers.extend(fields)
        headers.extend(_picked(request.headers, _CHAIN))
        target = f"{request.path}?{request.query}" if request.query else request.path
        headers.extend(zip(_TOLD, (request.method, target), strict=True))
        return question

    def _name(self, request: Request) -> bytes:
        """What a yes is for: method, place and credentials."""
        where = (request.method, request.scheme, request.host, request.path, request.query, request.client_ip)
        return self._digest(request, *where)

    def _digest(self, request: Request, *parts: str) -> bytes:
        """Of these and of what was sent, so that no credentials are kept."""
        sent = (f"{name}:{value}" for name, value in _picked(request.headers, self.settings.request_headers))
        return hashlib.sha256("\0".join((*parts, *sent)).encode("utf-8", "surrogateescape")).digest()

    def _principal(self, request: Request, fields: MultiMapping[str]) -> Principal:
        names = self.settings.principal
        said = fields.get(names.id, "")[:LONGEST] if names.id is not None else ""
        return Principal(
            said or f"forwarded:{self._digest(request).hex()[:32]}",
            tenant=fields.get(names.tenant) if names.tenant is not None else None,
            roles=_set(fields, names.roles, ","),
            scopes=_set(fields, names.scopes, ", "),
            rate_class=fields.get(names.rate_class) if names.rate_class is not None else None,
        )


def _picked(fields: MultiMapping[str], names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(name, value) for name in names for value in fields.getall(name, ())]


def _set(fields: MultiMapping[str], name: str | None, separators: str) -> frozenset[str]:
    text = ",".join(fields.getall(name, ())) if name is not None else ""
    for separator in separators:
        text = text.replace(separator, ",")
    words = (word.strip() for word in text.split(",")[:MOST_ENTRIES])
    return frozenset(filter(None, words))
