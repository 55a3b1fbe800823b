"""The limit that finds itself, over a target that is worked out: so many workers, so long an answer."""

from hypothesis import given
from hypothesis import strategies as st

from plugins.concurrency_limit.gradient import MOST, Gradient
from plugins.concurrency_limit.settings import Adaptive


class Simulated:
    """A target with so many workers, each ``service`` seconds at an answer, and callers who want ``demand`` at once."""

    def __init__(self, workers, service=0.1, **settings):
        self.workers, self.service, self.now = workers, service, 0.0
        self.gradient = Gradient(Adaptive(**settings), 20, self.now, chance=lambda: 0.0)
        self.allowed = []

    def latency(self, in_flight):
        return self.service * max(1.0, in_flight / self.workers)

    def run(self, seconds, demand):
        until = self.now + seconds
        while self.now < until:
            in_flight = min(demand, self.gradient.allowed)
            took = self.latency(in_flight)
            self.now += took
            for at in range(in_flight):
                self.gradient.began(at + 1)
            for _ in range(in_flight):
                self.gradient.ended(self.now, took)
            self.allowed.append(self.gradient.allowed)
        return self


def test_under_overload_it_settles_a_little_above_what_the_target_can_do():
    target = Simulated(workers=8).run(120, demand=500)
    assert 8 <= target.gradient.limit <= 20
    assert target.latency(target.gradient.limit) < 3 * target.service, "without a limit it were 62 times"


def test_a_target_that_becomes_slower_gets_less_and_one_that_recovers_more():
    target = Simulated(workers=40).run(60, demand=500)
    before = target.gradient.limit
    target.workers = 5
    slow = target.run(60, demand=500).gradient.limit
    assert slow < before / 2
    target.workers = 40
    assert target.run(60, demand=500).gradient.limit > slow * 2


def test_a_baseline_that_was_measured_under_load_is_probed_at_once():
    target = Simulated(workers=4).run(10, demand=500)
    assert target.gradient.baseline == 0.1
    assert min(target.allowed) == target.gradient.settings.min


def test_slower_by_nature_is_not_a_jam():
    target = Simulated(workers=40, probe=5.0).run(30, demand=500)
    limit = target.gradient.limit
    target.service = 0.3
    target.run(60, demand=500)
    assert target.gradient.baseline is not None
    assert abs(target.gradient.baseline - 0.3) < 1e-6
    assert target.gradient.limit > limit / 2, "a probe has told that this is what it takes now"


def test_what_nobody_uses_does_not_grow():
    target = Simulated(workers=100).run(300, demand=6)
    assert target.gradient.limit == 20


def test_at_quiet_times_nothing_is_probed():
    target = Simulated(workers=100, probe=1.0).run(30, demand=3)
    assert not target.gradient.probing
    assert min(target.allowed) == 20


def test_a_probe_hears_only_of_what_began_in_it():
    gradient = Gradient(Adaptive(samples=1, window=1.0, probe=1.0), 20, 0.0)
    gradient.began(20)
    gradient.ended(1.0, 0.9)
    assert gradient.probing
    gradient.ended(1.5, 0.9)
    assert gradient.probing, "it began before the limit fell"
    assert gradient.ended(1.6, 0.1)
    assert (gradient.probing, gradient.baseline) == (False, 0.1)


def test_a_probe_of_a_target_that_hangs_ends():
    gradient = Gradient(Adaptive(samples=1, window=1.0, probe=1.0), 20, 0.0)
    gradient.began(20)
    gradient.ended(1.0, 0.1)
    assert gradient.probing
    assert not gradient.overdue(2.9)
    assert gradient.overdue(3.0), "one window and ten baselines"
    assert (gradient.probing, gradient.baseline, gradient.allowed > 4) == (False, 0.1, True)


def test_in_shadow_nothing_is_probed_and_the_fastest_window_is_the_baseline():
    gradient = Gradient(Adaptive(samples=1, window=1.0, probe=0.1), 20, 0.0, probes=False)
    for now, took in ((1.0, 0.5), (2.0, 0.2), (3.0, 0.9)):
        gradient.began(20)
        gradient.ended(now, took)
        assert not gradient.probing
    assert gradient.baseline == 0.2


def test_one_window_is_bounded():
    gradient = Gradient(Adaptive(window=1000.0), 20, 0.0)
    for _ in range(3 * MOST):
        gradient.ended(1.0, 0.1)
    assert len(gradient._took) == MOST


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 100), st.integers(0, 5000)), max_size=200))
def test_it_never_leaves_its_bounds(ends):
    gradient, now = Gradient(Adaptive(min=3, max=50, samples=1, window=0.01, probe=0.1), 20, 0.0), 0.0
    for step, took, in_flight in ends:
        now += step
        gradient.began(in_flight)
        gradient.overdue(now)
        gradient.ended(now, took)
        assert 3 <= gradient.allowed <= 50
        assert 3 <= gradient.limit <= 50
