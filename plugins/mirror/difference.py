"""What differs between two answers: in status, header fields and JSON body, without what is to be ignored.

Differences are named by where they are, never by what stands there: logs and metrics must not hold what was answered.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from gateway.http import Response
from gateway.http.fields import KINDS, Kind

STATUS: Final = "status"
HEADERS: Final = "headers"
BODY: Final = "body"
MOST: Final = 8
"""Places of a difference that are named."""
MOST_PLAIN: Final = 10_000_000
"""Bytes that a compressed body may unpack to."""
_DEEPEST: Final = 64
_NEVER: Final = frozenset({Kind.PASS, Kind.TRAILER})
_ALWAYS_DIFFER: Final = frozenset({"date", "server", "etag", "last-modified", "set-cookie", "age", "expires"})
"""Fields that two right answers seldom share."""


class Seen:
    """What is kept of an answer until the other one is there."""

    __slots__ = ("body", "headers", "media", "status")

    def __init__(self, response: Response) -> None:
        self.status = response.status
        self.headers: dict[str, list[str]] = {}
        for name, value in response.fields:
            if KINDS[name] in _NEVER:
                self.headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        self.media = ",".join(self.headers.get("content-type", ())).partition(";")[0].strip().lower()
        self.body: bytes | None = None
        """None: too large, or not looked at."""

    def plain(self) -> bytes | None:
        """The body without its coding; None if it was not kept, or its coding is not known here or hides too much."""
        coding = ",".join(self.headers.get("content-encoding", ())).strip().lower()
        if self.body is None or coding in ("", "identity"):
            return self.body
        if coding not in ("gzip", "x-gzip"):
            return None
        unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            made = unpacking.decompress(self.body, MOST_PLAIN)
        except zlib.error:
            return None
        return made if unpacking.eof else None

    @property
    def is_json(self) -> bool:
        return self.media.endswith(("/json", "+json"))


class Rules:
    """What is compared, and what of it is passed over."""

    __slots__ = ("_body", "_fields", "_headers", "_ignored", "_status")

    def __init__(
        self,
        *,
        status: bool,
        headers: bool,
        body: bool,
        ignore_headers: Sequence[str] = (),
        ignore_paths: Sequence[str] = (),
    ) -> None:
        """``ignore_paths`` are JSON Pointers (RFC 6901); ``*`` stands for any one member or element."""
        self._status = status
        self._headers = headers
        self._body = body
        self._fields = _ALWAYS_DIFFER | {name.lower() for name in ignore_headers}
        self._ignored = tuple(tuple(map(_unescape, path.split("/")[1:])) for path in ignore_paths)

    def differences(self, first: Seen, second: Seen) -> dict[str, list[str]]:
        """Which parts differ, and where. A body that was not kept is not compared."""
        found: dict[str, list[str]] = {}
        if self._status and first.status != second.status:
            found[STATUS] = [f"{first.status} and {second.status}"]
        if self._headers:
            names = sorted(
                name
                for name in {*first.headers, *second.headers} - self._fields
                if first.headers.get(name) != second.headers.get(name)
            )
            if names:
                found[HEADERS] = names[:MOST]
        if self._body:
            one, other = first.plain(), second.plain()
            if one is not None and other is not None and one != other:
                places = self._places(one, other, is_json=first.is_json and second.is_json)
                if places:
                    found[BODY] = places
        return found

    def whole(self, first: Seen, second: Seen) -> bool:
        """Whether everything that is to be compared could be."""
        return not self._body or (first.plain() is not None and second.plain() is not None)

    def _places(self, first: bytes, second: bytes, *, is_json: bool) -> list[str]:
        if not is_json:
            return ["(not JSON)"]
        try:
            one, other = msgspec.json.decode(first), msgspec.json.decode(second)
        except (msgspec.DecodeError, RecursionError):
            return ["(not JSON)"]
        found = []
        for place in self._walk(one, other, ()):
            found.append("/" + "/".join(map(_escape, place)) if place else "(all)")
            if len(found) == MOST:
                break
        return found

    def _walk(self, one: Any, other: Any, at: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if self._ignored and any(_covers(pattern, at) for pattern in self._ignored):
            return
        if len(at) < _DEEPEST and isinstance(one, dict) and isinstance(other, dict):
            for key in (*one, *(key for key in other if key not in one)):
                yield from self._walk(one.get(key, _ABSENT), other.get(key, _ABSENT), (*at, key))
        elif len(at) < _DEEPEST and isinstance(one, list) and isinstance(other, list):
            for index in range(max(len(one), len(other))):
                yield from self._walk(
                    one[index] if index < len(one) else _ABSENT,
                    other[index] if index < len(other) else _ABSENT,
                    (*at, str(index)),
                )
        elif type(one) is not type(other) or one != other:
            yield at


_ABSENT: Final = object()


def _covers(pattern: tuple[str, ...], at: tuple[str, ...]) -> bool:
    return len(pattern) == len(at) and all(part in ("*", step) for part, step in zip(pattern, at, strict=True))


def _unescape(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _escape(part: str) -> str:
    """As a JSON Pointer has it, short and without control characters: members are named by the target."""
    text = part.replace("~", "~0").replace("/", "~1")[:64]
    return text.encode("unicode_escape").decode("ascii")
