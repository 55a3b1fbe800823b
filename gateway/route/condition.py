"""What a route asks of a request beside host and path: method, header fields, query parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

from multidict import MultiMapping, istr

from gateway.config.routing import Match, ValueMatch
from gateway.errors import BadRequest
from gateway.route.pattern import LONGEST_TRIED

_REQUESTED_METHOD: Final = istr("Access-Control-Request-Method")
_ORIGIN: Final = istr("Origin")


class ValueTest:
    """One header field or query parameter, compiled.

    One of several values is enough. So a client that repeats a field cannot leave a route which the service would have
    thought it to be on; that it may enter one gives it nothing but that route's plugins.
    """

    __slots__ = ("exact", "name", "present", "regex")

    def __init__(self, name: str, match: ValueMatch) -> None:
        self.name = name
        self.exact = match.exact
        self.regex = re.compile(match.regex) if match.regex is not None else None
        self.present = match.present

    def accepts(self, values: Sequence[str]) -> bool:
        """Raises BadRequest for a value that is too long to be tried."""
        if self.exact is not None:
            return self.exact in values
        if self.regex is None:
            return bool(values) is self.present
        if any(len(value) > LONGEST_TRIED for value in values):
            raise BadRequest(reason="a value longer than a regular expression is tried on")
        return any(self.regex.fullmatch(value) for value in values)

    @property
    def identity(self) -> tuple[str, str | None, str | None, bool | None]:
        return (self.name.lower(), self.exact, self.regex.pattern if self.regex else None, self.present)

    def __str__(self) -> str:
        if self.exact is not None:
            return f"{self.name}: {self.exact}"
        if self.regex is not None:
            return f"{self.name} matches {self.regex.pattern}"
        return f"{self.name} is {'present' if self.present else 'absent'}"


class Condition:
    """Everything of one route's match that is not host or path."""

    __slots__ = ("headers", "methods", "query")

    def __init__(self, match: Match) -> None:
        self.methods = with_head(match.methods) if match.methods else None
        self.headers = tuple(ValueTest(istr(name), value) for name, value in match.headers.items())
        self.query = tuple(ValueTest(name, value) for name, value in match.query.items())

    def holds(self, method: str, headers: MultiMapping[str], query: str) -> bool:
        return self.takes_method(method, headers) and (
            (not self.headers and not self.query) or self.holds_but_method(headers, query)
        )

    def takes_method(self, method: str, headers: MultiMapping[str]) -> bool:
        """A CORS preflight goes where its method would: there the `cors` plugin, or the service, knows the answer."""
        methods = self.methods
        return (
            methods is None
            or method in methods
            or (method == "OPTIONS" and _ORIGIN in headers and headers.get(_REQUESTED_METHOD, "") in methods)
        )

    def holds_but_method(self, headers: MultiMapping[str], query: str) -> bool:
        for test in self.headers:
            if not test.accepts(headers.getall(test.name, ())):
                return False
        if self.query:
            values = parse_query(query)
            for test in self.query:
                if not test.accepts(values.get(test.name, ())):
                    return False
        return True

    def __bool__(self) -> bool:
        return self.methods is not None or bool(self.headers) or bool(self.query)


def with_head(methods: Iterable[str]) -> frozenset[str]:
    """GET takes HEAD with it (RFC 9110 §9.3.2: the same answer without content)."""
    wanted = frozenset(methods)
    return wanted | {"HEAD"} if "GET" in wanted else wanted


def parse_query(query: str) -> Mapping[str, list[str]]:
    """Values by name, in order; bytes that are not UTF-8 are replaced. The URL's length bounds it."""
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        values.setdefault(name, []).append(value)
    return values
