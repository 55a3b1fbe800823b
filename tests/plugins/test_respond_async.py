"""respond_async: who gets an answer later, where it asks for it, and that nothing is done twice that must not be."""

import asyncio
import json

import pytest

from gateway.errors import ConnectFailed, FirstByteTimeout, Forbidden, NoTarget
from gateway.http import Response
from gateway.http.delivery import Delivery, note_delivery
from gateway.services.queue import Query, QueueUnavailable
from gateway.services.queue.message import unpack
from gateway.testing import answering, exchange, opened, ports, request
from plugins.respond_async import RespondAsync
from plugins.respond_async.runner import progress_name

LATER = [("Prefer", "respond-async")]


def call(method="POST", **more):
    return request(method, "/reports?a=b", **{"headers": LATER, "body": b"make it", **more})


class Asked:
    """The plugin, and the place where its clients ask."""

    def __init__(self, plugin, given):
        self.plugin = plugin
        self.given = given
        (endpoint,) = plugin.plugin.endpoints()
        self.endpoint = endpoint.handler

    async def ask(self, url, method="GET", body=b""):
        """Status, JSON or bytes, and the whole response."""
        response = await self.endpoint(request(method, url, body=body))
        whole = await response.body.read(10_000_000)
        kind = response.headers.get("Content-Type", "")
        return response.status, json.loads(whole) if "json" in kind else whole, response

    async def refused(self, url, method="GET", body=b""):
        """The code of the refusal."""
        with pytest.raises(Exception) as caught:
            await self.ask(url, method, body)
        return caught.value.code


class Running:
    """`async with Running(target, settings) as asked`."""

    def __init__(self, target, settings=None, *, owner=True):
        self.given = ports(owner=owner)
        self.given.rest = target
        self.opening = opened(RespondAsync, settings or {}, ports=self.given)

    async def __aenter__(self):
        return Asked(await self.opening.__aenter__(), self.given)

    async def __aexit__(self, *error):
        await self.opening.__aexit__(*error)


# -- who gets its answer later -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "headers", "settings", "later"),
    [
        pytest.param("POST", LATER, {}, True, id="who asks for it"),
        pytest.param("GET", LATER, {}, True, id="a long GET too"),
        pytest.param("POST", [], {}, False, id="not who does not"),
        pytest.param("POST", [("Prefer", "wait=5")], {}, False, id="a wait alone asks for nothing"),
        pytest.param("POST", [], {"always": True}, True, id="everybody, if the operator says so"),
        pytest.param("HEAD", LATER, {}, False, id="not HEAD"),
        pytest.param("OPTIONS", LATER, {"always": True}, False, id="not OPTIONS"),
        pytest.param("POST", LATER, {"methods": ["GET"]}, False, id="not a method that is not named"),
        pytest.param("POST", LATER, {"max_body": "3B"}, False, id="not what is too large to be kept"),
    ],
)
async def test_who_gets_its_answer_later(method, headers, settings, later):
    given, target = ports(owner=False), answering(200, body="now")
    response = await exchange(RespondAsync, settings, call(method, headers=headers), target, ports=given)
    assert (response.status, target.calls) == ((202, 0) if later else (200, 1))
    passed = method not in settings.get("methods", ["GET", "POST"])
    assert (response.headers.get("Vary") == "Prefer") is not (passed or "always" in settings)
    if later:
        assert response.headers["Location"].startswith("/.sidegate/jobs?id=")
        assert response.headers["Preference-Applied"] == "respond-async"
        assert response.headers["Retry-After"] == "2"
        assert json.loads(response.body.whole)["location"] == response.headers["Location"]


async def test_while_the_queue_fails_it_is_answered_at_once():
    given, target = ports(owner=False), answering(200, body="now")
    given.work.broken = True

    async def put(_draft):
        raise QueueUnavailable("disk full")

    given.work.put = put
    response = await exchange(RespondAsync, {}, call(), target, ports=given)
    assert (response.status, response.body.whole) == (200, b"now")
    assert given.value("respond_async_requests_total", "test", "respond_async", "unavailable") == 1


async def test_what_the_target_gets():
    target = answering(201)
    async with Running(target) as asked:
        headers = [*LATER, ("Prefer", "wait=0, return=minimal"), ("X-One", "1"), ("Sidegate-Progress", "mine")]
        await asked.plugin(call(headers=headers, principal="alice"))
        await asked.given.clock.elapse(1)
    assert (target.body, target.request.query) == (b"make it", "a=b")
    assert target.request.headers.getall("Prefer") == ["return=minimal"]
    assert target.request.headers["X-One"] == "1"
    assert target.request.headers["Sidegate-Progress"].startswith("/.sidegate/jobs?progress=")
    assert target.request.principal.id == "alice"


# -- how it goes -------------------------------------------------------------------------------------------------------


async def test_from_waiting_to_the_answer():
    gate = asyncio.Event()

    async def target(asked):
        await asked.body.read(100)
        await gate.wait()
        return Response(201, headers=[("Content-Type", "text/plain"), ("X-Made", "1")], body=b"the report")

    async with Running(target) as asked:
        url = (await asked.plugin(call())).headers["Location"]
        assert (await asked.ask(url))[1]["status"] in ("waiting", "running")
        await asked.given.clock.elapse(1)
        status, told, response = await asked.ask(url)
        assert (status, told["status"], response.headers["Retry-After"]) == (200, "running", "2")
        assert response.headers["Cache-Control"] == "no-store"
        assert await asked.refused(f"{url}&result=1") == "job_unknown"
        gate.set()
        await asked.given.clock.elapse(1)
        status, told, response = await asked.ask(url)
        assert (status, told["status"], response.headers["Location"]) == (303, "done", f"{url}&result=1")
        status, whole, response = await asked.ask(f"{url}&result=1")
        assert (status, whole, response.headers["X-Made"]) == (201, b"the report", "1")
        assert response.headers["Cache-Control"] == "private, no-store"
        assert (await asked.ask(f"{url}&result=1"))[0] == 201, "it can be fetched again"
        await asked.given.clock.elapse(86_400)
        assert await asked.refused(url) == "job_unknown", "its time is over"


@pytest.mark.parametrize("status", [200, 302, 404, 422, 500])
async def test_whatever_the_target_says_is_the_answer(status):
    async with Running(answering(status, body="said")) as asked:
        url = (await asked.plugin(call())).headers["Location"]
        await asked.given.clock.elapse(1)
        assert (await asked.ask(f"{url}&result=1"))[:2] == (status, b"said")


async def test_a_refusal_of_a_policy_behind_is_the_answer():
    async with Running(answering(error=Forbidden())) as asked:
        url = (await asked.plugin(call())).headers["Location"]
        await asked.given.clock.elapse(1)
        status, told, _ = await asked.ask(f"{url}&result=1")
        assert (status, told["code"]) == (403, "forbidden")


async def test_a_client_may_wait_for_the_answer_itself():
    async with Running(answering(200, body="quick")) as asked:
        waiting = asyncio.ensure_future(asked.plugin(call(headers=[("Prefer", "respond-async, wait=5")])))
        await asked.given.clock.elapse(1)
        response = await waiting
        assert (response.status, response.body.whole) == (200, b"quick")
    async with Running(answering(error=NoTarget())) as asked:
        waiting = asyncio.ensure_future(asked.plugin(call(headers=[("Prefer", "respond-async, wait=600")])))
        await asked.given.clock.elapse(9)
        assert not waiting.done()
        await asked.given.clock.elapse(2)
        assert (await waiting).status == 202, "no longer than the operator lets it"


async def test_how_far_it_is():
    gate = asyncio.Event()
    seen = []

    async def target(asked):
        seen.append(asked.headers["Sidegate-Progress"])
        await gate.wait()
        return Response(200)

    async with Running(target) as asked:
        url = (await asked.plugin(call())).headers["Location"]
        await asked.given.clock.elapse(1)
        assert "progress" not in (await asked.ask(url))[1]
        (where,) = seen
        assert (await asked.ask(where, "POST", b'{"percent": 40, "message": "half of it"}'))[0] == 204
        assert (await asked.ask(url))[1]["progress"] == {"percent": 40, "message": "half of it"}
        for body in (b"", b"[]", b'{"percent": 101}', b'{"percent": true}', b'{"percent": NaN}', b'{"message": 5}'):
            assert await asked.refused(where, "POST", body) == "bad_request"
        assert await asked.refused(where, "POST", b" " * 5000) == "payload_too_large"
        assert await asked.refused(where.replace("progress=", "id=")) == "job_unknown", "it opens nothing else"
        assert await asked.refused(url.replace("id=", "progress="), "POST", b'{"percent": 1}') == "job_unknown"
        gate.set()


# -- once, and again ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "headers", "calls"),
    [
        pytest.param("POST", LATER, 1, id="a POST is sent once"),
        pytest.param("PATCH", LATER, 1, id="a PATCH too"),
        pytest.param("POST", [*LATER, ("Idempotency-Key", "k")], 3, id="a POST with a key may be sent again"),
        pytest.param("GET", LATER, 3, id="a GET"),
        pytest.param("PUT", LATER, 3, id="a PUT"),
        pytest.param("DELETE", LATER, 3, id="a DELETE"),
    ],
)
@pytest.mark.parametrize(
    "failing",
    [
        pytest.param({"error": FirstByteTimeout()}, id="after a timeout"),
        pytest.param({"error": ConnectFailed()}, id="after no connection"),
        pytest.param({"status": 503}, id="after 503"),
    ],
)
async def test_what_is_sent_again(method, headers, calls, failing):
    target = answering(**failing)
    settings = {"retry": {"base": "1s", "attempts": 3}}
    async with Running(target, settings) as asked:
        url = (await asked.plugin(call(method, headers=headers))).headers["Location"]
        await asked.given.clock.elapse(600)
        assert target.calls == calls
        status, told, response = await asked.ask(url)
        assert (status, told["status"]) == (200, "failed")
        assert told["error"]
        assert "Retry-After" not in response.headers


async def test_while_nothing_can_be_sent_it_waits_and_is_sent_once():
    ready = answering(200, body="at last")
    down = answering(error=NoTarget())
    async with Running(down) as asked:
        url = (await asked.plugin(call())).headers["Location"]
        await asked.given.clock.elapse(60)
        assert (await asked.ask(url))[1]["status"] in ("waiting", "running")
        asked.given.rest = ready
        await asked.given.clock.elapse(60)
        assert (await asked.ask(f"{url}&result=1"))[1] == b"at last"
        assert ready.calls == 1


@pytest.mark.parametrize(
    ("method", "calls", "status"),
    [pytest.param("POST", 1, "failed", id="a POST is not"), pytest.param("PUT", 2, "done", id="a PUT is")],
)
async def test_what_is_sent_again_after_the_gateway_died_meanwhile(method, calls, status):
    seen = []

    async def target(asked):
        seen.append(asked)
        if len(seen) == 1:
            await asyncio.Event().wait()
        return Response(200, body=b"done")

    async with Running(target, owner=False) as asked:
        url = (await asked.plugin(call(method))).headers["Location"]
        work = asked.given.work
        runner = asked.plugin.plugin._runner
        (item,) = await work.take("respond_async/test/respond_async", 1, 60.0)
        dying = asyncio.ensure_future(runner.deliver(item))
        while not seen:
            await asyncio.sleep(0)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        outcome = await runner.deliver(item)
        assert len(seen) == calls
        assert (outcome.error if status == "failed" else "") == ("interrupted" if status == "failed" else "")
        if status == "done":
            assert (await asked.ask(f"{url}&result=1"))[1] == b"done"
            assert (await runner.deliver(item)).status == 200
            assert len(seen) == 2, "an answer that is there is not asked for again"


async def test_an_answer_that_is_too_large_is_a_failure():
    async with Running(answering(200, body="x" * 100), {"max_result": "10B"}) as asked:
        url = (await asked.plugin(call())).headers["Location"]
        await asked.given.clock.elapse(1)
        assert (await asked.ask(url))[1]["error"] == "result_too_large"


# -- whose it is -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("done", [pytest.param(False, id="while it waits"), pytest.param(True, id="when it is done")])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda url: url[:-1] + ("a" if url[-1] != "a" else "b"), id="another secret"),
        pytest.param(lambda url: url[:-32], id="no secret"),
        pytest.param(lambda url: url.partition("?")[0], id="nothing at all"),
        pytest.param(lambda url: f"{url}&id=x", id="two tickets"),
        pytest.param(lambda url: url.replace("id=", "id=../"), id="a path in it"),
    ],
)
async def test_without_its_ticket_nobody_learns_anything(change, done):
    async with Running(answering(200, body="secret"), owner=done) as asked:
        url = (await asked.plugin(call())).headers["Location"]
        if done:
            await asked.given.clock.elapse(1)
        for method in ("GET", "DELETE"):
            assert await asked.refused(change(url), method) == "job_unknown"
            assert await asked.refused(f"{change(url)}&result=1", method) == "job_unknown"


async def test_only_digests_of_the_secrets_are_kept():
    async with Running(answering(200), owner=False) as asked:
        url = (await asked.plugin(call())).headers["Location"]
        (item,) = (await asked.given.work.find(Query())).items
        assert url[-32:] not in json.dumps(dict(item.labels))
        whole = await asked.given.work.get(item.id)
        assert url[-32:].encode() not in whole.payload


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("waiting", id="before it is made"),
        pytest.param("running", id="meanwhile"),
        pytest.param("done", id="after it"),
    ],
)
async def test_what_nobody_wants_any_more(moment):
    gate = asyncio.Event()

    async def target(_asked):
        await gate.wait()
        return Response(200)

    async with Running(target, owner=moment != "waiting") as asked:
        url = (await asked.plugin(call())).headers["Location"]
        if moment == "done":
            gate.set()
        await asked.given.clock.elapse(1)
        assert (await asked.ask(url, "DELETE"))[0] == 204
        gate.set()
        await asked.given.clock.elapse(1)
        assert await asked.refused(url) == "job_unknown"
        assert await asked.refused(f"{url}&result=1") == "job_unknown"


async def test_a_subjects_calls_and_answers_are_erased():
    async with Running(answering(200, body="hers")) as asked:
        url = (await asked.plugin(call(principal="alice"))).headers["Location"]
        await asked.given.clock.elapse(1)
        assert (await asked.ask(url))[0] == 303
        assert await asked.given.work.erase("alice") >= 1
        assert await asked.refused(url) == "job_unknown"


async def test_while_the_queue_is_away_it_says_so():
    async with Running(answering(200), owner=False) as asked:
        url = (await asked.plugin(call())).headers["Location"]
        asked.given.work.broken = True
        assert await asked.refused(url) == "jobs_unavailable"


async def test_what_was_cancelled_under_way_is_not_tried_again():
    calls, gate = [], asyncio.Event()

    async def target(asked):
        calls.append(asked.method)
        await gate.wait()
        return Response(503)

    settings = {"keep_result": "1s", "retry": {"schedule": ["2h", "2h"]}}
    async with Running(target, settings) as asked:
        url = (await asked.plugin(call("PUT"))).headers["Location"]
        await asked.given.clock.elapse(1)
        assert (await asked.ask(url, "DELETE"))[0] == 204
        gate.set()
        await asked.given.clock.elapse(1)
        await asked.given.clock.elapse(8000)
        assert calls == ["PUT"]
        assert (await asked.given.work.find(Query())).items == []


@pytest.mark.parametrize(
    "how", [pytest.param("DELETE", id="by its client"), pytest.param("erase", id="with its subject's data")]
)
async def test_what_is_gone_while_its_answer_is_written_leaves_none(how):
    async with Running(answering(200, body="hers")) as asked:
        work = asked.given.work
        keep, url = work.keep, ""

        async def kept(name, value, ttl, *, subject=None):
            if "/result/" in name:
                await (asked.ask(url, "DELETE") if how == "DELETE" else work.erase("alice"))
            await keep(name, value, ttl, subject=subject)

        work.keep = kept
        url = (await asked.plugin(call(principal="alice"))).headers["Location"]
        await asked.given.clock.elapse(1)
        assert await asked.refused(f"{url}&result=1") == "job_unknown"
        assert await asked.refused(url) == "job_unknown"


async def test_what_ends_between_two_looks_is_found():
    async with Running(answering(201, body="made")) as asked:
        url = (await asked.plugin(call())).headers["Location"]
        work = asked.given.work
        find = work.find

        async def found(query, **more):
            await asked.given.clock.elapse(1)
            return await find(query, **more)

        work.find = found
        assert (await asked.ask(url))[0] == 303


async def test_who_asks_how_it_goes_has_no_payload_read():
    async with Running(answering(200), owner=False) as asked:
        url = (await asked.plugin(call())).headers["Location"]

        async def get(_id):
            raise AssertionError

        asked.given.work.get = get
        assert (await asked.ask(url))[1]["status"] == "waiting"


async def test_what_the_target_tells_goes_with_its_subject():
    async with Running(answering(200), owner=False) as asked:
        await asked.plugin(call(principal="alice"))
        (item,) = (await asked.given.work.find(Query())).items
        kept = unpack((await asked.given.work.get(item.id)).payload)
        told = f"/.sidegate/jobs?progress={item.id}.{kept.header('Sidegate-Progress')}"
        assert (await asked.ask(told, "POST", b'{"message": "Alice Smith"}'))[0] == 204
        assert await asked.given.work.kept(progress_name(item.id)) is not None
        await asked.given.work.erase("alice")
        assert await asked.given.work.kept(progress_name(item.id)) is None


async def test_an_operators_replay_makes_the_call_again():
    bodies = ["first", "second"]

    async def target(_asked):
        return Response(200, body=bodies.pop(0).encode())

    async with Running(target, {"keep": "1h"}) as asked:
        url = (await asked.plugin(call("PUT"))).headers["Location"]
        await asked.given.clock.elapse(1)
        assert (await asked.ask(f"{url}&result=1"))[1] == b"first"
        assert await asked.given.work.replay(Query()) == 1
        await asked.given.clock.elapse(1)
        assert (await asked.ask(f"{url}&result=1"))[1] == b"second"


@pytest.mark.parametrize("name", ["Sidegate-Event-Id", "Sidegate-Delivery-Id", "Sidegate-Attempt", "Sidegate-Progress"])
async def test_a_client_writes_nothing_that_only_a_delivery_carries(name):
    target = answering(200)
    await exchange(RespondAsync, {}, request("POST", "/", body="x", headers={name: "7"}), target, ports=ports())
    assert name not in target.request.headers


async def test_what_another_plugin_delivers_is_made_at_once_and_as_it_says():
    given, target = ports(owner=False), answering(200)
    asked = request("POST", "/", body="x", headers=[*LATER, ("Sidegate-Event-Id", "evt_1")])
    note_delivery(asked, Delivery("other", 2))
    response = await exchange(RespondAsync, {"always": True}, asked, target, ports=given)
    assert (response.status, target.request.headers["Sidegate-Event-Id"]) == (200, "evt_1")


async def test_a_page_does_not_hand_its_url_on():
    async with Running(answering(200, {"Referrer-Policy": "unsafe-url"}, "page")) as asked:
        url = (await asked.plugin(call())).headers["Location"]
        await asked.given.clock.elapse(1)
        for where in (url, f"{url}&result=1"):
            response = (await asked.ask(where))[2]
            assert response.headers.getall("Referrer-Policy") == ["no-referrer"]


async def test_who_waits_for_long_looks_ever_more_seldom():
    async with Running(answering(200), {"max_wait": "5m"}, owner=False) as asked:
        looks = 0
        kept = asked.given.work.kept

        async def counted(name):
            nonlocal looks
            looks += 1
            return await kept(name)

        asked.given.work.kept = counted
        waiting = asyncio.ensure_future(asked.plugin(call(headers=[("Prefer", "respond-async, wait=100")])))
        for _ in range(1100):
            await asked.given.clock.elapse(0.1)
        assert (await waiting).status == 202
        assert 90 <= looks <= 130
