from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import uvloop

from gateway.config.upstream import Upstream
from gateway.forward import LiveTarget, LiveUpstream
from gateway.forward.target import Tally
from gateway.http import Request
from gateway.services.clock import Clock, ManualClock, Wheel
from gateway.services.metrics import Counter, Histogram, Metrics
from gateway.transport.endpoint import Endpoint


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What serves; the transport's tests show that asyncio's own loop does, too."""
    return {"uvloop": uvloop.new_event_loop}


def _target(name: str, weight: int = 1, priority: int = 0) -> LiveTarget:
    pool: Any = None  # what chooses and judges never touches connections
    return LiveTarget(
        Endpoint(f"http://{name}"),
        pool,
        Tally(Counter(), Counter(), Counter(), Histogram(())),
        weight=weight,
        priority=priority,
    )


@pytest.fixture(scope="session")
def target() -> Callable[..., LiveTarget]:
    """``target(name, weight=1, priority=0)``: without connections."""
    return _target


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


MakeUpstream = Callable[..., LiveUpstream]


@pytest.fixture
async def upstream(buffer: memoryview, metrics: Metrics) -> AsyncIterator[MakeUpstream]:
    """``upstream(*urls, **settings)``, or targets as in YAML; closed after the test."""
    made: list[LiveUpstream] = []
    wheels: list[Wheel] = []

    def make(*targets: Any, clock: Clock | None = None, attempt: Any = None, probe: bool = True, **settings: Any):
        wheels.append(Wheel())
        made.append(
            LiveUpstream(
                "svc",
                Upstream.model_validate({"targets": list(targets), **settings}),
                wheel=wheels[-1],
                clock=clock or Clock(),
                buffer=buffer,
                metrics=metrics,
                compose_attempt=attempt,
                probe=probe,
            )
        )
        return made[-1]

    yield make
    for each in made:
        await each.close()
    for wheel in wheels:
        wheel.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.fixture
def manual() -> ManualClock:
    return ManualClock()


@pytest.fixture
def way() -> Callable[..., Any]:
    """``way(upstream, **how)``: the forwarder that a route without words of its own has."""

    def bind(upstream: LiveUpstream, **how: Any) -> Any:
        return upstream.forwarder(upstream.settings.timeout, **how)

    return bind


@pytest.fixture
def get() -> Callable[..., Request]:
    def make(path: str = "/", method: str = "GET", **more: Any) -> Request:
        return Request(method, path, host="client.example", **more)

    return make
