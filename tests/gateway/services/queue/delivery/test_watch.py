"""What is counted of deliveries."""

import pytest

from gateway.services.metrics import Metrics
from gateway.services.queue import Item, State
from gateway.services.queue.delivery import Delivered, Failed, Hopeless, Untried, Watch


def item(**more):
    values = {
        "id": "1",
        "topic": "t",
        "labels": {},
        "state": State.LEASED,
        "accepted": 100.0,
        "due": 0.0,
        "attempts": 0,
        "round": 0,
        "replays": 0,
        "size": 0,
    }
    return Item(**{**values, **more})


def samples(metrics, name):
    (family,) = [each for each in metrics.snapshot() if each["name"] == f"delivery_{name}"]
    return {tuple(values[2:]): value for values, value in family["samples"] if values[:2] == ["r", "p"]}


@pytest.mark.parametrize(
    ("outcome", "results", "untried"),
    [
        pytest.param(Delivered(204), {("2xx",): 1}, {}, id="delivered"),
        pytest.param(Failed(503), {("5xx",): 1}, {}, id="an answer that is a failure"),
        pytest.param(Failed(error="connect_failed"), {("connect_failed",): 1}, {}, id="no answer"),
        pytest.param(Hopeless(410), {("4xx",): 1}, {}, id="a permanent answer"),
        pytest.param(Failed(999), {("5xx",): 1}, {}, id="a status that is none of HTTP's"),
        pytest.param(Untried("no_target"), {}, {("no_target",): 1}, id="nothing was sent"),
    ],
)
def test_attempts_by_result(outcome, results, untried):
    metrics = Metrics()
    watch = Watch(metrics, "r", "p")
    watch.began(item())
    assert samples(metrics, "in_flight") == {(): 1}
    watch.ended(item(), outcome, 107.0)
    assert samples(metrics, "in_flight") == {(): 0}
    assert samples(metrics, "attempts_total") == results
    assert samples(metrics, "untried_total") == untried
    delivered = isinstance(outcome, Delivered)
    assert samples(metrics, "delivered_total") == {(): int(delivered)}
    assert samples(metrics, "lag_seconds")[()][:2] == [int(delivered), 7.0 if delivered else 0.0]


def test_a_replay_is_counted_once():
    metrics = Metrics()
    watch = Watch(metrics, "r", "p")
    for round_ in range(3):
        watch.began(item(replays=1, round=round_))
    assert samples(metrics, "replayed_total") == {(): 1}


def test_dead_letters_by_why():
    metrics = Metrics()
    watch = Watch(metrics, "r", "p")
    watch.buried(Hopeless(410))
    watch.buried(Failed(500))
    assert samples(metrics, "dead_total") == {("permanent",): 1, ("given_up",): 1}


def test_why_it_stands_still():
    metrics = Metrics()
    watch = Watch(metrics, "r", "p")
    watch.paused("", "no_target")
    watch.paused("no_target", "circuit_open")
    assert samples(metrics, "paused") == {("no_target",): 0, ("circuit_open",): 1}
    watch.paused("circuit_open", "not_in_force")
    assert samples(metrics, "paused") == {("no_target",): 0, ("circuit_open",): 0}
