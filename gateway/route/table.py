"""The route table: which route takes a request, found in time that does not grow with the number of routes.

Precedence, as in the Kubernetes Gateway API (HTTPRoute), the most specific wins. Of all routes for which everything in
`match` holds, the first by

1. **host**: an exact name, then the longest wildcard, then none;
2. **path**: an exact path first. The others compare segment by segment from the left: a literal before a
   ``{parameter}``, before a regular expression, before where a prefix (or ``{rest...}``) ends. So the longest prefix
   wins, ``/users/me`` (exact) before ``/users/{id}`` before ``/users/``, and ``/users/{id}/orders`` before
   ``/{kind}/list/``. A regular expression stands where the whole segments end that it begins with (``/api/v[0-9]+/.*``
   competes at ``/api/``): ahead of the prefix there, behind whatever is more specific. The Gateway API leaves its
   place open; last of all would make every one of them dead beside a route for ``/``;
3. **method**: routes that name methods before those that do not;
4. **headers**: the more of them named, the sooner; 5. **query**: likewise; 6. the **order in the file**.

A route whose path matches and whose method, headers or query do not is passed over, and the next one is tried. If none
is left and one failed for its method alone, the answer is `NotAllowed` (405), else None (404).

Exact paths are one dictionary per host, the rest a tree of segments per host.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Generic, TypeVar

from multidict import MultiMapping

from gateway.config.routing import Match
from gateway.errors import MalformedPath
from gateway.http.path import PathPolicy, allows, comparable, normalize
from gateway.route.condition import Condition
from gateway.route.host import normal_host, suffixes
from gateway.route.pattern import Pattern, Step, compile_path, everything, tried

T = TypeVar("T")

_MEMO: Final = 1024
"""Host spellings remembered; a client may invent more, they are looked up each time."""


class Found(Generic[T]):
    """The route that takes a request. Shared between requests unless it has parameters: do not change it."""

    __slots__ = ("params", "pattern", "policy", "route")

    def __init__(self, route: T, pattern: str, params: dict[str, str] | None, policy: PathPolicy) -> None:
        self.route = route
        self.pattern = pattern
        """The path pattern that matched, as written: fit for a metric label."""
        self.params = params
        """Path parameters, percent-encoded as the client sent them; None when the pattern has none."""
        self.policy = policy


class NotAllowed:
    """Routes match host and path, but none with this method. ``allow`` is the value of the answer's ``Allow``."""

    __slots__ = ("allow",)

    def __init__(self, methods: Iterable[str]) -> None:
        self.allow = ", ".join(sorted(methods))


class Rule(Generic[T]):
    """One host and one path pattern of a route, with what else the route asks; ``rank`` sorts by precedence."""

    __slots__ = ("condition", "found", "host", "order", "pattern", "policy", "rank", "route")

    def __init__(self, route: T, order: int, host: str | None, pattern: Pattern, match: Match) -> None:
        self.route = route
        self.order = order
        self.host = host
        self.pattern = pattern
        condition = Condition(match)
        self.condition = condition or None
        self.policy = policy_of(match)
        shared = not pattern.names and pattern.rest is None and not (pattern.regex and pattern.regex.groupindex)
        self.found = Found(route, pattern.text, None, self.policy) if shared else None
        self.rank = (
            (2, 0) if host is None else (1, -len(host)) if host.startswith("*") else (0, 0),
            pattern.exact is None,
            pattern.steps,
            condition.methods is None,
            -len(condition.headers),
            -len(condition.query),
            order,
        )

    def take(self, path: str, key: str, segments: Sequence[str]) -> Found[T]:
        """What is found when this rule has matched; ``segments`` are the key's."""
        if self.found is not None:
            return self.found
        pattern = self.pattern
        if pattern.regex is not None:
            params = pattern.groups(key)
        else:
            params = pattern.parameters(segments if path is key else path.split("/"))
        return Found(self.route, pattern.text, params, self.policy)


class _Node(Generic[T]):
    """A place in the tree of segments."""

    __slots__ = ("children", "ends", "parameter", "prefixes", "regexes", "sure")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.parameter: _Node[T] | None = None
        self.ends: list[Rule[T]] = []
        self.regexes: list[Rule[T]] = []
        self.prefixes: list[Rule[T]] = []
        self.sure: Found[T] | None = None
        """What is found here if no child goes on, when that takes no look at anything but the path."""


class _Tree(Generic[T]):
    """All rules of one host pattern. Rules must be added by rank."""

    __slots__ = ("exact", "exact_sure", "root")

    def __init__(self, rules: Iterable[Rule[T]]) -> None:
        self.exact: dict[str, list[Rule[T]]] = {}
        self.root: _Node[T] = _Node()
        for rule in rules:
            self._add(rule)
        self.exact_sure = {
            key: rules[0].found
            for key, rules in self.exact.items()
            if rules[0].condition is None and rules[0].found is not None
        }
        _settle(self.root)

    def _add(self, rule: Rule[T]) -> None:
        pattern = rule.pattern
        if pattern.exact is not None:
            self.exact.setdefault(pattern.exact, []).append(rule)
            return
        node = self.root
        for segment in pattern.segments:
            if segment is not None:
                node = node.children.setdefault(segment, _Node())
            else:
                if node.parameter is None:
                    node.parameter = _Node()
                node = node.parameter
        {Step.REGEX: node.regexes, Step.PREFIX: node.prefixes}.get(Step(pattern.steps[-1]), node.ends).append(rule)

    def find(self, path: str, key: str, method: str, headers: MultiMapping[str], query: str) -> Found[T] | None:
        sure = self.exact_sure.get(key)
        if sure is not None:
            return sure
        segments = key.split("/")
        if key not in self.exact:
            # Down the most specific way. If it leads to an end without a condition, nothing can come before that.
            node = self.root
            for segment in segments[1:]:
                child = node.children.get(segment)
                if child is None:
                    child = node.parameter
                    if child is None or not segment:
                        break
                node = child
            else:
                if node.ends and node.ends[0].condition is None:
                    return node.ends[0].take(path, key, segments)
            if node.sure is not None:
                return node.sure
        for rule in self.candidates(key, segments):
            if rule.condition is None or rule.condition.holds(method, headers, query):
                return rule.take(path, key, segments)
        return None

    def candidates(self, key: str, segments: Sequence[str]) -> Iterator[Rule[T]]:
        """Every rule whose path matches, most specific first. Raises UriTooLong.

        No node is visited twice, so the number of steps is bounded by the tree, not by the request.
        """
        yield from self.exact.get(key, ())
        ahead: list[tuple[_Node[T], int]] = [(self.root, 1)]
        while ahead:
            node, number = ahead.pop()
            if number < 0:  # on the way back: what is deeper did not match
                for rule in node.regexes:
                    if rule.pattern.regex is not None and tried(rule.pattern.regex, key):
                        yield rule
                yield from node.prefixes
                continue
            if node.regexes or node.prefixes:
                ahead.append((node, -1))
            if number == len(segments):
                yield from node.ends
                continue
            segment = segments[number]
            if node.parameter is not None and segment:
                ahead.append((node.parameter, number + 1))
            child = node.children.get(segment)
            if child is not None:
                ahead.append((child, number + 1))


def _settle(root: _Node[T]) -> None:
    """Give each node that literals lead to its sure answer: the nearest prefix, where nothing else can come first.

    A parameter or regular expression since that prefix might match, a condition might not hold: no sure answer then.
    """
    ahead: list[tuple[_Node[T], Found[T] | None]] = [(root, None)]
    while ahead:
        node, nearest = ahead.pop()
        if node.parameter is not None or node.regexes:
            nearest = None
        elif node.prefixes:
            nearest = node.prefixes[0].found if node.prefixes[0].condition is None else None
        node.sure = nearest
        ahead.extend((child, nearest) for child in node.children.values())


class RouteTable(Generic[T]):
    """Routes, compiled. Give each with its `Match`, in the order of the file.

    ``ignore_case`` compares paths without case, for services that do; what is forwarded keeps its case.
    """

    __slots__ = ("_anywhere", "_fold", "_hosts", "_lax", "_memo", "policy", "rules")

    def __init__(self, routes: Iterable[tuple[T, Match]], *, ignore_case: bool = False) -> None:
        self.rules: list[Rule[T]] = sorted(rules_of(routes, ignore_case=ignore_case), key=lambda rule: rule.rank)
        """By precedence: the first that matches takes the request."""
        by_host: dict[str | None, list[Rule[T]]] = {}
        for rule in self.rules:
            by_host.setdefault(rule.host, []).append(rule)
        self._anywhere = _Tree(by_host.pop(None, ()))
        self._hosts = {host: _Tree(rules) for host, rules in by_host.items() if host is not None}
        self._memo: dict[str, tuple[_Tree[T], ...]] = {}
        self._fold = ignore_case
        self.policy = PathPolicy(
            encoded_slash=any(rule.policy.encoded_slash for rule in self.rules),
            path_parameters=any(rule.policy.path_parameters for rule in self.rules),
        )
        """The laxest of all routes: a path is normalised by it, and held to its route's own when that is known."""
        self._lax = self.policy != PathPolicy()

    def normalize(self, path: str) -> str:
        """The normal form of a path as sent, to be given to `find`. Raises MalformedPath."""
        return normalize(path, self.policy)

    def find(
        self, host: str, path: str, method: str, headers: MultiMapping[str], query: str = ""
    ) -> Found[T] | NotAllowed | None:
        """The route for a request; ``host`` is its authority as sent, ``path`` in normal form, ``query`` raw.

        Raises MalformedPath if the route does not take the path's ``;`` or ``%2F``, UriTooLong or BadRequest for what
        is too long for a regular expression that would have to be tried.
        """
        key = self.key(path) if self._fold or "%" in path else path
        if not self._hosts:
            found = self._anywhere.find(path, key, method, headers, query)
        else:
            found = None
            for tree in self._memo.get(host) or self.trees(host):
                found = tree.find(path, key, method, headers, query)
                if found is not None:
                    break
        if found is None:
            return self._missed(host, key, headers, query)
        if self._lax and not allows(found.policy, path):
            raise MalformedPath(reason="the route refuses ; or %2F in its paths")
        return found

    def key(self, path: str) -> str:
        """A normal path as it is compared."""
        key = comparable(path)
        return key.lower() if self._fold else key

    def trees(self, host: str) -> tuple[_Tree[T], ...]:
        """What to search for a host, most specific first."""
        name = normal_host(host)
        patterns = [name, *(f"*{suffix}" for suffix in suffixes(name))]
        trees = (*(self._hosts[pattern] for pattern in patterns if pattern in self._hosts), self._anywhere)
        if len(self._memo) < _MEMO:
            self._memo[host] = trees
        return trees

    def _missed(self, host: str, key: str, headers: MultiMapping[str], query: str) -> NotAllowed | None:
        methods: set[str] = set()
        segments = key.split("/")
        for tree in self.trees(host):
            for rule in tree.candidates(key, segments):
                condition = rule.condition
                if condition and condition.methods and condition.holds_but_method(headers, query):
                    methods |= condition.methods
        return NotAllowed(methods) if methods else None


def policy_of(match: Match) -> PathPolicy:
    return PathPolicy(encoded_slash=match.encoded_slash == "keep", path_parameters=match.path_parameters == "keep")


def rules_of(routes: Iterable[tuple[T, Match]], *, ignore_case: bool = False) -> Iterator[Rule[T]]:
    """Each route's host and path patterns, one by one, in the order of the file."""
    for order, (route, match) in enumerate(routes):
        patterns = [compile_path(path, ignore_case=ignore_case) for path in match.path] or [everything()]
        for host in match.host or (None,):
            for pattern in patterns:
                yield Rule(route, order, host, pattern, match)
