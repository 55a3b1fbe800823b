"""When an item that failed is tried again, and when no more."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.services.queue.delivery import Schedule

HOUR = 3600.0


def most():
    return 1.0


def least():
    return 0.0


@pytest.mark.parametrize(
    ("schedule", "failures", "wait"),
    [
        pytest.param(Schedule(), 1, 1.0, id="the first wait is up to base"),
        pytest.param(Schedule(), 2, 2.0, id="the second up to twice that"),
        pytest.param(Schedule(), 11, 1024.0, id="it doubles each time"),
        pytest.param(Schedule(), 13, HOUR, id="up to max"),
        pytest.param(Schedule(max_age=1e12), 5000, HOUR, id="however often it has failed"),
        pytest.param(Schedule(steps=(5.0, 300.0)), 1, 5.5, id="a given step, and a tenth at most"),
        pytest.param(Schedule(steps=(5.0, 300.0)), 2, 330.0, id="the second step"),
        pytest.param(Schedule(steps=(5.0, 300.0)), 3, None, id="after the last step no more"),
        pytest.param(Schedule(attempts=2), 1, 1.0, id="fewer than the most attempts"),
        pytest.param(Schedule(attempts=2), 2, None, id="the most attempts"),
    ],
)
def test_the_longest_that_may_be_drawn(schedule, failures, wait):
    due = schedule.due(failures, accepted=0.0, now=10.0, draw=most)
    assert due == (None if wait is None else 10.0 + wait)


def test_full_jitter_draws_from_nothing_on():
    assert Schedule().due(10, 0.0, 5.0, least) == 5.0


def test_a_step_is_never_shorter_than_it_says():
    assert Schedule(steps=(60.0,)).due(1, 0.0, 5.0, least) == 65.0


@pytest.mark.parametrize(
    ("now", "due"),
    [
        pytest.param(99.0, 100.0, id="the last try is made when it is as old as it may be"),
        pytest.param(50.0, 51.0, id="before that as drawn"),
        pytest.param(100.0, None, id="what fails at that age is given up"),
        pytest.param(500.0, None, id="and what is older, too"),
    ],
)
def test_age(now, due):
    schedule = Schedule(base=1.0 if now < 99 else 60.0, max_age=100.0)
    assert schedule.due(1, 0.0, now, most) == due


@pytest.mark.parametrize(
    ("after", "wait"),
    [
        pytest.param(None, 0.0, id="nothing was asked for"),
        pytest.param(30.0, 30.0, id="what was asked for"),
        pytest.param(9999.0, 600.0, id="no more than max"),
    ],
)
def test_retry_after(after, wait):
    assert Schedule(max=600.0).due(1, 0.0, 10.0, least, after=after) == 10.0 + wait


def test_what_was_replayed_is_as_old_as_its_failures_since():
    schedule = Schedule(base=60.0, max=60.0, max_age=600.0)
    old = 1e6
    assert schedule.due(1, 0.0, old, most) is None
    tries = 1
    while schedule.due(tries, 0.0, old, most, replayed=True) is not None:
        tries += 1
    assert 15 <= tries <= 25


@settings(max_examples=100)
@given(
    base=st.floats(0.01, 1000),
    times=st.floats(1, 1000),
    failures=st.integers(1, 200),
    draw=st.floats(0, 1),
    age=st.floats(0, 1e6),
    replayed=st.booleans(),
    after=st.none() | st.floats(0, 1e9),
)
def test_it_is_never_in_the_past_nor_later_than_it_may_be(base, times, failures, draw, age, replayed, after):
    schedule = Schedule(base=base, max=base * times, max_age=1e5)
    due = schedule.due(failures, 0.0, age, lambda: draw, after=after, replayed=replayed)
    if due is not None:
        assert age <= due <= age + base * times + 1e-6
        assert replayed or due <= 1e5
