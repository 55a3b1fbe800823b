"""How long plugins take, where that is asked for; with times made to order."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config import load_text
from gateway.http import Response
from gateway.runtime import Services, build
from gateway.runtime import timed as module
from gateway.runtime.timed import both, timed, timing, untold
from gateway.testing import origin, request


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "monotonic", made)
    return made


class Named:
    """As much of a plugin as an observer sees."""

    def __init__(self, id: str, route: str = "r") -> None:  # noqa: A002
        self.context = type("Context", (), {"id": id, "route": route})


def taking(clock: Clock, before: float, inner: Any = None, after: float = 0.0, times: int = 1) -> Any:
    async def handler(asked: Any) -> Response:
        clock.now += before
        response = Response(200)
        for _ in range(times if inner is not None else 0):
            response = await inner(asked)
        clock.now += after
        return response

    return handler


async def test_each_has_its_own_time_without_what_it_called(clock: Clock) -> None:
    end = untold(taking(clock, 100.0))
    inner = timed(Named("inner"), taking(clock, 1.0, end, 2.0))  # type: ignore[arg-type]
    outer = timed(Named("outer"), taking(clock, 10.0, inner, 20.0))  # type: ignore[arg-type]
    asked = request()
    await timing(outer)(asked)
    assert asked.spent is not None
    assert asked.spent.plugins == {"inner": 3.0, "outer": 30.0}


async def test_what_runs_twice_is_added_up(clock: Clock) -> None:
    inner = timed(Named("cb", "upstream:a"), taking(clock, 1.0, untold(taking(clock, 50.0))))  # type: ignore[arg-type]
    outer = timed(Named("retry"), taking(clock, 5.0, inner, times=3))  # type: ignore[arg-type]
    asked = request()
    await timing(outer)(asked)
    assert asked.spent is not None
    assert asked.spent.plugins == {"upstream:a/cb": 3.0, "retry": 5.0}


async def test_one_that_fails_has_its_time(clock: Clock) -> None:
    async def failing(_asked: Any) -> Response:
        clock.now += 4.0
        raise ValueError("its own")

    asked = request()
    with pytest.raises(ValueError, match="its own"):
        await timing(timed(Named("a"), failing))(asked)  # type: ignore[arg-type]
    assert asked.spent is not None
    assert asked.spent.plugins == {"a": 4.0}


async def test_a_fork_that_nobody_times_is_let_through(clock: Clock) -> None:
    handler = timed(Named("a"), untold(taking(clock, 1.0)))  # type: ignore[arg-type]
    assert (await handler(request())).status == 200


async def test_two_observers() -> None:
    seen: list[str] = []

    def observe(name: str) -> Any:
        def observer(_plugin: Any, handler: Any) -> Any:
            async def observed(asked: Any) -> Response:
                seen.append(name)
                return await handler(asked)  # type: ignore[no-any-return]

            return observed

        return observer

    one, other = observe("one"), observe("other")
    assert (both(None, None), both(one, None), both(None, other)) == (None, one, other)
    together = both(one, other)
    assert together is not None
    await together(Named("a"), taking(Clock(), 0.0))(request())  # type: ignore[arg-type]
    assert seen == ["other", "one"]


TEXT = """
access_log: {{to: off, plugin_time: {asked}}}
upstreams: {{service: {{targets: ["{url}"], attempt: [{{plugin: circuit_breaker}}]}}}}
routes:
  - name: all
    upstream: service
    plugins: [{{plugin: size_limit}}, {{plugin: headers, id: mark}}]
"""


@pytest.mark.parametrize("asked", [True, False])
async def test_a_runtime(asked: bool) -> None:
    async with origin(200) as service:
        services = Services()
        runtime = await build(load_text(TEXT.format(asked=str(asked).lower(), url=service.url), {}).config, services)
        runtime.commit()
        made = request("GET", "/")
        response = await runtime.handle(made)
        assert response.status == 200
        assert made.spent is not None  # the attempt chain is no short way
        assert made.spent.first_byte > 0
        assert made.spent.connect > 0
        if asked:
            assert set(made.spent.plugins or {}) == {"size_limit", "mark", "upstream:service/circuit_breaker"}
        else:
            assert made.spent.plugins is None
        await runtime.close()
        await services.close()
