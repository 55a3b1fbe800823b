"""The breaker's state machine, cell by cell, and against a model that remembers everything."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.services.clock import ManualClock
from plugins.circuit_breaker import CircuitBreakerSettings
from plugins.circuit_breaker.breaker import TRANSITIONS, Breaker, Event, State, Tally

STEADY = {"open": {"jitter": 0.0}}


def made(clock=None, *, shadow=False, **given_settings):
    changes = []
    given_settings = {**STEADY, **given_settings}
    breaker = Breaker(
        "t",
        CircuitBreakerSettings(**given_settings),
        clock or ManualClock(),
        lambda one, why: changes.append((one.state, why)),
        shadow=shadow,
    )
    return breaker, changes


TABLE = {
    (State.CLOSED, Event.TRIPPED): State.OPEN,
    (State.CLOSED, Event.WAITED): State.CLOSED,
    (State.CLOSED, Event.FAILED): State.CLOSED,
    (State.CLOSED, Event.RECOVERED): State.CLOSED,
    (State.CLOSED, Event.RESET): State.CLOSED,
    (State.OPEN, Event.TRIPPED): State.OPEN,
    (State.OPEN, Event.WAITED): State.HALF_OPEN,
    (State.OPEN, Event.FAILED): State.OPEN,
    (State.OPEN, Event.RECOVERED): State.OPEN,
    (State.OPEN, Event.RESET): State.CLOSED,
    (State.HALF_OPEN, Event.TRIPPED): State.HALF_OPEN,
    (State.HALF_OPEN, Event.WAITED): State.HALF_OPEN,
    (State.HALF_OPEN, Event.FAILED): State.OPEN,
    (State.HALF_OPEN, Event.RECOVERED): State.CLOSED,
    (State.HALF_OPEN, Event.RESET): State.CLOSED,
}
WAYS = {State.CLOSED: (), State.OPEN: (Event.TRIPPED,), State.HALF_OPEN: (Event.TRIPPED, Event.WAITED)}


def test_the_table_is_whole():
    assert set(TABLE) == set(itertools.product(State, Event))
    assert set(TRANSITIONS) == set(State)


@pytest.mark.parametrize(("state", "event"), TABLE, ids=lambda each: each.name.lower())
def test_each_cell_of_the_table(state, event):
    breaker, changes = made()
    for step in WAYS[state]:
        breaker.step(step, "")
    assert breaker.state is state
    turn, before = breaker.turn, len(changes)
    breaker.step(event, "because")
    assert breaker.state is TABLE[state, event]
    changed = TABLE[state, event] is not state
    assert (breaker.turn - turn, changes[before:]) == ((1, [(breaker.state, "because")]) if changed else (0, []))


def fail(breaker, times=1):
    for _ in range(times):
        turn = breaker.enter()
        assert turn is not None
        breaker.ended(turn, failed=True, slow=False)


def succeed(breaker, times=1):
    for _ in range(times):
        turn = breaker.enter()
        assert turn is not None
        breaker.ended(turn, failed=False, slow=False)


@pytest.mark.parametrize(
    ("given_settings", "ends", "opens"),
    [
        pytest.param({}, "ffff", False, id="four failures"),
        pytest.param({}, "fffff", True, id="five failures, the default"),
        pytest.param({}, "f.f.f.f.f", True, id="successes between them do not matter"),
        pytest.param({"failures": 2}, "f" + "_" * 59 + "f", True, id="just within the window"),
        pytest.param({"failures": 2}, "f" + "_" * 60 + "f", False, id="just outside it"),
        pytest.param({"failures": 2}, "f" + "_" * 60 + "ff", True, id="the window slides"),
        pytest.param({"consecutive": 3}, "fff", True, id="in a row"),
        pytest.param({"consecutive": 3}, "ff.ff.ff", False, id="a success ends the row"),
        pytest.param({"consecutive": 3}, "f" + "_" * 500 + "ff", True, id="a row has no window"),
        pytest.param({"consecutive": 100}, "f" * 99, False, id="with another criterion, five failures do nothing"),
        pytest.param({"error_rate": 0.5, "min_requests": 4}, "fff", False, id="a share of too few"),
        pytest.param({"error_rate": 0.5, "min_requests": 4}, "...f" + "ff", True, id="half of six"),
        pytest.param({"error_rate": 0.5, "min_requests": 4}, "....f" + "ff", False, id="three of seven"),
        pytest.param({"error_rate": 0.5, "min_requests": 4}, "ff" + "_" * 67 + "..ff", True, id="old ones are gone"),
        pytest.param({"error_rate": 0.5, "min_requests": 4}, "fff" + "_" * 67 + ".f", False, id="and their number too"),
        pytest.param({"slow": {"over": 1, "rate": 0.5}, "min_requests": 4}, "..ss", True, id="half of them slow"),
        pytest.param({"slow": {"over": 1, "rate": 0.5}, "min_requests": 4}, "...s", False, id="a quarter slow"),
    ],
)
def test_when_it_opens(given_settings, ends, opens):
    """``.`` success, ``f`` failure, ``s`` slow success, ``_`` a second passes."""
    clock = ManualClock()
    breaker, _ = made(clock, **given_settings)
    for number, end in enumerate(ends):
        if end == "_":
            clock.advance(1)
            continue
        assert breaker.state is State.CLOSED, f"opened before {ends[number:]}"
        turn = breaker.enter()
        breaker.ended(turn, failed=end == "f", slow=end == "s")
    assert (breaker.state is State.OPEN) == opens


def test_the_open_time_doubles_up_to_its_maximum_and_begins_anew_after_recovery():
    clock = ManualClock()
    breaker, _ = made(clock, failures=1)
    lengths = []
    for _ in range(8):
        fail(breaker)
        lengths.append(breaker.until - clock.now())
        clock.advance(lengths[-1])
    assert lengths == [1, 2, 4, 8, 16, 32, 32, 32]
    succeed(breaker)
    assert breaker.state is State.CLOSED
    fail(breaker)
    assert breaker.until - clock.now() == 1


def test_a_target_that_stays_away_for_ever_overflows_nothing():
    clock = ManualClock()
    breaker, _ = made(clock, failures=1)
    for _ in range(2000):
        fail(breaker)
        clock.advance(32)
    assert breaker.opens == 2000


def test_jitter_makes_it_shorter_only_and_differs():
    lengths = set()
    for _ in range(50):
        breaker, _ = made(failures=1, open={"base": 10, "max": 10, "jitter": 0.5})
        fail(breaker)
        lengths.add(breaker.wait)
    assert 5 <= min(lengths) < max(lengths) <= 10
    assert len(lengths) > 10


def opened(clock, **given_settings):
    breaker, changes = made(clock, failures=1, **given_settings)
    fail(breaker)
    return breaker, changes


def test_nobody_passes_while_it_is_open():
    clock = ManualClock()
    breaker, _ = opened(clock)
    assert (breaker.enter(), breaker.admits()) == (None, False)
    clock.advance(0.999)
    assert (breaker.enter(), breaker.admits()) == (None, False)
    clock.advance(0.001)
    assert breaker.admits()
    assert breaker.state is State.OPEN, "asking has no effect"
    assert breaker.enter() is not None


def test_probes_are_bounded_and_all_must_succeed():
    clock = ManualClock()
    breaker, _ = opened(clock, probes=3)
    clock.advance(1)
    turns = [breaker.enter() for _ in range(4)]
    assert [turn is not None for turn in turns] == [True, True, True, False]
    assert not breaker.admits()
    breaker.ended(turns[0], failed=False, slow=False)
    assert breaker.enter() is None, "as many as asked for are under way or done"
    breaker.ended(turns[1], failed=False, slow=False)
    assert breaker.state is State.HALF_OPEN
    breaker.ended(turns[2], failed=False, slow=False)
    assert breaker.state is State.CLOSED


def test_one_failed_probe_opens_it_and_the_others_have_no_say_any_more():
    clock = ManualClock()
    breaker, _ = opened(clock, probes=2)
    clock.advance(1)
    first, second = breaker.enter(), breaker.enter()
    breaker.ended(first, failed=True, slow=False)
    assert breaker.state is State.OPEN
    breaker.ended(second, failed=False, slow=False)
    assert breaker.state is State.OPEN


def test_a_slow_probe_has_failed():
    clock = ManualClock()
    breaker, _ = opened(clock, slow={"over": 1})
    clock.advance(1)
    breaker.ended(breaker.enter(), failed=False, slow=True)
    assert breaker.state is State.OPEN


def test_a_probe_that_says_nothing_makes_room_for_another():
    clock = ManualClock()
    breaker, _ = opened(clock)
    clock.advance(1)
    for _ in range(5):
        turn = breaker.enter()
        assert breaker.enter() is None
        breaker.leave(turn)
    assert breaker.state is State.HALF_OPEN
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_what_began_before_a_change_has_no_say_after_it():
    clock = ManualClock()
    breaker, _ = made(clock, failures=1)
    early = [breaker.enter() for _ in range(3)]
    breaker.ended(early[0], failed=True, slow=False)
    clock.advance(1)
    probe = breaker.enter()
    breaker.leave(early[1])  # must not give back the probe's place
    assert breaker.enter() is None
    breaker.ended(early[2], failed=True, slow=False)
    assert breaker.state is State.HALF_OPEN
    breaker.ended(probe, failed=False, slow=False)
    assert breaker.state is State.CLOSED


def test_what_was_counted_before_it_opened_is_forgotten_when_it_closes():
    clock = ManualClock()
    breaker, _ = made(clock)
    fail(breaker, 5)
    clock.advance(1)
    succeed(breaker)
    fail(breaker, 4)
    assert breaker.state is State.CLOSED


def test_an_answer_that_breaks_off_counts_while_closed_only():
    clock = ManualClock()
    breaker, _ = made(clock, failures=2)
    breaker.broke_off()
    breaker.broke_off()
    assert breaker.state is State.OPEN
    clock.advance(1)
    turn = breaker.enter()
    breaker.broke_off()
    assert breaker.state is State.HALF_OPEN
    breaker.ended(turn, failed=False, slow=False)
    assert breaker.state is State.CLOSED


def test_in_shadow_the_balancer_is_not_steered():
    breaker, _ = made(failures=1, shadow=True)
    fail(breaker)
    assert (breaker.state, breaker.admits(), breaker.enter()) == (State.OPEN, True, None)


def test_a_tally_does_not_grow():
    tally = Tally(CircuitBreakerSettings(failures=3, error_rate=1.0))
    for number in range(10_000):
        tally.add(number * 0.37, failed=number % 3 == 0, slow=False)
    assert len(tally._recent) <= 3
    assert len(tally._slices) <= 10


class Model:
    """Five lines of prose as code: it keeps every failure it saw, and one probe at a time."""

    def __init__(self, failures, window):
        self.failures, self.window = failures, window
        self.seen, self.open_until, self.times = [], None, 0

    def passes(self, now):
        return self.open_until is None or now >= self.open_until

    def ended(self, now, failed):
        probe = self.open_until is not None
        if failed:
            self.seen.append(now)
            recent = [each for each in self.seen if now - each < self.window]
            if probe or len(recent) >= self.failures:
                self.open_until = now + min(2**self.times, 32)
                self.times += 1
        elif probe:
            self.seen, self.open_until, self.times = [], None, 0


@settings(max_examples=200)
@given(
    failures=st.integers(1, 4),
    script=st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["ok", "fail", "nothing"])), max_size=60),
)
def test_it_agrees_with_a_simple_model(failures, script):
    clock = ManualClock(now=0.0)
    breaker, _ = made(clock, failures=failures, window=60.0)
    model = Model(failures, 60.0)
    for pause, end in script:
        clock.advance(pause)
        assert breaker.admits() == model.passes(clock.now())
        turn = breaker.enter()
        assert (turn is not None) == model.passes(clock.now())
        if turn is None:
            continue
        if end == "nothing":
            breaker.leave(turn)
        else:
            breaker.ended(turn, failed=end == "fail", slow=False)
            model.ended(clock.now(), end == "fail")


@settings(max_examples=100)
@given(
    script=st.lists(
        st.tuples(st.floats(0, 20), st.booleans(), st.booleans()),
        max_size=80,
    ),
    rate=st.sampled_from([0.2, 0.5, 1.0]),
)
def test_a_share_is_that_of_the_newest_ten_slices(script, rate):
    tally = Tally(CircuitBreakerSettings(error_rate=rate, min_requests=3))
    now, seen = 0.0, []
    for pause, failed, slow in script:
        now += pause
        number = int(now / 60.0 * 10)
        seen.append((number, failed))
        recent = [bad for at, bad in seen if at > number - 10]
        tripped = len(recent) >= 3 and sum(recent) >= rate * len(recent)
        assert (tally.add(now, failed=failed, slow=slow) is not None) == tripped
