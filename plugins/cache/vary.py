"""Which stored answer a request selects (RFC 9111 §4.1): ``Vary`` read, and the fields it names made comparable."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from multidict import MultiMapping

from gateway.http import Request
from plugins.cache.directives import split_list

LONGEST: Final = 4096
"""Characters of a value that are brought into a normal form."""

MOST_FIELDS: Final = 16
"""Names in a ``Vary`` beyond which an answer is not kept: nobody would ask for it again."""

Selecting = tuple[str, ...]
"""Field names in lower case, sorted."""

UNKNOWABLE: Final = ("*",)
"""Nobody can tell by a request whether such an answer suits it."""
_WRITTEN_HERE: Final = frozenset({"x-forwarded-for", "forwarded", "x-request-id", "traceparent"})
"""The target sees other values than the client sent: an answer that they select cannot be found again by those."""
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+").fullmatch


def vary_of(lines: Sequence[str]) -> Selecting:
    """The fields that select an answer; empty without ``Vary``. ``*`` stands for itself."""
    if not lines:
        return ()
    return _vary(",".join(lines))


@lru_cache(maxsize=512)
def _vary(text: str) -> Selecting:
    return tuple(sorted({name for part in text.split(",") if (name := part.strip().lower())}))


def selecting_of(headers: MultiMapping[str]) -> Selecting:
    """By which fields an answer is selected; `UNKNOWABLE` if it cannot be.

    One that is coded is told apart by ``Accept-Encoding`` also where its sender forgot to say so: else clients get
    what they cannot read.
    """
    found = vary_of(headers.getall("Vary", ()))
    if found and ("*" in found or len(found) > MOST_FIELDS or not all(_TOKEN(name) for name in found)):
        return UNKNOWABLE
    if not _WRITTEN_HERE.isdisjoint(found):
        return UNKNOWABLE
    if "Content-Encoding" in headers and "accept-encoding" not in found:
        coding = headers["Content-Encoding"].strip().lower()
        return found if coding in ("", "identity") else tuple(sorted((*found, "accept-encoding")))
    return found


def misspelt(request: Request, names: AbstractSet[str]) -> bool:
    """Whether a field has ``_`` for ``-`` in one of these names: some targets take the one for the other."""
    return any("_" in name and name.lower().replace("_", "-") in names for name in request.headers)


def chosen_by(names: Selecting, headers: MultiMapping[str]) -> str:
    """The request's values of these fields, in a form in which equal meaning is mostly equal text."""
    return "\n".join([_normal(name, headers.getall(name, ())) for name in names])


def _normal(name: str, lines: Iterable[str]) -> str:
    """One field's value; absent is not empty."""
    text = ",".join(lines)
    if not text and not list(lines):
        return "-"
    if len(text) > LONGEST:  # two that differ at their ends are two
        return "#" + blake2b(text.encode("utf-8", "surrogateescape"), digest_size=20).hexdigest()
    return "=" + _NORMAL.get(name, _members)(text)


@lru_cache(maxsize=2048)
def _members(text: str) -> str:
    return ",".join(split_list(text))


@lru_cache(maxsize=2048)
def _ranked(text: str) -> str:
    """Members by their weight, then by name: the order among equals means nothing (RFC 9110 §12.5)."""
    return ",".join(f"{name};{weight:g}" for name, weight in ranking(text))


def ranking(text: str) -> list[tuple[str, float]]:
    """Names in lower case with their ``q``, best first."""
    found: dict[str, float] = {}
    for item in split_list(text):
        name, _, rest = item.partition(";")
        found.setdefault(name.strip().lower(), _weight(rest))
    return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0


_NORMAL: Final[dict[str, Callable[[str], str]]] = {
    "accept-language": _ranked,
    "accept-encoding": _ranked,
    "accept-charset": _ranked,
}


def prefers_language(headers: MultiMapping[str], language: str) -> bool:
    """Whether the one language that a request likes best is that of a stored answer (RFC 9110 §12.5.4)."""
    ranked = ranking(",".join(headers.getall("Accept-Language", ()))[:4096])
    if not ranked or ranked[0][1] == 0 or (len(ranked) > 1 and ranked[1][1] == ranked[0][1]):
        return False
    return ranked[0][0] == language.strip().lower()
