"""Bearer tokens (RFC 6750): where they stand in a request, how they are refused, where one is to be had (RFC 9728)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from pydantic import Field, model_validator

from gateway.errors import ClientError, Source, Unauthorized
from gateway.http import Request, Response
from gateway.http.cookies import cookies, drop_cookies
from gateway.http.query import parameters, without_parameter
from gateway.plugin.contract import Endpoint
from gateway.plugin.field import FieldName
from gateway.plugin.issuer import Url
from gateway.plugin.settings import Off, Settings

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"


class InvalidToken(Unauthorized):
    """The token does not hold here: forged, of another issuer, for another audience, expired (RFC 6750 §3.1)."""

    code, title = "invalid_token", "Invalid token"


class Ambiguous(ClientError):
    """Credentials that could be read in two ways, such as more than one token (RFC 6750 §3.1)."""

    code, status, title, source = "invalid_request", 400, "Invalid request", Source.POLICY


# -- where they stand --------------------------------------------------------------------------------------------------


class Places(Settings):
    """Places that a token is taken from. A request that carries tokens in more than one is refused (RFC 6750 §2)."""

    header: Annotated[FieldName | None, Off] = Field(
        default="Authorization",
        description="The field. In `Authorization` the scheme `Bearer` must stand before the token, elsewhere it may.",
    )
    cookie: str | None = Field(
        default=None, min_length=1, max_length=128, description="A cookie. Cookies need `csrf` beside this."
    )
    query: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="A parameter of the URL. Off because URLs end in logs and histories (RFC 6750 §5.3).",
    )

    @model_validator(mode="after")
    def _somewhere(self) -> Places:
        if self.header is None and self.cookie is None and self.query is None:
            raise ValueError("at least one place")
        return self


def token_of(request: Request, places: Places) -> str | None:
    """The one token; None if there is none. Raises Ambiguous."""
    found = [*_in_header(request, places.header), *_in_cookie(request, places.cookie), *_in_query(request, places)]
    if len(found) > 1:
        raise Ambiguous(reason="more than one token")
    return found[0] if found else None


def _in_header(request: Request, name: str | None) -> list[str]:
    if name is None:
        return []
    lines = request.headers.getall(name, [])
    if name.lower() != "authorization":
        return [_bare(line) for line in lines if line]
    tokens = [_credentials(line) for line in lines]
    if len(lines) > 1 and any(token is not None for token in tokens):
        # Which of them the target believes nobody knows (RFC 9110 §5.3: the field is no list).
        raise Ambiguous(reason="more than one Authorization field")
    return [token for token in tokens if token is not None]


def _credentials(line: str) -> str | None:
    scheme, _, rest = line.strip(" \t").partition(" ")
    if scheme.lower() != "bearer":
        return None
    return _one(rest.strip(" \t"))


def _bare(line: str) -> str:
    return _credentials(line) or _one(line.strip(" \t"))


def _one(token: str) -> str:
    if not token or any(char in token for char in ' \t,;"'):
        raise Ambiguous(reason="Bearer credentials that are not one token")
    return token


def _in_cookie(request: Request, name: str | None) -> list[str]:
    if name is None:
        return []
    return [value.strip('"') for value in cookies(request, name) if value]


def _in_query(request: Request, places: Places) -> list[str]:
    if places.query is None or not request.query:
        return []
    return [value for value in parameters(request.query, places.query) if value]


def take_out(request: Request, places: Places) -> None:
    """Remove the token from every place it may stand in; other cookies and parameters stay as they were."""
    headers = request.edit_headers()
    if places.header is not None and (
        places.header.lower() != "authorization" or _credentials(headers.get(places.header, "")) is not None
    ):
        headers.popall(places.header, None)
    if places.cookie is not None:
        drop_cookies(request, places.cookie.__eq__)
    if places.query is not None and request.query:
        request.query = without_parameter(request.query, places.query)


# -- how they are refused, and where they are to be had ----------------------------------------------------------------


class ProtectedResource(Settings):
    """Metadata of a protected resource (RFC 9728)."""

    resource: Url = Field(description="The identifier of what is protected: its URL as clients write it.")
    authorization_servers: tuple[Url, ...] = Field(
        default=(), max_length=32, description="Issuers of tokens for it; by default those that the plugin trusts."
    )
    scopes: tuple[str, ...] = Field(default=(), max_length=256, description="Scopes that a client may ask for.")
    name: str | None = Field(default=None, max_length=256, description="What people call it.")
    documentation: Url | None = Field(default=None, description="A page for developers.")
    serve: bool = Field(
        default=True,
        description="Answer for the metadata here. Off where another route or plugin does, and says other things.",
    )

    @model_validator(mode="after")
    def _plain(self) -> ProtectedResource:
        parts = urlsplit(self.resource)
        if parts.query or parts.fragment or '"' in self.resource or "\\" in self.resource:
            raise ValueError("a `resource` without query, fragment or quotes (RFC 9728 §1.2)")
        return self

    @property
    def path(self) -> str:
        """Where the metadata stands: between host and path of the resource (RFC 9728 §3.1)."""
        return WELL_KNOWN + urlsplit(self.resource).path.rstrip("/")

    @property
    def url(self) -> str:
        """The same, whole."""
        parts = urlsplit(self.resource)
        return f"{parts.scheme}://{parts.netloc}{self.path}"

    def endpoint(self, issuers: Sequence[str], places: Places) -> Endpoint:
        """Answers for the metadata; any page may read it."""
        methods = [("header", places.header), ("query", places.query)]
        document = {
            "resource": self.resource,
            "authorization_servers": list(self.authorization_servers or issuers),
            "bearer_methods_supported": [name for name, place in methods if place is not None],
            "scopes_supported": list(self.scopes) or None,
            "resource_name": self.name,
            "resource_documentation": self.documentation,
        }
        body = msgspec.json.encode({name: value for name, value in document.items() if value is not None})
        headers = {
            "Content-Type": "application/json",
            "Cache-Control": "public, max-age=3600",
            "Access-Control-Allow-Origin": "*",
        }

        async def answer(_request: Request) -> Response:
            return Response(200, headers=headers, body=body)

        return Endpoint(self.path, answer, shared=body.decode())


class Refusals:
    """The answers of RFC 6750 §3 for one realm."""

    __slots__ = ("challenge",)

    def __init__(self, realm: str, resource: ProtectedResource | None = None) -> None:
        metadata = f', resource_metadata="{resource.url}"' if resource is not None else ""
        self.challenge = f'Bearer realm="{realm}"{metadata}'
        """Asks for a token, and says of none what is wrong with it."""

    def invalid(self, reason: str, *, expired: bool = False) -> InvalidToken:
        """401. ``reason`` is for the log."""
        # Of all that may be wrong only the end of its time is the sender's business; the rest helps who forges.
        said = "The token has expired" if expired else "The token is not valid here"
        challenge = f'{self.challenge}, error="invalid_token", error_description="{said}"'
        return InvalidToken(f"{said}.", reason=reason, headers=(("WWW-Authenticate", challenge),))

    def ambiguous(self, error: Ambiguous) -> Ambiguous:
        """400: the same error with its challenge."""
        error.headers = (("WWW-Authenticate", f'{self.challenge}, error="invalid_request"'),)
        return error
