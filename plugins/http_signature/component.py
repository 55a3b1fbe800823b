"""Components of a message and the signature base made of them (RFC 9421 §2).

A component that cannot be had, or not in one way only, is an error: a verifier that leaves it out, or guesses, is
walked around.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote_plus

import http_sf
from multidict import MultiMapping

MOST_COMPONENTS: Final = 64
_DERIVED: Final = frozenset(
    {"@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query", "@query-param", "@status"}
)
_PARAMETERS: Final = frozenset({"sf", "key", "bs", "req", "tr", "name"})
_STRUCTURED: Final[dict[str, str]] = {
    **dict.fromkeys(("content-digest", "repr-digest", "want-content-digest", "want-repr-digest"), "dictionary"),
    **dict.fromkeys(("signature", "signature-input", "accept-signature", "priority", "cache-control"), "dictionary"),
    **dict.fromkeys(("cache-status", "proxy-status", "accept-ch", "client-cert-chain"), "list"),
    **dict.fromkeys(("client-cert", "idempotency-key", "deprecation"), "item"),
}
"""Fields that are structured, by type; settings may name more."""


class Unusable(ValueError):
    """A component that cannot be had. The text names the component, never its value."""


@dataclass(frozen=True, slots=True)
class View:
    """A message as signatures see it."""

    headers: MultiMapping[str]
    method: str = ""
    scheme: str = ""
    authority: str = ""
    path: str = "/"
    """As on the wire, without the query."""
    query: str = ""
    status: int = 0
    trailers: MultiMapping[str] | None = None
    request: View | None = None
    """Of an answer: what it answers."""


@dataclass(frozen=True, slots=True)
class Component:
    """What a signature covers: a field or a derived value, with the parameters that say how it is read."""

    name: str
    parameters: tuple[tuple[str, Any], ...] = ()

    @property
    def key(self) -> tuple[str, frozenset[tuple[str, Any]]]:
        """By which two are the same, whatever the order of their parameters."""
        return self.name, frozenset(self.parameters)

    def has(self, parameter: str) -> bool:
        return any(name == parameter and value is not False for name, value in self.parameters)

    def get(self, parameter: str) -> Any:
        return next((value for name, value in self.parameters if name == parameter), None)

    def __str__(self) -> str:
        return str(http_sf.ser((self.name, dict(self.parameters))))


def component_of(name: Any, parameters: Mapping[str, Any]) -> Component:
    """A component out of a parsed item. Raises Unusable."""
    if not isinstance(name, str) or not name or name != name.lower() or len(name) > 200:
        raise Unusable("a component whose name is not text in lower case")
    if name == "@signature-params" or (name.startswith("@") and name not in _DERIVED):
        raise Unusable(f"the component {name[:40]!r} is not known")
    if unknown := set(parameters) - _PARAMETERS:
        raise Unusable(f"the component {name!r} has the parameter {min(unknown)[:40]!r}")
    for flag in ("sf", "bs", "req", "tr"):
        if flag in parameters and parameters[flag] is not True:
            raise Unusable(f"the parameter {flag!r} of {name!r} is no flag")
    if (name == "@query-param") != ("name" in parameters) or not isinstance(parameters.get("name", ""), str):
        raise Unusable("only @query-param has a name, and must have one")
    if not isinstance(parameters.get("key", ""), str):
        raise Unusable(f"the key of {name!r} is no text")
    if "bs" in parameters and ("sf" in parameters or "key" in parameters):
        raise Unusable(f"{name!r} cannot be read as bytes and as a structure")  # §2.1.3
    if name.startswith("@") and {"sf", "key", "bs", "tr"} & set(parameters):
        raise Unusable(f"{name!r} is no field")
    return Component(name, tuple(parameters.items()))


def parse_component(text: str) -> Component:
    """A component as settings write it: a bare name, or an identifier with parameters. Raises Unusable."""
    if not text.startswith('"'):
        name, separator, rest = text.partition(";")
        text = f'"{name}"{separator}{rest}'
    try:
        item: Any = http_sf.parse(text.encode("ascii"), tltype="item")
    except (ValueError, http_sf.StructuredFieldError):
        raise Unusable('a component is written as a name, or as in `@query-param;name="id"`') from None
    return component_of(*item)


def signature_base(
    components: Sequence[Component], signature_params: str, view: View, structured: Mapping[str, str]
) -> bytes:
    """The bytes that are signed (§2.5). Raises Unusable."""
    if len(components) > MOST_COMPONENTS:
        raise Unusable(f"more than {MOST_COMPONENTS} components")
    if len({each.key for each in components}) != len(components):
        raise Unusable("a component is named twice")
    lines = []
    for each in components:
        value = value_of(each, view, structured)
        if "\n" in value or "\r" in value:
            raise Unusable(f"{each} has a line end in it")
        lines.append(f"{each}: {value}")
    lines.append(f'"@signature-params": {signature_params}')
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def value_of(component: Component, view: View, structured: Mapping[str, str]) -> str:
    """The value of a component in a message (§2.1, §2.2). Raises Unusable."""
    if component.has("req"):
        if view.request is None:
            raise Unusable(f"{component} speaks of a request, and this is none's answer")
        view = view.request
    if component.name.startswith("@"):
        return _derived(component, view)
    return _field(component, view, structured)


def _derived(component: Component, view: View) -> str:
    name = component.name
    if name == "@status":
        if not view.status:
            raise Unusable("@status of a request")
        return str(view.status)
    if view.status:
        raise Unusable(f"{name} of an answer; it needs the parameter `req`")
    if name == "@query-param":
        return _query_parameter(component.get("name"), view.query)
    authority = authority_of(view.authority, view.scheme)
    target = view.path + (f"?{view.query}" if view.query else "")
    return {
        "@method": view.method,
        "@authority": authority,
        "@scheme": view.scheme.lower(),
        "@path": view.path or "/",
        "@query": "?" + view.query,
        "@request-target": target,
        "@target-uri": f"{view.scheme.lower()}://{authority}{target}",
    }[name]


def authority_of(host: str, scheme: str) -> str:
    """In lower case, without the scheme's own port (§2.2.3)."""
    host = host.lower()
    return host.removesuffix(":443" if scheme.lower() == "https" else ":80")


def _query_parameter(name: str, query: str) -> str:
    """§2.2.8: decoded as a form, then encoded in one way; one that is there twice must not be signed."""
    found = [
        value
        for key, _, value in (pair.partition("=") for pair in query.split("&") if pair)
        if _encoded(unquote_plus(key, errors="surrogateescape")) == name
    ]
    if len(found) != 1:
        raise Unusable(f"the query parameter {name[:40]!r} is there {'more than once' if found else 'not at all'}")
    return _encoded(unquote_plus(found[0], errors="surrogateescape"))


def _encoded(text: str) -> str:
    return quote(text, safe="*-._", errors="surrogateescape").replace("~", "%7E")


def _field(component: Component, view: View, structured: Mapping[str, str]) -> str:
    name = component.name
    source: MultiMapping[str] | None = view.headers
    if component.has("tr"):
        source = view.trailers
    lines = source.getall(name, ()) if source is not None else ()
    if not lines:
        raise Unusable(f"{component} is not there")
    values = [" ".join(line.replace("\r\n", "\n").split("\n")).strip(" \t") for line in lines]
    if component.has("bs"):
        return ", ".join(f":{base64.b64encode(value.encode('utf-8', 'surrogateescape')).decode()}:" for value in values)
    combined = ", ".join(values)
    key = component.get("key")
    if key is None and not component.has("sf"):
        return combined
    kind = "dictionary" if key is not None else structured.get(name) or _STRUCTURED.get(name)
    if kind is None:
        raise Unusable(f"{name!r} is not known to be a structured field; name it in `structured`")
    try:
        parsed: Any = http_sf.parse(combined.encode("ascii"), tltype=kind)
        if key is None:
            return str(http_sf.ser(parsed)) if parsed or kind == "item" else ""
        if key not in parsed:
            raise Unusable(f"{component} is not there")
        return str(http_sf.ser([parsed[key]]))
    except (ValueError, http_sf.StructuredFieldError) as error:
        if isinstance(error, Unusable):
            raise
        raise Unusable(f"{component} cannot be read as a structured field") from None
