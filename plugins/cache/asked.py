"""What a request asks of a cache: which of its fields concern one, and its directives (RFC 9111 §5.2.1)."""

from __future__ import annotations

from typing import Final

from gateway.http import Request
from plugins.cache.directives import Directives, number, parse_directives

CONTROL, RANGE, CONDITION, PRECONDITION, AUTHORIZATION = 1, 2, 4, 8, 16

_NAMES: Final = {
    b"cache-control": CONTROL,
    b"range": RANGE,
    b"if-none-match": CONDITION,
    b"if-modified-since": CONDITION,
    b"if-match": PRECONDITION,
    b"if-unmodified-since": PRECONDITION,
    b"authorization": AUTHORIZATION,
}
_MOST_SPELLINGS: Final = 4096


class _Meanings(dict[bytes, int]):
    """Raw name, in any case → its bit, or nought."""

    def __missing__(self, name: bytes) -> int:
        meaning = _NAMES.get(name.lower(), 0)
        if len(self) >= _MOST_SPELLINGS:  # a sender of ever new names must not grow it
            self.clear()
        self[name] = meaning
        return meaning


_MEANINGS: Final = _Meanings()


def bits_of(request: Request) -> int:
    """Which kinds of fields that concern a cache the request has."""
    found = 0
    if request.edited:
        for text in request.headers:
            found |= _MEANINGS[text.encode("ascii", "replace")]
        return found
    meanings = _MEANINGS
    for name, _ in request.fields:
        found |= meanings[name]
    return found


class Wishes:
    """A request's directives, as far as they are heeded."""

    __slots__ = ("max_age", "max_stale", "min_fresh", "no_cache", "no_store", "only_if_cached")

    def __init__(self, directives: Directives) -> None:
        self.no_store = "no-store" in directives
        self.no_cache = "no-cache" in directives
        self.only_if_cached = "only-if-cached" in directives
        self.max_age = number(directives, "max-age")
        self.min_fresh = number(directives, "min-fresh")
        self.max_stale: float | None = None
        if "max-stale" in directives:
            limit = number(directives, "max-stale")
            self.max_stale = float("inf") if directives["max-stale"] is None else float(limit or 0)

    def satisfied(self, age: float, left: float) -> bool:
        """Whether a stored answer of this age, with so much freshness left, is what the request wants (§5.2.1)."""
        if self.no_cache or (self.max_age is not None and age > self.max_age):
            return False
        return left >= (self.min_fresh or 0)


NO_WISHES: Final = Wishes({})


def wishes_of(request: Request) -> Wishes:
    """The directives of ``Cache-Control``. ``Pragma`` means nothing any more (RFC 9111 §5.4)."""
    return Wishes(parse_directives(request.headers.getall("Cache-Control", ())))
