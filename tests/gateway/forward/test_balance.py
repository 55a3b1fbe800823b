from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.upstream import Balance
from gateway.forward.balance import ConsistentHash, LeastRequest, RoundRobin, Weighted, balancer, cookie, key_of, turns
from gateway.http import Principal, Request

WEIGHTS = st.lists(st.integers(1, 20), min_size=2, max_size=8)


def a_request(**fields):
    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return Request("GET", "/", fields=encoded, client_ip="192.0.2.1")


def shares_of(target, weights):
    return [(target(f"t{index}", weight), weight) for index, weight in enumerate(weights)]


@given(WEIGHTS)
def test_round_robin_gives_each_exactly_its_share_in_every_period(target, weights):
    shares = shares_of(target, weights)
    pick = RoundRobin(shares)
    period = len(pick.turns)
    counted = Counter(pick(a_request()).name for _ in range(3 * period))
    assert counted == {each.name: 3 * period * weight // sum(weights) for each, weight in shares}


@given(WEIGHTS)
def test_round_robin_is_smooth(target, weights):
    """Over any stretch from the beginning nobody is a whole turn or more away from his share per other target."""
    shares = shares_of(target, weights)
    order = turns(shares)
    for length in range(1, len(order) + 1):
        counted = Counter(order[:length])
        for each, weight in shares:
            assert abs(counted[each] - length * weight / sum(weights)) < len(weights)


@given(st.lists(st.integers(1, 1000) | st.floats(0.1, 1000), min_size=2, max_size=40))
@settings(max_examples=50, deadline=None)
def test_round_robin_is_bounded_and_near_for_any_shares(target, weights):
    shares = shares_of(target, weights)
    order = turns(shares)
    assert len(order) <= 1024 + len(weights)
    counted = Counter(order)
    for each, weight in shares:
        assert counted[each] >= 1
        assert abs(counted[each] / len(order) - weight / sum(weights)) < 0.05


def test_three_to_one_is_not_three_in_a_row(target):
    heavy, light = target("heavy", 3), target("light", 1)
    assert turns([(heavy, 3), (light, 1)]) == [heavy, heavy, light, heavy]


@pytest.mark.parametrize("kind", [Weighted, LeastRequest], ids=["random", "least_request of idle targets"])
def test_chance_keeps_to_the_weights(target, kind):
    shares = shares_of(target, [1, 2, 5])
    pick = kind(shares)
    counted = Counter(pick(a_request()) for _ in range(20_000))
    for each, weight in shares:
        assert abs(counted[each] / 20_000 - weight / 8) < 0.025  # seven standard deviations


def test_least_request_prefers_who_has_less_to_do(target):
    shares = shares_of(target, [1, 1, 1, 1])
    pick = LeastRequest(shares)
    for _ in range(4000):
        pick(a_request()).active += 1  # nobody ever finishes
    loads = [each.active for each, _ in shares]
    assert max(loads) - min(loads) < 30  # by chance alone it would be about 100


def test_least_request_counts_load_by_weight(target):
    shares = shares_of(target, [1, 3])
    pick = LeastRequest(shares)
    for _ in range(4000):
        pick(a_request()).active += 1
    assert shares[1][0].active / shares[0][0].active == pytest.approx(3, rel=0.1)


# -- consistent hashing ----------------------------------------------------------------------------------------------

KEYS = [f"user-{number}" for number in range(3000)]


def owners(shares):
    pick = ConsistentHash(shares, key_of(Balance(algorithm="consistent_hash", by="client_ip")))
    return {key: pick.owner(key).name for key in KEYS}


@given(WEIGHTS)
@settings(max_examples=20, deadline=None)
def test_hashing_keeps_to_the_weights(target, weights):
    counted = Counter(owners(shares_of(target, weights)).values())
    for index, weight in enumerate(weights):
        expected = weight / sum(weights)
        deviation = (expected * (1 - expected) / len(KEYS)) ** 0.5
        assert abs(counted[f"http://t{index}"] / len(KEYS) - expected) < 6 * deviation


@given(WEIGHTS, st.data())
@settings(max_examples=20, deadline=None)
def test_a_target_that_goes_moves_only_its_own_keys(target, weights, data):
    shares = shares_of(target, weights)
    gone = data.draw(st.integers(0, len(weights) - 1))
    before, after = owners(shares), owners([each for index, each in enumerate(shares) if index != gone])
    assert {key for key in KEYS if before[key] != after[key]} == {
        key for key in KEYS if before[key] == f"http://t{gone}"
    }


@given(WEIGHTS, st.data())
@settings(max_examples=20, deadline=None)
def test_a_target_that_gains_weight_only_gains_keys(target, weights, data):
    grown = data.draw(st.integers(0, len(weights) - 1))
    heavier = [weight * (3 if index == grown else 1) for index, weight in enumerate(weights)]
    before, after = owners(shares_of(target, weights)), owners(shares_of(target, heavier))
    assert all(after[key] == f"http://t{grown}" for key in KEYS if before[key] != after[key])


def test_the_order_of_targets_does_not_matter(target):
    shares = shares_of(target, [1, 2, 3, 4])
    assert owners(shares) == owners(shares[::-1])


@pytest.mark.parametrize(
    ("balance", "same", "without"),
    [
        pytest.param("client_ip", a_request, None, id="client address"),
        pytest.param({"header": "X-Tenant"}, lambda: a_request(X_Tenant="acme"), a_request, id="header"),
        pytest.param({"cookie": "sid"}, lambda: a_request(Cookie="a=1; sid=7"), a_request, id="cookie"),
        pytest.param("principal", lambda: principal("alice"), a_request, id="principal"),
    ],
)
def test_the_same_key_meets_the_same_target_and_none_goes_round(target, balance, same, without):
    pick = balancer(Balance.model_validate({"consistent_hash": balance}), shares_of(target, [1] * 5))
    assert len({pick(same()) for _ in range(50)}) == 1
    if without is not None:
        assert len({pick(without()) for _ in range(50)}) == 5


def principal(name):
    request = a_request()
    request.principal = Principal(name)
    return request


def test_what_is_remembered_of_keys_is_bounded(target):
    pick = balancer(Balance.model_validate({"consistent_hash": {"header": "X"}}), shares_of(target, [1, 1]))
    for number in range(10_000):
        pick(a_request(X=str(number)))
    assert len(pick._known) <= 4096


@pytest.mark.parametrize(
    ("line", "value"),
    [
        pytest.param("sid=1", "1", id="alone"),
        pytest.param("a=b; sid=1; sid=2", "1", id="the first counts"),
        pytest.param('sid="1"', "1", id="quoted"),
        pytest.param("xsid=1; sid", None, id="another name, and a name without a value"),
        pytest.param("sid=", "", id="empty"),
    ],
)
def test_cookie(line, value):
    assert cookie("sid", a_request(Cookie=line)) == value


@pytest.mark.parametrize("algorithm", ["round_robin", "least_request", "random"])
def test_one_target_is_the_one(target, algorithm):
    shares = shares_of(target, [3])
    assert balancer(Balance(algorithm=algorithm), shares)(a_request()) is shares[0][0]
