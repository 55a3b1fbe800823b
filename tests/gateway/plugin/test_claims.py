"""Claims by their paths."""

from __future__ import annotations

import pytest

from gateway.plugin.claims import find, same, values_of

CLAIMS = {
    "roles": ["a"],
    "https://acme.example/roles": ["b"],
    "realm_access": {"roles": ["c"]},
    "resource_access": {"my.app": {"roles": ["d"]}, "my": {"app": "e"}},
    "a": {"b": None, "c": 0},
    "a.b": 1,
    "text": "x.y",
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        pytest.param("roles", ["a"], id="a name"),
        pytest.param("https://acme.example/roles", ["b"], id="a name with dots"),
        pytest.param("realm_access.roles", ["c"], id="a path"),
        pytest.param("resource_access.my.app.roles", ["d"], id="a path through a name with dots"),
        pytest.param("resource_access.my.app", {"roles": ["d"]}, id="the longest name first"),
        pytest.param("a.b", 1, id="the whole name before the path"),
        pytest.param("a.c", 0, id="nought is something"),
        pytest.param("text.x", None, id="text has no claims in it"),
        pytest.param("none", None, id="not there"),
        pytest.param("roles.0", None, id="nor has a list"),
        pytest.param(".", None, id="a dot alone"),
        pytest.param("", None, id="nothing"),
        pytest.param("." * 2000, None, id="more dots than anybody means"),
    ],
)
def test_find(path, found):
    assert find(CLAIMS, path) == found


def test_values():
    assert (values_of(None), values_of("a"), values_of(["a", 1]), values_of(False)) == ([], ["a"], ["a", 1], [False])
    assert len(values_of(["a"] * 5000)) == 1000


def test_same():
    assert same(1, 1) and same("a", "a") and not same(1, True) and not same(1, 1.0) and not same("1", 1)
