"""Decides who may do what: rules over roles, scopes, tenant, claims and strength of authentication, by path and method.

The rules are data and are compiled at load; nothing in them is code. The first rule that fits decides, and where none
fits nobody gets in. A refusal tells its sender what it may mend (RFC 6750, RFC 9470) and nothing of the rules; the log
has the rule's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.errors import Forbidden, GatewayError, Unauthorized
from gateway.http import Handler, Request, ReservedFields, Response
from gateway.plugin import Context, Plugin, Stage
from gateway.plugin.path import Path, key_of
from gateway.services.metrics import Counter
from plugins.access.condition import Node, ScopeLeaf, StrengthLeaf, Subject, Wish, compile_condition
from plugins.access.settings import AccessSettings, Condition, Rule

__all__ = ["Access", "AccessSettings", "InsufficientAuthentication", "InsufficientScope"]

REMEMBERED: Final = 4096
"""Pairs of method and path whose rules are kept."""
LONGEST_KEY: Final = 512
OVERRIDES: Final = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
"""Fields by which frameworks take another method than the request line's; `_` is `-` to those behind CGI and WSGI."""


USUAL: Final = frozenset(
    {
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "TRACE",
        "CONNECT",
        "QUERY",
        "PURGE",
        "REPORT",
        "SEARCH",
    }
    | {"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK"}
)
"""Methods that nobody is asked about."""


class InsufficientScope(Forbidden):
    """The credentials hold, but not for this; ``scope`` of the challenge says what is needed (RFC 6750 §3.1)."""

    code, title = "insufficient_scope", "Insufficient scope"


class InsufficientAuthentication(Unauthorized):
    """The caller must authenticate again, in a stronger way or just now; the challenge says how (RFC 9470 §3)."""

    code, title = "insufficient_user_authentication", "Stronger authentication needed"


class _Rule:
    """A rule, compiled."""

    __slots__ = ("allowed", "applies", "methods", "name", "open", "paths", "refused", "requires", "rule")

    def __init__(self, rule: Rule, *, ignore_case: bool) -> None:
        self.rule = rule
        self.name = rule.name
        self.paths = tuple(Path(text, ignore_case=ignore_case) for text in rule.path)
        self.methods = _methods(rule)
        self.applies = compile_condition(rule.if_) if isinstance(rule.if_, Condition) else None
        self.requires = compile_condition(rule.require) if isinstance(rule.require, Condition) else None
        self.open = rule.require == "anyone"
        self.allowed = Counter()
        self.refused = Counter()

    def is_about(self, method: str, key: str) -> bool:
        return (not self.methods or method in self.methods) and (
            not self.paths or any(path.matches(key) for path in self.paths)
        )

    def decides_on(self, subject: Subject) -> bool:
        wanted = self.rule.if_
        if wanted == "authenticated":
            return subject.principal is not None
        if wanted == "anonymous":
            return subject.principal is None
        return self.applies is None or self.applies.holds(subject)


def _methods(rule: Rule) -> frozenset[str]:
    return frozenset(rule.methods) | ({"HEAD"} if "GET" in rule.methods else set())


class Access(Plugin[AccessSettings]):
    stage = Stage.AUTHORIZE
    refuses = True

    def __init__(self, settings: AccessSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._fold = settings.ignore_case
        self._rules = tuple(_Rule(rule, ignore_case=self._fold) for rule in settings.rules)
        self._about: dict[tuple[str, str], tuple[_Rule, ...]] = {}
        self._overrides = ReservedFields(OVERRIDES)
        self._time = context.clock.time
        self._challenge = f'{settings.scheme} realm="{settings.realm or context.route}"'
        decisions = context.metrics.counter(
            "access_decisions_total", "Requests by the rule that decided.", ("route", "plugin", "rule", "outcome")
        )
        for rule in self._rules:
            rule.allowed = decisions.child(context.route, context.id, rule.name, "allowed")
            rule.refused = decisions.child(context.route, context.id, rule.name, "refused")
        self._default = decisions.child(context.route, context.id, "", "refused")

    @classmethod
    def check(cls, settings: AccessSettings) -> Sequence[str]:
        rules = [_Rule(rule, ignore_case=settings.ignore_case) for rule in settings.rules]
        odd = [
            f"rule {rule.name!r}: {method} is no method that is in use; is it misspelt?"
            for rule in rules
            for method in rule.rule.methods
            if method not in USUAL
        ]
        return odd + [
            f"rule {rule.name!r} can never decide: what it is about is decided by {_names(before)} before"
            for index, rule in enumerate(rules)
            if (before := _covering(rule, rules[:index]))
        ]

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        # Case matters in HTTP, but not to every service behind; a rule about DELETE is about delete, too.
        error = self._judge(request, request.method.upper())
        if error is None:
            overrides = self._overrides
            for name in request.headers:
                if overrides[name]:
                    error = error or self._overridden(request, name)
        if error is not None:
            self.refuse(error)
        return await proceed(request)

    def _overridden(self, request: Request, name: str) -> GatewayError | None:
        """A service that believes the field does what the field says: that must be allowed as well."""
        for method in request.headers.getall(name):
            error = self._judge(request, method.strip().upper())
            if error is not None:
                error.reason = f"{error.reason} (by {name})"
                return error
        return None

    def _judge(self, request: Request, method: str) -> GatewayError | None:
        """Why the request may not be; None if it may."""
        subject = Subject(request, self._time())
        for rule in self._rules_about(method, request.path):
            if rule.decides_on(subject):
                error = self._verdict(rule, subject)
                (rule.allowed if error is None else rule.refused).value += 1
                return error
        self._default.value += 1
        return self._refusal(subject, "no rule lets it in")

    def _rules_about(self, method: str, path: str) -> tuple[_Rule, ...]:
        found = self._about.get((method, path))
        if found is None:
            key = key_of(path, ignore_case=self._fold)
            found = tuple(rule for rule in self._rules if rule.is_about(method, key))
            if len(path) + len(method) <= LONGEST_KEY:
                if len(self._about) >= REMEMBERED:  # a sender of ever new paths must not grow it
                    self._about.clear()
                self._about[method, path] = found
        return found

    def _verdict(self, rule: _Rule, subject: Subject) -> GatewayError | None:
        if rule.open:
            return None
        if rule.rule.deny:
            # Who asks as somebody else may be let in, unless the rule is for all.
            known = subject.principal is not None or rule.rule.if_ in (None, "anonymous")
            return self._refusal(subject, f"rule {rule.name} denies", known=known)
        if subject.principal is None:
            return self._refusal(subject, f"rule {rule.name}: nobody is authenticated")
        if rule.requires is None or rule.requires.holds(subject):
            return None
        return self._short(rule, rule.requires, subject)

    def _refusal(self, subject: Subject, reason: str, *, known: bool = False) -> GatewayError:
        if known or subject.principal is not None:
            return Forbidden(reason=reason)
        return Unauthorized(reason=reason, headers=(("WWW-Authenticate", self._challenge),))

    def _short(self, rule: _Rule, requires: Node, subject: Subject) -> GatewayError:
        """What a known caller lacks, told as far as it can be mended by other credentials of the same caller."""
        reason = f"rule {rule.name} requires {requires}"
        for wish in _WISHES:
            if requires.holds(subject, wish):
                lacking = requires.lacking(subject, wish)
                scopes = [scope for leaf in lacking if isinstance(leaf, ScopeLeaf) for scope in leaf.scopes]
                if scopes:
                    return self._insufficient_scope(scopes, reason)
                return self._step_up([leaf for leaf in lacking if isinstance(leaf, StrengthLeaf)], reason)
        return Forbidden(reason=reason)

    def _insufficient_scope(self, scopes: Sequence[str], reason: str) -> GatewayError:
        wanted = " ".join(dict.fromkeys(scopes))
        challenge = f'{self._challenge}, error="insufficient_scope", scope="{wanted}"'
        return InsufficientScope(reason=reason, headers=(("WWW-Authenticate", challenge),))

    def _step_up(self, lacking: Sequence[StrengthLeaf], reason: str) -> GatewayError:
        challenge = f'{self._challenge}, error="insufficient_user_authentication"'
        classes = list(dict.fromkeys(each for leaf in lacking for each in leaf.rules.acr))
        if classes:
            challenge += f', acr_values="{" ".join(classes)}"'
        ages = [leaf.rules.max_age for leaf in lacking if leaf.rules.max_age is not None]
        if ages:
            challenge += f', max_age="{int(min(ages))}"'
        return InsufficientAuthentication(
            "Authenticate again, as the challenge says.", reason=reason, headers=(("WWW-Authenticate", challenge),)
        )


_WISHES: Final[tuple[Wish, ...]] = (
    frozenset({ScopeLeaf}),
    frozenset({StrengthLeaf}),
    frozenset({ScopeLeaf, StrengthLeaf}),
)


def _covering(rule: _Rule, before: Sequence[_Rule]) -> list[_Rule]:
    """The earlier rules that between them decide on all that ``rule`` is about; empty if some is left."""
    used: dict[str, _Rule] = {}
    deciding = [each for each in before if each.rule.if_ is None or each.rule.if_ == rule.rule.if_]
    for path in rule.paths or (Path("/"),):
        for method in rule.methods or (None,):
            found = next((each for each in deciding if _covers(each, path, method)), None)
            if found is None:
                return []
            used[found.name] = found
    return list(used.values())


def _covers(rule: _Rule, path: Path, method: str | None) -> bool:
    if rule.methods and method not in rule.methods:
        return False
    return not rule.paths or any(each.covers(path) for each in rule.paths)


def _names(rules: Sequence[_Rule]) -> str:
    return " and ".join(repr(rule.name) for rule in rules)
