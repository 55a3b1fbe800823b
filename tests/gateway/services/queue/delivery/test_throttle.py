"""How much goes to one upstream: concurrency, rate, and care after an illness."""

import math

import pytest

from gateway.services.clock import ManualClock
from gateway.services.queue.delivery import Throttle
from gateway.services.queue.delivery.throttle import LONGEST_PAUSE, MOST_ASKED, PATIENCE


def made(concurrency=10, rate=None, recovery=30.0):
    clock = ManualClock()
    throttle = Throttle(clock, draw=lambda: 1.0)
    throttle.limit("one", concurrency, rate, recovery)
    return throttle, clock


def test_no_more_at_once_than_allowed():
    throttle, _ = made(10)
    assert [throttle.reserve(7), throttle.reserve(7), throttle.reserve(7)] == [7, 3, 0]
    assert throttle.wait() == math.inf
    throttle.release(2)
    assert throttle.reserve(7) == 2


def test_what_is_not_used_is_given_back():
    throttle, _ = made(10, rate=1000)
    got = throttle.reserve(10)
    throttle.unused(got - 1)
    assert throttle.in_flight == 1


@pytest.mark.parametrize(
    "rate", [pytest.param(0.5, id="one in two seconds"), pytest.param(100.0, id="a hundred a second")]
)
def test_no_more_a_second_than_allowed(rate):
    throttle, clock = made(1000, rate)
    sent = 0
    for _ in range(100 * 60):
        got = throttle.reserve(1000)
        sent += got
        throttle.release(got)
        clock.advance(0.01)
    assert rate * 60 * 0.98 <= sent <= rate * 60 + max(1, rate * 0.1) + 1


def test_waiting_as_long_as_it_says_is_enough():
    throttle, clock = made(10, rate=0.3)
    for _ in range(20):
        throttle.release(throttle.reserve(5))
        assert throttle.reserve(5) == 0
        clock.advance(throttle.wait())
        assert throttle.reserve(5) == 1
        throttle.release()


def test_of_several_who_deliver_to_it_the_least_holds():
    throttle, _ = made(10, rate=5)
    throttle.limit("two", 4, None, 60.0)
    assert (throttle.concurrency, throttle.rate, throttle.recovery) == (4, 5, 60.0)
    throttle.forget("one")
    assert (throttle.concurrency, throttle.rate) == (4, math.inf)


def test_illness_ends_in_a_pause_and_then_in_one_at_a_time():
    throttle, clock = made(10)
    for _ in range(PATIENCE):
        assert throttle.reserve(1) == 1
        throttle.failed(ill=True)
        throttle.release()
    assert throttle.reserve(10) == 0
    pauses = []
    for _ in range(10):
        pauses.append(throttle.wait())
        clock.advance(pauses[-1])
        assert throttle.reserve(10) == 1
        assert throttle.reserve(10) == 0
        throttle.failed(ill=True)
        throttle.release()
    assert pauses == sorted(pauses)
    assert pauses[0] == 1.0
    assert pauses[-1] == LONGEST_PAUSE


def test_nobody_waits_for_longer_than_those_who_deliver_would():
    throttle, clock = made(10)
    throttle.limit("one", 10, None, 30.0, 3600.0)
    throttle.limit("two", 10, None, 30.0, 0.5)
    for _ in range(PATIENCE + 8):
        throttle.failed(ill=True)
        assert throttle.wait() in (0.5, math.inf)
        clock.advance(0.5)
    throttle.failed(ill=True, after=60.0)
    assert throttle.wait() == 0.5
    clock.advance(0.5)
    throttle.forget("two")
    throttle.failed(ill=True)
    assert throttle.wait() == LONGEST_PAUSE


def test_what_is_about_one_item_does_not_slow_the_others():
    throttle, _ = made(10)
    for _ in range(50):
        throttle.failed(ill=False)
    assert (throttle.allowed, throttle.reserve(10)) == (10, 10)


def test_after_an_illness_it_grows_back_over_the_time_of_recovery():
    throttle, clock = made(10, rate=100, recovery=30.0)
    for _ in range(8):
        throttle.failed(ill=True)
    clock.advance(3600)
    throttle.succeeded()
    assert throttle.allowed == 1, "an hour of waiting is no sign of health"
    shares = []
    for _ in range(30):
        clock.advance(1)
        throttle.succeeded()
        shares.append(throttle.allowed)
    assert shares == sorted(shares)
    assert shares[3] <= 3
    assert shares[-1] == 10


def test_illness_during_recovery_halves_it_again():
    throttle, clock = made(10, recovery=10.0)
    throttle.failed(ill=True)
    throttle.succeeded()
    clock.advance(100)
    throttle.succeeded()
    assert throttle.allowed == 10
    throttle.failed(ill=True)
    assert throttle.allowed == 5


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        pytest.param(20.0, 20.0, id="as long as the upstream asks"),
        pytest.param(1e9, MOST_ASKED, id="up to a bound"),
    ],
)
def test_an_upstream_that_asks_to_be_left_alone_is(after, seconds):
    throttle, clock = made(10)
    throttle.failed(ill=True, after=after)
    assert throttle.wait() == seconds
    clock.advance(seconds - 0.1)
    assert throttle.reserve(1) == 0
    clock.advance(0.2)
    assert throttle.reserve(1) == 1


async def test_who_waits_is_woken_by_a_place_that_is_free():
    throttle, _ = made(1)
    throttle.reserve(1)
    first = throttle.change()
    assert throttle.change() is first
    throttle.release()
    assert first.done()
    assert throttle.change() is not first
    assert throttle.reserve(1) == 1
