"""What an answer is found by: the URL, as far as the operator wants it told apart, and who may see it."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final
from urllib.parse import unquote_plus

from gateway.http import Request
from gateway.plugin.template import tenant_of
from plugins.cache.settings import CacheSettings, Partition

Part = Callable[[Request], str]
"""A part of a key; what it gives is quoted by `compile_parts`."""
_PORTS: Final = {"http": ":80", "https": ":443"}


def authority(request: Request) -> str:
    """The host asked for, in lower case, without the port that goes without saying (RFC 9110 §4.2.3)."""
    host = request.host.lower()
    if ":" in host:
        port = _PORTS.get(request.scheme, "")
        if port and host.endswith(port) and not host.endswith("]" + port[1:]):
            host = host[: -len(port)]
    return host


def query_reader(only: Sequence[str] | None, ignore: Sequence[str], *, sort: bool) -> Callable[[str], str] | None:
    """How a query is reduced to what tells answers apart; None if it stays as it is."""
    if only is None and not ignore and not sort:
        return None

    def keep(name: str) -> bool:
        if only is not None:
            return any(fnmatch.fnmatchcase(name, pattern) for pattern in only)
        return not any(fnmatch.fnmatchcase(name, pattern) for pattern in ignore)

    def read(query: str) -> str:
        parts = [part for part in query.split("&") if part and keep(unquote_plus(part.partition("=")[0]))]
        return "&".join(sorted(parts) if sort else parts)

    return read


def header_part(name: str) -> Part:
    """The values of a field."""
    return lambda request: ",".join(request.headers.getall(name, ()))


def cookie_part(name: str) -> Part:
    """The value of a cookie."""

    def read(request: Request) -> str:
        for line in request.headers.getall("Cookie", ()):
            for pair in line.split(";"):
                key, equals, value = pair.strip().partition("=")
                if key == name and equals:
                    return value
        return ""

    return read


def principal_part(request: Request) -> str:
    """The caller, with the tenant: ids are unique only within one. Nothing for a caller without a name."""
    principal = request.principal
    if principal is None:
        return ""
    tenant = tenant_of(request) or ""
    return f"{len(tenant)}:{tenant}{len(principal.id)}:{principal.id}"


def tenant_part(request: Request) -> str:
    """The caller's tenant."""
    return tenant_of(request) or ""


def compile_parts(parts: Sequence[tuple[str, Part]]) -> Part | None:
    """One text of several parts, in which no value can be taken for two; None without parts."""
    if not parts:
        return None

    def read(request: Request) -> str:
        # Each with its length: whoever chooses one part cannot make it look like two.
        values = [(name, part(request)) for name, part in parts]
        return "".join([f"\n{name}={len(value)}:{value}" for name, value in values])

    return read


def digest(body: bytes) -> str:
    """Of a request's body, for methods whose answer depends on it."""
    return blake2b(body, digest_size=16).hexdigest()


class KeyMaker:
    """Makes keys as the settings say."""

    __slots__ = ("_parts", "_principal", "_query", "_required", "_scheme", "_tenant")

    def __init__(self, settings: CacheSettings) -> None:
        key = settings.key
        self._scheme = key.scheme
        self._query = query_reader(key.query.only, key.query.ignore, sort=key.query.sort)
        parts = [(f"h.{name}", header_part(name)) for name in key.headers]
        parts += [(f"c.{name}", cookie_part(name)) for name in key.cookies]
        self._parts = compile_parts(parts)
        self._principal = settings.partition in (Partition.AUTO, Partition.PRINCIPAL)
        self._tenant = settings.partition is Partition.TENANT
        self._required = settings.partition in (Partition.PRINCIPAL, Partition.TENANT)

    def urls_of(self, request: Request, host: str) -> list[str]:
        """What a purge names: as it was asked for, and as answers are told apart here."""
        query, path = request.query, host + request.path
        if not query:
            return [path]
        if self._query is None:
            return [f"{path}?{query}"]
        reduced = self._query(query)
        return [f"{path}?{query}", f"{path}?{reduced}" if reduced else path]

    def of(self, request: Request) -> tuple[str, str] | None:
        """The key and the URL; None if the request lacks what answers are kept apart by."""
        host = request.host
        if not host.islower() or ":" in host:
            host = authority(request)
        query = request.query
        if query and self._query is not None:
            query = self._query(query)
        url = f"{host}{request.path}?{query}" if query else host + request.path
        key = f"{request.scheme}://{url}" if self._scheme else url
        if self._parts is not None:
            key += self._parts(request)
        if self._principal and request.principal is not None:
            key += "\np=" + principal_part(request)
        elif self._tenant and (tenant := tenant_part(request)):
            key += "\nt=" + tenant
        elif self._required:
            return None
        elif self._principal and request.tenant is not None:  # found without credentials, from a host or a field
            key += "\nt=" + request.tenant
        return key, url

    def apart(self, request: Request) -> bool:
        """Whether the key is of nobody else than this caller, or tenant."""
        if self._principal:
            return request.principal is not None
        return self._tenant and bool(tenant_part(request))
