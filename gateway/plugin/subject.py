"""Whom a request is counted by: the language of `key` in limits, compiled once at load."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Final, NamedTuple

from pydantic import AfterValidator

from gateway.http import Request
from gateway.plugin.settings import expected
from gateway.plugin.template import compile_template, tenant_of

Read = Callable[[Request], str]
"""The value, or nothing if it is missing."""

_PLACEHOLDER: Final = re.compile(r"\{\s*([^{}]+?)\s*\}")


class OnMissingKey(StrEnum):
    """What becomes of a request that has no key."""

    SKIP = "skip"
    IP = "ip"
    DENY = "deny"


class Subject(NamedTuple):
    """A compiled ``key``."""

    kind: str
    """A metric label: such as ``client_ip``, ``header``, ``template``."""
    read: Read
    secret: bool
    """Clients choose it, or it may identify credentials: it is not written to the log as it stands."""


@lru_cache(maxsize=4096)
def network_of(address: str, prefix: int) -> str:
    """An IPv6 address as its network, an IPv4 address in IPv6 clothes as itself, what is no address as it stands."""
    try:
        found = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), prefix), strict=False))


def client(prefix: int) -> Read:
    """Reads the client's address, IPv6 by its network."""

    def read(request: Request) -> str:
        address = request.client_ip
        return network_of(address, prefix) if ":" in address else address

    return read


def _principal(request: Request) -> str:
    principal = request.principal
    return principal.id if principal is not None else ""


def _claim(name: str) -> Read:
    def read(request: Request) -> str:
        value = request.principal.claims.get(name) if request.principal is not None else None
        return str(value) if isinstance(value, str | int) else ""

    return read


def _api_key(request: Request) -> str:
    return _named(request) or _principal(request)


_named: Final = _claim("key")
_SIMPLE: Final[dict[str, tuple[Read, bool]]] = {
    "principal": (_principal, False),
    "tenant": (lambda request: tenant_of(request) or "", False),
    "api_key": (_api_key, True),
    "path": (lambda request: request.path, False),
    "route": (lambda request: request.route.name, False),
}


def compile_subject(key: str, prefix: int = 64) -> Subject:
    """What ``key`` reads from a request; IPv6 addresses by their first ``prefix`` bits. Raises ValueError."""
    if key == "client_ip":
        return Subject(key, client(prefix), False)
    if key in _SIMPLE:
        return Subject(key, *_SIMPLE[key])
    kind, _, name = key.partition(":")
    if kind == "header" and name and "{" not in key:
        return Subject(kind, compile_template(f"{{header.{name}}}"), True)
    if kind == "claim" and name and "{" not in key:
        return Subject(kind, _claim(name), True)
    if _placeholders(key):
        return Subject("template", _template(key, prefix), True)
    known = ", ".join(["client_ip", *_SIMPLE, "header:NAME", "claim:NAME"])
    raise expected(f"one of {known}, or a template with placeholders")


def _placeholders(key: str) -> list[str]:
    return _PLACEHOLDER.findall(key.replace("{{", "").replace("}}", ""))


def _template(key: str, prefix: int) -> Read:
    compile_template(key)  # says what is wrong with it
    names = _placeholders(key)
    reads = [client(prefix) if name == "client_ip" else compile_template(f"{{{name}}}") for name in names]

    def read(request: Request) -> str:
        values = [value(request) for value in reads]
        # Parted by what no value can hold: whoever chooses one part cannot make it look like two.
        return "\0".join(values) if all(values) else ""

    return read


def _compiles(text: str) -> str:
    compile_subject(text)
    return text


SubjectKey = Annotated[str, AfterValidator(_compiles)]
"""A ``key`` in settings: what it says is known to compile."""
