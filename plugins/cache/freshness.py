"""Whether an answer may be stored, and how long it may be used (RFC 9111 §3, §4.2): pure functions without a clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from multidict import MultiMapping

from plugins.cache.dates import parse_date
from plugins.cache.directives import FOREVER, Directives, delta_seconds, fields_of, number, parse_directives, targeted

HEURISTIC: Final = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
"""Statuses that may be kept for a time that nobody stated (RFC 9110 §15.1)."""
NEGATIVE: Final = frozenset({404, 405, 410, 414, 501})
UNDERSTOOD: Final = HEURISTIC | frozenset(
    {201, 202, 205, 302, 303, 307, 400, 401, 402, 403, 406, 407, 408, 409, 411, 412, 413, 415, 416, 417, 421, 422}
    | {426, 428, 429, 431, 451, 500, 502, 503, 504, 505, 511}
)
"""Whose caching requirements are known and met here, for ``must-understand`` (RFC 9111 §5.2.2.3)."""
UNSTORABLE: Final = frozenset({206, 304})
"""Parts of a representation, and what speaks of another answer."""
_COOKIES: Final = frozenset({"set-cookie", "set-cookie2"})


class Override(StrEnum):
    """How far an operator's ``ttl`` goes against what the origin says."""

    OFF = "off"
    LIFETIME = "lifetime"
    ALL = "all"


class SetCookie(StrEnum):
    """What becomes of an answer that sets a cookie."""

    REFUSE = "refuse"
    STRIP = "strip"
    KEEP = "keep"


class Unstored(StrEnum):
    """Why an answer is not kept; the values are metric labels and ``detail`` of ``Cache-Status``."""

    NO_STORE = "no-store"
    PRIVATE = "private"
    AUTHORIZATION = "authorization"
    STATUS = "status"
    VARY = "vary"
    SET_COOKIE = "set-cookie"
    STALE = "stale"
    TOO_LARGE = "too-large"
    PURGED = "purged"
    BUSY = "busy"
    TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator decides; the defaults are the standard's own."""

    ttl: float | None = None
    """For answers that do not say how long they hold, and whose status is none of `ttl_by_status`."""
    ttl_by_status: Mapping[int, float] = field(default_factory=dict)
    negative_ttl: float = 0.0
    override: Override = Override.OFF
    max_ttl: float = float(FOREVER)
    heuristic_share: float = 0.1
    heuristic_most: float = 86400.0
    statuses: frozenset[int] | None = None
    set_cookie: SetCookie = SetCookie.REFUSE
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    disconnected: float = 0.0
    targets: tuple[str, ...] = ("CDN-Cache-Control",)


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms an answer may be used. Seconds; ``age`` is what it had when it arrived."""

    lifetime: float
    age: float
    validate: bool
    """``no-cache``: never without asking."""
    strict: bool
    """Never stale: ``must-revalidate`` and those that mean it."""
    stale_while_revalidate: float
    stale_if_error: float
    disconnected: float
    explicit: bool
    """The origin stated it, or the operator."""
    unstored_fields: frozenset[str] = frozenset()
    """Not to be kept."""
    own_fields: frozenset[str] = frozenset()
    """Of these, named by ``private`` or ``no-cache``: still meant for the one who asked first."""

    @property
    def fresh(self) -> bool:
        """When it arrived."""
        return not self.validate and self.lifetime > self.age


def directives_of(headers: MultiMapping[str], targets: Sequence[str]) -> tuple[Directives, bool]:
    """What rules the answer, and whether a targeted field does, so that Expires is ignored too (RFC 9213 §2.2)."""
    for name in targets:
        lines = headers.getall(name, ())
        if lines and (found := targeted(lines)) is not None:
            return found, True
    return parse_directives(headers.getall("Cache-Control", ())), False


def age_at(headers: MultiMapping[str], date: float, asked: float, arrived: float) -> float:
    """``corrected_initial_age`` (RFC 9111 §4.2.3). All on the wall's clock."""
    apparent = max(0.0, arrived - date)
    corrected = delta_seconds(headers.getall("Age", ())) + max(0.0, arrived - asked)
    return max(apparent, corrected) if apparent >= 1 else float(corrected)  # dates have whole seconds


def judge(
    status: int,
    headers: MultiMapping[str],
    rules: Rules,
    *,
    authorized: bool,
    asked: float,
    arrived: float,
    explicit_only: bool = False,
) -> Terms | Unstored:
    """On what terms a shared cache may keep this answer, or why it may not (RFC 9111 §3).

    ``authorized``: the request had ``Authorization``, and others may get the answer. ``explicit_only``: its method
    allows no heuristics.
    """
    directives, by_target = directives_of(headers, rules.targets)
    if rules.override is Override.ALL:
        directives, by_target = {}, True
    if status in UNSTORABLE or status < 200 or (rules.statuses is not None and status not in rules.statuses):
        return Unstored.STATUS
    understood = status in UNDERSTOOD
    if "must-understand" in directives:
        if not understood:
            return Unstored.STATUS
    elif "no-store" in directives:
        return Unstored.NO_STORE
    named_fields = frozenset[str]()
    if "private" in directives:
        named = fields_of(directives, "private")
        if named is None:
            return Unstored.PRIVATE
        named_fields |= named
    if named := fields_of(directives, "no-cache"):
        named_fields |= named
    addressed = "public" in directives or "s-maxage" in directives
    may_share = addressed or "must-revalidate" in directives
    if authorized and not may_share:  # whatever an operator says of how long answers hold
        return Unstored.AUTHORIZATION
    if any("*" in line for line in headers.getall("Vary", ())):
        return Unstored.VARY
    # Set-Cookie2 is read by nobody (RFC 6265); a cookie that is named as not to be kept is none that could leak.
    if rules.set_cookie is SetCookie.REFUSE and "Set-Cookie" in headers and "set-cookie" not in named_fields:
        return Unstored.SET_COOKIE
    lifetime, explicit = _lifetime(status, headers, directives, rules, arrived, by_target=by_target)
    if explicit_only and not explicit:
        return Unstored.STALE
    if lifetime is None:
        has_validator = "ETag" in headers or "Last-Modified" in headers
        if not (has_validator and "no-cache" in directives):
            return Unstored.STATUS if status not in HEURISTIC else Unstored.STALE
        lifetime = 0.0
    date = parse_date(headers.get("Date", ""))
    age = age_at(headers, arrived if date is None else date, asked, arrived)
    terms = _terms(directives, rules, min(lifetime, rules.max_ttl), age, explicit=explicit, named=named_fields)
    return terms if _useful(terms, headers) else Unstored.STALE


def _terms(
    directives: Directives, rules: Rules, lifetime: float, age: float, *, explicit: bool, named: frozenset[str]
) -> Terms:
    validate = "no-cache" in directives and fields_of(directives, "no-cache") is None
    strict = validate or not {"must-revalidate", "proxy-revalidate", "s-maxage"}.isdisjoint(directives)
    revalidate = number(directives, "stale-while-revalidate")
    error = number(directives, "stale-if-error")
    return Terms(
        lifetime=lifetime,
        age=age,
        validate=validate,
        strict=strict,
        stale_while_revalidate=0.0 if strict else rules.stale_while_revalidate if revalidate is None else revalidate,
        stale_if_error=0.0 if strict else rules.stale_if_error if error is None else error,
        disconnected=0.0 if strict else rules.disconnected,
        explicit=explicit,
        unstored_fields=named | _COOKIES if rules.set_cookie is SetCookie.STRIP else named,
        own_fields=named,
    )


def _useful(terms: Terms, headers: MultiMapping[str]) -> bool:
    """Worth the room: it is fresh, can be asked about, or may be used stale."""
    if terms.fresh or "ETag" in headers or "Last-Modified" in headers:
        return True
    late = terms.age - terms.lifetime
    return not terms.validate and max(terms.stale_while_revalidate, terms.stale_if_error) > late


def _lifetime(
    status: int, headers: MultiMapping[str], directives: Directives, rules: Rules, arrived: float, *, by_target: bool
) -> tuple[float | None, bool]:
    """Seconds from its generation on (RFC 9111 §4.2.1) and whether they were stated; None: nobody may assume any."""
    given = rules.ttl_by_status.get(status)
    if given is None and status in NEGATIVE and rules.negative_ttl:
        given = rules.negative_ttl
    elif given is None and status not in NEGATIVE and (status in HEURISTIC or "public" in directives):
        given = rules.ttl
    if given is not None and rules.override is not Override.OFF:
        return given, True
    for name in ("s-maxage", "max-age"):
        if (seconds := number(directives, name)) is not None:
            return float(seconds), True
    date = parse_date(headers.get("Date", ""))
    generated = arrived if date is None else date
    if not by_target and "Expires" in headers:
        expires = parse_date(headers.get("Expires", ""))
        return (0.0 if expires is None else max(0.0, expires - generated)), True
    if given is not None:
        return given, True
    if status not in HEURISTIC and "public" not in directives:
        return None, False
    modified = parse_date(headers.get("Last-Modified", ""))
    if modified is None or modified > generated:
        return None, False
    return min((generated - modified) * rules.heuristic_share, rules.heuristic_most), False
