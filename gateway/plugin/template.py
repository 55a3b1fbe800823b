"""Text with placeholders such as ``{request.id}``, compiled once at load to something that is called per request."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from gateway.http import Request
from gateway.plugin.settings import expected

Value = Callable[[Request], str]

_BRACES: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")

FIELDS: Final[dict[str, Value]] = {
    "request.id": lambda request: request.id,
    "request.method": lambda request: request.method,
    "request.path": lambda request: request.path,
    "request.query": lambda request: request.query,
    "request.host": lambda request: request.host,
    "request.scheme": lambda request: request.scheme,
    "client_ip": lambda request: request.client_ip,
    "route": lambda request: request.route.name,
    "principal": lambda request: request.principal.id if request.principal is not None else "",
    "tenant": lambda request: tenant_of(request) or "",
    "rate_class": lambda request: (request.principal.rate_class or "") if request.principal is not None else "",
}


def tenant_of(request: Request) -> str | None:
    """The tenant that was worked out for the request, or the principal's."""
    if request.tenant is not None:
        return request.tenant
    return request.principal.tenant if request.principal is not None else None


def _header(name: str) -> Value:
    return lambda request: request.headers.get(name, "")


def _path_parameter(name: str) -> Value:
    return lambda request: request.path_params.get(name, "") if request.path_params else ""


def _placeholder(name: str) -> Value:
    found = FIELDS.get(name)
    if found is not None:
        return found
    kind, _, rest = name.partition(".")
    if kind == "header" and rest:
        return _header(rest)
    if kind == "path" and rest:
        return _path_parameter(rest)
    known = ", ".join(f"{{{field}}}" for field in FIELDS)
    raise expected(f"placeholders out of {known}, {{header.NAME}} or {{path.NAME}}")


def compile_template(text: str) -> Value:
    """What ``text`` becomes for a request; an absent value is empty. Raises ValueError for a placeholder not known.

    ``{{`` and ``}}`` stand for braces.
    """
    parts: list[Value | str] = []
    position = 0
    for found in _BRACES.finditer(text):
        parts.append(text[position : found.start()])
        parts.append(_part(found))
        position = found.end()
    parts.append(text[position:])
    kept = [part for part in parts if part != ""]
    if not kept:
        return lambda _request: ""
    if len(kept) == 1:
        only = kept[0]
        return (lambda _request: only) if isinstance(only, str) else only
    return lambda request: "".join([part if isinstance(part, str) else part(request) for part in kept])


def _part(found: re.Match[str]) -> Value | str:
    if found[1] is not None:
        return _placeholder(found[1].strip())
    if len(found[0]) == 1:
        raise expected("text in which { and } stand in pairs, {{ and }} for braces of their own")
    return found[0][0]
