"""The rule language: what may stand in ``rules``, and what is refused at load."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from gateway.plugin import Duration, FromFile, Name, Settings
from gateway.plugin.path import PathPattern
from gateway.plugin.settings import OneOrMany, expected

MOST_RULES: Final = 1000
DEEPEST: Final = 8
"""Conditions within conditions."""

Scalar = str | int | bool
Word = Annotated[str, Field(min_length=1, max_length=512)]
Token = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$")]
# RFC 6749 §3.3, and what may stand in a quoted string of a challenge.
ScopeToken = Annotated[str, Field(pattern=r"^[!#-\[\]-~]{1,256}$")]


class AllWords(Settings):
    """Every one of them, not any one."""

    all: tuple[Word, ...] = Field(min_length=1, max_length=256, description="All of these are needed.")


class AllScopes(Settings):
    """Every one of them, not any one."""

    all: tuple[ScopeToken, ...] = Field(min_length=1, max_length=256, description="All of these are needed.")


Words = Annotated[tuple[Word, ...], OneOrMany(), Field(min_length=1, max_length=256)] | AllWords
Scopes = Annotated[tuple[ScopeToken, ...], OneOrMany(), Field(min_length=1, max_length=256)] | AllScopes
AnyWord = Annotated[tuple[Word, ...], OneOrMany(), Field(min_length=1, max_length=1000)]
Values = Annotated[tuple[Scalar, ...], OneOrMany(), Field(min_length=1, max_length=1000)]


class Strength(Settings):
    """How the caller must have proved who it is. A caller who did not is asked to step up (RFC 9470)."""

    acr: Annotated[tuple[ScopeToken, ...], OneOrMany()] = Field(
        default=(),
        max_length=16,
        description="Authentication context classes of which the claim `acr` is one; told to the caller, best first.",
    )
    amr: Words | None = Field(
        default=None, description="Methods (RFC 8176) that the claim `amr` holds, such as `mfa`; `{all: […]}` for all."
    )
    max_age: Duration | None = Field(
        default=None, description="Longest time since the caller proved it (`auth_time`); told to the caller."
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.acr and self.amr is None and self.max_age is None:
            raise expected("`acr`, `amr` or `max_age`")
        return self


class Condition(Settings):
    """What must be so. Of several keys all must hold; of several values of a key one, unless it says `{all: […]}`."""

    role: Words | None = Field(default=None, description="Roles that the caller has.")
    scope: Scopes | None = Field(default=None, description="Scopes that its credentials are good for.")
    principal: AnyWord | None = Field(default=None, description="Who the caller is: its id.")
    tenant: AnyWord | None = Field(
        default=None,
        description="Whose it is: the caller's tenant. Not if the plugin `tenant` found another for the request.",
    )
    own_tenant: Literal[True] | None = Field(
        default=None, description="The tenant found for the request (plugin `tenant`) is the caller's own."
    )
    claim: dict[Word, Values] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Claims by name or path (`realm_access.roles`) and the value that each has, or holds if it is a "
        "list. Numbers and `true` are not text: `1` is not `'1'`.",
    )
    parameter: dict[Word, Literal["principal", "tenant"]] | None = Field(
        default=None,
        min_length=1,
        description="Parameters of the route's path that must be the caller's: `{user: principal}` with a route on "
        "`/users/{user}/`.",
    )
    strength: Strength | None = Field(default=None, description="How the caller proved who it is.")
    all: Annotated[tuple[Condition, ...], Field(min_length=1)] | None = Field(
        default=None, description="All of these conditions."
    )
    any: Annotated[tuple[Condition, ...], Field(min_length=1)] | None = Field(
        default=None, description="At least one of these conditions."
    )
    not_: Condition | None = Field(default=None, alias="not", description="This condition does not hold.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise expected("a condition such as `role: admin`; an empty one would always hold")
        if depth(self) > DEEPEST:
            raise expected(f"conditions nested {DEEPEST} deep at most")
        return self


def depth(condition: Condition) -> int:
    """How deep conditions stand in each other."""
    inner = [*(condition.all or ()), *(condition.any or ()), *([condition.not_] if condition.not_ else ())]
    return 1 + max(map(depth, inner), default=0)


class Rule(Settings):
    """One rule: which requests it decides on, and what it says. Later rules are not asked then."""

    name: Name = Field(description="What logs and metrics call it; unique. The caller never learns it.")
    path: Annotated[tuple[PathPattern, ...], OneOrMany()] = Field(
        default=(),
        max_length=256,
        description="Paths, in the form of a route's `match.path`: `/admin/` takes all below, `{name}` one segment. "
        "The path is the client's, before any rewrite. None: all.",
    )
    methods: Annotated[tuple[Token, ...], OneOrMany()] = Field(
        default=(), max_length=64, description="Methods; GET takes HEAD with it, which asks for the same. None: all."
    )
    if_: Condition | Literal["authenticated", "anonymous"] | None = Field(
        default=None, alias="if", description="Decide on these callers only; others go on to the next rule."
    )
    require: Condition | Literal["anyone", "authenticated"] | None = Field(
        default=None,
        description="What lets in: `anyone`, `authenticated` (whoever is known), or a condition on a known caller.",
    )
    deny: Literal[True] | None = Field(default=None, description="Let nobody in whom the rule decides on.")

    @model_validator(mode="after")
    def _one_outcome(self) -> Self:
        if (self.require is None) == (self.deny is None):
            raise expected("either `require` or `deny: true`")
        if self.if_ == "anonymous" and self.require not in (None, "anyone"):
            raise expected("`require: anyone` or `deny: true`, because `if: anonymous` leaves nobody who could do more")
        for method in self.methods:
            if method == "*":
                raise expected("methods by name; leave `methods` out for all of them")
            if method != method.upper():
                raise expected("methods in capitals: GET and get are not the same (RFC 9110 §9.1)")
        return self


class AccessSettings(Settings):
    """Rules are read from the top, the first that fits decides, and where none fits nobody gets in."""

    rules: Annotated[
        Annotated[tuple[Rule, ...], Field(min_length=1, max_length=MOST_RULES)],
        FromFile,
    ] = Field(description="The rules, or `{file: path}` of a list of them.")
    ignore_case: bool = Field(
        default=False,
        description="Compare paths without case. Needed where the service behind does: there `/Admin` is `/admin`.",
    )
    scheme: Token = Field(
        default="Bearer", description="Authentication scheme that challenges name (RFC 9110 §11.6.1)."
    )
    realm: str | None = Field(
        default=None,
        pattern=r"^[ !#-\[\]-~]{1,128}$",
        description="Realm that challenges name. Unset: the route's name.",
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        name, count = Counter(rule.name for rule in self.rules).most_common(1)[0]
        if count > 1:
            raise expected(f"names that are unique; {name!r} is the name of {count} rules")
        return self
