import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gateway.services.metrics import DURATIONS, OTHER, Metrics, Snapshot, merge, render


def samples(snapshot: Snapshot, name: str) -> dict[tuple[str, ...], Any]:
    family = next(each for each in snapshot if each["name"] == name)
    return {tuple(values): value for values, value in family["samples"]}


def rendered(snapshot: Snapshot) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = render(snapshot)[0].decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_an_exchange_is_seen_in_every_metric_of_its_route() -> None:
    metrics = Metrics()
    route = metrics.route("orders")
    route.in_flight = 2
    route.of(200).record(0.02, 10, 300)
    route.of(200).record(0.3, 5, 7)
    found = rendered(metrics.snapshot())
    labels = frozenset({("route", "orders"), ("status", "200")})
    assert found["sidegate_requests_total", labels] == 2
    assert found["sidegate_request_bytes_total", labels] == 15
    assert found["sidegate_response_bytes_total", labels] == 307
    assert found["sidegate_request_duration_seconds_sum", labels] == pytest.approx(0.32)
    assert found["sidegate_request_duration_seconds_bucket", labels | {("le", "0.025")}] == 1
    assert found["sidegate_request_duration_seconds_bucket", labels | {("le", "+Inf")}] == 2
    assert found["sidegate_requests_in_flight", frozenset({("route", "orders")})] == 2


@pytest.mark.parametrize("status", [pytest.param(99, id="too low"), pytest.param(600, id="too high")])
def test_a_status_that_is_none_is_counted_as_other(status: int) -> None:
    metrics = Metrics()
    metrics.route("r").of(status).record(0, 0, 0)
    counted = samples(metrics.snapshot(), "requests_total")
    assert {labels: value for labels, value in counted.items() if value} == {("r", "other"): 1}


def test_errors_are_shown_before_there_is_one() -> None:
    """The rate of a series that begins at 1 is 0: the first error of a route would burn no budget."""
    metrics = Metrics()
    metrics.route("r").of(502).record(0, 0, 0)
    assert samples(metrics.snapshot(), "requests_total") == {
        ("r", "200"): 0,
        ("r", "500"): 0,
        ("r", "502"): 1,
        ("r", "503"): 0,
        ("r", "504"): 0,
    }


def test_children_beyond_the_bound_share_one_and_are_counted() -> None:
    metrics = Metrics()
    family = metrics.counter("hits_total", "Hits.", ["who"], limit=2)
    for who in "abcd":
        family.child(who).inc()
    snapshot = metrics.snapshot()
    assert samples(snapshot, "hits_total") == {("a",): 1, ("b",): 1, (OTHER,): 2}
    assert samples(snapshot, "metrics_folded_total") == {(): 2}


def test_removal_takes_all_children_of_the_first_labels() -> None:
    metrics = Metrics()
    family = metrics.counter("hits_total", "Hits.", ["route", "kind"])
    for values in (("a", "x"), ("a", "y"), ("b", "x")):
        family.child(*values).inc()
    family.remove("a")
    assert set(samples(metrics.snapshot(), "hits_total")) == {("b", "x")}


def test_a_removed_route_is_gone_from_the_snapshot() -> None:
    metrics = Metrics()
    metrics.route("a").of(200).record(0, 0, 0)
    metrics.remove_route("a")
    assert samples(metrics.snapshot(), "requests_total") == {}


def test_the_same_name_declared_differently_is_refused() -> None:
    metrics = Metrics()
    family = metrics.counter("hits_total", "Hits.", ["a"])
    assert metrics.counter("hits_total", "Hits.", ["a"]) is family
    with pytest.raises(ValueError, match="declared twice"):
        metrics.gauge("hits_total", "Hits.", ["a"])
    with pytest.raises(ValueError, match="has the labels"):
        family.child("a", "b")


def test_a_ratio_is_of_all_workers_together() -> None:
    """Not the mean of their ratios: one may have been asked a hundred times as often."""
    snapshots = []
    for part, whole in ((1, 1), (0, 99)):
        metrics = Metrics()
        metrics.gauge("share", "Share.", rule="ratio", read=lambda value=[part, whole]: [((), value)])
        metrics.gauge("none", "Of nothing.", rule="ratio", read=lambda: [((), [0, 0])])
        snapshots.append(metrics.snapshot())
    assert b"sidegate_share 0.01\n" in render(merge(snapshots))[0]
    assert b"sidegate_share 1.0\n" in render(merge(snapshots[:1]))[0]
    assert not [name for name, _ in rendered(merge(snapshots)) if name == "sidegate_none"]


@pytest.mark.parametrize(("rule", "merged"), [("sum", 9), ("max", 5), ("min", 1)])
def test_gauges_merge_by_their_rule(rule: str, merged: int) -> None:
    snapshots = []
    for value in (3, 5, 1):
        metrics = Metrics()
        metrics.gauge("level", "Level.", rule=rule, read=lambda value=value: [((), value)])
        snapshots.append(metrics.snapshot())
    assert samples(merge(snapshots), "level") == {(): merged}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.floats(0, 100), max_size=8), min_size=1, max_size=4))
def test_workers_merged_are_as_one_that_did_it_all(workers: list[list[float]]) -> None:
    together, snapshots = Metrics(), []
    whole = together.histogram("wait_seconds", "Wait.").child()
    for values in workers:
        metrics = Metrics()
        one = metrics.histogram("wait_seconds", "Wait.").child()
        for value in values:
            one.observe(value)
            whole.observe(value)
        snapshots.append(json.loads(json.dumps(metrics.snapshot())))
    before = json.dumps(snapshots)
    count, total, buckets = samples(merge(snapshots), "wait_seconds")[()]
    expected = samples(together.snapshot(), "wait_seconds")[()]
    assert (count, buckets) == (expected[0], expected[2])
    assert total == pytest.approx(expected[1])
    assert sum(buckets) == count
    assert len(buckets) == len(DURATIONS) + 1
    assert json.dumps(snapshots) == before


@pytest.mark.parametrize(
    ("accept", "media_type", "end"),
    [
        pytest.param("", "text/plain", b"\n", id="text when nothing is asked"),
        pytest.param(
            "application/openmetrics-text; version=1.0.0", "application/openmetrics-text", b"# EOF\n", id="open"
        ),
    ],
)
def test_both_formats(accept: str, media_type: str, end: bytes) -> None:
    text, got = render(Metrics().snapshot(), accept)
    assert got.startswith(media_type)
    assert text.endswith(end)
    assert b"sidegate_process_open_fds" in text
    assert b"sidegate_process_resident_memory_bytes" in text


def test_a_worker_that_does_not_render_never_loads_prometheus_client() -> None:
    program = (
        "import sys; from gateway.services.metrics import Metrics; Metrics().snapshot();"
        "sys.exit('prometheus_client' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
