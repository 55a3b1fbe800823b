"""idempotency over real connections: two gateways on one Redis, clients that leave, a Redis that dies half-way."""

import asyncio
import contextlib

import aiohttp
import pytest
from aiohttp import web

from gateway.config import ConfigurationError, load_text
from gateway.testing import running

CONFIG = """
stores: {shared: "${STORE}"}
upstreams:
  charges:
    targets: ["${TARGET}"]
    retry: {attempts: 3, backoff: {base: 1ms, max: 1ms}}
listeners: [{bind: 127.0.0.1:0}]
routes:
  - name: charges
    match: {path: /charges}
    upstream: charges
    plugins:
      - plugin: idempotency
        with: {required: true, bare_keys: true, lease: 5s, backend_honours_key: "${HONOURS:-false}"}
  - name: other
    match: {path: /other}
    upstream: charges
"""
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6e34cf8d2d23"}


class Charges:
    """A service that charges for every request it sees."""

    def __init__(self):
        self.seen = 0
        self.keys = []
        self.arrived = asyncio.Event()
        self.proceed = asyncio.Event()
        self.proceed.set()
        self.cut = 0
        self.url = ""

    async def handle(self, request):
        await request.read()
        self.seen += 1
        self.keys.append(request.headers.get("Idempotency-Key"))
        self.arrived.set()
        await self.proceed.wait()
        if self.cut:
            self.cut -= 1
            request.transport.abort()
        return web.json_response({"charge": self.seen}, status=201)


@contextlib.asynccontextmanager
async def charging():
    service = Charges()
    runner = web.AppRunner(app := web.Application(), access_log=None)
    app.router.add_post("/charges", service.handle)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        service.url = "http://{}:{}".format(*runner.addresses[0])
        yield service
    finally:
        service.proceed.set()
        await runner.cleanup()


def post(gateway, body='{"amount":1}', headers=KEY):
    return gateway.fetch("POST", "/charges", headers=headers, body=body)


async def test_two_gateways_race_and_one_request_reaches_the_target(redis_server):
    async with (
        charging() as service,
        running(CONFIG, TARGET=service.url, STORE=redis_server.url) as one,
        running(CONFIG, TARGET=service.url, STORE=redis_server.url) as two,
    ):
        answers = await asyncio.gather(*[post(gateway) for gateway in (one, two) for _ in range(20)])
        assert service.seen == 1
        assert {each.status for each in answers} <= {201, 409}
        fresh = [each for each in answers if each.status == 201 and "Idempotent-Replayed" not in each.headers]
        assert len(fresh) == 1
        for gateway in (one, two):
            again = await post(gateway)
            assert (again.status, again.body) == (201, b'{"charge": 1}')
            assert again.headers["Idempotent-Replayed"] == "true"
            assert again.headers["Content-Type"] == "application/json; charset=utf-8"
        assert (await post(two, body="{}")).status == 422
        missing = await post(two, headers={})
        assert (missing.status, missing.headers["Content-Type"]) == (400, "application/problem+json")
        assert service.seen == 1


async def test_a_client_that_leaves_and_a_reload_lose_no_outcome(redis_server):
    async with charging() as service, running(CONFIG, TARGET=service.url, STORE=redis_server.url) as gateway:
        service.proceed.clear()
        async with aiohttp.ClientSession() as session:
            client = asyncio.ensure_future(session.post(gateway.url + "/charges", headers=KEY, data=b'{"amount":1}'))
            await service.arrived.wait()
            client.cancel()
            with pytest.raises(asyncio.CancelledError):
                await client
        (left,) = await gateway.ended(1)
        assert left.status == 499
        await gateway.reload(CONFIG.replace("lease: 5s", "lease: 6s"), TARGET=service.url, STORE=redis_server.url)
        assert (await post(gateway)).status == 409
        service.proceed.set()
        while (again := await post(gateway)).status == 409:
            await asyncio.sleep(0.01)
        assert (again.status, again.headers["Idempotent-Replayed"], service.seen) == (201, "true", 1)


async def test_redis_dies_half_way_and_the_outcome_is_not_lost(start_redis):
    server = start_redis()
    async with charging() as service, running(CONFIG, TARGET=service.url, STORE=server.url) as gateway:
        service.proceed.clear()
        first = asyncio.ensure_future(post(gateway))
        await service.arrived.wait()
        await asyncio.to_thread(server.kill)
        service.proceed.set()
        assert (await first).status == 201
        other = {"Idempotency-Key": "another"}
        assert (await post(gateway, headers=other)).status == 503, "nobody can tell whether it was carried out"
        assert (await post(gateway)).headers["Idempotent-Replayed"] == "true", "who knows answers even so"
        assert service.seen == 1
        await asyncio.to_thread(server.start)  # empty
        while not server.command("KEYS", "*idempotency*"):  # until what is known was written down again
            await asyncio.sleep(0.02)
        async with running(CONFIG, TARGET=service.url, STORE=server.url) as other_gateway:
            again = await post(other_gateway)
        assert (again.status, again.headers["Idempotent-Replayed"], service.seen) == (201, "true", 1)


async def test_what_a_stalled_redis_took_without_saying_so_is_given_back(start_redis):
    server = start_redis()
    async with charging() as service, running(CONFIG, TARGET=service.url, STORE=server.url) as gateway:
        assert (await post(gateway, headers={"Idempotency-Key": "before"})).status == 201
        server.pause()
        assert (await post(gateway)).status == 503
        server.resume()
        while (answer := await post(gateway)).status in (409, 503):
            await asyncio.sleep(0.02)
        assert (answer.status, service.seen) == (201, 2)
        assert "Idempotent-Replayed" not in answer.headers


def test_several_workers_without_a_redis_are_refused_at_load():
    variables = {"TARGET": "http://h:1", "STORE": "memory://"}
    load_text(CONFIG, variables)
    with pytest.raises(ConfigurationError, match=r"expected a Redis in `stores\.shared`"):
        load_text(CONFIG + "workers: 2\n", variables)


@pytest.mark.parametrize(
    ("honours", "status", "code", "seen"),
    [
        pytest.param("false", 502, "idempotency_outcome_unknown", 1, id="not tried twice"),
        pytest.param("true", 201, None, 2, id="tried twice where the target obeys the key"),
    ],
)
async def test_a_post_whose_connection_is_lost(redis_server, honours, status, code, seen):
    async with (
        charging() as service,
        running(CONFIG, TARGET=service.url, STORE=redis_server.url, HONOURS=honours) as gateway,
    ):
        service.cut = 1
        first = await post(gateway)
        assert (first.status, service.seen) == (status, seen)
        again = await post(gateway)
        if code:
            assert again.status == 409
            assert code.encode() in again.body
        else:
            assert again.headers["Idempotent-Replayed"] == "true"
        assert service.seen == seen
        assert service.keys == [KEY["Idempotency-Key"]] * seen


async def test_a_gateway_that_is_killed_frees_its_key_when_the_lease_ends(gateway, redis_server):
    """A real process, killed while it waits for the target; another one takes over."""
    async with charging() as service, aiohttp.ClientSession() as session:
        limits = {"plugin": "idempotency", "with": {"lease": "1s"}}
        config = {
            "stores": {"shared": redis_server.url},
            "upstreams": {"charges": {"targets": [service.url]}},
            "routes": [{"name": "charges", "match": {"path": "/"}, "upstream": "charges", "plugins": [limits]}],
        }
        one, two = (gateway(config, begin=False) for _ in range(2))
        await asyncio.gather(*[asyncio.to_thread(each.start) for each in (one, two)])

        async def ask(process):
            async with session.post(process.url + "/charges", headers={"Idempotency-Key": '"k"'}, data=b"{}") as answer:
                return answer.status, answer.headers.get("Idempotent-Replayed")

        service.proceed.clear()
        first = asyncio.ensure_future(ask(one))
        await service.arrived.wait()
        assert await ask(two) == (409, None)
        await asyncio.to_thread(one.kill)
        with pytest.raises(aiohttp.ClientError):
            await first
        service.proceed.set()
        while (answer := await ask(two))[0] == 409:
            await asyncio.sleep(0.05)
        assert answer == (201, None)
        assert (await ask(two), service.seen) == ((201, "true"), 2)
