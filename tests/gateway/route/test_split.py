import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.config.routing import Override, Share
from gateway.http import Principal, Request
from gateway.route.split import compile_split, cookie


def asking(*, client_ip="10.0.0.1", principal=None, tenant=None, **headers):
    view = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    request = Request("GET", "/", view=view, client_ip=client_ip)
    request.principal = Principal(principal) if principal else None
    request.tenant = tenant
    return request


def shares(**weights):
    return [Share(upstream=name, weight=weight) for name, weight in weights.items()]


CANARY = shares(old=95, new=5)


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        pytest.param(0.0, "old", id="the lowest"),
        pytest.param(0.9499, "old", id="below the edge"),
        pytest.param(0.95, "new", id="on the edge"),
        pytest.param(1 - 2**-53, "new", id="the highest"),
    ],
)
def test_the_draw_decides(draw, expected):
    assert compile_split(None, CANARY)(asking(), draw) == expected


@settings(max_examples=200)
@given(st.lists(st.integers(0, 1_000_000), min_size=2, max_size=6).filter(any), st.floats(0, 1, exclude_max=True))
def test_a_share_is_as_large_as_its_weight(weights, draw):
    choose = compile_split(None, [Share(upstream=str(n), weight=w) for n, w in enumerate(weights)])
    name = int(choose(asking(), draw))
    total = sum(weights)
    assert weights[name] > 0
    assert sum(weights[:name]) / total <= draw + 1e-9
    assert draw - 1e-9 <= sum(weights[: name + 1]) / total
    assert choose(asking(), draw) == str(name)


@settings(max_examples=50)
@given(before=st.integers(0, 99), more=st.integers(1, 100), draw=st.floats(0, 1, exclude_max=True))
def test_a_growing_share_takes_and_does_not_give(before, more, draw):
    after = min(before + more, 100)
    first = compile_split(None, shares(old=100 - before, new=before))(asking(), draw)
    second = compile_split(None, shares(old=100 - after, new=after))(asking(), draw)
    assert (first, second) != ("new", "old")


@pytest.mark.parametrize(
    ("sticky", "request_"),
    [
        pytest.param("client_ip", {"client_ip": "10.1.2.3"}, id="address"),
        pytest.param("principal", {"principal": "me"}, id="principal"),
        pytest.param("tenant", {"tenant": "acme"}, id="tenant"),
        pytest.param("header:X-User", {"X_User": "me"}, id="header"),
        pytest.param("cookie:session", {"Cookie": "a=1; session=abc"}, id="cookie"),
    ],
)
def test_sticky_callers_stay(sticky, request_):
    choose = compile_split(None, shares(a=1, b=1), sticky=sticky)
    assert len({choose(asking(**request_), random.random()) for _ in range(50)}) == 1


def test_sticky_callers_are_shared_out_by_weight():
    choose = compile_split(None, shares(a=3, b=1), sticky="header:X-User", seed="orders")
    counts = Counter(choose(asking(X_User=f"user{n}"), 0.0) for n in range(4000))
    assert 850 < counts["b"] < 1150


def test_sticky_without_a_key_draws():
    choose = compile_split(None, CANARY, sticky="principal")
    assert {choose(asking(), draw) for draw in (0.1, 0.99)} == {"old", "new"}


def test_routes_have_their_own_sticky_callers():
    one = compile_split(None, shares(a=1, b=1), sticky="header:X-User", seed="one")
    two = compile_split(None, shares(a=1, b=1), sticky="header:X-User", seed="two")
    users = [asking(X_User=f"user{n}") for n in range(100)]
    assert [one(user, 0) for user in users] != [two(user, 0) for user in users]


@pytest.mark.parametrize(
    ("override", "request_", "expected"),
    [
        pytest.param({"header": "X-Canary"}, {"X_Canary": "yes"}, "new", id="any value"),
        pytest.param({"header": "X-Canary"}, {"X_Canary": ""}, "old", id="but not an empty one"),
        pytest.param({"header": "X-Canary"}, {}, "old", id="no header"),
        pytest.param({"header": "X-Canary", "value": "1"}, {"X_Canary": "1"}, "new", id="the value"),
        pytest.param({"header": "X-Canary", "value": "1"}, {"X_Canary": "2"}, "old", id="another value"),
        pytest.param({"cookie": "canary"}, {"Cookie": "x=1; canary=on"}, "new", id="a cookie"),
        pytest.param({"cookie": "canary"}, {"Cookie": "canaryx=on"}, "old", id="another cookie"),
    ],
)
def test_override(override, request_, expected):
    choose = compile_split("old", override=[Override(upstream="new", **override)])
    assert choose(asking(**request_), 0.0) == expected


def test_the_first_override_wins():
    overrides = [Override(header="A", upstream="a"), Override(header="B", upstream="b")]
    assert compile_split(None, CANARY, overrides)(asking(A="1", B="1"), 0.0) == "a"
    assert compile_split(None, CANARY, overrides)(asking(B="1"), 0.0) == "b"


def test_nothing_to_choose():
    assert compile_split("old") is None
    assert compile_split(None) is None
    assert compile_split(None, shares(only=1)) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("a=1", "1", id="one"),
        pytest.param("b=2; a=1", "1", id="the second"),
        pytest.param("a=1; a=2", "1", id="the first of two"),
        pytest.param('a="1"', "1", id="quoted"),
        pytest.param("a=1=2", "1=2", id="with an equals sign"),
        pytest.param("a", None, id="without value"),
        pytest.param("A=1", None, id="names have case"),
        pytest.param(";;=;", None, id="nonsense"),
    ],
)
def test_cookie(line, expected):
    assert cookie(CIMultiDict(Cookie=line), "a") == expected
