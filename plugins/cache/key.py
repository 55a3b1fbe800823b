"""What an answer is found by: the URL, as far as the operator wants it told apart, and who may see it."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final
from urllib.parse import unquote_plus

from gateway.http import Request
from gateway.plugin.template import tenant_of
from plugins.cache.asked import RETELLING, RETOLD
from plugins.cache.settings import CacheSettings, Partition
from plugins.cache.vary import misspelt

Part = Callable[[Request], str]
"""A part of a key; what it gives is quoted by `compile_parts`."""
_PORTS: Final = {"http": ":80", "https": ":443"}
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.~*-]+").fullmatch
_RETELLING: Final = frozenset(name.decode() for name in RETELLING)


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

    wanted = tuple(pattern.lower() for pattern in only) if only is not None else None

    def keep(part: str) -> bool:
        name = unquote_plus(part.partition("=")[0])
        # What a target might read as another parameter, or as two, is never left out: some part at `;`, some cut
        # names at a NUL or a bracket, drop blanks, take `.` for `_`, or see no case.
        if ";" in part or not _PLAIN_NAME(name):
            return True
        if wanted is not None:
            return "." in name or any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in wanted)
        return not any(fnmatch.fnmatchcase(name, pattern) for pattern in ignore)

    def read(query: str) -> str:
        parts = [part for part in query.split("&") if part and keep(part)]
        # Of one name the order does mean something: targets take the first, the last or all.
        return "&".join(sorted(parts, key=_name_of) if sort else parts)

    return read


def _name_of(part: str) -> str:
    return unquote_plus(part.partition("=")[0])


def header_part(name: str) -> Part:
    """The values of a field."""
    return lambda request: ",".join(request.headers.getall(name, ()))


def cookie_part(name: str) -> Part:
    """The values of a cookie: of several some targets take the first, some the last."""

    def read(request: Request) -> str:
        found = []
        for line in request.headers.getall("Cookie", ()):
            for pair in line.replace(",", ";").split(";"):
                key, equals, value = pair.strip().partition("=")
                if equals and unquote_plus(key.strip()) == name:
                    found.append(value)
        return ";".join(found)

    return read


def retold_part(request: Request) -> str:
    """What a trusted proxy says was asked for: targets make links of it, and may have it from the client."""
    found = []
    for name, value in request.headers.items():
        lowered = name.lower()
        if lowered == "forwarded":
            pairs = [pair.strip() for pair in value.replace(",", ";").split(";")]
            value = ";".join([pair for pair in pairs if pair[:4].lower() == "host"])
        if value and lowered in _RETELLING:
            found.append(f"{lowered}={len(value)}:{value}")
    return "".join(found)


def principal_part(request: Request) -> str:
    """The caller, with the tenant, as ids are unique only within one, and with what these credentials allow."""
    principal = request.principal
    if principal is None:
        return ""
    tenant = tenant_of(request) or ""
    part = f"{len(tenant)}:{tenant}{len(principal.id)}:{principal.id}"
    if principal.roles or principal.scopes:  # a token for less must not be told what one for more was
        for allowed in (principal.roles, principal.scopes):
            text = "\0".join(sorted(allowed))
            part += f",{len(text)}:{text}"
    return part


def is_of(key: str, principal: str) -> bool:
    """Whether a key is of this principal, of whatever tenant."""
    at = key.find("\np=")
    while at >= 0:
        tenant, mark, rest = key[at + 3 :].partition(":")
        if mark and tenant.isdecimal() and len(tenant) < 9:
            length, mark, rest = rest[int(tenant) :].partition(":")
            if mark and length == str(len(principal)) and rest.startswith(principal):
                return True
        at = key.find("\np=", at + 1)
    return False


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

    __slots__ = ("_named", "_parts", "_principal", "_query", "_required", "_scheme", "_tenant")

    def __init__(self, settings: CacheSettings) -> None:
        key = settings.key
        self._scheme = key.scheme
        self._query = query_reader(key.query.only, key.query.ignore, sort=key.query.sort)
        parts = [(f"h.{name}", header_part(name)) for name in key.headers]
        parts += [(f"c.{name}", cookie_part(name)) for name in key.cookies]
        self._parts = compile_parts(parts)
        self._named = frozenset(name.lower() for name in key.headers if "-" in name)
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

    def kept_as(self, named: str) -> str:
        """A URL or path that somebody named, with as much of its query as tells answers apart here."""
        path, mark, query = named.partition("?")
        if not mark or self._query is None or named.endswith("*"):
            return named
        reduced = self._query(query)
        return f"{path}?{reduced}" if reduced else path

    def of(self, request: Request, bits: int = 0) -> tuple[str, str] | None:
        """The key and the URL; None if the request lacks what answers are kept apart by, or says it in two ways."""
        if self._named and misspelt(request, self._named):
            return None
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
        if bits & RETOLD:
            key += "\nv=" + retold_part(request)
        if self._principal and request.principal is not None:
            if not request.principal.id:  # somebody, and nobody knows who
                return None
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
