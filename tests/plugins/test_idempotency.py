"""idempotency: carried out once, a repetition gets the first answer, and what nobody knows is not tried again."""

import asyncio

import pytest

from gateway.errors import (
    ConnectFailed,
    FirstByteTimeout,
    Forbidden,
    InternalError,
    StoreUnavailable,
    TruncatedAnswer,
    UpstreamReset,
)
from gateway.http import Body, Principal, Response
from gateway.services.store import MemoryStore
from gateway.testing import Chunks, answering, opened, ports, read, request
from plugins.idempotency import Idempotency

SECRET = "0123456789abcdef"
OTHER_SECRET = "fedcba9876543210"
CREATED = {"Content-Type": "application/json", "Location": "/charges/1", "Set-Cookie": "s=1", "Date": "now"}


def charge(key='"k1"', body='{"amount":1}', method="POST", path="/charges", headers=(), **more):
    given = {"Content-Type": "application/json", **dict(headers)}
    if key is not None:
        given["Idempotency-Key"] = key
    return request(method, path, headers=given, body=body, **more)


class Held:
    """A target that answers when it is told to."""

    def __init__(self, status=201, body=b"made"):
        self.arrived = asyncio.Event()
        self.proceed = asyncio.Event()
        self.calls = 0
        self.status, self.body = status, body

    async def __call__(self, _asked):
        self.calls += 1
        self.arrived.set()
        await self.proceed.wait()
        return Response(self.status, body=self.body)


def made():
    return answering(201, CREATED, '{"id":1}')


# -- the first and its repetitions -------------------------------------------------------------------------------------


async def test_a_repetition_gets_the_first_answer_and_says_so():
    target = made()
    async with opened(Idempotency) as it:
        first, second, third = [await it(charge(), target) for _ in range(3)]
    assert target.calls == 1
    assert (first.status, first.body.whole, "Idempotent-Replayed" in first.headers) == (201, b'{"id":1}', False)
    assert first.headers["Set-Cookie"] == "s=1"
    for again in (second, third):
        assert (again.status, again.body.whole) == (201, b'{"id":1}')
        assert dict(again.headers) == {
            "Content-Type": "application/json",
            "Location": "/charges/1",
            "Idempotent-Replayed": "true",
        }


@pytest.mark.parametrize(
    ("first", "second", "status", "calls"),
    [
        pytest.param({}, {"key": '"k2"'}, 201, 2, id="another key is another request"),
        pytest.param({}, {"body": '{"amount":2}'}, 422, 1, id="another body under the same key"),
        pytest.param({}, {"path": "/charges/2"}, 422, 1, id="another path"),
        pytest.param({}, {"path": "/charges?a=1"}, 422, 1, id="another query"),
        pytest.param({}, {"method": "PATCH"}, 422, 1, id="another method"),
        pytest.param({}, {"headers": {"Content-Type": "text/plain"}}, 422, 1, id="another type"),
        pytest.param({}, {"headers": {"X-Trace": "2"}}, 201, 1, id="a field that is not in the fingerprint"),
        pytest.param({"principal": "ann"}, {"principal": "bob"}, 201, 2, id="a key belongs to its principal"),
        pytest.param({"principal": "ann"}, {}, 201, 2, id="and not to nobody"),
        pytest.param(
            {"principal": Principal("ann", tenant="a")},
            {"principal": Principal("ann", tenant="b")},
            201,
            2,
            id="and to its tenant",
        ),
        pytest.param(
            {"headers": {"Authorization": "Bearer a"}},
            {"headers": {"Authorization": "Bearer b"}},
            201,
            2,
            id="where the target authenticates: to who has the same credentials",
        ),
        pytest.param(
            {"headers": {"X-API-Key": "a"}}, {"headers": {"X-API-Key": "b"}}, 201, 2, id="or the same API key"
        ),
        pytest.param(
            {"headers": {"Cookie": "a"}}, {"headers": {"Cookie": "b"}}, 201, 1, id="cookies change between two tries"
        ),
        pytest.param({"client_ip": "192.0.2.1"}, {"client_ip": "192.0.2.9"}, 201, 1, id="a client may change networks"),
        pytest.param({}, {"key": '"k1";v=2'}, 201, 1, id="parameters mean nothing"),
    ],
)
async def test_what_is_the_same_request(first, second, status, calls):
    target = made()
    async with opened(Idempotency) as it:
        await it(charge(**first), target)
        again = await it(charge(**second), target)
    assert (again.status, target.calls) == (status, calls)
    assert again.error is None or again.error.code == "idempotency_key_reused"


async def test_a_key_belongs_to_its_route():
    given, target = ports(), made()
    for route in ("a", "b"):
        async with opened(Idempotency, ports=given, route=route) as it:
            assert (await it(charge(), target)).status == 201
    assert target.calls == 2


async def test_the_caller_may_be_named_by_a_template():
    target = made()
    async with opened(Idempotency, {"caller": "{header.X-Account}"}) as it:
        for account in ("1", "2", "1"):
            await it(charge(headers={"X-Account": account}), target)
    assert target.calls == 2


@pytest.mark.parametrize(
    ("settings", "asked", "status", "code", "calls"),
    [
        pytest.param({"required": True}, {"key": None}, 400, "idempotency_key_missing", 0, id="required and missing"),
        pytest.param({}, {"key": None}, 201, None, 1, id="not required"),
        pytest.param({"required": True}, {"key": None, "method": "GET"}, 201, None, 1, id="a method without keys"),
        pytest.param({"required": True}, {"key": None, "method": "PUT"}, 201, None, 1, id="PUT is so by itself"),
        pytest.param(
            {"required": True, "methods": ["PUT"]}, {"key": None, "method": "PUT"}, 400, "idempotency_key_missing", 0,
            id="PUT if it is asked for",
        ),
        pytest.param({}, {"key": "abc"}, 400, "idempotency_key_invalid", 0, id="without quotation marks"),
        pytest.param({"bare_keys": True}, {"key": "abc"}, 201, None, 1, id="without them, where that may be"),
        pytest.param({}, {"key": '""'}, 400, "idempotency_key_invalid", 0, id="empty"),
        pytest.param({"max_key": 3}, {"key": '"abcd"'}, 400, "idempotency_key_invalid", 0, id="too long"),
        pytest.param({"max_body": "3B"}, {"body": "1234"}, 413, "payload_too_large", 0, id="a body too large to hold"),
        pytest.param({"header": "X-Key", "required": True}, {}, 400, "idempotency_key_missing", 0, id="another field"),
    ],
)  # fmt: skip
async def test_what_is_refused(settings, asked, status, code, calls):
    target = made()
    async with opened(Idempotency, settings) as it:
        response = await it(charge(**asked), target)
        assert (response.status, response.error and response.error.code, target.calls) == (status, code, calls)
        assert it.ports.refused == ([code] if code else [])


async def test_two_keys_are_none():
    asked = charge()
    asked.edit_headers().add("Idempotency-Key", '"k2"')
    target = made()
    async with opened(Idempotency) as it:
        assert ((await it(asked, target)).error.code, target.calls) == ("idempotency_key_invalid", 0)


async def test_with_and_without_quotation_marks_it_is_the_same_key():
    target = made()
    async with opened(Idempotency, {"bare_keys": True}) as it:
        await it(charge("8e03978e-40d5"), target)
        assert (await it(charge('"8e03978e-40d5"'), target)).headers["Idempotent-Replayed"] == "true"


async def test_a_repetition_while_the_first_is_under_way():
    target = Held()
    async with opened(Idempotency) as it:
        first = asyncio.ensure_future(it(charge(), target))
        await target.arrived.wait()
        second = await it(charge(), target)
        other = await it(charge(body="{}"), target)
        target.proceed.set()
        assert (await first).status == 201
        assert (await it(charge(), target)).headers["Idempotent-Replayed"] == "true"
    assert (second.status, second.error.code, second.headers["Retry-After"]) == (409, "idempotency_in_flight", "1")
    assert other.status == 422
    assert target.calls == 1


async def test_of_many_at_once_one_is_carried_out():
    target = Held()
    async with opened(Idempotency) as it:
        asked = [asyncio.ensure_future(it(charge(), target)) for _ in range(50)]
        await target.arrived.wait()
        target.proceed.set()
        ended = [(await each).status for each in asked]
    assert (sorted(set(ended)), ended.count(201), target.calls) == ([201, 409], 1, 1)


# -- what is kept ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "settings", "calls"),
    [
        pytest.param(200, {}, 1, id="200 is kept"),
        pytest.param(302, {}, 1, id="302 is kept"),
        pytest.param(404, {}, 1, id="404 is kept"),
        pytest.param(422, {}, 1, id="422 is kept"),
        pytest.param(401, {}, 2, id="401 asks for other credentials"),
        pytest.param(409, {}, 2, id="409 may be over soon"),
        pytest.param(429, {}, 2, id="429 asks to come later"),
        pytest.param(500, {}, 2, id="500 frees the key"),
        pytest.param(503, {}, 2, id="503 frees the key"),
        pytest.param(504, {"unknown": []}, 2, id="504 frees the key, if the target alone says it"),
        pytest.param(500, {"keep": ["2xx", 500]}, 1, id="500 if it is asked for"),
        pytest.param(404, {"keep": ["2XX"]}, 2, id="404 if only 2xx is kept"),
        pytest.param(409, {"never": []}, 1, id="409 if nothing is left out"),
    ],
)
async def test_which_answers_are_kept(status, settings, calls):
    target = answering(status, body="x")
    async with opened(Idempotency, settings) as it:
        for _ in range(2):
            assert (await it(charge(), target)).status == status
    assert target.calls == calls


@pytest.mark.parametrize("status", [502, 504])
async def test_a_proxy_before_the_target_does_not_know_either(status):
    target = answering(status)
    async with opened(Idempotency) as it:
        assert (await it(charge(), target)).status == status
        assert (await it(charge(), target)).error.code == "idempotency_outcome_unknown"
    assert target.calls == 1


async def test_an_outcome_is_kept_for_its_time():
    target = made()
    async with opened(Idempotency, {"ttl": "1h"}) as it:
        for wait, calls in [(0, 1), (3599, 1), (2, 2)]:
            it.ports.clock.advance(wait)
            await it(charge(), target)
            assert target.calls == calls


async def test_an_answer_that_streams_is_kept_whole():
    target = answering(200, {"Content-Type": "text/plain"}, chunks=[b"ab", b"c"])
    async with opened(Idempotency) as it:
        assert [(await it(charge(), target)).body.whole for _ in range(2)] == [b"abc", b"abc"]
    assert target.calls == 1


@pytest.mark.parametrize(
    ("media", "chunks"),
    [
        pytest.param("text/plain", [b"x" * 6, b"y" * 6], id="larger than is kept"),
        pytest.param("text/event-stream", [b"a", b"b"], id="a stream of events"),
    ],
)
async def test_an_answer_that_cannot_be_kept_reaches_the_client_and_is_not_made_twice(media, chunks):
    target = answering(201, {"Content-Type": media}, chunks=chunks)
    async with opened(Idempotency, {"max_answer": "10B"}) as it:
        first = await it.head(charge(), target)
        assert first.body.whole is None
        assert await read(first) == b"".join(chunks)
        again = await it(charge(), target)
    assert (again.status, again.error.code, again.error.extensions) == (
        409,
        "idempotency_answer_not_kept",
        {"answered": 201},
    )
    assert target.calls == 1


@pytest.mark.parametrize(
    ("before", "after", "replayed"),
    [
        pytest.param([SECRET], [SECRET], True, id="the same secret"),
        pytest.param([SECRET], [OTHER_SECRET, SECRET], True, id="a new secret in front"),
        pytest.param([SECRET], [OTHER_SECRET], False, id="a secret that is gone"),
        pytest.param([], [SECRET], False, id="what was never sealed may be anybody's"),
    ],
)
async def test_answers_are_sealed(before, after, replayed):
    store = MemoryStore()
    given, target = ports(store=store), made()
    async with opened(Idempotency, {"secrets": before}, ports=given) as it:
        await it(charge(), target)
    (entry,) = store.table._entries.values()
    assert (b"/charges/1" in entry.value) is (not before)
    async with opened(Idempotency, {"secrets": after}, ports=given) as it:
        again = await it(charge(), target)
    assert (again.status, target.calls) == (201 if replayed else 409, 1)


async def test_neither_key_nor_caller_nor_body_is_in_the_store_or_the_log():
    store = MemoryStore()
    given = ports(store=store)
    async with opened(Idempotency, ports=given) as it:
        await it(charge('"hunter2"', principal="ann", body="4242"), answering(200))
        kept = b"".join(key + bytes(entry.value) for key, entry in store.table._entries.items())
        said = " ".join(it.ports.lines)
    for secret in ("hunter2", "ann", "4242"):
        assert secret.encode() not in kept
        assert secret not in said


# -- how it can end ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "settings", "second", "calls"),
    [
        pytest.param(ConnectFailed(), {}, 502, 2, id="not connected: nothing was sent, the key is free"),
        pytest.param(Forbidden(), {}, 403, 2, id="refused by a plugin inside: free"),
        pytest.param(UpstreamReset(), {}, 409, 1, id="reset: perhaps carried out"),
        pytest.param(FirstByteTimeout(), {}, 409, 1, id="no answer in time: perhaps carried out"),
        pytest.param(InternalError(), {}, 409, 1, id="a bug inside: nobody knows what had been done"),
        pytest.param(UpstreamReset(), {"on_unknown": "forward"}, 502, 2, id="reset, and the operator says try again"),
        pytest.param(UpstreamReset(), {"backend_honours_key": True}, 502, 2, id="reset, and the target knows the key"),
    ],
)
async def test_after_a_failure(error, settings, second, calls):
    target = answering(error=error)
    async with opened(Idempotency, settings) as it:
        first = await it(charge(), target)
        assert first.error is error
        again = await it(charge(), target)
    assert (again.status, target.calls) == (second, calls)
    if second == 409:
        assert again.error.code == "idempotency_outcome_unknown"


async def test_what_is_unknown_may_be_forwarded_for_the_same_request_only():
    async with opened(Idempotency, {"on_unknown": "forward"}) as it:
        await it(charge(), answering(error=UpstreamReset()))
        assert (await it(charge(body="{}"))).status == 422
        assert (await it(charge(), made())).status == 201
        assert (await it(charge(), made())).headers["Idempotent-Replayed"] == "true"


async def test_an_answer_that_breaks_off_is_an_unknown_outcome():
    target = answering(201, chunks=[b"half"], error=TruncatedAnswer())
    async with opened(Idempotency) as it:
        first = await it(charge(), target)
        assert (first.status, first.error.code) == (502, "truncated_answer")
        assert (await it(charge(), target)).error.code == "idempotency_outcome_unknown"
    assert target.sources[0].closed or target.sources[0].ended


@pytest.mark.parametrize(
    ("target", "source"),
    [
        pytest.param(Held(), None, id="no head"),
        pytest.param(None, "body", id="a body that does not end"),
    ],
)
async def test_a_request_that_goes_on_for_too_long(target, source):
    class Endless(Chunks):
        async def read(self):
            await asyncio.Event().wait()

    stalled = Endless([])

    async def body_stalls(_asked):
        return Response(200, body=Body(None, stalled))

    async with opened(Idempotency, {"deadline": "1s"}) as it:
        it.plugin.settings = it.plugin.settings.model_copy(update={"deadline": 0.02})
        first = await it(charge(), target or body_stalls)
        assert first.error.code == "deadline_exceeded"
        assert (await it(charge())).error.code == "idempotency_outcome_unknown"
    assert stalled.closed is (source == "body")


async def test_a_client_that_leaves_finds_its_answer_when_it_comes_back():
    target = Held()
    async with opened(Idempotency) as it:
        client = asyncio.ensure_future(it(charge(), target))
        await target.arrived.wait()
        client.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client
        assert (await it(charge(), target)).status == 409
        target.proceed.set()
        await it.ports.settled()
        again = await it(charge(), target)
    assert (again.status, again.body.whole, again.headers["Idempotent-Replayed"]) == (201, b"made", "true")
    assert target.calls == 1


async def test_a_client_that_leaves_before_a_large_answer_leaves_nothing_open():
    source, arrived, proceed = Chunks([b"x" * 20] * 5), asyncio.Event(), asyncio.Event()

    async def target(_asked):
        arrived.set()
        await proceed.wait()
        return Response(200, body=Body(None, source))

    async with opened(Idempotency, {"max_answer": "10B"}) as it:
        client = asyncio.ensure_future(it(charge(), target))
        await arrived.wait()
        client.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client
        proceed.set()
        await it.ports.settled()
        await asyncio.sleep(0)
        assert source.closed
        assert (await it(charge())).error.code == "idempotency_answer_not_kept"


async def test_when_the_gateway_closes_under_way_the_outcome_is_unknown():
    given, target = ports(), Held()
    async with opened(Idempotency, ports=given) as it:
        client = asyncio.ensure_future(it(charge(), target))
        await target.arrived.wait()
        for task in list(given._tasks):
            task.cancel()
        assert (await client).error.code == "draining"
        assert (await it(charge(), target)).error.code == "idempotency_outcome_unknown"


@pytest.mark.parametrize(
    ("on_crash", "status", "code"),
    [
        pytest.param("forward", 200, None, id="a new request may begin"),
        pytest.param("refuse", 409, "idempotency_outcome_unknown", id="or nobody knows"),
    ],
)
async def test_a_gateway_that_dies_keeps_a_key_for_its_lease(on_crash, status, code):
    given, target = ports(), Held()
    settings = {"lease": "10s", "on_crash": on_crash}
    async with opened(Idempotency, settings, ports=given) as dead:
        client = asyncio.ensure_future(dead(charge(), target))
        await target.arrived.wait()
        dead.plugin._keep._claims.clear()  # nobody renews it
        async with opened(Idempotency, settings, ports=ports(store=given.store())) as other:
            assert (await other(charge())).error.code == "idempotency_in_flight"
            given.clock.advance(10)
            response = await other(charge())
            assert (response.status, response.error and response.error.code) == (status, code)
        target.proceed.set()
        await client


async def test_a_slow_request_keeps_its_key_by_renewing_it():
    target = Held()
    async with opened(Idempotency, {"lease": "10s"}) as it:
        client = asyncio.ensure_future(it(charge(), target))
        await target.arrived.wait()
        for _ in range(5):
            it.ports.clock.advance(6)
            await it.plugin._keep.tend()
            assert (await it(charge(), target)).error.code == "idempotency_in_flight"
        target.proceed.set()
        await client
    assert target.calls == 1


# -- what it says of the request ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("honours", [True, False])
@pytest.mark.parametrize("key", ['"k1"', None])
async def test_a_request_may_be_tried_again_where_the_target_obeys_its_key(honours, key):
    target = made()
    async with opened(Idempotency, {"backend_honours_key": honours}) as it:
        await it(charge(key), target)
    assert target.request.repeatable is (honours and key is not None)
    assert target.request.headers.get("Idempotency-Key") == key


async def test_log_and_metrics_learn_of_the_target():
    async def target(asked):
        asked.target, asked.attempts = "http://t", 2
        return Response(200)

    asked = charge()
    async with opened(Idempotency) as it:
        await it(asked, target)
        await it(charge())
        assert (asked.target, asked.attempts) == ("http://t", 2)
        value = it.ports.value
        assert value("idempotency_requests_total", "test", "idempotency", "new") == 1
        assert value("idempotency_requests_total", "test", "idempotency", "replayed") == 1


async def test_an_upgrade_is_no_request_to_keep():
    asked = charge()
    asked.upgrade = "websocket"
    target = made()
    async with opened(Idempotency) as it:
        await it(asked, target)
        await it(charge(), target)
    assert target.calls == 2


# -- shadow, store -----------------------------------------------------------------------------------------------------


async def test_shadow_lets_everything_through_and_says_what_it_would_do():
    target = answering(error=UpstreamReset())
    async with opened(Idempotency, {"required": True, "max_body": "20B"}, mode="shadow") as it:
        for asked in (charge(None), charge("bare"), charge(body="x" * 21)):
            assert (await it(asked, made())).status == 201
        first, again, other = [await it(each, made()) for each in (charge(), charge(), charge(body="{}"))]
        assert [each.status for each in (first, again, other)] == [201] * 3
        assert "Idempotent-Replayed" not in again.headers
        await it(charge('"k2"'), target)
        await it(charge('"k2"'), target)
        assert target.calls == 2
        assert it.ports.would_refuse == [
            "idempotency_key_missing",
            "idempotency_key_invalid",
            "payload_too_large",
            "idempotency_key_reused",
            "idempotency_outcome_unknown",
        ]
        assert it.ports.value("idempotency_requests_total", "test", "idempotency", "replayed") == 1


class Away:
    """A store that can be out of reach."""

    def __init__(self):
        self.store = MemoryStore()
        self.away = False

    def __getattr__(self, name):
        return getattr(self.store, name)

    async def run(self, script, keys, args=()):
        if self.away:
            raise StoreUnavailable
        return await self.store.run(script, keys, args)

    async def clear(self, beginning):
        if self.away:
            raise StoreUnavailable
        return await self.store.clear(beginning)


@pytest.mark.parametrize(
    ("policy", "first", "second", "calls"),
    [
        pytest.param("deny", 503, 503, 0, id="deny: nobody can tell a repetition"),
        pytest.param("allow", 201, 201, 2, id="allow: without protection"),
        pytest.param("local", 201, 201, 1, id="local: this worker remembers"),
    ],
)
async def test_while_the_store_is_away(policy, first, second, calls):
    store, target = Away(), made()
    store.away = True
    async with opened(Idempotency, {"on_store_error": policy}, ports=ports(store=store)) as it:
        assert [(await it(charge(), target)).status for _ in range(2)] == [first, second]
        store.away = False
        await it.plugin._keep.tend()
        again = await it(charge(), target)
        assert again.status == 201
    assert target.calls == (calls if policy == "local" else calls + 1)


async def test_shadow_lets_pass_while_the_store_is_away():
    store, target = Away(), made()
    store.away = True
    async with opened(Idempotency, ports=ports(store=store), mode="shadow") as it:
        assert (await it(charge(), target)).status == 201
        assert it.ports.would_refuse == ["store_unavailable"]


async def test_an_outcome_that_the_store_did_not_take_is_not_lost():
    store, target = Away(), Held()
    async with opened(Idempotency, ports=ports(store=store)) as it:
        client = asyncio.ensure_future(it(charge(), target))
        await target.arrived.wait()
        store.away = True
        store.store.table.clear()  # and it forgets what it knew
        target.proceed.set()
        assert (await client).status == 201
        assert (await it(charge(), target)).headers["Idempotent-Replayed"] == "true"
        store.away = False
        await it.plugin._keep.tend()
        assert it.plugin._keep.unsaved == 0
    async with opened(Idempotency, ports=ports(store=store)) as other:
        assert (await other(charge(), target)).headers["Idempotent-Replayed"] == "true"
    assert target.calls == 1


@pytest.mark.parametrize("how", [{"workers": 2}, {"replicas": 2}], ids=["workers", "replicas"])
async def test_several_memories_will_not_do(how):
    with pytest.raises(RuntimeError, match=r"stores\.shared"):
        async with opened(Idempotency, ports=ports(**how)):
            pass


async def test_a_subjects_answers_are_erased_and_nobody_elses():
    store, target = MemoryStore(), made()
    async with opened(Idempotency, ports=ports(store=store)) as it:
        for caller in ("alice", "alic", "bob", None):
            await it(charge(principal=caller), target)
            await it(charge('"k2"', principal=caller), target)
        assert await it.plugin.erase("alice") == 2
        assert await it.plugin.erase("alice") == 0
        assert b"alice" not in b"".join(store.table._entries)
        for caller, again in (("alice", None), ("alic", "true"), ("bob", "true"), (None, "true")):
            assert (await it(charge(principal=caller), target)).headers.get("Idempotent-Replayed") == again


async def test_what_the_store_did_not_take_is_erased_too_and_it_says_when_the_store_is_away():
    store, target = Away(), Held()
    async with opened(Idempotency, ports=ports(store=store)) as it:
        client = asyncio.ensure_future(it(charge(principal="alice"), target))
        await target.arrived.wait()
        store.away = True
        target.proceed.set()
        assert (await client).status == 201
        assert it.plugin._keep.unsaved == 1
        with pytest.raises(StoreUnavailable):
            await it.plugin.erase("alice")
        assert it.plugin._keep.unsaved == 0
