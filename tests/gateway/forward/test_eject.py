from __future__ import annotations

import pytest

from gateway.config.upstream import PassiveHealth
from gateway.errors import (
    CircuitOpen,
    ClientClosed,
    ConnectFailed,
    ConnectionReused,
    ConnectTimeout,
    FirstByteTimeout,
    InternalError,
    MalformedAnswer,
    PayloadTooLarge,
    PoolExhausted,
    TotalTimeout,
    UpstreamReset,
)
from gateway.forward.eject import Ejector, counts


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (ConnectFailed, True),
        (ConnectTimeout, True),
        (UpstreamReset, True),
        (MalformedAnswer, True),
        (FirstByteTimeout, True),
        (TotalTimeout, True),
        (ConnectionReused, False),
        (PoolExhausted, False),
        (CircuitOpen, False),
        (ClientClosed, False),
        (PayloadTooLarge, False),
        (InternalError, False),
    ],
)
def test_what_counts_against_a_target(error, counted):
    assert counts(error()) is counted


class Story:
    """Two targets, of which the first has a hard time."""

    def __init__(self, target, *, count=2, **settings):
        self.targets = [target(f"t{index}") for index in range(count)]
        self.first = self.targets[0]
        self.ejector = Ejector(
            PassiveHealth(**{"failures": 3, "base_ejection": 10, "max_ejection": 35, **settings}), self.targets
        )
        self.now = 0.0

    def play(self, script: str) -> str:
        """``f`` fails, ``o`` works, a digit lets that many seconds pass; returns the state after each letter."""
        states = []
        for step in script:
            if step == "f":
                self.ejector.failed(self.first, self.now)
            elif step == "o":
                self.first.failures = 0
            else:
                self.now += int(step)
                self.ejector.expire(self.now)
            states.append("E" if self.first.ejected else ".")
        return "".join(states)


@pytest.mark.parametrize(
    ("script", "states"),
    [
        pytest.param("fff", "..E", id="three in a row eject"),
        pytest.param("ffoff", ".....", id="a success begins the row anew"),
        pytest.param("fff91", "..EE.", id="for ten seconds"),
        pytest.param("fff91ff", "..EE...", id="then failures are counted from the beginning"),
        pytest.param("fff91fff9911", "..EE...EEEE.", id="the second time for twenty"),
        pytest.param("ffffff", "..EEEE", id="failures while ejected change nothing"),
    ],
)
def test_the_state_of_a_target(target, script, states):
    assert Story(target).play(script) == states


@pytest.mark.parametrize(
    ("ejections", "calm", "length"),
    [
        pytest.param(0, 0, 10, id="first"),
        pytest.param(1, 0, 20, id="second"),
        pytest.param(2, 0, 30, id="third"),
        pytest.param(3, 0, 35, id="never longer than the maximum"),
        pytest.param(3, 10, 30, id="a calm base time takes one step back"),
        pytest.param(3, 1000, 10, id="a long calm takes all back"),
    ],
)
def test_how_long(target, ejections, calm, length):
    story = Story(target)
    story.first.ejections, story.first.returned, story.now = ejections, 1000.0, 1000.0 + calm
    story.play("fff")
    assert story.first.ejected_until - story.now == length
    assert story.ejector.due() == story.first.ejected_until


@pytest.mark.parametrize(
    ("count", "share", "out"),
    [
        pytest.param(1, 1.0, 0, id="the only target is never ejected"),
        pytest.param(2, 0.1, 1, id="one of two may always be"),
        pytest.param(4, 0.5, 2, id="half of four"),
        pytest.param(5, 0.5, 2, id="half of five, rounded down"),
        pytest.param(4, 1.0, 4, id="all, where that is asked for"),
    ],
)
def test_not_more_than_a_share_is_out_at_once(target, count, share, out):
    story = Story(target, count=count, max_ejected=share)
    for each in story.targets:
        for _ in range(3):
            story.ejector.failed(each, 0.0)
    assert sum(each.ejected for each in story.targets) == out


def test_a_target_that_returns_starts_slowly(target):
    story = Story(target)
    story.play("fff91")
    assert (story.first.started, story.first.failures, story.ejector.due()) == (10.0, 0, None)
