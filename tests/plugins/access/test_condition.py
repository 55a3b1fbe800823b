"""Conditions: what each means, and that a challenge can be met."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.http import Principal
from gateway.testing import exchange, request, settings_of
from plugins.access import Access


def caller(**more):
    return Principal(
        "ada", **{key: frozenset(value) if key in ("roles", "scopes") else value for key, value in more.items()}
    )


def only(condition, **more):
    return {"rules": [{"name": "only", "require": condition, **more}]}


CLAIMS = {
    "realm_access": {"roles": ["a", "b"]},
    "https://acme.example/plan": "gold",
    "level": 1,
    "flag": True,
    "amr": ["pwd", "otp"],
}


@pytest.mark.parametrize(
    ("condition", "principal", "more", "holds"),
    [
        pytest.param({"role": {"all": ["a", "b"]}}, caller(roles=["a", "b", "c"]), {}, True, id="all roles"),
        pytest.param({"role": {"all": ["a", "b"]}}, caller(roles=["a"]), {}, False, id="one of all roles"),
        pytest.param({"scope": {"all": ["a", "b"]}}, caller(scopes=["a"]), {}, False, id="one of all scopes"),
        pytest.param({"scope": ["a", "b"]}, caller(scopes=["b"]), {}, True, id="one of the scopes"),
        pytest.param({"role": "a", "scope": "s"}, caller(roles=["a"]), {}, False, id="several keys: all of them"),
        pytest.param({"principal": "ada"}, caller(), {}, True, id="who it is"),
        pytest.param({"principal": ["eve", "bob"]}, caller(), {}, False, id="who it is not"),
        pytest.param({"tenant": "acme"}, caller(tenant="acme"), {}, True, id="its tenant"),
        pytest.param({"tenant": "acme"}, caller(tenant="acme"), {"tenant": "acme"}, True, id="which was found as well"),
        pytest.param({"tenant": "acme"}, caller(tenant="acme"), {"tenant": "other"}, False, id="found another"),
        pytest.param({"tenant": "acme"}, caller(), {"tenant": "acme"}, False, id="a tenant that the request only says"),
        pytest.param({"tenant": "acme"}, caller(tenant="other"), {"tenant": "acme"}, False, id="another's"),
        pytest.param({"own_tenant": True}, caller(tenant="acme"), {"tenant": "acme"}, True, id="its own tenant"),
        pytest.param({"own_tenant": True}, caller(tenant="acme"), {}, False, id="no tenant was found"),
        pytest.param({"own_tenant": True}, caller(), {}, False, id="neither has one"),
        pytest.param(
            {"claim": {"realm_access.roles": "b"}}, caller(claims=CLAIMS), {}, True, id="in a list of a claim"
        ),
        pytest.param({"claim": {"realm_access.roles": "c"}}, caller(claims=CLAIMS), {}, False, id="not in it"),
        pytest.param(
            {"claim": {"https://acme.example/plan": ["gold"]}}, caller(claims=CLAIMS), {}, True, id="a name with dots"
        ),
        pytest.param({"claim": {"level": 1}}, caller(claims=CLAIMS), {}, True, id="a number"),
        pytest.param({"claim": {"level": "1"}}, caller(claims=CLAIMS), {}, False, id="a number is no text"),
        pytest.param({"claim": {"level": True}}, caller(claims=CLAIMS), {}, False, id="nor is it true"),
        pytest.param({"claim": {"flag": 1}}, caller(claims=CLAIMS), {}, False, id="nor is true a number"),
        pytest.param({"claim": {"none": "x"}}, caller(claims=CLAIMS), {}, False, id="no such claim"),
        pytest.param({"claim": {"level": 1, "flag": False}}, caller(claims=CLAIMS), {}, False, id="all of the claims"),
        pytest.param({"strength": {"amr": ["otp", "hwk"]}}, caller(claims=CLAIMS), {}, True, id="one of the methods"),
        pytest.param(
            {"strength": {"amr": {"all": ["pwd", "hwk"]}}}, caller(claims=CLAIMS), {}, False, id="all methods"
        ),
        pytest.param(
            {"strength": {"amr": "otp"}}, caller(claims={"amr": [["otp"], {}]}), {}, False, id="amr of odd shape"
        ),
        pytest.param(
            {"parameter": {"user": "principal"}}, caller(), {"params": {"user": "ada"}}, True, id="its own path"
        ),
        pytest.param(
            {"parameter": {"user": "principal"}},
            caller(),
            {"params": {"user": "%61da"}},
            True,
            id="in another spelling",
        ),
        pytest.param(
            {"parameter": {"user": "principal"}}, caller(), {"params": {"user": "eve"}}, False, id="another's path"
        ),
        pytest.param({"parameter": {"user": "principal"}}, caller(), {}, False, id="a path without parameters"),
        pytest.param(
            {"parameter": {"org": "tenant"}}, caller(), {"params": {"org": ""}}, False, id="nothing is nobody's"
        ),
        pytest.param({"any": [{"role": "x"}, {"principal": "ada"}]}, caller(), {}, True, id="any"),
        pytest.param({"all": [{"role": "x"}, {"principal": "ada"}]}, caller(), {}, False, id="all"),
        pytest.param({"not": {"role": "x"}}, caller(), {}, True, id="not"),
        pytest.param({"not": {"any": [{"role": "x"}, {"role": "y"}]}}, caller(roles=["y"]), {}, False, id="not any"),
    ],
)
async def test_conditions(condition, principal, more, holds):
    response = await exchange(Access, only(condition), request(principal=principal, **more))
    assert (response.status == 200) is holds


# -- properties --------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c"])
LEAVES = st.one_of(
    st.fixed_dictionaries({"role": st.lists(NAMES, min_size=1, max_size=2)}),
    st.fixed_dictionaries({"scope": st.fixed_dictionaries({"all": st.lists(NAMES, min_size=1, max_size=2)})}),
    st.fixed_dictionaries({"strength": st.fixed_dictionaries({"acr": NAMES})}),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=6,
)


def plainly(condition, who):
    """What the words mean, said another way."""
    ((key, value),) = condition.items()
    return {
        "role": lambda: bool(set(value) & who.roles),
        "scope": lambda: set(value["all"]) <= who.scopes,
        "strength": lambda: who.claims.get("acr") == value["acr"],
        "all": lambda: all(plainly(each, who) for each in value),
        "any": lambda: any(plainly(each, who) for each in value),
        "not": lambda: not plainly(value, who),
    }[key]()


@settings(max_examples=100, deadline=None)
@given(condition=CONDITIONS, roles=st.sets(NAMES), scopes=st.sets(NAMES), acr=NAMES)
async def test_conditions_mean_what_they_say_and_a_challenge_can_be_met(condition, roles, scopes, acr):
    try:
        given_settings = settings_of(Access, only(condition))
    except ValidationError as error:
        assert "nested" in str(error)
        return
    who = caller(roles=roles, scopes=scopes, claims={"acr": acr})
    response = await exchange(Access, given_settings, request(principal=who))
    assert (response.status == 200) is plainly(condition, who)
    if response.status == 200:
        return
    # What a refusal asks for is never empty.
    challenge = response.headers.get("WWW-Authenticate", "")
    if response.error.code == "insufficient_scope":
        assert set(challenge.rpartition('scope="')[2].rstrip('"').split()) - scopes
    elif response.error.code == "insufficient_user_authentication":
        assert acr not in challenge.rpartition('acr_values="')[2].rstrip('"').split()
    else:
        assert not challenge
