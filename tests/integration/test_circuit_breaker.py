"""circuit_breaker over real connections: DESIGN's fragment as written, two targets, a reload."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway.testing import origin, running

FRAGMENT = """
upstreams:
  orders:
    targets: [{targets}]
    retry: off
    health: {{passive: off}}
    attempt:
      - plugin: circuit_breaker
        with: {{failures: {failures}, window: 60s, open: {{base: {base}, max: 32s}}}}
routes:
  - name: orders
    match: {{path: /}}
    upstream: orders
"""


def fragment(*targets: str, failures: int = 5, base: str = "1s") -> str:
    return FRAGMENT.format(targets=", ".join(targets), failures=failures, base=base)


async def test_it_opens_refuses_without_asking_probes_and_closes():
    async with origin(500) as service, running(fragment(service.url, base="200ms")) as gateway:
        for _ in range(5):
            assert (await gateway.fetch("GET", "/")).status == 500
        refused = await gateway.fetch("GET", "/")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert b"circuit_open" in refused.body
        assert len(service.requests) == 5
        service.status = 200
        async with asyncio.timeout(20):
            while (await gateway.fetch("GET", "/")).status != 200:
                await asyncio.sleep(0.02)
        before = len(service.requests)
        assert before == 6, "the probe was the only one that got through"
        answers = await asyncio.gather(*(gateway.fetch("GET", "/") for _ in range(5)))
        assert [each.status for each in answers] == [200] * 5
        assert len(service.requests) == before + 5


async def test_the_balancer_goes_to_the_other_target():
    async with (
        origin(500) as ill,
        origin(200) as well,
        running(fragment(ill.url, well.url, failures=1, base="30s")) as gateway,
    ):
        statuses = [(await gateway.fetch("GET", "/")).status for _ in range(10)]
    assert statuses.count(500) == 1
    assert (len(ill.requests), len(well.requests)) == (1, 9)


async def test_a_target_that_does_not_listen():
    async with running(fragment("http://127.0.0.1:9", failures=2, base="30s")) as gateway:
        statuses = [(await gateway.fetch("GET", "/")).status for _ in range(4)]
    assert statuses == [502, 502, 503, 503]


@pytest.mark.parametrize("changed", [False, True], ids=["the same upstream", "another target beside it"])
async def test_a_breaker_outlives_a_reload(changed):
    async with origin(500) as service, origin(200) as other:
        config = fragment(service.url, failures=1, base="30s")
        async with running(config) as gateway:
            assert (await gateway.fetch("GET", "/")).status == 500
            assert (await gateway.fetch("GET", "/")).status == 503
            if changed:
                config = fragment(service.url, other.url, failures=1, base="30s")
            await gateway.reload(config)
            statuses = {(await gateway.fetch("GET", "/")).status for _ in range(4)}
            assert statuses == ({200} if changed else {503})
            await asyncio.sleep(0.1)  # the old runtime has gone, and its upstream with it
            assert {(await gateway.fetch("GET", "/")).status for _ in range(4)} == statuses
        assert len(service.requests) == 1


async def test_the_breaker_of_a_target_that_is_gone_is_forgotten():
    async with (
        origin(500) as gone,
        origin(200) as kept,
        running(fragment(gone.url, kept.url, failures=1, base="30s")) as gateway,
    ):
        for _ in range(2):
            await gateway.fetch("GET", "/")

        def shown() -> dict[str, float]:
            families = {each["name"]: each["samples"] for each in gateway.services.metrics.snapshot()}
            return {values[-1]: value for values, value in families["circuit_breaker_state"]}

        assert shown() == {gone.url: 2.0, kept.url: 0.0}
        await gateway.reload(fragment(kept.url, failures=1, base="30s"))
        async with asyncio.timeout(20):
            while shown() != {kept.url: 0.0}:
                await asyncio.sleep(0.02)


async def test_a_reload_hands_over_connections_and_health_to_a_changed_upstream():
    async with origin(503) as ill, origin(200) as well:
        upstream = "targets: [{targets}], retry: {retry}, health: {{passive: {{failures: 1, base_ejection: 60s}}}}"
        config = "upstreams: {{orders: {{{upstream}}}}}\nroutes: [{{name: a, match: {{path: /}}, upstream: orders}}]"
        targets = f"'{ill.url}', '{well.url}'"
        first = config.format(upstream=upstream.format(targets=targets, retry="off"))
        second = config.format(upstream=upstream.format(targets=targets, retry="{attempts: 2}"))
        async with running(first) as gateway:
            for _ in range(4):
                await gateway.fetch("GET", "/")
            before = gateway.runtime.upstreams["orders"]
            await gateway.reload(second)
            after = gateway.runtime.upstreams["orders"]
            assert after is not before
            assert [target.ejected for target in after.targets] == [True, False]
            assert after.targets[1].pool is before.targets[1].pool
            assert {(await gateway.fetch("GET", "/")).status for _ in range(4)} == {200}
            await asyncio.sleep(0.1)
            assert (await gateway.fetch("GET", "/")).status == 200, "the pool was not closed with the old upstream"
        assert len(ill.requests) == 1


@contextlib.asynccontextmanager
async def raw(said: bytes) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A service that says this to whatever it is asked; nothing means that it never answers. Set once it is asked."""
    asked = asyncio.Event()
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        if said:
            writer.write(said)
            await asyncio.sleep(0.05)  # the head goes on before the body breaks off
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        for writer in writers:
            writer.close()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("timeout", ["first_byte: 200ms", "total: 200ms"])
async def test_a_target_that_does_not_answer(timeout: str):
    async with raw(b"") as (url, _asked):
        config = fragment(url, failures=1, base="30s").replace("retry: off", f"retry: off\n    timeout: {{{timeout}}}")
        async with running(config) as gateway:
            statuses = [(await gateway.fetch("GET", "/")).status for _ in range(2)]
    assert statuses == [504, 503]


async def test_a_client_that_left_counts_for_nothing():
    async with raw(b"") as (url, asked), running(fragment(url, failures=1, base="30s")) as gateway:
        reader, writer = await asyncio.open_connection(*gateway.url.removeprefix("http://").split(":"))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(asked.wait(), 20)
        writer.close()
        assert (await gateway.ended(1))[0].status == 499
        target = gateway.runtime.upstreams["orders"].targets[0]
        assert target.gate is not None
        assert target.gate.admits()
        del reader


async def test_an_answer_that_breaks_off():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    async with raw(head + b"x" * 70_000) as (url, _asked), running(fragment(url, failures=1, base="30s")) as gateway:
        with pytest.raises(aiohttp.ClientPayloadError):
            await gateway.fetch("GET", "/")
        await gateway.ended(1)
        assert (await gateway.fetch("GET", "/")).status == 503
