"""The ports of the harness do what the gateway's do."""

import asyncio
import inspect
import logging

import pytest

from gateway.errors import ConnectFailed, ConnectTimeout
from gateway.plugin import Context, Ports
from gateway.runtime.ports import LivePorts
from gateway.testing import ports, request


@pytest.mark.parametrize("implementation", [LivePorts, type(ports())])
def test_both_kinds_of_ports_are_the_protocol(implementation):
    for name, member in vars(Ports).items():
        if name.startswith("_") or not callable(member):
            continue
        wanted, given = inspect.signature(member), inspect.signature(getattr(implementation, name))
        assert list(given.parameters) == list(wanted.parameters), name


async def test_the_clock_turns_the_store_too():
    given = ports()
    assert await given.store().set(b"k", b"v", ttl=10)
    given.clock.advance(9)
    assert await given.store().get(b"k") == b"v"
    given.clock.advance(2)
    assert await given.store().get(b"k") is None


async def test_calls_are_answered_from_a_table():
    given = ports()
    given.calls.answer("https://id.example/jwks", body='{"keys":[]}', headers={"Cache-Control": "max-age=60"})
    given.calls.answer("https://slow.example/", error=ConnectTimeout())
    answer = await given.client().request("GET", "https://id.example/jwks", headers={"A": "1"})
    assert (answer.status, answer.body, answer.headers["cache-control"]) == (200, b'{"keys":[]}', "max-age=60")
    with pytest.raises(ConnectTimeout):
        await given.client().request("GET", "https://slow.example/")
    with pytest.raises(ConnectFailed):
        await given.client().request("POST", "https://else.example/", body=b"x")
    assert [(call.method, call.url, call.body) for call in given.calls.calls] == [
        ("GET", "https://id.example/jwks", b""),
        ("GET", "https://slow.example/", b""),
        ("POST", "https://else.example/", b"x"),
    ]
    assert given.calls.calls[0].headers == {"A": "1"}


async def test_spawned_work_can_be_waited_for():
    given, done = ports(), []

    async def inner():
        await asyncio.sleep(0)
        done.append("inner")

    async def work():
        await asyncio.sleep(0)
        given.spawn(inner(), "inner")
        done.append("outer")

    given.spawn(work(), "work")
    await given.settled()
    assert done == ["outer", "inner"]


async def test_spawned_work_that_fails_fails_the_test():
    given = ports()

    async def work():
        raise KeyError("x")

    given.spawn(work(), "work")
    await given.settled()
    with pytest.raises(BaseExceptionGroup) as caught:
        await given.close()
    assert isinstance(caught.value.exceptions[0], KeyError)
    await given.close()


async def test_spawned_work_is_cancelled_at_the_end():
    given = ports()
    task = given.spawn(asyncio.Event().wait(), "work")
    await given.close()
    assert task.cancelled()


def test_what_is_counted_can_be_looked_up():
    given = ports()
    given.metrics.counter("tries_total", "Tries.", ("kind",)).child("a").inc(2)
    given.metrics.histogram("seconds", "How long.").child().observe(1)
    assert given.value("tries_total", "a") == 2
    assert given.value("tries_total", "b") == 0
    assert given.value("seconds") == 1


def test_what_is_logged_is_kept_and_the_logger_left_as_it_was():
    given, logger = ports(), logging.getLogger("gateway")
    before = (logger.level, list(logger.handlers))
    with given.capturing():
        Context(given, route="r", plugin="p", id="p").log.debug("seen %s", 1)
    Context(given, route="r", plugin="p", id="p").log.debug("not seen")
    assert given.lines == ["debug gateway.plugins.p: seen 1"]
    assert (logger.level, logger.handlers) == before


async def test_a_dispatch_nobody_prepared_is_a_404():
    assert (await ports().dispatch(request())).status == 404
