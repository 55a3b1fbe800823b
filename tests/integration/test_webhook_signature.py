"""webhook_signature over real connections: two gateways on one Redis, a Redis that dies half-way, the command line."""

import asyncio
import contextlib
import hmac
import json
import subprocess
import sys
import time

from aiohttp import web

from gateway.testing import running

SECRET = "whsec_test"
CONFIG = """
stores: {shared: "${STORE}"}
upstreams: {billing: {targets: ["${TARGET}"]}}
listeners: [{bind: 127.0.0.1:0}]
routes:
  - name: stripe
    match: {path: /hooks/stripe}
    upstream: billing
    plugins:
      - plugin: webhook_signature
        with: {provider: stripe, secrets: ["${SECRET}"], max_body: 10KB}
  - name: dropbox
    match: {path: /hooks/dropbox}
    upstream: billing
    plugins:
      - plugin: webhook_signature
        with: {provider: dropbox, secrets: [app]}
"""


class Billing:
    """A service that notes what reaches it."""

    def __init__(self):
        self.bodies = []
        self.statuses = []
        self.arrived, self.proceed = asyncio.Event(), asyncio.Event()
        self.proceed.set()
        self.url = ""

    async def handle(self, request):
        self.bodies.append(await request.read())
        self.arrived.set()
        await self.proceed.wait()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@contextlib.asynccontextmanager
async def billing():
    service = Billing()
    app = web.Application()
    app.router.add_post("/hooks/stripe", service.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        service.url = "http://{}:{}".format(*runner.addresses[0])
        yield service
    finally:
        service.proceed.set()
        await runner.cleanup()


def gateway_of(service, store):
    return running(CONFIG, TARGET=service.url, STORE=store, SECRET=SECRET)


def event(name):
    return json.dumps({"id": name, "object": "event"}).encode()


def post(gateway, body, secret=SECRET, at=None):
    at = int(time.time()) if at is None else at
    made = hmac.digest(secret.encode(), f"{at}.".encode() + body, "sha256").hex()
    return gateway.fetch("POST", "/hooks/stripe", headers={"Stripe-Signature": f"t={at},v1={made}"}, body=body)


async def test_two_gateways_deliver_an_event_once_and_a_retry_after_a_failure(redis_server):
    async with (
        billing() as service,
        gateway_of(service, redis_server.url) as one,
        gateway_of(service, redis_server.url) as two,
    ):
        answers = await asyncio.gather(*[post(gateway, event("evt_1")) for gateway in (one, two) for _ in range(10)])
        assert {each.status for each in answers} <= {200, 503}
        assert len(service.bodies) == 1
        while (await post(two, event("evt_1"))).status != 200:  # the other gateway writes down that it was delivered
            await asyncio.sleep(0.01)
        assert len(service.bodies) == 1

        service.statuses = [500]
        assert (await post(one, event("evt_2"))).status == 500
        while (again := await post(two, event("evt_2"))).status == 503:
            await asyncio.sleep(0.01)
        assert (again.status, len(service.bodies)) == (200, 3)

        refused = await post(one, event("evt_3"), "another")
        assert (refused.status, json.loads(refused.body)["code"]) == (401, "webhook_unverified")
        assert b"match" not in refused.body
        assert (await post(one, event("evt_4"), at=int(time.time()) - 400)).status == 401
        assert (await post(one, b"x" * 10_001)).status == 413
        greeting = await one.fetch("GET", "/hooks/dropbox?challenge=abc")
        assert (greeting.status, greeting.body) == (200, b"abc")
        assert len(service.bodies) == 3
        reasons = [each.error.reason for each in await one.ended(1) if each.status == 401]
        assert [each.partition(":")[0] for each in reasons] == ["no_match", "bad_timestamp"]


async def test_redis_dies_half_way_and_what_was_delivered_is_not_delivered_again(start_redis):
    server = start_redis()
    async with billing() as service, gateway_of(service, server.url) as gateway:
        service.proceed.clear()
        first = asyncio.ensure_future(post(gateway, event("evt_1")))
        await service.arrived.wait()
        await asyncio.to_thread(server.kill)
        service.proceed.set()
        assert (await first).status == 200
        await gateway.ended(1)
        assert (await post(gateway, event("evt_1"))).status == 200
        assert len(service.bodies) == 1, "who delivered it knows even so"
        assert (await post(gateway, event("evt_2"))).status == 200
        assert (await post(gateway, event("evt_2"))).status == 200
        assert len(service.bodies) == 2, "an outage stops no webhook, and local knowledge serves"
        await asyncio.to_thread(server.start)  # empty
        while len(server.command("KEYS", "*webhook_signature*")) < 2:  # what is known is written down again
            await asyncio.sleep(0.02)
        async with gateway_of(service, server.url) as other:
            for name in ("evt_1", "evt_2"):
                assert (await post(other, event(name))).status == 200
        assert len(service.bodies) == 2


async def test_what_the_command_line_signs_goes_through(redis_server, tmp_path):
    body = tmp_path / "event.json"
    body.write_bytes(event("evt_1"))
    command = [sys.executable, "-m", "gateway", "webhook", "sign", "--provider", "stripe", "--secret-env", "WHSEC"]
    made = await asyncio.to_thread(
        subprocess.run,
        [*command, "--body", str(body)],
        env={"WHSEC": SECRET},
        capture_output=True,
        text=True,
        check=True,
    )
    headers = dict(line.split(": ", 1) for line in made.stdout.splitlines())
    async with billing() as service, gateway_of(service, redis_server.url) as gateway:
        answer = await gateway.fetch("POST", "/hooks/stripe", headers=headers, body=body.read_bytes())
        assert (answer.status, service.bodies) == (200, [body.read_bytes()])
