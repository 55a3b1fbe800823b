"""What a request asks of a cache: which of its fields concern one, and its directives (RFC 9111 §5.2.1)."""

from __future__ import annotations

from typing import Final

from gateway.http import Request
from gateway.http.fields import named_by_connection
from plugins.cache.directives import Directives, number, parse_directives

CONTROL, RANGE, CONDITION, PRECONDITION, AUTHORIZATION = 1, 2, 4, 8, 16
RETOLD = 32
"""A proxy that is trusted says that something else was asked for: the key tells it apart (`KeyMaker`)."""
DOUBTFUL = 64
"""The target may read another request than we do. What it answers is for nobody else."""
_CONNECTION = 128

RETELLING: Final = frozenset(
    {b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-prefix", b"x-forwarded-path", b"x-forwarded-uri"}
    | {b"x-forwarded-scheme", b"x-forwarded-ssl", b"forwarded", b"x-host", b"x-scheme"}
    | {b"x-original-host", b"x-original-uri", b"x-original-url", b"x-rewrite-url", b"x-http-host-override"}
    | {b"x-url-scheme", b"x-script-name", b"script-name", b"front-end-https"}
)
"""Of nobody but trusted proxies does such a field come here (`gateway.http.screen`); services build URLs of them."""
_OVERRIDES: Final = frozenset({b"x-http-method-override", b"x-http-method", b"x-method-override"})
"""A GET with one of them is something else to many frameworks."""
_NAMES: Final = {
    b"cache-control": CONTROL,
    b"range": RANGE,
    b"if-none-match": CONDITION,
    b"if-modified-since": CONDITION,
    b"if-match": PRECONDITION,
    b"if-unmodified-since": PRECONDITION,
    b"authorization": AUTHORIZATION,
    b"connection": _CONNECTION,
    **dict.fromkeys(RETELLING, RETOLD),
    **dict.fromkeys(_OVERRIDES, DOUBTFUL),
}
_ONE_SPELLING: Final = frozenset(_NAMES) | {b"if-range", b"accept-charset", b"accept-encoding", b"accept-language"}
"""To CGI and WSGI ``Accept_Language`` is the same field; here it is another, and no honest sender writes it so."""
_OF_THE_HOP: Final = frozenset({b"te", b"trailer", b"http2-settings", b"proxy-connection", b"keep-alive"})
_MOST_SPELLINGS: Final = 4096


class _Meanings(dict[bytes, int]):
    """Raw name, in any case → its bit, or nought."""

    def __missing__(self, name: bytes) -> int:
        lowered = name.lower()
        meaning = _NAMES.get(lowered, 0)
        if b"_" in lowered and lowered.replace(b"_", b"-") in _ONE_SPELLING:
            meaning = DOUBTFUL
        if len(self) >= _MOST_SPELLINGS:  # a sender of ever new names must not grow it
            self.clear()
        self[name] = meaning
        return meaning


class _Options(dict[bytes, bool]):
    """A value of ``Connection`` → whether it takes out fields that we compare and the target then does not see."""

    def __missing__(self, value: bytes) -> bool:
        takes = bool(named_by_connection(value) - _OF_THE_HOP)
        if len(self) >= _MOST_SPELLINGS:
            self.clear()
        if len(value) <= _LONGEST_OPTIONS:
            self[value] = takes
        return takes


_MEANINGS: Final = _Meanings()
_OPTIONS: Final = _Options()
_LONGEST_OPTIONS: Final = 256


def bits_of(request: Request) -> int:
    """Which kinds of fields that concern a cache the request has."""
    found = 0
    if request.edited:
        for text in request.headers:
            found |= _MEANINGS[text.encode("ascii", "replace")]
        return found & ~_CONNECTION  # what a client's names is gone from edited fields
    meanings = _MEANINGS
    for name, value in request.fields:
        meaning = meanings[name]
        if meaning:
            found |= meaning if meaning != _CONNECTION else DOUBTFUL if _OPTIONS[value] else 0
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
