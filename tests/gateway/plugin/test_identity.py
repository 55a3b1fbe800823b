"""Claims: what they become. What they must say is in the attack tables of the plugins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.plugin.identity import (
    PrincipalClaims,
    Unacceptable,
    dress,
    header_value,
    mismatch,
    moment,
    principal_of,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=9,
)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("x", "x"),
        (7, "7"),
        (True, "true"),
        (["a", "b"], "a,b"),
        ("Zoë", "Zoë"),
        pytest.param("a\nb", None, id="a line break"),
        pytest.param("admin ", None, id="white space that its reader would drop"),
        pytest.param(["a", " b", ""], "a, b,", id="white space within a list is no end"),
        pytest.param(["a,b", "c"], None, id="a comma would make two of one"),
        pytest.param(["a", 1], None, id="a list of other things"),
        pytest.param({"a": 1}, None, id="an object"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_header_value(value, written):
    assert header_value({"c": value}, ("c",)) == written


@given(st.dictionaries(st.sampled_from(["sub", "roles", "scope", "scp", "t"]), JSON))
def test_any_claims_make_a_principal_or_none(claims):
    try:
        found = principal_of(claims, PrincipalClaims(tenant=("t",)))
    except Unacceptable:
        return
    assert found.id and found.id.isprintable()
    assert found.tenant is None or isinstance(found.tenant, str)
    assert all(isinstance(each, str) for each in found.roles | found.scopes)


def test_roles_are_bounded():
    assert len(principal_of({"sub": "x", "roles": [str(n) for n in range(5000)]}, PrincipalClaims()).roles) == 1000


def test_a_number_is_an_id_and_true_is_not():
    assert principal_of({"sub": 7}, PrincipalClaims()).id == "7"
    with pytest.raises(Unacceptable):
        principal_of({"sub": True}, PrincipalClaims())


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        ({}, None),
        ({"a": (1,)}, None),
        ({"a": (True,)}, "a"),
        ({"a": (1,), "b.c": ("y",)}, None),
        pytest.param({"b.c": ("z",)}, "b.c", id="no member of a list"),
        pytest.param({"x": ("z",)}, "x", id="not there"),
    ],
)
def test_mismatch(wanted, missing):
    assert mismatch({"a": 1, "b": {"c": ["x", "y"]}}, wanted) == missing


def test_dress_leaves_out_what_is_not_there():
    named = {"X-User": ("email", "sub"), "X-Tenant": ("tenant",)}
    assert dress({"sub": "ada"}, named) == [("X-User", "ada")]


@pytest.mark.parametrize("value", ["1", True, -1, 1e11, 10**400, [1]])
def test_what_is_no_time(value):
    with pytest.raises(Unacceptable):
        moment({"exp": value}, "exp")
    assert moment({}, "exp") is None
