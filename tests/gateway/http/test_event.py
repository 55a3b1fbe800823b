"""The event of a request: told once, known to all behind, and to no fork of before."""

import pytest

from gateway.http.event import Event, event_of, note_event
from gateway.testing import request


def test_nobody_told():
    assert event_of(request()) is None


def test_what_was_told_is_known_behind_and_in_later_forks():
    asked = request()
    before = asked.fork()
    asked.extras = {"other": 1}
    note_event(asked, Event("stripe", "evt_1", 17.0))
    assert event_of(asked) == Event("stripe", "evt_1", 17.0)
    assert event_of(asked.fork()) == event_of(asked)
    assert asked.extras["other"] == 1
    assert event_of(before) is None


def test_a_fork_may_be_told_something_else():
    asked = request()
    note_event(asked, Event("stripe", "evt_1"))
    fork = asked.fork()
    note_event(fork, Event("github", "2"))
    assert event_of(asked).provider == "stripe"


@pytest.mark.parametrize(
    ("event", "key"),
    [
        pytest.param(Event("stripe", "evt_1"), "stripe:evt_1", id="an id"),
        pytest.param(Event("stripe", None), None, id="no id"),
    ],
)
def test_its_key_names_the_provider(event, key):
    assert event.key == key
