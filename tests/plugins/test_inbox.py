"""inbox: what is accepted and how it is answered, what is the same event, and what the target gets of it."""

import asyncio
import json

import pytest

from gateway.http import Body, Response
from gateway.http.delivery import Delivery, note_delivery
from gateway.http.event import Event, note_event
from gateway.services.queue import Query, QueueFull, QueueUnavailable, State
from gateway.services.queue.message import unpack
from gateway.services.queue.opening import QueueSettings
from gateway.testing import Chunks, MemoryQueue, answering, exchange, opened, ports, request
from plugins.inbox import Inbox

STRIPE = json.dumps({"id": "evt_1", "data": {"object": {"customer": "cus_7", "amount": 5}}})


async def items(given):
    return [await given.work.get(item.id) for item in (await given.work.find(Query())).items]


async def kept(given):
    return [unpack(item.payload) for item in await items(given)]


def idle(**more):
    """Ports on which nothing is delivered."""
    return ports(owner=False, **more)


# -- accepting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "settings", "stored"),
    [
        pytest.param("POST", {}, 1, id="POST is kept"),
        pytest.param("PUT", {}, 1, id="PUT is kept"),
        pytest.param("PATCH", {}, 1, id="PATCH is kept"),
        pytest.param("DELETE", {}, 1, id="DELETE is kept"),
        pytest.param("GET", {}, 0, id="GET passes at once"),
        pytest.param("HEAD", {}, 0, id="HEAD passes at once"),
        pytest.param("OPTIONS", {}, 0, id="OPTIONS passes at once"),
        pytest.param("PUT", {"methods": ["POST"]}, 0, id="a method that is not named passes at once"),
    ],
)
async def test_which_methods_are_kept(method, settings, stored):
    given, target = idle(), answering(200, body="live")
    response = await exchange(Inbox, settings, request(method, "/hooks"), target, ports=given)
    assert len(await items(given)) == stored
    assert (response.status, target.calls) == ((202, 0) if stored else (200, 1))


async def test_an_upgrade_passes():
    given, target = idle(), answering(200)
    asked = request("POST", "/hooks")
    asked.upgrade = "websocket"
    await exchange(Inbox, {}, asked, target, ports=given)
    assert (target.calls, await items(given)) == (1, [])


@pytest.mark.parametrize(
    ("answer", "status", "body", "kind"),
    [
        pytest.param({}, 202, b"", None, id="202 and nothing else"),
        pytest.param({"status": 200}, 200, b"", None, id="the status that the provider wants"),
        pytest.param({"status": 204}, 204, b"", None, id="204 has no body"),
        pytest.param(
            {"status": 200, "body": '{"ok": true}', "type": "application/json"},
            200,
            b'{"ok": true}',
            "application/json",
            id="the body that the provider wants",
        ),
    ],
)
async def test_how_it_is_answered(answer, status, body, kind):
    given = idle()
    response = await exchange(Inbox, {"answer": answer}, request("POST", "/", body="x"), ports=given)
    assert (response.status, response.body.whole, response.headers.get("Content-Type")) == (status, body, kind)
    assert response.headers["Sidegate-Delivery-Id"] == (await items(given))[0].id


async def test_it_answers_only_when_it_is_on_disk():
    given = idle()
    gate = asyncio.Event()

    class Slow(MemoryQueue):
        async def put(self, draft):
            await gate.wait()
            return await super().put(draft)

    given.work = Slow(given.clock)
    async with opened(Inbox, {}, ports=given) as inbox:
        asked = asyncio.ensure_future(inbox(request("POST", "/", body="x")))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not asked.done()
        gate.set()
        assert (await asked).status == 202


async def test_what_is_kept_is_what_came():
    given = idle()
    body = bytes(range(256))
    asked = request(
        "POST",
        "/hooks/a?b=c&b=d",
        headers=[("X-One", "1"), ("x-two", "2"), ("X-One", "3"), ("Content-Type", "application/octet-stream")],
        body=body,
        client_ip="198.51.100.7",
        principal="webhook:stripe",
        tenant="acme",
        params={"name": "a"},
        id="req-1",
        host="hooks.example.com",
    )
    asked.trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    note_event(asked, Event("stripe", "evt_1", 5.0))
    await exchange(Inbox, {}, asked, ports=given)
    (found,) = await kept(given)
    assert (found.method, found.path, found.query, found.host) == ("POST", "/hooks/a", "b=c&b=d", "hooks.example.com")
    assert (found.body, found.arrived, found.id) == (body, given.clock.time(), "req-1")
    names = [name for name, _ in found.fields]
    assert [name for name in names if name.lower().startswith(b"x-")] == [b"X-One", b"x-two", b"X-One"]
    assert (found.client_ip, found.tenant, found.path_params) == ("198.51.100.7", "acme", {"name": "a"})
    assert (found.principal.id, found.event, found.event_id) == ("webhook:stripe", ("stripe", "evt_1", 5.0), "evt_1")
    again = found.request()
    assert again.trace == asked.trace, "where it was left; the gateway goes on from there"
    assert (again.principal.id, again.body.whole, again.peer.address) == ("webhook:stripe", body, "198.51.100.7")


async def test_a_chunked_body_is_kept_whole():
    given = idle()
    await exchange(Inbox, {}, request("POST", "/", chunks=[b"one", b"two"]), ports=given)
    (found,) = await kept(given)
    assert found.body == b"onetwo"
    assert b"transfer-encoding" not in [name.lower() for name, _ in found.fields]


@pytest.mark.parametrize(
    ("name", "settings", "present"),
    [
        pytest.param("Authorization", {}, False, id="Authorization is not kept"),
        pytest.param("Cookie", {}, False, id="Cookie is not kept"),
        pytest.param("X-API-Key", {}, False, id="nor an API key"),
        pytest.param("Authorization", {"drop": ["Cookie"]}, True, id="Authorization is kept if asked for"),
        pytest.param("Keep-Alive", {}, False, id="what is about the connection is not kept"),
        pytest.param("X-Hop", {}, False, id="nor what Connection names"),
        pytest.param("X-Other", {"drop": ["x-other"]}, False, id="a field of choice is not kept, in any case"),
        pytest.param("X-Other", {}, True, id="any other is kept"),
        pytest.param("Sidegate-Attempt", {}, False, id="a client cannot say which attempt it is"),
        pytest.param("sidegate_event_id", {}, False, id="nor in another spelling which event"),
    ],
)
async def test_which_fields_are_kept(name, settings, present):
    given = idle()
    await exchange(Inbox, settings, request("POST", "/", headers={name: "v", "Connection": "X-Hop"}), ports=given)
    (found,) = await kept(given)
    assert (name.lower().encode() in [each.lower() for each, _ in found.fields]) == present


async def test_labels_say_where_it_came_in_and_not_what_was_asked():
    given = idle()
    asked = request("POST", "/hooks/x?token=secret", body="x")
    note_event(asked, Event("github", "d-1"))
    await exchange(Inbox, {}, asked, ports=given)
    (item,) = await items(given)
    assert item.topic == "inbox/test/inbox"
    assert item.labels == {
        "route": "test",
        "method": "POST",
        "host": "gateway.test",
        "path": "/hooks/x",
        "request_id": "test-request",
        "event": "d-1",
        "provider": "github",
    }


# -- refusing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "ok"),
    [
        pytest.param(QueueFull("full"), "inbox_full", True, id="a full queue"),
        pytest.param(QueueUnavailable("disk full"), "inbox_unavailable", False, id="a queue that fails"),
    ],
)
async def test_what_cannot_be_kept_is_refused_so_that_the_sender_keeps_it(error, code, ok):
    given = idle()

    class Failing(MemoryQueue):
        failing = True

        async def put(self, draft):
            if self.failing:
                raise error
            return await super().put(draft)

        async def ping(self):
            if self.failing:
                raise QueueUnavailable

    given.work = queue = Failing(given.clock)
    async with opened(Inbox, {"retry_after": "45s"}, ports=given) as inbox:
        response = await inbox(request("POST", "/", body="x"))
        assert (response.status, response.error.code) == (503, code)
        assert response.headers["Retry-After"] == "45"
        state = given.reports["inbox"]()
        assert (state["ok"], state["critical"]) == (ok, True)
        await given.clock.elapse(10)
        assert given.reports["inbox"]()["ok"] == ok
        queue.failing = False
        await given.clock.elapse(2)
        assert given.reports["inbox"]()["ok"]
        assert (await inbox(request("POST", "/", body="x"))).status == 202
    assert given.value("inbox_refused_total", "test", "inbox", "full" if ok else "unavailable") == 1
    assert given.value("inbox_accepted_total", "test", "inbox") == 1


async def test_a_queue_that_is_full_by_its_own_limit():
    given = idle()
    given.work = MemoryQueue(given.clock, QueueSettings(max_items=1))
    async with opened(Inbox, {}, ports=given) as inbox:
        assert [(await inbox(request("POST", "/"))).status for _ in range(3)] == [202, 503, 503]


async def test_a_body_that_is_too_large_is_refused_and_not_kept():
    given = idle()
    response = await exchange(Inbox, {"max_body": "3B"}, request("POST", "/", chunks=[b"ab", b"cd"]), ports=given)
    assert (response.status, await items(given)) == (413, [])


async def test_an_upload_that_breaks_off_is_not_kept():
    from gateway.errors import ClientClosed

    given = idle()
    asked = request("POST", "/", chunks=Chunks([b"half"], error=ClientClosed()))
    response = await exchange(Inbox, {}, asked, ports=given)
    assert (response.error.code, await items(given)) == ("client_closed_request", [])


# -- the same event ----------------------------------------------------------------------------------------------------

GITHUB = {"X-GitHub-Delivery": "d-1"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("by", "first", "second", "stored"),
    [
        pytest.param(
            None, {"headers": {"Webhook-Id": "m"}}, {"headers": {"webhook-id": "m"}}, 1, id="the same Webhook-Id"
        ),
        pytest.param(
            None, {"headers": {"Webhook-Id": "m"}}, {"headers": {"Webhook-Id": "n"}}, 2, id="another Webhook-Id"
        ),
        pytest.param(None, {"headers": GITHUB}, {"headers": GITHUB}, 1, id="the same delivery of GitHub"),
        pytest.param(
            None,
            {"headers": {"Idempotency-Key": "k"}},
            {"headers": {"Idempotency-Key": "k"}},
            1,
            id="the same Idempotency-Key",
        ),
        pytest.param(None, {"body": "same"}, {"body": "same"}, 2, id="two equal bodies are two events"),
        pytest.param(
            ["{body}"], {"body": "same"}, {"body": "same"}, 1, id="two equal bodies are one event if asked for"
        ),
        pytest.param(["{body}"], {"body": "same"}, {"body": "Same"}, 2, id="two bodies that differ are two"),
        pytest.param(["{json./id}"], {"body": STRIPE}, {"body": STRIPE + " "}, 1, id="the same member of JSON"),
        pytest.param(["{json./id}"], {"body": '{"id": 1}'}, {"body": '{"id": 2}'}, 2, id="another member of JSON"),
        pytest.param(["{json./id}"], {"body": "no json"}, {"body": "no json"}, 2, id="no key, no repetition"),
        pytest.param(
            ["{form.MessageSid}"],
            {"body": "A=1&MessageSid=SM1", "headers": FORM},
            {"body": "A=2&MessageSid=SM1", "headers": FORM},
            1,
            id="the same field of a form",
        ),
        pytest.param(
            ["{header.X-A}", "{header.X-B}"],
            {"headers": {"X-B": "1"}},
            {"headers": {"X-A": "2", "X-B": "1"}},
            2,
            id="the first that is there counts",
        ),
        pytest.param(
            None,
            {"headers": {"Webhook-Id": "m"}, "principal": "a"},
            {"headers": {"Webhook-Id": "m"}, "principal": "b"},
            2,
            id="another principal's is another event",
        ),
    ],
)
async def test_what_is_the_same_event(by, first, second, stored):
    given = idle()
    settings = {} if by is None else {"dedup": {"by": by}}
    async with opened(Inbox, settings, ports=given) as inbox:
        one, two = await inbox(request("POST", "/", **first)), await inbox(request("POST", "/", **second))
    assert (one.status, two.status) == (202, 202)
    assert len(await items(given)) == stored
    assert (one.headers["Sidegate-Delivery-Id"] == two.headers["Sidegate-Delivery-Id"]) == (stored == 1)
    assert given.value("inbox_duplicates_total", "test", "inbox") == 2 - stored


async def test_a_verified_event_goes_before_what_a_header_says():
    given = idle()
    async with opened(Inbox, {}, ports=given) as inbox:
        for header, event in (("a", "evt_1"), ("b", "evt_1"), ("a", "evt_2")):
            asked = request("POST", "/", headers={"Webhook-Id": header})
            note_event(asked, Event("stripe", event))
            await inbox(asked)
    assert [each.event_id for each in await kept(given)] == ["evt_1", "evt_2"]


async def test_after_the_window_it_is_a_new_event():
    given = idle()
    async with opened(Inbox, {"dedup": {"window": "1h"}}, ports=given) as inbox:
        for _ in range(2):
            await inbox(request("POST", "/", headers={"Webhook-Id": "m"}))
            await given.clock.elapse(3601)
    assert len(await items(given)) == 2


async def test_without_dedup_each_is_kept():
    given = idle()
    async with opened(Inbox, {"dedup": "off"}, ports=given) as inbox:
        for _ in range(2):
            await inbox(request("POST", "/", headers={"Webhook-Id": "m"}))
    assert len(await items(given)) == 2


# -- delivering --------------------------------------------------------------------------------------------------------


class Backend:
    """A target that answers as told, and notes what it got and when."""

    def __init__(self, clock, *statuses, headers=()):
        self.clock = clock
        self.statuses = list(statuses)
        self.headers = dict(headers)
        self.requests = []
        self.times = []

    async def __call__(self, asked):
        self.requests.append(asked)
        self.times.append(self.clock.now())
        status = self.statuses.pop(0) if self.statuses else 200
        return Response(status, headers=self.headers if status >= 400 else {}, body=Body(b"told"))


async def delivered(settings, *statuses, fields=(), seconds=0.0, **asked):
    given = ports()
    backend = given.rest = Backend(given.clock, *statuses, headers=fields)
    async with opened(Inbox, settings, ports=given) as inbox:
        response = await inbox(request("POST", "/hooks?a=b", **{"body": "x", **asked}))
        assert response.status == 202
        await given.clock.elapse(seconds)
        found = await items(given)
    return given, backend, found


async def test_it_reaches_the_target_with_what_it_needs_to_be_idempotent():
    given, backend, found = await delivered({}, headers={"Webhook-Id": "msg_1", "X-Mine": "yes"})
    (got,) = backend.requests
    assert (got.method, got.path, got.query, got.body.whole) == ("POST", "/hooks", "a=b", b"x")
    assert got.headers["X-Mine"] == "yes"
    assert got.headers["Sidegate-Event-Id"] == "msg_1"
    assert got.headers["Sidegate-Attempt"] == "1"
    assert got.headers["Sidegate-Received-At"] == "2027-01-15T08:00:00.000Z"
    assert got.headers["Sidegate-Delivery-Id"]
    assert found == []
    assert given.value("delivery_delivered_total", "test", "inbox") == 1


async def test_without_an_id_of_the_senders_the_items_own_stands_for_it():
    _, backend, _ = await delivered({}, 500, seconds=5)
    first, second = [each.headers for each in backend.requests]
    assert first["Sidegate-Event-Id"] == first["Sidegate-Delivery-Id"] == second["Sidegate-Event-Id"]
    assert (first["Sidegate-Attempt"], second["Sidegate-Attempt"]) == ("1", "2")


@pytest.mark.parametrize(
    ("settings", "status", "state"),
    [
        pytest.param({}, 200, None, id="2xx: delivered"),
        pytest.param({}, 204, None, id="204, too"),
        pytest.param({}, 301, State.READY, id="a redirect is not followed, and no success"),
        pytest.param({}, 404, State.READY, id="404 may be a deployment that went wrong"),
        pytest.param({}, 401, State.READY, id="401 may be, too"),
        pytest.param({}, 500, State.READY, id="500 is tried again"),
        pytest.param({}, 503, State.READY, id="503 is tried again"),
        pytest.param({}, 410, State.DEAD, id="410 is for good"),
        pytest.param({}, 422, State.DEAD, id="422 is for good"),
        pytest.param({"dead_on": ["4xx"]}, 404, State.DEAD, id="what is for good can be told"),
        pytest.param({"success": [200, 409], "dead_on": []}, 409, None, id="what is a success can be told"),
        pytest.param({"success": [200]}, 204, State.READY, id="and what is none"),
        pytest.param({"keep": "1h"}, 200, State.DONE, id="what was delivered can be kept"),
    ],
)
async def test_what_becomes_of_it(settings, status, state):
    retry = {"retry": {"schedule": ["1h"]}}
    _, backend, found = await delivered({**retry, **settings}, status)
    assert len(backend.requests) == 1
    assert [item.state for item in found] == ([] if state is None else [state])
    if state is State.DEAD:
        assert (found[0].last.status, found[0].last.detail) == (status, "told")


async def test_retry_after_is_obeyed():
    _, backend, _ = await delivered({}, 429, fields={"Retry-After": "120"}, seconds=300)
    first, second = backend.times
    assert 120 <= second - first <= 125


async def test_retry_after_is_obeyed_up_to_a_bound():
    settings = {"retry": {"max": "10m"}}
    _, backend, _ = await delivered(settings, 503, fields={"Retry-After": "99999"}, seconds=700)
    first, second = backend.times
    assert 600 <= second - first <= 601


async def test_nothing_is_tried_while_the_route_leads_nowhere():
    given = ports()
    backend = given.rest = Backend(given.clock)
    given.leads_to.why = "circuit_open"
    async with opened(Inbox, {}, ports=given) as inbox:
        await inbox(request("POST", "/", body="x"))
        await given.clock.elapse(120)
        (item,) = await items(given)
        assert (backend.requests, item.attempts, item.state) == ([], 0, State.READY)
        assert given.value("delivery_paused", "test", "inbox", "circuit_open") == 1
        given.leads_to.why = ""
        await given.clock.elapse(2)
        assert len(backend.requests) == 1
        assert given.value("delivery_paused", "test", "inbox", "circuit_open") == 0


async def test_an_order_is_kept_by_key():
    given = ports()
    got = []

    async def backend(asked):
        body = json.loads(asked.body.whole)
        got.append((body["k"], body["n"], asked.headers["Sidegate-Attempt"]))
        failing = (body["k"], body["n"]) == ("a", 1) and asked.headers["Sidegate-Attempt"] == "1"
        return Response(500 if failing else 200)

    given.rest = backend
    settings = {"order_by": "{json./k}", "retry": {"schedule": ["10s", "10s"]}}
    async with opened(Inbox, settings, ports=given) as inbox:
        for key, number in (("a", 1), ("a", 2), ("b", 1), ("a", 3), ("b", 2)):
            await inbox(request("POST", "/", body=json.dumps({"k": key, "n": number})))
        await given.clock.elapse(60)
    assert [each for each in got if each[0] == "a"] == [("a", 1, "1"), ("a", 1, "2"), ("a", 2, "1"), ("a", 3, "1")]
    assert [each[1] for each in got if each[0] == "b"] == [1, 2]
    assert got.index(("b", 2, "1")) < got.index(("a", 1, "2"))


async def test_its_data_is_the_principals_where_nothing_else_is_said():
    given = ports(owner=False)
    for name in ("alice", "bob", None):
        asked = request("POST", "/hooks", body="x", principal=name)
        assert (await exchange(Inbox, {"dedup": "off"}, asked, answering(200), ports=given)).status == 202
    assert await given.work.erase("alice") == 1
    assert len((await given.work.find(Query())).items) == 2


async def test_its_data_can_be_erased_by_subject():
    given = idle()
    async with opened(Inbox, {"subject": "{json./data/object/customer}"}, ports=given) as inbox:
        await inbox(request("POST", "/", body=STRIPE))
        await inbox(request("POST", "/", body="{}"))
    assert await given.work.erase("cus_7") == 1
    assert len(await items(given)) == 1


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({"dedup": {"by": ["{nothing}"]}}, "placeholders", id="an unknown placeholder"),
        pytest.param({"dedup": {"by": ["text"]}}, "a template with a placeholder", id="no placeholder at all"),
        pytest.param({"order_by": "{json.id}"}, "a JSON Pointer", id="a pointer without its slash"),
        pytest.param({"methods": ["GET"]}, "one of DELETE", id="a method that cannot be kept"),
        pytest.param({"dead_on": [200]}, "not in both", id="success and failure at once"),
        pytest.param({"answer": {"status": 204, "body": "x"}}, "no `body`", id="204 with a body"),
        pytest.param({"answer": {"status": 302}}, "less than or equal to 299", id="an answer that is no 2xx"),
        pytest.param({"retry": {"base": "2h"}}, "no longer than", id="a first wait longer than the longest"),
        pytest.param({"answer": {"type": "a\r\nb: c"}}, "pattern", id="a type that would split the head"),
    ],
)
def test_mistakes_in_settings(settings, expected):
    from pydantic import ValidationError

    from gateway.testing import settings_of

    with pytest.raises(ValidationError, match=expected):
        settings_of(Inbox, settings)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        pytest.param({"dedup": {"by": ["{body}"]}}, "equal events", id="by body"),
        pytest.param({"hold_on_dead": True}, "order_by", id="holding without an order"),
        pytest.param({"drop": []}, "Authorization", id="credentials on disk"),
    ],
)
def test_doubts_are_said(settings, word):
    from gateway.testing import settings_of

    (found,) = Inbox.check(settings_of(Inbox, settings))
    assert word in found


async def test_shadow_means_nothing_here():
    with pytest.raises(ValueError, match="never refuses"):
        async with opened(Inbox, {}, mode="shadow"):
            pass


async def test_a_long_path_and_odd_bytes_make_labels_that_can_be_written():
    given = idle()
    asked = request("POST", "/" + "x" * 5000, body="x")
    asked.host = "h\udcff"
    await exchange(Inbox, {}, asked, ports=given)
    (item,) = await items(given)
    assert (len(item.labels["path"]), item.labels["host"]) == (200, "h?")


async def test_what_passes_at_once_cannot_pass_for_a_delivery():
    target = answering(200)
    await exchange(Inbox, {}, request("GET", "/", headers={"Sidegate-Attempt": "1"}), target, ports=idle())
    assert "Sidegate-Attempt" not in target.request.headers


async def test_what_another_delivers_is_not_kept_again():
    given, target = idle(), answering(200)
    asked = request("POST", "/", body="x", headers={"Sidegate-Attempt": "2"})
    note_delivery(asked, Delivery("other", 2))
    await exchange(Inbox, {}, asked, target, ports=given)
    assert (target.request.headers["Sidegate-Attempt"], await items(given)) == ("2", [])
