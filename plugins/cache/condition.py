"""Conditional requests (RFC 9110 §13, RFC 9111 §4.3): those that clients make, and those that we make to validate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from multidict import CIMultiDict, MultiMapping

from plugins.cache.dates import parse_date
from plugins.cache.directives import split_list


def opaque(tag: str) -> str:
    """An entity tag for the weak comparison (RFC 9110 §8.8.3.2)."""
    return tag.removeprefix("W/")


def is_strong(tag: str) -> bool:
    return bool(tag) and not tag.startswith("W/")


def unmodified(headers: MultiMapping[str], etag: str, modified: float | None, arrived: float) -> bool:
    """Whether a request's conditions say that its sender has the stored answer: 304 (RFC 9111 §4.3.2).

    ``If-Modified-Since`` counts only without ``If-None-Match``; an answer without ``Last-Modified`` is as old as its
    ``Date``, given here as ``arrived``.
    """
    tags = headers.getall("If-None-Match", ())
    if tags:
        members = [tag for line in tags for tag in split_list(line)]
        return "*" in members or (bool(etag) and opaque(etag) in {opaque(tag) for tag in members})
    since = parse_date(headers.get("If-Modified-Since", ""))
    if since is None:
        return False
    return (arrived if modified is None else modified) <= since


def ask_for(headers: CIMultiDict[str], etags: Iterable[str], modified: str) -> None:
    """Make a request ask whether what is stored still holds (RFC 9111 §4.3.1)."""
    for name in ("If-None-Match", "If-Modified-Since", "If-Range", "Range"):
        headers.popall(name, None)
    tags = ", ".join(dict.fromkeys(tag for tag in etags if tag))
    if tags:
        headers["If-None-Match"] = tags
    if modified:
        headers["If-Modified-Since"] = modified


def merged(lines: Sequence[bytes], update: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """Stored fields with those of a 304, or of a HEAD's answer, in their place (RFC 9111 §3.2).

    The fields that describe the stored bytes stay as they are.
    """
    fresh = [(name.lower(), name + b": " + value) for name, value in update]
    fresh = [(key, line) for key, line in fresh if key not in _OF_THE_BYTES]
    replaced = {key for key, _ in fresh}
    kept = [line for line in lines if line.partition(b":")[0].lower() not in replaced]
    return kept + [line for _, line in fresh]


_OF_THE_BYTES = frozenset({b"content-length", b"content-encoding", b"content-range", b"transfer-encoding"})
