"""What a trusted proxy says of the client before it: ``X-Forwarded-*``, or else ``Forwarded`` (RFC 7239).

Addresses are read from the right, which is the end that proxies write to, and the first that is not one of
``trusted_proxies`` is the client: what stands left of it is the client's own invention. ``X-Forwarded-For`` goes before
``Forwarded`` because nearly every balancer writes the one, and few know to drop the other.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from multidict import MultiMapping

    from gateway.http import Request
    from gateway.server.edge import Edge

_LIMIT: Final = 4096
"""Bytes of a list that are read, from its right end."""


def believe(edge: Edge, request: Request, headers: MultiMapping[str]) -> None:
    """Set who the client is and how it came here. Only for a connection from a trusted proxy."""
    chain = headers.getall("X-Forwarded-For", ())
    if chain:
        request.client_ip = client_of(edge, request.client_ip, addresses(",".join(chain)))
        scheme = headers.getall("X-Forwarded-Proto", ("",))[-1].rpartition(",")[2]
    else:
        elements = parse_forwarded(",".join(headers.getall("Forwarded", ())))
        request.client_ip = client_of(edge, request.client_ip, [each.get("for", "") for each in elements])
        scheme = elements[-1].get("proto", "") if elements else headers.get("X-Forwarded-Proto", "")
    scheme = scheme.strip().lower()
    if scheme in ("http", "https"):
        request.scheme = scheme


def client_of(edge: Edge, address: str, chain: list[str]) -> str:
    """The rightmost address of ``chain`` that is not a trusted proxy's; what cannot be read ends the search."""
    client = address
    for item in reversed(chain):
        candidate = bare(item)
        if not candidate:
            break
        client = candidate
        if not edge.is_trusted(candidate):
            break
    return client


def addresses(text: str) -> list[str]:
    """The items of an ``X-Forwarded-For``."""
    items = text[-_LIMIT:].split(",")
    return items[1:] if len(text) > _LIMIT else items  # the first may have been cut


def parse_forwarded(text: str) -> list[dict[str, str]]:
    """The elements of ``Forwarded``: parameter's name, lower case → value without quotes. Never raises."""
    elements = []
    for element in _split(text[-_LIMIT:], ","):
        pairs = (each.partition("=") for each in _split(element, ";"))
        elements.append(
            {name.strip().lower(): _unquoted(value.strip()) for name, separator, value in pairs if separator}
        )
    return elements[1:] if len(text) > _LIMIT else elements


def _split(text: str, separator: str) -> list[str]:
    """Split where ``separator`` stands outside of a quoted string."""
    if '"' not in text:
        return text.split(separator) if text.strip() else []
    parts, start, quoted, escaped = [], 0, False, False
    for at, char in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == separator and not quoted:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _unquoted(value: str) -> str:
    return value[1:-1].replace("\\", "") if len(value) > 1 and value[0] == value[-1] == '"' else value


def bare(text: str) -> str:
    """An address without port, brackets and zone; empty if it is none (``unknown``, ``_hidden``)."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if found.version == 6 else None
    return str(mapped or found)
