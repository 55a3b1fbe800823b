from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import uvloop

from gateway.services.clock import Wheel
from gateway.transport.endpoint import Endpoint
from gateway.transport.exchange import Timing
from gateway.transport.pool import Pool, PoolLimits


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop serves, but where it is missing asyncio's own loop does; both must do."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


MakePool = Callable[..., Pool]


@pytest.fixture
async def pool(buffer: memoryview) -> AsyncIterator[MakePool]:
    """``pool(url, **limits)``; closed after the test."""
    made: list[Pool] = []

    def make(url: str | Endpoint, **limits: Any) -> Pool:
        endpoint = url if isinstance(url, Endpoint) else Endpoint(url)
        made.append(Pool(endpoint, PoolLimits(**limits), buffer))
        return made[-1]

    yield make
    for each in made:
        each.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


MakeTiming = Callable[..., Timing]


@pytest.fixture
async def timing() -> AsyncIterator[MakeTiming]:
    """``timing(head=10, idle=10)`` in seconds."""
    wheel = Wheel()

    def make(head: float | None = 10.0, idle: float | None = 10.0) -> Timing:
        return Timing(wheel.of(head) if head else None, wheel.of(idle) if idle else None)

    yield make
    wheel.close()
