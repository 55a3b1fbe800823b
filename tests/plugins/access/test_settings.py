"""Rules that say nothing, or two things: none of them loads."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.testing import settings_of
from plugins.access import Access

NESTED = {"role": "a"}
for _ in range(9):
    NESTED = {"not": NESTED}


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        pytest.param({}, "either `require` or `deny: true`", id="no outcome"),
        pytest.param({"require": "anyone", "deny": True}, "either", id="both outcomes"),
        pytest.param({"deny": False}, "True", id="a denial that is none"),
        pytest.param({"require": {}}, "a condition such as", id="an empty condition"),
        pytest.param({"require": "everybody"}, "anyone", id="a word that is not known"),
        pytest.param({"require": {"role": []}}, "at least 1", id="no role at all"),
        pytest.param({"require": {"any": []}}, "at least 1", id="none of nothing"),
        pytest.param({"require": {"strength": {}}}, "`acr`, `amr` or `max_age`", id="strength of nothing"),
        pytest.param({"require": {"scope": 'a" b'}}, "pattern", id="a scope that would split a challenge"),
        pytest.param({"require": {"strength": {"acr": 'x", y="'}}}, "pattern", id="a class that would"),
        pytest.param({"require": {"roles": "a"}}, "roles", id="an unknown key"),
        pytest.param({"require": {"claim": {"a": 1.5}}}, "claim", id="a fraction"),
        pytest.param({"require": NESTED}, "nested", id="deeper than anybody reads"),
        pytest.param({"require": "anyone", "path": "orders"}, "begins with /", id="a path that is none"),
        pytest.param({"require": "anyone", "path": "/a/*"}, "without \\*", id="a star"),
        pytest.param({"require": "anyone", "methods": "get"}, "capitals", id="a method in small letters"),
        pytest.param({"require": "anyone", "methods": "*"}, "leave `methods` out", id="all methods by a star"),
        pytest.param({"if": "anonymous", "require": {"role": "a"}}, "anonymous", id="nobody has no role"),
        pytest.param({"require": {"role": "__import__('os')"}, "when": "1 == 1"}, "when", id="code"),
    ],
)
def test_nonsense_is_refused(rule, why):
    with pytest.raises(ValidationError, match=why):
        settings_of(Access, {"rules": [{"name": "a", **rule}]})


def test_names_are_unique_and_there_is_a_rule():
    with pytest.raises(ValidationError, match="'a' is the name of 2 rules"):
        settings_of(Access, {"rules": [{"name": "a", "deny": True}, {"name": "a", "deny": True}]})
    with pytest.raises(ValidationError, match="at least 1"):
        settings_of(Access, {"rules": []})
