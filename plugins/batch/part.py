"""One part of a batch: from what the client wrote to a request, and from an answer to what the client reads."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from gateway.http import Body, Request, Response
from gateway.http.fields import KINDS, Kind
from gateway.http.screen import SCREENED

LONGEST_PATH: Final = 8000
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
WHO_ASKS: Final = ("User-Agent", "Origin", "Referer", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest")
"""Every part has these of the batch and none of its own: checks against forged requests must see the page that asks."""
_ON_THE_WAY: Final = frozenset(
    {Kind.FORWARDED_FOR, Kind.FORWARDED_OTHER, Kind.FORWARDED, Kind.VIA, Kind.TRACEPARENT, Kind.TRACESTATE}
)
"""What proxies before the gateway said of the batch holds for its parts."""
_NOT_A_PARTS: Final = frozenset(name.lower() for name in WHO_ASKS)
_NOT_SHOWN: Final = frozenset({b"set-cookie", b"set-cookie2"})
"""A page could read there what a cookie's ``HttpOnly`` keeps from it."""


class Part(msgspec.Struct, forbid_unknown_fields=True):
    """A part as a client writes it."""

    path: str
    method: str = "GET"
    headers: dict[str, str | list[str]] = {}
    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    encoding: Literal["json", "text", "base64"] = "json"
    """Of ``body``: a JSON value as it stands, or a string that is text or base64."""
    id: str | int | None = None


class Answer(msgspec.Struct, omit_defaults=True):
    """A part's answer as the client reads it."""

    status: int
    headers: dict[str, str | list[str]]
    body: Any = msgspec.UNSET
    encoding: str = "json"
    """Left out for JSON and where there is no body."""
    id: str | int | None = None


_decode: Final = msgspec.json.Decoder(list[Part]).decode
_decode_any: Final = msgspec.json.decode
_check: Final = msgspec.json.Decoder(msgspec.Raw).decode
"""Looks at JSON's syntax and makes nothing of it."""
encode: Final = msgspec.json.Encoder().encode


class Unusable(ValueError):
    """What a client wrote is no batch; ``part`` counts from 0, None: as a whole."""

    def __init__(self, why: str, part: int | None = None) -> None:
        super().__init__(why)
        self.part = part


def parse(data: bytes, methods: frozenset[str]) -> list[Part]:
    """The parts, each of which can be sent. Raises Unusable."""
    try:
        data.decode()  # all of it: the parts' bodies are handed on as they stand
        parts = _decode(data)
    except msgspec.ValidationError as error:
        raise Unusable(f"Not a batch: {str(error)[:200]}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unusable("Not JSON.") from None
    for number, part in enumerate(parts):
        why = _objection(part, methods)
        if why:
            raise Unusable(why, number)
    return parts


def _objection(part: Part, methods: frozenset[str]) -> str:
    path = part.path
    if not path.startswith("/") or len(path) > LONGEST_PATH:
        return f"A path begins with / and has up to {LONGEST_PATH} characters."
    if not path.isascii() or not path.isprintable() or " " in path or "#" in path:
        return "A path is percent-encoded and has no fragment."
    if part.method not in methods:
        return f"The method is one of {', '.join(sorted(methods))}."
    for name, value in part.headers.items():
        if not name or not set(name) <= _TOKEN:
            return "A header field's name is a token."
        if KINDS[name.encode()] != Kind.PASS or SCREENED[name.encode()] or name.lower() in _NOT_A_PARTS:
            return f"The field {name} is not a part's to say."
        if not all(map(_is_value, value if isinstance(value, list) else [value])):
            return f"The value of {name} cannot be sent."
    if part.body is not msgspec.UNSET and part.encoding != "json":
        try:
            body_of(part)
        except ValueError:
            return f"The body is not a string of {part.encoding}."
    return ""


_CONTROLS: Final = frozenset(map(chr, range(0x20))) - {"\t"} | {"\x7f"}


def _is_value(text: str) -> bool:
    """Whether a client that asks by itself could send it (RFC 9110 §5.5)."""
    return _CONTROLS.isdisjoint(text)


def body_of(part: Part) -> bytes:
    """The bytes to send. Raises ValueError."""
    if part.body is msgspec.UNSET:
        return b""
    raw = bytes(part.body)
    if part.encoding == "json":
        return raw
    text = _decode_any(raw)
    if not isinstance(text, str):
        raise ValueError("not a string")  # noqa: TRY004 - what a client wrote, not a type of ours
    if part.encoding == "text":
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


_MEDIA: Final = {"json": "application/json", "text": "text/plain; charset=utf-8", "base64": "application/octet-stream"}


def request_of(part: Part, number: int, outer: Request, inherited: Sequence[str]) -> Request:
    """The part as a request of its own; it has of the batch what its fields do not say and ``inherited`` names."""
    body = body_of(part)
    request = outer.fork(body=Body(body))
    request.method = part.method
    request.path, _, request.query = part.path.partition("?")
    request.id = f"{outer.id}-{number + 1}"
    given = outer.headers
    headers = request.edit_headers()
    headers.clear()
    for name, line in given.items():
        raw = name.encode("ascii", "surrogateescape")
        if KINDS[raw] in _ON_THE_WAY or SCREENED[raw]:
            headers.add(name, line)
    for name, value in part.headers.items():
        for line in value if isinstance(value, list) else [value]:
            headers.add(name, line)
    for name in (*WHO_ASKS, *inherited):
        if name not in headers:
            for line in given.getall(name, ()):
                headers.add(name, line)
    headers["Host"] = given.get("Host", outer.host)
    if part.body is not msgspec.UNSET:
        headers.setdefault("Content-Type", _MEDIA[part.encoding])
        headers["Content-Length"] = str(len(body))
    return request


def answer_of(response: Response, body: bytes, part: Part) -> Answer:
    """What the client reads of a part's answer."""
    headers: dict[str, str | list[str]] = {}
    for raw, value in response.fields:
        if KINDS[raw] != Kind.PASS or raw.lower() in _NOT_SHOWN:
            continue
        name, text = raw.decode("latin-1"), value.decode("utf-8", "replace")
        before = headers.get(name)
        if before is None:
            headers[name] = text
        else:
            headers[name] = [*before, text] if isinstance(before, list) else [before, text]
    answer = Answer(response.status, headers, id=part.id)
    if body:
        answer.body, answer.encoding = _shown(body, response.headers)
    return answer


def _shown(body: bytes, headers: Mapping[str, str]) -> tuple[Any, str]:
    media = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if headers.get("Content-Encoding", "identity").strip().lower() == "identity":
        try:
            if media.endswith(("/json", "+json")):
                body.decode()  # which the check of the syntax leaves out
                return _check(body), "json"
            if media.startswith("text/"):
                return body.decode(), "text"
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    return base64.b64encode(body).decode(), "base64"


def failed(status: int, title: str, code: str, part: Part) -> Answer:
    """The answer to a part that has none, as a problem (RFC 9457)."""
    problem = {"type": "about:blank", "title": title, "status": status, "code": code}
    return Answer(status, {"Content-Type": "application/problem+json"}, problem, id=part.id)
