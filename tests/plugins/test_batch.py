"""batch: many requests in one, each on its own, in order, within limits."""

import asyncio
import json

import pytest
from pydantic import ValidationError

from gateway.errors import TruncatedAnswer
from gateway.http import Body, Response
from gateway.testing import Chunks, opened, ports, request, settings_of
from plugins.batch import Batch

JSON = {"Content-Type": "application/json"}


def batch(*parts, headers=JSON, method="POST", body=None, **more):
    made = json.dumps([{"path": each} if isinstance(each, str) else each for each in parts]) if body is None else body
    return request(method, "/batch", headers=headers, body=made, **more)


async def echo(asked):
    told = {"method": asked.method, "path": asked.path, "principal": asked.principal and asked.principal.id}
    return Response(200, headers=JSON, body=json.dumps(told).encode())


def given(routes=echo):
    made = ports()
    made.routes = routes
    return made


async def answers_of(settings, *parts, routes=echo, **more):
    async with opened(Batch, settings, ports=given(routes)) as it:
        response = await it(batch(*parts, **more))
        assert response.status == 200, response.error
        return json.loads(response.body.whole)


async def test_each_part_is_answered_in_order():
    answers = await answers_of(
        {}, {"id": 1, "path": "/a"}, {"path": "/b?c", "method": "POST", "body": 1}, principal="ann"
    )
    assert [each["body"] for each in answers] == [
        {"method": "GET", "path": "/a", "principal": None},
        {"method": "POST", "path": "/b", "principal": None},
    ], "a part is nobody until its own route knows who it is"
    assert (answers[0]["id"], "id" in answers[1]) == (1, False)
    assert answers[0]["headers"] == JSON


@pytest.mark.parametrize(
    ("settings", "asked", "status", "code"),
    [
        pytest.param({}, {"method": "GET"}, 405, "method_not_allowed", id="GET"),
        pytest.param({}, {"headers": {}}, 415, "unsupported_media_type", id="no type"),
        pytest.param(
            {}, {"headers": {"Content-Type": "text/plain"}}, 415, "unsupported_media_type", id="what a form can send"
        ),
        pytest.param(
            {},
            {"headers": [*JSON.items(), ("Content-Type", "text/plain")]},
            415,
            "unsupported_media_type",
            id="two types",
        ),
        pytest.param({"max_request": "5B"}, {}, 413, "payload_too_large", id="too large"),
        pytest.param({}, {"body": "{"}, 400, "bad_batch", id="no JSON"),
        pytest.param({}, {"body": "[]"}, 400, "bad_batch", id="no part"),
        pytest.param({"max_parts": 1}, {"body": '[{"path":"/"},{"path":"/"}]'}, 400, "bad_batch", id="too many"),
        pytest.param({"methods": ["GET"]}, {"body": '[{"path":"/","method":"POST"}]'}, 400, "bad_batch", id="a method"),
    ],
)
async def test_what_is_no_batch_carries_nothing_out(settings, asked, status, code):
    async def never(_asked):
        raise AssertionError

    async with opened(Batch, settings, ports=given(never)) as it:
        response = await it(batch("/a", "/b", **asked))
    assert (response.status, response.error.code) == (status, code)


async def test_one_part_that_cannot_be_sent_is_named_and_none_is():
    async with opened(Batch, ports=given()) as it:
        response = await it(batch("/a", "b"))
    assert (response.status, response.error.extensions) == (400, {"part": 1})


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        pytest.param({}, 8, id="eight at once"),
        pytest.param({"concurrency": 3}, 3, id="as many as is set"),
        pytest.param({"sequential": True}, 1, id="one after the other"),
    ],
)
async def test_how_many_at_once_and_still_in_order(settings, most):
    under_way, highest, begun = 0, 0, []

    async def route(asked):
        nonlocal under_way, highest
        begun.append(asked.path)
        under_way += 1
        highest = max(highest, under_way)
        for _ in range(20 - int(asked.path[1:])):  # the last is the fastest
            await asyncio.sleep(0)
        under_way -= 1
        return await echo(asked)

    paths = [f"/{number}" for number in range(20)]
    answers = await answers_of(settings, *paths, routes=route)
    assert [each["body"]["path"] for each in answers] == paths
    assert (highest, begun) == (most, paths)


async def test_a_part_that_fails_fails_alone():
    async def route(asked):
        if asked.path == "/hangs":
            await asyncio.Event().wait()
        if asked.path == "/breaks":
            return Response(200, body=Body(None, Chunks([b"half"], error=TruncatedAnswer())))
        if asked.path == "/stalls":
            return Response(200, body=Body(None, Stalls()))
        if asked.path == "/missing":
            return Response(404, headers=JSON, body=b'{"status":404}')
        return await echo(asked)

    class Stalls(Chunks):
        def __init__(self):
            super().__init__([])

        async def read(self):
            await asyncio.Event().wait()

    answers = await answers_of({"deadline": "20ms"}, "/hangs", "/breaks", "/stalls", "/missing", "/fine", routes=route)
    assert [each["status"] for each in answers] == [504, 502, 504, 404, 200]
    assert [each["body"].get("code") for each in answers[:3]] == [
        "deadline_exceeded",
        "truncated_answer",
        "deadline_exceeded",
    ]
    assert answers[0]["headers"] == {"Content-Type": "application/problem+json"}


@pytest.mark.parametrize("streams", [False, True])
async def test_all_answers_together_are_bounded(streams):
    sources = []

    async def route(_asked):
        if not streams:
            return Response(200, headers={"Content-Type": "text/plain"}, body=b"x" * 40)
        sources.append(Chunks([b"x" * 20, b"x" * 20]))
        return Response(200, headers={"Content-Type": "text/plain"}, body=Body(None, sources[-1]))

    answers = await answers_of({"max_answer": "100B", "sequential": True}, *["/"] * 4, routes=route)
    assert [each["status"] for each in answers] == [200, 200, 502, 502]
    assert answers[2]["body"]["code"] == "batch_answer_too_large"
    assert all(source.ended or source.closed for source in sources)


async def test_a_part_that_is_a_batch_is_refused():
    async with opened(Batch, ports=given()) as it:

        async def route(asked):
            if asked.path == "/batch":
                return await it.head(asked)
            return await echo(asked)

        it.ports.routes = route
        inner = {"method": "POST", "path": "/batch", "body": [{"path": "/x"}]}
        answers = json.loads((await it(batch(inner, "/a"))).body.whole)
    assert [each["status"] for each in answers] == [400, 200]
    assert answers[0]["body"]["code"] == "nested_batch"


async def test_when_the_client_leaves_its_parts_are_cancelled():
    arrived, cancelled = asyncio.Event(), []

    async def route(asked):
        try:
            if asked.path == "/b":
                arrived.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(asked.path)
            raise

    async with opened(Batch, {"concurrency": 2}, ports=given(route)) as it:
        client = asyncio.ensure_future(it(batch("/a", "/b", "/c")))
        await arrived.wait()
        client.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client
    assert sorted(cancelled) == ["/a", "/b"]


async def test_a_head_part_has_no_body():
    async def route(_asked):
        return Response(200, headers=JSON, body=b"{}")

    (answer,) = await answers_of({}, {"path": "/", "method": "HEAD"}, routes=route)
    assert "body" not in answer


async def test_parts_are_counted_by_status():
    async with opened(Batch, ports=given()) as it:
        await it(batch("/a", "/b"))
        assert it.ports.value("batch_parts_total", "test", "batch", "2xx") == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param({"methods": ["TRACE"]}, "methods", id="TRACE"),
        pytest.param({"inherit": ["Host"]}, "inherit", id="Host"),
        pytest.param({"inherit": ["X-Request-Id"]}, "inherit", id="what the gateway writes"),
        pytest.param({"max_parts": 0}, "greater than", id="no part"),
    ],
)
def test_mistakes(settings, said):
    with pytest.raises(ValidationError, match=said):
        settings_of(Batch, settings)
