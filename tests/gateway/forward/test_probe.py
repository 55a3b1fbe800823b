from __future__ import annotations

import asyncio

import pytest

from gateway.forward.probe import Streak


@pytest.mark.parametrize(
    ("script", "states"),
    [
        pytest.param("ggg", "+++", id="well from the start"),
        pytest.param("bb", "++", id="two bad ones are not three"),
        pytest.param("bbb", "++-", id="three in a row are"),
        pytest.param("bbgbb", "+++++", id="a good one between begins the row anew"),
        pytest.param("bbbg", "++--", id="one good one does not bring it back"),
        pytest.param("bbbgg", "++--+", id="two in a row do"),
        pytest.param("bbbgbgg", "++----+", id="not two with a bad one between"),
    ],
)
def test_streak(script, states):
    streak = Streak(healthy=2, unhealthy=3)
    found = []
    for letter in script:
        changed = streak.add(letter == "g")
        assert changed == (bool(found) and (found[-1] == "+") != streak.healthy)
        found.append("+" if streak.healthy else "-")
    assert "".join(found) == states


async def ok(seen):
    await seen.answer(b"", 200)


async def ill(seen):
    await seen.answer(b"", 500)


async def hang(_seen):
    await asyncio.sleep(60)


def active(**settings):
    return {"active": {"path": "/healthz", "interval": "100ms", "timeout": "100ms", **settings}}


@pytest.mark.parametrize(
    ("conduct", "settings", "why"),
    [
        pytest.param(ok, {}, None, id="200 is good"),
        pytest.param(ill, {}, "answered 500", id="500 is not"),
        pytest.param(ill, {"status": [500]}, None, id="unless it is asked for"),
        pytest.param(ok, {"status": ["3xx"]}, "answered 200", id="200 where 3xx is expected"),
        pytest.param(hang, {}, "no answer", id="silence"),
        pytest.param(None, {}, "Connect", id="nobody listens"),
    ],
)
async def test_a_probe(service, upstream, refused_url, conduct, settings, why):
    url = refused_url if conduct is None else (await service(conduct)).url
    live = upstream(url, health=active(**settings))
    found = await live._prober.probe(live.targets[0])
    assert found is None if why is None else why.lower() in found.lower()
    assert live.targets[0].pool.total == 0, "it has a connection of its own"


async def test_what_is_asked(service, upstream, until):
    target = await service(ok)
    live = upstream(target.url, health=active(host="probe.example"))
    await live._prober.probe(live.targets[0])
    seen = target.requests[0]
    assert seen.line == "GET /healthz HTTP/1.1"
    assert seen.header("host") == "probe.example"
    assert seen.header("user-agent") == "sidegate-health"
    await until(lambda: not target.open)


async def test_an_ill_target_is_left_out_until_it_is_well(service, upstream, way, get, until):
    state = {"conduct": ok}

    async def conduct(seen):
        await (state["conduct"] if "healthz" in seen.line else ok)(seen)

    target, other = await service(conduct), await service(ok)
    live = upstream(target.url, other.url, health=active(unhealthy=2, healthy=2))
    await live.open()
    await until(lambda: target.requests)
    state["conduct"] = ill
    await until(lambda: not live.targets[0].probed)
    assert live.snapshot()["serving"] == [other.url]
    assert live.snapshot()["targets"][0]["state"] == "ill"
    request = get()
    await way(live)(request)
    assert request.target == other.url
    state["conduct"] = ok
    await until(lambda: live.targets[0].probed)
    assert len(live.snapshot()["serving"]) == 2


async def test_a_target_that_was_ill_before_a_reload_is_brought_back(service, upstream, until):
    target = await service(ok)
    live = upstream(target.url, "http://127.0.0.1:9", health=active(healthy=2))
    live.targets[0].probed = False
    await live.open()
    await until(lambda: live.targets[0].probed)
    assert len(target.requests) >= 2


async def test_a_worker_that_does_not_probe_is_told(service, upstream):
    target = await service(ill)
    live = upstream(target.url, "http://127.0.0.1:9", probe=False, health=active())
    await live.open()
    await asyncio.sleep(0.3)
    assert target.requests == []
    live.report(target.url, healthy=False)
    assert not live.targets[0].well


async def test_closing_ends_probes(service, upstream):
    target = await service(hang)
    live = upstream(target.url, health=active())
    await live.open()
    await live.close()
    assert live._prober._tasks == []
