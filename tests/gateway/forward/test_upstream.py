from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter

import pytest

from gateway.errors import GatewayError, TruncatedAnswer
from gateway.forward.forwarder import Forwarder
from gateway.http import Body, Exchange, Request

FAST = {"base": "1ms", "max": "1ms"}


class Plain:
    """A gate that a test opens and closes."""

    def __init__(self, open_=True):
        self.open = open_

    def admits(self):
        return self.open


async def bad(seen):
    await seen.answer(b"no", 503)


@pytest.fixture
def asked(way, get):
    """How often each target answered ``count`` requests: ``await asked(live, services, count)``."""

    async def ask(live, services, count):
        before = [len(each.requests) for each in services]
        forward = way(live)
        for _ in range(count):
            with contextlib.suppress(GatewayError):
                await forward(get())
        return [len(each.requests) - b for each, b in zip(services, before, strict=True)]

    return ask


async def test_targets_share_by_weight(service, upstream, asked):
    services = [await service() for _ in range(2)]
    live = upstream({"url": services[0].url, "weight": 3}, services[1].url)
    assert await asked(live, services, 40) == [30, 10]


@pytest.mark.parametrize("balance", ["least_request", "random", {"consistent_hash": {"header": "X-Key"}}])
async def test_every_way_to_balance_reaches_every_target(service, upstream, way, get, balance):
    services = [await service() for _ in range(3)]
    forward = way(upstream(*(each.url for each in services), balance=balance))
    for number in range(60):
        request = get()
        request.edit_headers()["X-Key"] = str(number)
        await forward(request)
    assert all(each.requests for each in services)


async def test_an_ill_target_is_ejected_and_comes_back(service, upstream, asked, manual, metrics, caplog):
    services = [await service(bad), await service()]
    live = upstream(
        *(each.url for each in services),
        clock=manual,
        retry={"backoff": FAST},
        health={"passive": {"failures": 3, "base_ejection": "30s"}},
    )
    caplog.set_level(logging.INFO, "gateway.upstreams")
    assert (await asked(live, services, 20))[0] == 3
    ill = live.snapshot()["targets"][0]
    assert (ill["state"], ill["ejections"], ill["answers"]["bad"]) == ("ejected", 1, 3)
    assert live.snapshot()["serving"] == [services[1].url]
    assert await asked(live, services, 5) == [0, 5]

    manual.advance(30)
    live.tick()
    assert live.snapshot()["targets"][0]["state"] == "well"
    assert (await asked(live, services, 4))[0] == 2
    messages = [record.getMessage() for record in caplog.records]
    assert any("is ejected for 30s after 3 failures, last: answered 503" in message for message in messages)
    assert any("is used again" in message for message in messages)
    families = {family["name"]: family["samples"] for family in metrics.snapshot()}
    assert families["upstream_ejections_total"] == [[["svc", services[0].url], 1]]


async def test_bodies_that_a_target_cuts_are_held_against_it(service, upstream, asked, forwarded):
    """However well their heads look."""

    async def cut(seen):
        await seen.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf")
        seen.close()

    target = await service(cut)
    live = upstream(target.url, "http://127.0.0.1:1", balance="round_robin", health={"passive": {"failures": 3}})
    (first, _) = live.targets
    for failures in (1, 2, 3):
        response = await forwarded(live, first)
        assert first.failures == failures - 1
        with pytest.raises(TruncatedAnswer):
            while await response.body.pull():
                pass
        response.body.close()
        assert first.failures == failures
    assert first.ejected
    assert first.active == 0
    assert first.tally.failed.value == 3


@pytest.mark.parametrize(("reads", "failures"), [(True, 0), (False, 2)])
async def test_a_body_counts_for_its_target_when_it_has_all_come(service, upstream, asked, forwarded, reads, failures):
    """A client that leaves in the middle says nothing of it."""

    async def well(seen):
        await seen.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        if reads:
            await seen.send(b"0\r\n\r\n")

    live = upstream((await service(well)).url, health={"passive": {"failures": 9}})
    (target,) = live.targets
    target.failures = 2
    response = await forwarded(live, target)
    while reads and await response.body.pull():
        pass
    response.body.close()
    assert (target.failures, target.active) == (failures, 0)


@pytest.fixture
def forwarded():
    """``await forwarded(upstream, target)``: a GET of its own, to this target."""

    async def forwarded(live, target):
        live.pick = lambda _request: target
        return await Forwarder(live, live.settings.timeout).forward(Request("GET", "/", host="a"))

    return forwarded


async def test_an_ejection_ends_by_itself(service, upstream, asked, until):
    services = [await service(bad), await service()]
    live = upstream(
        *(each.url for each in services),
        retry={"backoff": FAST},
        health={"passive": {"failures": 1, "base_ejection": "50ms"}},
    )
    await asked(live, services, 3)
    assert live.targets[0].ejections == 1
    await until(lambda: not live.targets[0].ejected)
    assert len(live.selection.targets) == 2


async def test_a_target_that_nobody_listens_at_is_ejected(service, upstream, asked, refused_url):
    target = await service()
    live = upstream(refused_url, target.url, retry={"backoff": FAST}, health={"passive": {"failures": 2}})
    assert await asked(live, [target], 20) == [20]
    assert live.targets[0].ejected
    assert live.targets[0].tally.failed.value == 2


async def test_priorities_fail_over_and_back(service, upstream, asked, manual):
    services = [await service(bad), await service()]
    live = upstream(
        services[0].url,
        {"url": services[1].url, "priority": 1},
        clock=manual,
        retry={"backoff": FAST},
        health={"passive": {"failures": 2}},
    )
    assert (await asked(live, services, 10))[0] == 2
    assert await asked(live, services, 10) == [0, 10]
    manual.advance(60)
    live.tick()
    assert (await asked(live, services, 1))[0] == 1


async def test_panic_uses_all_and_says_so(service, upstream, asked, caplog):
    services = [await service() for _ in range(3)]
    live = upstream(*(each.url for each in services), probe=False, health={"active": {"path": "/healthz"}})
    for each in services[:2]:
        live.report(each.url, healthy=False, why="answered 500")
    assert live.snapshot()["panicking"]
    assert await asked(live, services, 9) == [3, 3, 3]
    assert any("panics" in record.getMessage() for record in caplog.records)
    live.report(services[0].url, healthy=True)
    assert not live.snapshot()["panicking"]
    assert live.snapshot()["serving"] == [services[0].url, services[2].url]


async def test_a_recovered_target_starts_slowly(service, upstream, asked, manual):
    services = [await service(), await service()]
    live = upstream(*(each.url for each in services), clock=manual, slow_start="100s")
    assert await asked(live, services, 20) == [10, 10], "at the start all are equally new"
    live.report(services[0].url, healthy=False)
    live.report(services[0].url, healthy=True)
    first = (await asked(live, services, 110))[0]
    manual.advance(50)
    live.tick()
    second = (await asked(live, services, 150))[0]
    manual.advance(50)
    live.tick()
    third = (await asked(live, services, 100))[0]
    assert (first, second, third) == (pytest.approx(10, abs=1), pytest.approx(50, abs=1), 50)


# -- sticky ----------------------------------------------------------------------------------------------------------


async def test_a_client_sticks_to_its_target_until_that_is_ill(service, upstream, way, get):
    services = [await service() for _ in range(3)]
    live = upstream(*(each.url for each in services), sticky={"cookie": "srv"}, probe=False)
    forward = way(live)
    response = await forward(get())
    cookie = response.headers["Set-Cookie"].partition(";")[0]

    async def again():
        request = get()
        request.edit_headers()["Cookie"] = cookie
        answer = await forward(request)
        return request.target, answer.headers.get("Set-Cookie")

    seen = {await again() for _ in range(6)}
    assert len(seen) == 1
    ((bound, none),) = seen
    assert none is None
    live.report(bound, healthy=False)
    other, fresh = await again()
    assert other != bound
    assert fresh is not None
    assert not fresh.startswith(cookie)


async def test_a_target_of_weight_0_serves_only_who_is_bound_to_it(service, upstream, way, get):
    services = [await service() for _ in range(2)]
    forward = way(upstream(services[0].url, {"url": services[1].url, "weight": 0}, sticky={"cookie": "srv"}))
    for _ in range(5):
        await forward(get())
    assert services[1].requests == []
    before = way(upstream(*(each.url for each in services), sticky={"cookie": "srv"}))
    for _ in range(2):
        response = await before(request := get())
        if request.target == services[1].url:
            break
    bound = get()
    bound.edit_headers()["Cookie"] = response.headers["Set-Cookie"].partition(";")[0]
    await forward(bound)
    assert bound.target == services[1].url


# -- gates -----------------------------------------------------------------------------------------------------------


async def test_a_closed_gate_is_passed_by(service, upstream, asked):
    services = [await service() for _ in range(3)]
    live = upstream(*(each.url for each in services))
    gates = {each.url: Plain() for each in services}
    live.publish(gates.get)
    gates[services[0].url].open = False
    counted = await asked(live, services, 30)
    assert counted[0] == 0
    assert sum(counted) == 30
    assert not live.snapshot()["targets"][0]["admitted"]


async def test_where_all_gates_are_closed_the_plugin_has_the_word(service, upstream, asked):
    services = [await service(), await service()]
    live = upstream(*(each.url for each in services))
    live.publish(lambda _url: Plain(open_=False))
    assert sum(await asked(live, services, 4)) == 4


async def test_several_gates_must_all_admit(service, upstream, asked):
    services = [await service(), await service()]
    live = upstream(*(each.url for each in services))
    live.publish(lambda url: Plain(open_=url != services[0].url))
    live.publish(lambda _url: Plain())
    assert await asked(live, services, 4) == [0, 4]


# -- life ------------------------------------------------------------------------------------------------------------


async def test_closing_lets_what_is_under_way_finish(service, upstream, way, get, until):
    go = asyncio.Event()

    async def conduct(seen):
        await go.wait()
        await seen.answer(b"late")

    target = await service(conduct)
    live = upstream(target.url)
    await live.open()
    task = asyncio.ensure_future(way(live)(get()))
    await until(lambda: target.requests)
    assert not await live.drain(0.05)
    await live.close()
    await live.close()
    go.set()
    assert (await task).body.whole == b"late"
    assert await live.drain(1.0)
    await until(lambda: live.targets[0].pool.total == 0)


async def test_settings_of_tls_and_names_reach_the_targets(upstream):
    tls, dns = {"sni": "other.internal", "verify": False}, {"ttl": "5s", "family": "ipv4"}
    endpoint = upstream("https://api.internal", tls=tls, dns=dns).targets[0].endpoint
    assert (endpoint.tls.sni, endpoint.tls.verify) == ("other.internal", False)
    assert (endpoint.ttl, endpoint.family) == (5.0, "ipv4")


async def test_requests_at_once_share_out_evenly_too(service, upstream, way, get):
    services = [await service() for _ in range(2)]
    live = upstream(*(each.url for each in services))
    forward = way(live)
    await asyncio.gather(*(forward(get()) for _ in range(100)))
    assert Counter(len(each.requests) for each in services) == {50: 2}
    assert live.active == 0


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_nothing_is_left_over(service, upstream, way, get, stream, until, seed):
    """Targets that do anything, clients that leave at any time: every exchange ends and no connection leaks."""
    chance = random.Random(seed)

    async def anything(seen):
        what = chance.randrange(9)
        await asyncio.sleep(chance.random() * 0.01)
        if what == 0:
            seen.close()
        elif what == 1:
            seen.reset()
        elif what == 2:
            await seen.send(b"HTTP/1.1 200 OK\r\nContent-Le")
            seen.close()
        elif what == 3:
            await seen.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            seen.reset()
        elif what == 4:
            await seen.answer(b"no", 503)
        elif what == 5:
            await seen.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            await asyncio.sleep(0.005)
            await seen.send(b"0\r\n\r\n")
        elif what == 6:
            await asyncio.sleep(0.2)
            await seen.answer()
        else:
            await seen.answer(b"x" * 100_000)

    services = [await service(anything) for _ in range(3)]
    live = upstream(
        *(each.url for each in services),
        pool={"max_connections": 4, "queue": 20, "queue_timeout": "50ms"},
        timeout={"first_byte": "100ms", "total": "300ms", "stream_idle": "100ms"},
        retry={"attempts": 3, "on": ["unsent", "reset", "timeout", 503], "backoff": FAST},
        balance="least_request",
    )
    forward = way(live)
    ended: Counter[str] = Counter()

    async def one(number):
        await asyncio.sleep(chance.random() * 0.3)
        body = Body(None, stream(b"abc", b"defg"), 7) if number % 3 == 0 else None
        request = get(method="PUT" if body else "GET", body=body)
        response = None
        try:
            async with asyncio.timeout(0.05 if number % 7 == 0 else 30):
                response = await forward(request)
                async for _ in response.body:
                    pass
                ended[str(response.status)] += 1
        except (GatewayError, TimeoutError) as error:
            ended[type(error).__name__] += 1
        finally:
            if response is not None:
                response.body.close()
            request.finish(Exchange(request, response, status=0, duration=0))

    await asyncio.gather(*(one(number) for number in range(300)))
    assert sum(ended.values()) == 300
    assert ended["200"] > 20, ended
    assert live.active == 0
    for each in live.targets:
        await until(lambda pool=each.pool: pool.total == pool.idle)
        assert each.pool.waiting == 0
        assert each.pool.total <= 4


# -- a changed upstream ----------------------------------------------------------------------------------------------


async def test_a_changed_upstream_takes_over_connections_and_health(service, upstream, way, get, asked, manual):
    services = [await service(), await service(), await service()]
    old = upstream(*(each.url for each in services[:2]), clock=manual, probe=False, health={"active": {"path": "/"}})
    await asked(old, services, 4)
    old.report(services[1].url, healthy=False)
    new = upstream(
        *(each.url for each in services), clock=manual, probe=False, health={"active": {"path": "/"}}, slow_start="100s"
    )
    new.adopt(old)
    await old.close()
    counted = await asked(new, services, 22)
    assert counted == [20, 0, 2], "the ill one is left out and the new one starts slowly"
    assert services[0].connections == 1, "the connection went on"


async def test_other_tls_settings_make_other_connections(service, upstream, asked):
    target = await service()
    old = upstream(target.url)
    await asked(old, [target], 1)
    new = upstream(target.url, tls={"sni": "other"})
    new.adopt(old)
    await old.close()
    assert await asked(new, [target], 2) == [2]
    assert target.connections == 2


async def test_what_is_under_way_on_the_old_one_ends_on_a_shared_connection(service, upstream, way, get, until):
    go = asyncio.Event()

    async def conduct(seen):
        await go.wait()
        await seen.answer()

    target = await service(conduct)
    old = upstream(target.url)
    task = asyncio.ensure_future(way(old)(get()))
    await until(lambda: target.requests)
    new = upstream(target.url, slow_start="1s")
    new.adopt(old)
    await old.close()
    go.set()
    assert (await task).status == 200
    assert (await way(new)(get())).status == 200
    assert target.connections == 1


async def test_health_that_nobody_looks_after_any_more_is_forgotten(upstream):
    urls = "http://127.0.0.1:9", "http://127.0.0.1:10"
    old = upstream(*urls, probe=False, health={"active": {"path": "/"}})
    old.report(urls[0], healthy=False)
    old.targets[1].ejected, old.targets[1].ejected_until = True, 1e12
    new = upstream(*urls, health={"passive": "off"})
    new.adopt(old)
    assert all(each.well for each in new.targets)
