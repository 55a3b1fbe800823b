"""compression: what is coded and what never is, what its head says then, and how far a request may unfold."""

import asyncio
import gzip
import json
import os
import random
import threading
import zlib

import brotli
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Forbidden
from gateway.testing import answering, exchange, opened, request
from plugins.cache import Cache
from plugins.compression import Compression
from plugins.compression.aside import inline_below
from plugins.compression.coding import encoder
from plugins.compression.streams import code

EXAMPLE = {}
JSON = {"Content-Type": "application/json"}
BODY = json.dumps([{"id": number, "name": "somebody"} for number in range(100)]).encode()
UNDO = {"gzip": gzip.decompress, "br": brotli.decompress, "zstd": zstd.decompress}


def asking(accepted="gzip", method="GET", **headers):
    return request(method, "/", headers={"Accept-Encoding": accepted, **headers})


@pytest.mark.parametrize("coding", UNDO)
@pytest.mark.parametrize("body", [{"body": BODY}, {"chunks": [BODY[:500], BODY[500:]]}], ids=["whole", "streamed"])
async def test_answers_are_coded(coding, body):
    own = {**JSON, "Content-Length": str(len(BODY)), "ETag": '"v1"', "Accept-Ranges": "bytes", "Content-Digest": "x"}
    response = await exchange(Compression, {}, asking(coding), answering(200, headers=own, **body))
    assert UNDO[coding](response.body.whole) == BODY
    assert dict(response.headers) == {
        "Content-Type": "application/json",
        "Content-Encoding": coding,
        "ETag": 'W/"v1"',
        "Vary": "Accept-Encoding",
    }
    assert len(response.body.whole) < len(BODY) / 3


@pytest.mark.parametrize(
    ("asked", "status", "headers", "body"),
    [
        pytest.param(asking(""), 200, JSON, BODY, id="a client that cannot read it"),
        pytest.param(asking("identity"), 200, JSON, BODY, id="a client that does not want it"),
        pytest.param(asking(), 200, JSON, b"x" * 1023, id="small"),
        pytest.param(asking(), 200, {**JSON, "Content-Encoding": "br"}, BODY, id="coded already"),
        pytest.param(asking(), 206, {**JSON, "Content-Range": "bytes 0-1/2"}, BODY, id="a part"),
        pytest.param(asking(), 200, {**JSON, "Cache-Control": "public, No-Transform"}, BODY, id="not to be changed"),
        pytest.param(asking(**{"Cache-Control": "no-transform"}), 200, JSON, BODY, id="the client forbids it"),
        pytest.param(asking(), 200, {"Content-Type": "text/event-stream"}, BODY, id="events"),
        pytest.param(asking(), 200, {"Content-Type": "image/png"}, BODY, id="a picture"),
        pytest.param(asking(), 200, {}, BODY, id="nobody knows what"),
        pytest.param(asking(), 200, JSON, os.urandom(2000), id="what only grows"),
        pytest.param(asking(), 204, {}, b"", id="no body"),
    ],
)
async def test_what_is_never_coded(asked, status, headers, body):
    response = await exchange(Compression, {}, asked, answering(status, headers=headers, body=body))
    assert response.body.whole == body
    assert response.headers.get("Content-Encoding") == headers.get("Content-Encoding")


@pytest.mark.parametrize(
    ("headers", "vary"),
    [
        pytest.param(JSON, ["Accept-Encoding"], id="also where this client got it plain"),
        pytest.param({**JSON, "Vary": "Origin"}, ["Origin", "Accept-Encoding"], id="beside others"),
        pytest.param({**JSON, "Vary": "accept-encoding, X"}, ["accept-encoding, X"], id="not twice"),
        pytest.param({**JSON, "Vary": "*"}, ["*"], id="not beside everything"),
        pytest.param(
            {**JSON, "Vary": "X-Accept-Encoding"}, ["X-Accept-Encoding", "Accept-Encoding"], id="beside one like it"
        ),
        pytest.param({"Content-Type": "image/png"}, [], id="not of what is never coded"),
    ],
)
async def test_vary(headers, vary):
    response = await exchange(Compression, {}, asking(""), answering(200, headers=headers, body=BODY))
    assert response.headers.getall("Vary", []) == vary


async def test_the_head_alone_says_what_its_body_would():
    own = {**JSON, "Content-Length": "5000", "ETag": '"v1"'}
    response = await exchange(Compression, {}, asking(method="HEAD"), answering(200, headers=own))
    assert response.headers["Content-Encoding"] == "gzip"
    assert "Content-Length" not in response.headers
    unknown = await exchange(Compression, {}, asking(method="HEAD"), answering(200, headers={**JSON, "ETag": '"v1"'}))
    assert unknown.headers["ETag"] == 'W/"v1"', "as its GET would, whose length nobody knows"
    small = answering(200, headers={**JSON, "Content-Length": "10"})
    assert "Content-Encoding" not in (await exchange(Compression, {}, asking(method="HEAD"), small)).headers


@pytest.mark.parametrize(
    ("asked", "own", "etag", "vary"),
    [
        pytest.param({"If-None-Match": 'W/"v1"'}, {}, 'W/"v1"', True, id="who has it coded"),
        pytest.param({"If-None-Match": '"v0", W/"v1"'}, {}, 'W/"v1"', True, id="who has it coded, among others"),
        pytest.param({"If-None-Match": '"v1"'}, {}, '"v1"', False, id="who has it as it is: a picture, or small"),
        pytest.param({"If-None-Match": '"v1"'}, JSON, 'W/"v1"', True, id="a type that is coded, said again"),
        pytest.param({"If-None-Match": 'W/"v1"'}, {"Content-Type": "image/png"}, '"v1"', False, id="one that is not"),
        pytest.param({"If-Modified-Since": "x"}, {}, 'W/"v1"', True, id="who says nothing of tags"),
    ],
)
async def test_not_modified_bears_the_tag_that_the_client_knows(asked, own, etag, vary):
    target = answering(304, headers={"ETag": '"v1"', **own})
    response = await exchange(Compression, {}, asking(**asked), target)
    assert (response.headers["ETag"], "Vary" in response.headers) == (etag, vary)
    assert "Content-Encoding" not in response.headers


async def test_a_tag_that_we_weakened_still_guards_a_write():
    target = answering(200)
    await exchange(Compression, {}, request("PUT", headers={"If-Match": 'W/"v1", "v2W/", W/"v3"'}), target)
    assert target.request.headers["If-Match"] == '"v1", "v2W/", "v3"'


async def test_a_long_wish_is_not_taken_for_its_beginning():
    begin = "x" * 1022 + ", "
    async with opened(Compression, {}) as live:
        for wish, coding in ((begin + "gzip", "gzip"), (begin, None)):
            response = await live(asking(wish), answering(200, headers=JSON, body=BODY))
            assert response.headers.get("Content-Encoding") == coding


async def test_refusals_stay_as_they_are():
    async def refusing(_request):
        raise Forbidden("x" * 5000)

    response = await exchange(Compression, {}, asking(), refusing)
    assert "Content-Encoding" not in response.headers


async def test_who_reads_along_does_not_wait():
    """Of a stream without a length each piece can be read when it comes."""
    target = answering(200, headers=JSON, chunks=[b'{"tick": 1}\n', b'{"tick": 2}\n'])
    async with opened(Compression, {}) as live:
        asked = asking()
        response = await live.head(asked, target)
        undo, seen = zlib.decompressobj(31), []
        while piece := await response.body.pull():
            seen.append(undo.decompress(piece))
        assert seen[:2] == [b'{"tick": 1}\n', b'{"tick": 2}\n']
        live.leave(asked, response)


@pytest.fixture
def beside(monkeypatch):
    """Of each piece that is coded: whether beside the loop."""
    noted = []

    def noting(coding, level):
        inner = encoder(coding, level)

        class Noting:
            flush, finish = inner.flush, inner.finish

            def feed(self, data):
                noted.append(threading.current_thread() is not threading.main_thread())
                return inner.feed(data)

        return Noting()

    monkeypatch.setattr("plugins.compression.encoder", noting)
    monkeypatch.setattr("plugins.compression.streams.encoder", noting)
    return noted


LARGE = inline_below("gzip", 6)


@pytest.mark.parametrize(
    ("coding", "level", "pieces", "aside"),
    [
        pytest.param("gzip", 6, [LARGE - 1], [False], id="what takes a moment is coded on the loop"),
        pytest.param("gzip", 6, [LARGE], [True], id="what takes longer is not"),
        pytest.param("gzip", 9, [LARGE // 2], [True], id="a higher level takes longer"),
        pytest.param("zstd", 3, [LARGE], [False], id="a faster coding does not"),
        pytest.param("br", 6, [LARGE], [True], id="brotli at 6"),
        pytest.param("zstd", 10, [1100], [True], id="zstd with tables that are large"),
        pytest.param("br", 11, [1100], [True], id="brotli at its highest, however small"),
    ],
)
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
async def test_large_pieces_are_coded_beside_the_loop(beside, coding, level, pieces, aside, streams):
    body = b"".join(os.urandom(50) * (size // 50 + 1) for size in pieces)[: sum(pieces)]
    target = answering(200, headers=JSON, **({"chunks": [body]} if streams else {"body": body}))
    response = await exchange(Compression, {"level": {coding: level}}, asking(coding), target)
    assert UNDO[coding](response.body.whole) == body
    assert beside == aside


async def test_of_a_stream_only_large_pieces_are_coded_beside_the_loop(beside):
    pieces = [b"a" * 100, b"b" * LARGE, b"c" * 100]
    response = await exchange(Compression, {}, asking("gzip"), answering(200, headers=JSON, chunks=pieces))
    assert gzip.decompress(response.body.whole) == b"".join(pieces)
    assert beside == [False, True, False]


async def test_a_client_that_leaves_while_a_piece_is_coded_leaves_nothing_open(beside):
    target = answering(200, headers=JSON, chunks=[b"x" * LARGE] * 5)
    async with opened(Compression, {}) as live:
        asked = asking()
        response = await live.head(asked, target)
        reading = asyncio.ensure_future(response.body.pull())
        while not beside:
            await asyncio.sleep(0)
        reading.cancel()
        live.leave(asked, response)
    assert target.sources[0].closed


async def test_what_is_counted():
    async with opened(Compression, {}) as live:
        await live(asking(), answering(200, headers=JSON, body=BODY))
        response = await live(asking(), answering(200, headers=JSON, chunks=[BODY]))
        (family,) = [each for each in live.ports.metrics.snapshot() if each["name"].endswith("compression_bytes_total")]
        counts = {tuple(labels[2:]): count for labels, count in family["samples"]}
        assert counts["gzip", "in"] == 2 * len(BODY)
        assert len(response.body.whole) < counts["gzip", "out"] < len(BODY)
        (family,) = [each for each in live.ports.metrics.snapshot() if each["name"] == "compression_ratio"]
        ((labels, (count, total, _)),) = [each for each in family["samples"] if each[1][0]]
        assert (labels[2], count) == ("gzip", 2)
        assert total > 2 * 3, "three times smaller at least"


async def test_a_client_that_leaves_leaves_nothing_open():
    target = answering(200, headers=JSON, chunks=[BODY] * 50)
    async with opened(Compression, {}) as live:
        asked = asking()
        response = await live.head(asked, target)
        await response.body.pull()
        live.leave(asked, response)
    assert target.sources[0].closed


@settings(max_examples=30)
@given(st.lists(st.binary(min_size=1, max_size=3000), min_size=1, max_size=5), st.sampled_from(list(UNDO)))
async def test_any_bytes_in_any_pieces(pieces, coding):
    target = answering(200, headers={"Content-Type": "text/plain"}, chunks=pieces)
    response = await exchange(Compression, {"min_size": 0}, asking(coding), target)
    assert UNDO[coding](response.body.whole) == b"".join(pieces)


# -- requests ----------------------------------------------------------------------------------------------------------

UNDOING = {"decompress": {"max_size": "1MB", "max_ratio": 50}}


def coded(body, coding="gzip", *, whole=False):
    headers = {"Content-Encoding": coding, "Content-Digest": "sha-256=:x:", **JSON}
    sent = {"body": body} if whole else {"chunks": [body[:10], body[10:]]}
    return request("POST", "/", headers=headers, **sent)


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        pytest.param(gzip.compress(BODY), "gzip", id="gzip"),
        pytest.param(brotli.compress(BODY), "br", id="br"),
        pytest.param(zstd.compress(BODY), "zstd", id="zstd"),
        pytest.param(gzip.compress(BODY), "identity, X-GZIP", id="an old name in a list"),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
async def test_requests_are_undone(body, coding, whole):
    target = answering(200)
    response = await exchange(Compression, UNDOING, coded(body, coding, whole=whole), target)
    assert (response.status, target.bodies) == (200, [BODY])
    assert {"Content-Encoding", "Content-Digest", "Content-Length"} & set(target.request.headers) == set()


async def test_requests_stay_as_they_are_unless_that_is_asked_for():
    target, body = answering(200), gzip.compress(BODY)
    await exchange(Compression, {}, coded(body), target)
    assert target.bodies == [body]
    assert target.request.headers["Content-Encoding"] == "gzip"


@pytest.mark.parametrize(
    ("body", "coding", "status", "code"),
    [
        pytest.param(gzip.compress(b"\0" * 3_000_000), "gzip", 413, "decompression_bomb", id="a gzip bomb"),
        pytest.param(brotli.compress(b"\0" * 3_000_000), "br", 413, "decompression_bomb", id="a brotli bomb"),
        pytest.param(zstd.compress(b"\0" * 3_000_000), "zstd", 413, "decompression_bomb", id="a zstd bomb"),
        pytest.param(gzip.compress(b"\0" * 400_000), "gzip", 413, "decompression_bomb", id="a small one, by its ratio"),
        pytest.param(zstd.compress(b"") * 5000, "zstd", 400, "undecodable_body", id="nothing but empty frames"),
        pytest.param(gzip.compress(b"") * 5000, "gzip", 400, "undecodable_body", id="nothing but empty members"),
        pytest.param(b"plain", "gzip", 400, "undecodable_body", id="not what it says"),
        pytest.param(gzip.compress(BODY)[:-9], "gzip", 400, "undecodable_body", id="cut"),
        pytest.param(b"x", "compress", 415, "unsupported_content_coding", id="a coding that is not known"),
        pytest.param(b"x", "gzip, gzip", 415, "unsupported_content_coding", id="coded twice, as bombs are"),
    ],
)
async def test_requests_that_go_too_far(body, coding, status, code):
    async with opened(Compression, UNDOING) as live:
        response = await live(coded(body, coding))
        assert (response.status, response.error.code) == (status, code)
        if status == 415:
            assert response.headers["Accept-Encoding"] == "gzip, deflate, br, zstd"


async def test_a_bomb_within_its_limits_is_none():
    target = answering(200)
    body = b"\0" * 200_000
    assert (await exchange(Compression, UNDOING, coded(gzip.compress(body)), target)).status == 200
    assert target.bodies == [body]


async def test_shadow_reports_and_lets_pass():
    target, body = answering(200), gzip.compress(b"\0" * 3_000_000)
    async with opened(Compression, UNDOING, mode="shadow") as live:
        assert (await live(coded(body), target)).status == 200
        assert (await live(coded(b"x", "compress"), target)).status == 200
        assert live.ports.would_refuse == ["decompression_bomb", "unsupported_content_coding"]
    assert target.bodies == [b"\0" * 3_000_000, b"x"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(gzip.compress(b"\0" * 3_000_000), "decompression_bomb", id="a bomb is not unpacked"),
        pytest.param(b"plain", "undecodable_body", id="what is no gzip"),
    ],
)
async def test_shadow_lets_a_whole_body_pass_as_it_came(body, code):
    target = answering(200)
    async with opened(Compression, UNDOING, mode="shadow") as live:
        assert (await live(coded(body, whole=True), target)).status == 200
        assert live.ports.would_refuse == [code]
    assert target.bodies == [body]
    assert target.request.headers["Content-Encoding"] == "gzip"


@pytest.mark.parametrize("coding", UNDO)
async def test_no_more_is_unpacked_than_is_asked_for(coding):
    """Whoever does not take what there is holds 64 KB of it, and not all that a piece becomes."""
    made, sizes = random.Random(1), []
    body = b"".join([made.randbytes(20) + bytes(2000) for _ in range(5000)])

    async def target(asked):
        while piece := await asked.body.pull():
            sizes.append(len(piece))
        return answering(200)._make()

    limits = {"decompress": {"max_size": "50MB", "max_ratio": 10_000}}
    async with opened(Compression, limits) as live:
        assert (await live(coded(code(coding, 3, body), coding), target)).status == 200
    assert sum(sizes) == len(body)
    assert max(sizes) <= 2 * 65_536


# -- with a cache ------------------------------------------------------------------------------------------------------

PAGE = {**JSON, "Cache-Control": "max-age=60", "ETag": '"v1"'}


@pytest.mark.parametrize("outside", [True, False], ids=["compression outside", "cache outside"])
async def test_with_a_cache_each_gets_what_it_can_read(outside):
    target = answering(200, headers=PAGE, body=BODY)
    async with opened(Compression, {}) as coding, opened(Cache, None) as keeping:

        async def inside(asked):
            return await (keeping if outside else coding).head(asked, target)

        async def ask(accepted, **headers):
            return await (coding if outside else keeping)(asking(accepted, **headers), inside)

        for _ in range(2):
            for accepted in ("gzip", "br", "", "zstd"):
                answer = await ask(accepted)
                assert answer.headers.get("Content-Encoding", "") == accepted
                assert UNDO.get(accepted, bytes)(answer.body.whole) == BODY
                assert answer.headers.getall("Vary") == ["Accept-Encoding"]
                assert answer.headers["ETag"] == ('W/"v1"' if accepted else '"v1"')
        assert target.calls == (1 if outside else 4), "kept once, or once for each coding"
        known = await ask("gzip", **{"If-None-Match": 'W/"v1"'})
        assert (known.status, known.headers["ETag"], known.body.whole) == (304, 'W/"v1"', b"")
        part = await ask("gzip" if outside else "", Range="bytes=0-9")
        assert (part.status, part.body.whole) == (206, BODY[:10])
        assert "Content-Encoding" not in part.headers
        mixed = await ask("gzip", **{"Range": "bytes=0-9", "If-Range": 'W/"v1"'})
        assert (mixed.status, gzip.decompress(mixed.body.whole)) == (200, BODY), "parts of what is coded are not mixed"
