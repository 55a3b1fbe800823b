"""Conditions, compiled: whether they hold for a caller, and if not, what the caller could do about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import unquote

from gateway.http import Principal, Request
from gateway.http.request import NO_CLAIMS
from gateway.plugin.claims import find, same, values_of
from gateway.plugin.template import tenant_of
from plugins.access.settings import AllScopes, AllWords, Condition, Strength

EARLY: Final = 60.0
"""Seconds by which an issuer's clock may be ahead of ours."""

Wish = frozenset[type["Leaf"]]
"""Kinds of leaves that are taken to hold, to see whether they are what is missing."""
NOTHING: Final[Wish] = frozenset()


class Subject:
    """Who asks, and for what."""

    __slots__ = ("claims", "now", "principal", "request", "roles", "scopes")

    def __init__(self, request: Request, now: float) -> None:
        principal = request.principal
        self.request = request
        self.principal: Principal | None = principal
        self.now = now
        self.claims = principal.claims if principal is not None else NO_CLAIMS
        self.roles = principal.roles if principal is not None else frozenset()
        self.scopes = principal.scopes if principal is not None else frozenset()

    @property
    def tenant(self) -> str | None:
        """The caller's, unless the request is about another one's; of a caller nobody knows the request's."""
        found = tenant_of(self.request)
        return found if self.principal is None or self.principal.tenant == found else None


class Node:
    """A condition."""

    __slots__ = ()

    def holds(self, subject: Subject, wish: Wish = NOTHING, *, plainly: bool = True) -> bool:
        """Whether it does. ``plainly``: not within `not`, where a wish would be for the opposite."""
        raise NotImplementedError

    def lacking(self, subject: Subject, wish: Wish) -> list[Leaf]:
        """The wished leaves that are missing on the way to holding, given that with them it holds."""
        raise NotImplementedError


class Leaf(Node):
    """A condition that has no others in it."""

    __slots__ = ("test", "text")

    def __init__(self, text: str, test: Callable[[Subject], bool]) -> None:
        self.text = text
        self.test = test

    def holds(self, subject: Subject, wish: Wish = NOTHING, *, plainly: bool = True) -> bool:
        return self.test(subject) or (plainly and type(self) in wish)

    def lacking(self, subject: Subject, wish: Wish) -> list[Leaf]:
        return [self] if type(self) in wish and not self.test(subject) else []

    def __str__(self) -> str:
        return self.text


class ScopeLeaf(Leaf):
    """Mended by a token with more scope (RFC 6750 §3.1)."""

    __slots__ = ("scopes",)

    def __init__(self, scopes: tuple[str, ...], *, every: bool) -> None:
        wanted = frozenset(scopes)
        if every:
            super().__init__(f"scopes {' and '.join(scopes)}", lambda subject: wanted <= subject.scopes)
        else:
            super().__init__(f"scope {' or '.join(scopes)}", lambda subject: not wanted.isdisjoint(subject.scopes))
        self.scopes = scopes if every else scopes[:1]
        """What to ask for: of several that would do the first."""


class StrengthLeaf(Leaf):
    """Mended by authenticating again, and better (RFC 9470)."""

    __slots__ = ("rules",)

    def __init__(self, rules: Strength) -> None:
        self.rules = rules
        parts = [f"acr {' or '.join(rules.acr)}"] if rules.acr else []
        amr = rules.amr.all if isinstance(rules.amr, AllWords) else rules.amr
        if amr:
            parts.append(f"amr {(' and ' if isinstance(rules.amr, AllWords) else ' or ').join(amr)}")
        if rules.max_age is not None:
            parts.append(f"authenticated {rules.max_age:g}s ago at most")
        wanted = frozenset(amr or ())
        every = isinstance(rules.amr, AllWords)

        def strong(subject: Subject) -> bool:
            claims = subject.claims
            if rules.acr and not (isinstance(acr := claims.get("acr"), str) and acr in rules.acr):
                return False
            if wanted:
                used = {each for each in values_of(claims.get("amr")) if isinstance(each, str)}
                if not (wanted <= used if every else wanted & used):
                    return False
            return rules.max_age is None or _fresh(claims.get("auth_time"), subject.now, rules.max_age)

        super().__init__(", ".join(parts), strong)


def _fresh(since: Any, now: float, most: float) -> bool:
    if isinstance(since, bool) or not isinstance(since, int | float) or not math.isfinite(since):
        return False
    return -EARLY <= now - since <= most


class All(Node):
    __slots__ = ("parts",)

    def __init__(self, parts: Sequence[Node]) -> None:
        self.parts = tuple(parts)

    def holds(self, subject: Subject, wish: Wish = NOTHING, *, plainly: bool = True) -> bool:
        return all(part.holds(subject, wish, plainly=plainly) for part in self.parts)

    def lacking(self, subject: Subject, wish: Wish) -> list[Leaf]:
        return [leaf for part in self.parts for leaf in part.lacking(subject, wish)]

    def __str__(self) -> str:
        return "; ".join(map(str, self.parts))


class Any_(Node):  # noqa: N801 - `Any` is taken
    __slots__ = ("parts",)

    def __init__(self, parts: Sequence[Node]) -> None:
        self.parts = tuple(parts)

    def holds(self, subject: Subject, wish: Wish = NOTHING, *, plainly: bool = True) -> bool:
        return any(part.holds(subject, wish, plainly=plainly) for part in self.parts)

    def lacking(self, subject: Subject, wish: Wish) -> list[Leaf]:
        if self.holds(subject):
            return []
        return next((part.lacking(subject, wish) for part in self.parts if part.holds(subject, wish)), [])

    def __str__(self) -> str:
        return "(" + " | ".join(map(str, self.parts)) + ")"


class Not(Node):
    __slots__ = ("part",)

    def __init__(self, part: Node) -> None:
        self.part = part

    def holds(self, subject: Subject, wish: Wish = NOTHING, *, plainly: bool = True) -> bool:
        del plainly
        return not self.part.holds(subject, wish, plainly=False)

    def lacking(self, subject: Subject, wish: Wish) -> list[Leaf]:
        del subject, wish
        return []

    def __str__(self) -> str:
        return f"not ({self.part})"


def compile_condition(condition: Condition) -> Node:
    """The tree of a condition."""
    parts = [*_leaves(condition)]
    if condition.all is not None:
        parts.append(All([compile_condition(each) for each in condition.all]))
    if condition.any is not None:
        parts.append(Any_([compile_condition(each) for each in condition.any]))
    if condition.not_ is not None:
        parts.append(Not(compile_condition(condition.not_)))
    return parts[0] if len(parts) == 1 else All(parts)


def _leaves(condition: Condition) -> list[Node]:
    found: list[Node] = []
    if condition.role is not None:
        found.append(_role(condition.role))
    if condition.scope is not None:
        every = isinstance(condition.scope, AllScopes)
        found.append(
            ScopeLeaf(condition.scope.all if isinstance(condition.scope, AllScopes) else condition.scope, every=every)
        )
    if condition.principal is not None:
        found.append(_principal(frozenset(condition.principal)))
    if condition.tenant is not None:
        found.append(_tenant(frozenset(condition.tenant)))
    if condition.own_tenant:
        found.append(Leaf("the caller's own tenant", _owns))
    found += [_claim(path, values) for path, values in (condition.claim or {}).items()]
    found += [_parameter(name, whose) for name, whose in (condition.parameter or {}).items()]
    if condition.strength is not None:
        found.append(StrengthLeaf(condition.strength))
    return found


def _role(roles: tuple[str, ...] | AllWords) -> Leaf:
    if isinstance(roles, AllWords):
        every = frozenset(roles.all)
        return Leaf(f"roles {' and '.join(roles.all)}", lambda subject: every <= subject.roles)
    wanted = frozenset(roles)
    return Leaf(f"role {' or '.join(roles)}", lambda subject: not wanted.isdisjoint(subject.roles))


def _principal(ids: frozenset[str]) -> Leaf:
    return Leaf(
        "being one of those listed", lambda subject: subject.principal is not None and subject.principal.id in ids
    )


def _tenant(tenants: frozenset[str]) -> Leaf:
    return Leaf(f"tenant {' or '.join(sorted(tenants))}", lambda subject: subject.tenant in tenants)


def _owns(subject: Subject) -> bool:
    own = subject.principal.tenant if subject.principal is not None else None
    return own is not None and own == subject.request.tenant


def _claim(path: str, values: tuple[str | int | bool, ...]) -> Leaf:
    def test(subject: Subject) -> bool:
        return any(same(each, value) for each in values_of(find(subject.claims, path)) for value in values)

    return Leaf(f"claim {path}", test)


def _parameter(name: str, whose: str) -> Leaf:
    def test(subject: Subject) -> bool:
        value = subject.request.path_params.get(name) if subject.request.path_params else None
        if not value or subject.principal is None:
            return False
        return unquote(value) == (subject.principal.id if whose == "principal" else subject.principal.tenant)

    return Leaf(f"path parameter {name} that is the caller's {whose}", test)
