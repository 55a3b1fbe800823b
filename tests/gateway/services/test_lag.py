"""What the lag of an event loop is counted as."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gateway.services.lag import LoopLag
from gateway.services.metrics import Metrics


def seen(metrics: Metrics) -> tuple[int, float]:
    """Looks, and the seconds of lag in all."""
    family = next(each for each in metrics.snapshot() if each["name"] == "event_loop_lag_seconds")
    count, total, _ = family["samples"][0][1]
    return count, total


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.services.lag.PERIOD", 0.01)


@pytest.mark.usefixtures("quick")
async def test_what_holds_the_loop_up_is_seen(until: Any) -> None:
    metrics = Metrics()
    lag = LoopLag(metrics)
    await until(lambda: seen(metrics)[0] >= 2)
    before = seen(metrics)[1]
    time.sleep(0.2)  # that is what is to be seen
    looks = seen(metrics)[0]
    await until(lambda: seen(metrics)[0] > looks)
    lag.close()
    assert seen(metrics)[1] - before > 0.15


@pytest.mark.usefixtures("quick")
async def test_after_its_end_it_looks_no_more() -> None:
    metrics = Metrics()
    lag = LoopLag(metrics)
    lag.close()
    lag.close()
    await asyncio.sleep(0.05)
    assert seen(metrics)[0] == 0
