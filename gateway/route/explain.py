"""Why a request takes the route it takes, and which routes can take none: for ``gateway explain`` and ``check``."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from multidict import MultiMapping

from gateway.config.routing import Match
from gateway.route.condition import Condition, parse_query
from gateway.route.host import normal_host
from gateway.route.table import RouteTable, Rule, rules_of

T = TypeVar("T")

_PRECEDENCE: Final = (
    "its host is more specific",
    "its path is exact",
    "its path is more specific",
    "it names methods",
    "it names more headers",
    "it names more query parameters",
    "it stands first in the file",
)


@dataclass(frozen=True, slots=True)
class Verdict(Generic[T]):
    """What became of one route. ``matched`` says that all of `match` holds, ``taken`` that it also came first."""

    route: T
    pattern: str
    host: str | None
    matched: bool
    taken: bool
    reason: str


def explain(
    table: RouteTable[T], host: str, path: str, method: str, headers: MultiMapping[str], *, query: str = ""
) -> list[Verdict[T]]:
    """One verdict a route, by precedence; for a route with several patterns the one that came nearest.

    ``path`` is in normal form (`RouteTable.normalize`). Raises as `RouteTable.find` does.
    """
    name, key = normal_host(host), table.key(path)
    first: Rule[T] | None = None
    nearest: dict[int, tuple[int, Verdict[T]]] = {}
    for rule in table.rules:
        passed, reason = _judge(rule, name, key, method, headers, query=query)
        matched = passed == _ALL
        if matched and first is None:
            first = rule
            reason = "takes the request"
        elif matched and first is not None:
            reason = f"matches too, but another comes first: {_why(first, rule)}"
        if rule.order not in nearest or passed > nearest[rule.order][0]:
            verdict = Verdict(rule.route, rule.pattern.text, rule.host, matched, rule is first, reason)
            nearest[rule.order] = (passed, verdict)
    return [verdict for _, verdict in sorted(nearest.values(), key=lambda item: -item[0])]


_ALL: Final = 5


def _judge(
    rule: Rule[T], host: str, key: str, method: str, headers: MultiMapping[str], *, query: str
) -> tuple[int, str]:
    """How many of the tests hold, in the order host, path, method, headers, query; and why the next one does not."""
    if rule.host is not None and not host_matches(rule.host, host):
        return 0, f"host is {host or 'not given'}, not {rule.host}"
    if not rule.pattern.matches(key):
        return 1, f"path {key} does not match {rule.pattern.text}"
    condition = rule.condition
    if condition is None:
        return _ALL, ""
    if not condition.takes_method(method, headers):
        return 2, f"method is {method}, not {' or '.join(sorted(condition.methods or ()))}"
    for test in condition.headers:
        if not test.accepts(headers.getall(test.name, ())):
            return 3, f"header does not hold: {test}"
    values = parse_query(query)
    for test in condition.query:
        if not test.accepts(values.get(test.name, ())):
            return 4, f"query does not hold: {test}"
    return _ALL, ""


def host_matches(pattern: str, host: str) -> bool:
    """A normal host against an exact name or ``*.`` and one; the wildcard takes one or more labels."""
    if not pattern.startswith("*"):
        return host == pattern
    return host.endswith(pattern[1:]) and len(host) >= len(pattern)


def _why(first: Rule[T], second: Rule[T]) -> str:
    for mine, other, reason in zip(first.rank, second.rank, _PRECEDENCE, strict=True):
        if mine != other:
            return reason
    return "it is the same route"


def unreachable(routes: Iterable[tuple[T, Match]], *, ignore_case: bool = False) -> list[tuple[T, T]]:
    """Routes that can take no request, each with one that takes them instead, in the order of the file.

    A route is dead when each of its patterns stands again, for the same host and with the same headers and query, in
    routes that come first and take all of its methods. (No other pair can be: what comes first by being more specific
    leaves something over.) Regular expressions are compared as text, so a dead one may go unseen.
    """
    alive: set[int] = set()
    shadowed: dict[int, tuple[T, T]] = {}
    covered: dict[Hashable, tuple[set[str], T]] = {}
    """Methods taken so far by the routes of one place, and the last of them."""
    for rule in sorted(rules_of(routes, ignore_case=ignore_case), key=lambda rule: rule.rank):
        place, methods = _place(rule), set(rule.condition.methods or ()) if rule.condition else set()
        before = covered.get(place)
        if before is not None and methods <= before[0]:
            if before[1] is not rule.route:
                shadowed.setdefault(rule.order, (rule.route, before[1]))
            continue
        alive.add(rule.order)
        covered[place] = ((before[0] if before else set()) | methods, rule.route)
    return [pair for order, pair in sorted(shadowed.items()) if order not in alive]


def _place(rule: Rule[T]) -> Hashable:
    """Rules with the same one take the same requests, but for their methods."""
    pattern, condition = rule.pattern, rule.condition
    path = pattern.exact or (pattern.regex.pattern if pattern.regex else "", pattern.segments, pattern.steps)
    return (rule.host, path, *_tests(condition))


def _tests(condition: Condition | None) -> Iterator[Hashable]:
    if condition is None:
        yield from (False, frozenset(), frozenset())
        return
    yield condition.methods is not None
    yield frozenset(test.identity for test in condition.headers)
    yield frozenset(test.identity for test in condition.query)
