"""Signs a request as a provider would: for trying out a route, and for tests of our own.

What it makes is no evidence that a preset is right; that are the providers' own vectors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from multidict import CIMultiDict

from gateway.http import Body, Request
from plugins.webhook_signature.key import HashKey, Key, UnusableKey
from plugins.webhook_signature.place import encoder
from plugins.webhook_signature.scheme import Algorithm, Place, Scheme
from plugins.webhook_signature.template import Template, split_path
from plugins.webhook_signature.verifier import Verifier


class CannotSign(ValueError):
    """Requests of such a scheme cannot be made here; the text says why."""


def request_of(method: str, url: str, headers: Mapping[str, str] | CIMultiDict[str], body: bytes) -> Request:
    """A request as the gateway would see it, were it called at that URL."""
    parts = urlsplit(url)
    fields = tuple((name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers.items())
    return Request(
        method,
        parts.path or "/",
        query=parts.query,
        fields=fields,
        body=Body(body),
        host=parts.netloc,
        scheme=parts.scheme or "https",
    )


def signed(
    scheme: Scheme,
    key: Key,
    body: bytes,
    *,
    at: float,
    url: str = "https://gateway.test/",
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    values: Mapping[str, str] | None = None,
) -> Request:
    """A request that `Verifier` accepts with this key at ``at`` (seconds since the epoch). Raises CannotSign."""
    if scheme.algorithm is Algorithm.JWT:
        raise CannotSign("its signatures are signed tokens, which only the provider makes")
    given = CIMultiDict(headers or {})
    data = _with_time(scheme, given, body, at)
    if scheme.body_digest is not None and not _is_form(given) and data:
        separator = "&" if "?" in url else "?"
        url = f"{url}{separator}{scheme.body_digest.query}={hashlib.sha256(data).hexdigest()}"
    if scheme.each is not None:
        return request_of(method, url, given, _with_each(scheme, key, data, given, method, url))
    text = encoder(scheme.encoding)(_sign(scheme, key, request_of(method, url, given, data), data, values))
    if scheme.algorithm is Algorithm.TOKEN:
        text = key.secret.decode()
    data = _put(scheme.signature, given, data, text)
    return request_of(method, url, given, data)


def _sign(
    scheme: Scheme, key: Key, request: Request, body: bytes, values: Mapping[str, str] | None, document: Any = None
) -> bytes:
    verifier = Verifier(scheme, values=values)
    look = verifier.look(request, body, document)
    look.secret = key.secret if isinstance(key, HashKey) else b""
    look.with_form = not (scheme.body_digest is not None and f"{scheme.body_digest.query}=" in request.query)
    if scheme.timestamp is not None:
        read = verifier.timestamp_text(look)
        look.timestamp = read.encode()
    if scheme.event_id is not None and "{id}" in scheme.signed:
        look.id = Template(scheme.event_id).fill(look.strictly)
    try:
        return key.sign(Template(scheme.signed).fill(look.fill))
    except UnusableKey as error:
        raise CannotSign(str(error)) from None


def _with_time(scheme: Scheme, headers: CIMultiDict[str], body: bytes, at: float) -> bytes:
    place = scheme.timestamp
    if place is None:
        return body
    if place.unit == "iso8601":
        text = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
    else:
        text = str(round(at * 1000) if place.unit == "ms" else round(at))
    return _put(place, headers, body, text)


def _put(place: Place, headers: CIMultiDict[str], body: bytes, text: str) -> bytes:
    """Write a value to its place, and give back the body, which may be that place."""
    if place.header is not None:
        name = place.header.replace("*", "1")
        before = headers.get(name)
        joined = f"{before}{place.split}" if before is not None and place.split is not None else ""
        headers[name] = f"{joined}{place.prefix}{text}"
        return body
    if place.json_ is None:
        raise CannotSign("its signature stands in the query")
    try:
        document = json.loads(body)
        within = document
        *way, last = split_path(place.json_)
        for step in way:
            within = within.setdefault(step, {})
        within[last] = int(text) if text.isdigit() else text
    except (ValueError, AttributeError, TypeError):
        raise CannotSign("its signature stands in a JSON body, and this body is no JSON object") from None
    return json.dumps(document).encode()


def _with_each(scheme: Scheme, key: Key, body: bytes, headers: CIMultiDict[str], method: str, url: str) -> bytes:
    try:
        document = json.loads(body)
        found = document
        for step in split_path(scheme.each or ""):
            found = found[step]
        for index, element in enumerate(found):
            raw = json.dumps(element).encode()
            made = _sign(scheme, key, request_of(method, url, headers, body), body, None, raw)
            found[index] = json.loads(_put(scheme.signature, headers, raw, encoder(scheme.encoding)(made)))
    except (ValueError, KeyError, TypeError) as error:
        raise CannotSign(f"the body has no list of what is signed ({type(error).__name__})") from None
    return json.dumps(document).encode()


def _is_form(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
