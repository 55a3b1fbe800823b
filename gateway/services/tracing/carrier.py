"""What trace context looks like in header fields: W3C Trace Context, B3 (one field, or several), W3C Baggage."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import unquote

from multidict import CIMultiDict, MultiMapping, istr

_B3: Final = re.compile(
    r"(?P<trace>[0-9a-f]{16}|[0-9a-f]{32})-(?P<span>[0-9a-f]{16})(?:-(?P<state>[01d]))?(?:-[0-9a-f]{16})?"
)
_TRACE: Final = re.compile(r"[0-9a-f]{16}|[0-9a-f]{32}")
_SPAN: Final = re.compile(r"[0-9a-f]{16}")
_SAMPLED: Final = {"1": True, "0": False, "d": True, "true": True, "false": False}
_KEY: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SINGLE: Final = istr("b3")  # made ready: plain strings are folded at each look-up
_TRACE_ID: Final = istr("X-B3-TraceId")
_SPAN_ID: Final = istr("X-B3-SpanId")
_STATE: Final = istr("X-B3-Sampled")
_FLAGS: Final = istr("X-B3-Flags")
_LONG_MEMBER: Final = 128
BAGGAGE_BYTES: Final = 8192
BAGGAGE_MEMBERS: Final = 64
"""W3C Baggage §3.3.2: what a platform must be able to pass on; more is not looked into."""

STATE_CHARACTERS: Final = 512
"""Trace Context §3.3.1.5: what must be kept at least of a ``tracestate``."""

MULTI: Final = ("X-B3-TraceId", "X-B3-SpanId", "X-B3-ParentSpanId", "X-B3-Sampled", "X-B3-Flags")


class Given(NamedTuple):
    """What a caller said of its trace. Ids are hex digits in lower case; None: not said."""

    trace: str | None
    span: str | None
    sampled: bool | None


def from_b3(headers: MultiMapping[str]) -> Given | None:
    """B3 of the single field, else of the several (openzipkin/b3-propagation); None if there is none that is valid.

    A decision may come without ids. Ids of 64 bits are extended with zeros on the left.
    """
    single = headers.get(_SINGLE)
    if single is not None:
        single = single.strip().lower()
        if single in _SAMPLED:
            return Given(None, None, _SAMPLED[single])
        found = _B3.fullmatch(single)
        if found is None:
            return None
        return _ids(found["trace"], found["span"], _SAMPLED.get(found["state"] or ""))
    trace, state, flags = headers.get(_TRACE_ID), headers.get(_STATE), headers.get(_FLAGS)
    if trace is None and state is None and flags is None:
        return None
    sampled = True if flags is not None and flags.strip() == "1" else None
    if sampled is None and state is not None:
        sampled = _SAMPLED.get(state.strip().lower())
    span = headers.get(_SPAN_ID)
    if trace is None or span is None:
        return Given(None, None, sampled) if sampled is not None else None
    trace, span = trace.strip().lower(), span.strip().lower()
    if not _TRACE.fullmatch(trace) or not _SPAN.fullmatch(span):
        return None
    return _ids(trace, span, sampled)


def _ids(trace: str, span: str, sampled: bool | None) -> Given | None:
    if not int(trace, 16) or not int(span, 16):
        return None
    return Given(trace.rjust(32, "0"), span, sampled)


def write_b3(headers: CIMultiDict[str], traceparent: bytes, parent: str, *, several: bool) -> None:
    """Say in B3 what ``traceparent`` says; what the caller wrote goes."""
    text = traceparent.decode()
    trace, span, sampled = text[3:35], text[36:52], "1" if int(text[53:55], 16) & 1 else "0"
    for name in ("b3", *MULTI):
        headers.popall(name, None)
    if not several:
        headers["b3"] = f"{trace}-{span}-{sampled}" + (f"-{parent}" if parent else "")
        return
    headers["X-B3-TraceId"], headers["X-B3-SpanId"], headers["X-B3-Sampled"] = trace, span, sampled
    if parent:
        headers["X-B3-ParentSpanId"] = parent


def tracestate_of(values: Iterable[str]) -> str:
    """``tracestate``, which may come in several fields (Trace Context §3.3.1); cut between its members."""
    text = ",".join(values)
    if len(text) <= STATE_CHARACTERS:
        return text
    kept: list[str] = []
    room = STATE_CHARACTERS + 1
    for member in text.split(",", 2 * STATE_CHARACTERS):
        if len(member) > _LONG_MEMBER:  # these go first, says §3.3.1.5
            continue
        room -= len(member) + 1
        if room < 0:
            break
        kept.append(member)
    return ",".join(kept)


def baggage_of(values: Iterable[str], wanted: frozenset[str]) -> dict[str, str]:
    """The members of ``baggage`` with these keys (W3C Baggage §3.3), without properties; the first of a key counts."""
    text = ",".join(values)
    if len(text) > BAGGAGE_BYTES:
        return {}
    found: dict[str, str] = {}
    for member in text.split(",")[:BAGGAGE_MEMBERS]:
        key, equals, rest = member.partition("=")
        key = key.strip()
        if equals and key in wanted and key not in found and _KEY.fullmatch(key):
            found[key] = unquote(rest.partition(";")[0].strip(), errors="replace")
    return found
