"""The table of metrics says what the gateway really shows."""

from __future__ import annotations

import re

import pytest

from gateway.config.measures import measures
from gateway.config.reference import reference
from gateway.services.audit import Audit
from gateway.services.lag import LoopLag
from gateway.services.masking import Masking
from gateway.services.metrics import PREFIX, Metrics
from gateway.services.queue.delivery.watch import Watch as Deliveries

MADE = {each.name: each for each in measures()}


def test_each_is_told_whole() -> None:
    assert len(MADE) > 120
    for each in MADE.values():
        assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)+|workers", each.name)
        assert each.kind in ("counter", "gauge", "histogram")
        assert each.help, each
        assert all(re.fullmatch(r"[a-z]+", label) for label in each.labels), each


@pytest.mark.parametrize(
    ("name", "labels", "plugin"),
    [
        pytest.param("requests_total", ("route", "status"), "", id="a family written in a snapshot"),
        pytest.param("requests_in_flight", ("route",), "", id="a family written out"),
        pytest.param("build_info", ("version", "python"), "", id="what speaks by its labels"),
        pytest.param("upstream_attempts_total", ("upstream", "target", "outcome"), "", id="under a name, and one"),
        pytest.param("cache_memory_bytes", ("route", "plugin"), "cache", id="a row of a table"),
        pytest.param("workers_ready", (), "", id="no labels"),
    ],
)
def test_where_labels_come_from(name: str, labels: tuple[str, ...], plugin: str) -> None:
    assert (MADE[name].labels, MADE[name].plugin) == (labels, plugin)


async def test_it_agrees_with_what_is_counted() -> None:
    metrics = Metrics()
    metrics.route("r").of(200).record(0.1, 1, 1)
    lag = LoopLag(metrics)
    lag.close()
    Audit(metrics, Masking(), owner=True)
    Deliveries(metrics, "r", "inbox")
    shown = metrics.snapshot()
    assert len(shown) > 25
    for family in shown:
        told = MADE[family["name"]]
        assert (told.kind, told.labels, told.help) == (family["kind"], tuple(family["labels"]), family["help"])


def test_the_reference_has_them() -> None:
    page = reference()
    assert f"| `{PREFIX}requests_total` | counter | `route`, `status` | Exchanges that ended" in page
    assert "(`cache`)" in page
