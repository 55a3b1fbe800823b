"""Claims: how they are found, and what they become. What they must say is in the attack table of `test_jwt.py`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.jwt.claims import Unacceptable, find, header_value, principal_of
from plugins.jwt.settings import PrincipalClaims

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=9,
)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a", {"b": {"c": 1}}),
        ("a.b.c", 1),
        ("a.b.x", None),
        ("a.b.c.d", None),
        ("x", None),
        pytest.param("https://id.test/roles", ["r"], id="a name with dots"),
        pytest.param("cognito:groups", ["g"], id="a name with a colon"),
        pytest.param("p.q", "whole", id="the whole name before the path"),
    ],
)
def test_find(path, found):
    claims = {
        "a": {"b": {"c": 1}},
        "https://id.test/roles": ["r"],
        "cognito:groups": ["g"],
        "p.q": "whole",
        "p": {"q": "path"},
    }
    assert find(claims, path) == found


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("x", "x"),
        (7, "7"),
        (True, "true"),
        (["a", "b"], "a,b"),
        ("Zoë", "Zoë"),
        pytest.param("a\nb", None, id="a line break"),
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
