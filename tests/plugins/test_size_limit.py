"""size_limit: what is refused, what passes, and that nothing is held to find out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.testing import Chunks, answering, exchange, opened, ports, request
from plugins.size_limit import SizeLimit, SizeLimitSettings

SMALL = {"json": "10B", "form": "20B", "multipart": "30B", "other": "40B"}


def sized(size, media="", chunked=False, method="POST"):
    headers = {"Content-Type": media} if media else {}
    if chunked:
        return request(method, headers=headers, chunks=[b"x" * 7] * (size // 7) + [b"x" * (size % 7)])
    return request(method, headers=headers, body=b"x" * size)


@pytest.mark.parametrize(
    ("media", "limit"),
    [
        pytest.param("application/json", 10, id="JSON"),
        pytest.param("application/json; charset=utf-8", 10, id="JSON with a parameter"),
        pytest.param("APPLICATION/JSON", 10, id="JSON in capitals"),
        pytest.param("application/vnd.api+json", 10, id="a kind of JSON"),
        pytest.param("text/json", 10, id="JSON by an old name"),
        pytest.param("application/x-www-form-urlencoded", 20, id="a form"),
        pytest.param("multipart/form-data; boundary=x", 30, id="files"),
        pytest.param("text/plain", 40, id="another type"),
        pytest.param("", 40, id="no type"),
        pytest.param("nonsense", 40, id="no type at all"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
async def test_each_media_type_has_its_limit(media, limit, chunked):
    target = answering()
    assert (await exchange(SizeLimit, SMALL, sized(limit, media, chunked), target)).status == 200
    assert len(target.body) == limit
    assert (await exchange(SizeLimit, SMALL, sized(limit + 1, media, chunked), target)).status == 413


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(
            [("Content-Type", "text/plain"), ("Content-Type", "application/json")], id="the strict one second"
        ),
        pytest.param([("Content-Type", "application/json"), ("Content-Type", "text/plain")], id="the strict one first"),
        pytest.param([("Content-Type", "text/plain, application/json")], id="both in a line"),
        pytest.param([("content-type", " application/json ;x=1")], id="spaces around it"),
        pytest.param(
            [("Content-Type", "application/json"), ("Content-Length", "1")], id="a length that lies is not believed"
        ),
    ],
)
async def test_a_sender_cannot_choose_a_larger_limit(headers):
    target = answering()
    response = await exchange(SizeLimit, SMALL, request("POST", headers=headers, body=b"x" * 11), target)
    assert (response.status, target.calls) == (413, 0)


async def test_a_declared_length_is_refused_before_a_byte_is_read():
    target = answering()
    async with opened(SizeLimit, SMALL) as live:
        asked = sized(0)
        source = Chunks([b"x" * 50])
        asked.body.whole, asked.body._source, asked.body.length = None, source, 50
        response = await live(asked, target)
    assert (response.status, target.calls, source.given) == (413, 0, 0)
    assert response.error.extensions == {"limit": 40}
    assert response.error.closes, "what follows on the connection is a body nobody reads"


async def test_a_chunked_body_is_cut_at_the_chunk_that_is_too_much():
    source = Chunks([b"x" * 10] * 1000)
    response = await exchange(SizeLimit, SMALL, request("POST", chunks=source), answering())
    assert response.status == 413
    assert source.given == 50


async def test_a_large_stream_within_its_limit_is_never_held():
    at_once = 0

    async def rest(asked):
        nonlocal at_once
        assert asked.body.whole is None
        async for chunk in asked.body:
            at_once = max(at_once, len(chunk))
        return await answering()(request())

    asked = request("POST", chunks=(b"x" * 65536 for _ in range(160)))
    assert (await exchange(SizeLimit, {"other": "11MB"}, asked, rest)).status == 200
    assert at_once == 65536


@pytest.mark.parametrize(
    ("settings", "asked", "status"),
    [
        pytest.param({"url": "10B"}, {"path": "/123456789"}, 200, id="a path at the limit"),
        pytest.param({"url": "10B"}, {"path": "/1234567890"}, 414, id="a path over it"),
        pytest.param({"url": "10B"}, {"path": "/1?23456789"}, 200, id="path and query at the limit"),
        pytest.param({"url": "10B"}, {"path": "/1?234567890"}, 414, id="path and query over it"),
        pytest.param({"header_count": 2}, {"headers": {"A": "1"}}, 200, id="fields at the limit"),
        pytest.param({"header_count": 2}, {"headers": [("A", "1"), ("A", "2")]}, 431, id="repetitions are counted"),
        pytest.param({"headers": "26B"}, {"headers": {"A": "1"}}, 200, id="a head at the limit"),  # Host: gateway.test
        pytest.param({"headers": "26B"}, {"headers": {"A": "12"}}, 431, id="a head over it"),
        pytest.param({}, {"path": "/" + "x" * 9000, "headers": {"A": "x" * 9000}}, 200, id="unset: the listener's"),
    ],
)
async def test_the_head(settings, asked, status):
    target = answering()
    response = await exchange(SizeLimit, settings, request(**asked), target)
    assert (response.status, target.calls) == (status, 1 if status == 200 else 0)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        pytest.param(lambda: sized(41), "payload_too_large", id="declared"),
        pytest.param(lambda: sized(100, chunked=True), "payload_too_large", id="chunked"),
        pytest.param(lambda: request(path="/" + "x" * 100), "uri_too_long", id="URL"),
        pytest.param(lambda: request(headers={str(n): "x" for n in range(9)}), "headers_too_large", id="head"),
    ],
)
async def test_shadow_lets_all_pass_and_says_so_once(asked, code):
    given, target, made = ports(), answering(), asked()
    settings = {**SMALL, "url": "90B", "header_count": 5}
    response = await exchange(SizeLimit, settings, made, target, mode="shadow", ports=given)
    assert (response.status, given.would_refuse, given.refused) == (200, [code], [])
    assert target.body == (await made.body.read(1000))


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_nothing_to_measure(method):
    assert (await exchange(SizeLimit, {"other": "0B"}, request(method))).status == 200


@given(cuts=st.lists(st.integers(0, 30), max_size=8), limit=st.integers(0, 60))
async def test_the_cut_of_a_stream_does_not_change_the_verdict(cuts, limit):
    asked = request("POST", chunks=[b"x" * cut for cut in cuts])
    response = await exchange(SizeLimit, SizeLimitSettings(other=limit), asked, answering())
    assert response.status == (200 if sum(cuts) <= limit else 413)
