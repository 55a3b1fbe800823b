"""A request as it is kept in a queue: all that is needed to send it later as it came, byte for byte.

Fields about the client's connection are left out (RFC 9110 §7.6.1). The form has a version in front; what an older
gateway wrote is read, what a newer one wrote is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import msgspec

from gateway.http import Body, Request
from gateway.http.event import Event, event_of, note_event
from gateway.http.fields import KINDS, Kind, named_by_connection
from gateway.http.peer import Peer
from gateway.http.request import Principal
from gateway.services.ids import continue_trace

VERSION: Final = 1
_LEFT_OUT: Final = frozenset(
    {
        int(Kind.HOP),
        int(Kind.CONNECTION),
        int(Kind.CONTENT_LENGTH),
        int(Kind.TRANSFER_ENCODING),
        int(Kind.UPGRADE),
        int(Kind.EXPECT),
        int(Kind.TRAILER),
    }
)


class Unreadable(ValueError):
    """Not a kept request, or of a newer gateway."""


class _Caller(msgspec.Struct, array_like=True):
    id: str
    tenant: str | None = None
    roles: list[str] = []
    scopes: list[str] = []
    rate_class: str | None = None
    claims: dict[str, Any] = {}
    expires: float | None = None


class KeptRequest(msgspec.Struct, array_like=True):
    """The parts of a request, as they were when it was accepted."""

    version: int
    method: str
    path: str
    """In normal form, without the query."""
    query: str
    host: str
    scheme: str
    fields: list[tuple[bytes, bytes]]
    """Header fields in their order, without those left out."""
    body: bytes
    arrived: float
    """Seconds since the epoch."""
    id: str
    """The request's, in the logs."""
    client_ip: str = ""
    client_port: int = 0
    trusted: bool = False
    """The connection was one of ``trusted_proxies``, so that the forwarding fields it sent are continued."""
    trace: str = ""
    tenant: str | None = None
    upstream: str | None = None
    """Chosen by a plugin that stands in front."""
    path_params: dict[str, str] | None = None
    principal: _Caller | None = None
    event: tuple[str, str | None, float | None] | None = None
    """Provider, id and time, if somebody verified it."""
    event_id: str = ""
    """By what its receiver can know it again; empty: by the item's id."""

    def header(self, name: str) -> str:
        """The first value of a field; empty if there is none."""
        wanted = name.lower().encode()
        found = next((value for given, value in self.fields if given.lower() == wanted), b"")
        return found.decode("utf-8", "surrogateescape")

    def pack(self) -> bytes:
        """As `unpack` reads it."""
        return _encode(self)

    def request(self) -> Request:
        """As it was, for the plugins behind the one that kept it. Its body is whole."""
        made = Request(
            self.method,
            self.path,
            query=self.query,
            fields=tuple(self.fields),
            body=Body(self.body),
            host=self.host,
            scheme=self.scheme,
            client_ip=self.client_ip,
            id=self.id,
        )
        made.peer = Peer(self.client_ip, self.client_port, scheme=self.scheme, trusted=self.trusted)
        # Where it was left; whoever delivers it goes on from there (`gateway.services.tracing.Tracing.work`).
        made.trace = self.trace.encode() if continue_trace(self.trace) is not None else None
        made.tenant = self.tenant
        made.upstream = self.upstream
        made.path_params = self.path_params
        made.detached = True
        if self.principal is not None:
            made.principal = _principal(self.principal)
        if self.event is not None:
            note_event(made, Event(*self.event))
        return made


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(KeptRequest).decode


def kept_of(request: Request, body: bytes, arrived: float, *, without: frozenset[str] = frozenset()) -> KeptRequest:
    """What is kept of a request. ``without`` names fields in lower case that are not, such as ``authorization``."""
    peer = request.peer
    event = event_of(request)
    return KeptRequest(
        VERSION,
        request.method,
        _sendable(request.path),
        _sendable(request.query),
        clean(request.host),
        request.scheme,
        _kept_fields(request, _raw(without)),
        body,
        arrived,
        request.id,
        client_ip=request.client_ip,
        client_port=peer.port if peer is not None else 0,
        trusted=peer.trusted if peer is not None else False,
        trace=request.trace.decode() if request.trace is not None else "",
        tenant=clean(request.tenant) if request.tenant is not None else None,
        upstream=request.upstream,
        path_params={name: clean(value) for name, value in request.path_params.items()}
        if request.path_params
        else None,
        principal=_caller(request.principal) if request.principal is not None else None,
        event=(event.provider, clean(event.id) if event.id else None, event.time) if event is not None else None,
    )


def unpack(payload: bytes) -> KeptRequest:
    """What `KeptRequest.pack` made. Raises Unreadable."""
    try:
        kept = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable("not a kept request") from error
    if kept.version > VERSION:
        raise Unreadable(f"kept by a newer gateway (form {kept.version})")
    return kept


def clean(text: str) -> str:
    """Text that can be written as UTF-8: bytes that were none (surrogates) become question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _sendable(text: str) -> str:
    """A path or query without bytes that are no UTF-8: percent-encoded they say the same (RFC 3986 §2.1)."""
    if text.isascii():
        return text
    return "".join([f"%{ord(char) & 0xFF:02X}" if "\udc80" <= char <= "\udcff" else char for char in text])


@lru_cache(maxsize=64)
def _raw(names: frozenset[str]) -> frozenset[bytes]:
    return frozenset([name.encode() for name in names])


def _kept_fields(request: Request, without: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    kinds = KINDS
    named: frozenset[bytes] = frozenset()
    kept = []
    for name, value in request.fields:
        kind = kinds[name]
        if kind in _LEFT_OUT:
            if kind == Kind.CONNECTION:
                named |= named_by_connection(value)
        elif name.lower() not in without:
            kept.append((name, value))
    return [pair for pair in kept if pair[0].lower() not in named] if named else kept


def _caller(principal: Principal) -> _Caller:
    return _Caller(
        clean(principal.id),
        clean(principal.tenant) if principal.tenant is not None else None,
        sorted(principal.roles),
        sorted(principal.scopes),
        principal.rate_class,
        _plain(principal.claims),
        principal.expires,
    )


def _plain(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Claims as far as they can be written: a plugin may have put an object of its own there."""
    found = {}
    for name, value in claims.items():
        try:
            _encode_any(value)
        except (TypeError, ValueError, OverflowError):
            continue
        found[name] = value
    return found


_encode_any: Final = msgspec.msgpack.Encoder().encode


def _principal(caller: _Caller) -> Principal:
    return Principal(
        caller.id,
        tenant=caller.tenant,
        roles=frozenset(caller.roles),
        scopes=frozenset(caller.scopes),
        rate_class=caller.rate_class,
        claims=MappingProxyType(caller.claims),
        expires=caller.expires,
    )
