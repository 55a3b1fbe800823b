"""Answers to POST that are kept for GET, while they pass. Which ones: see the table of tests/plugins/test_cache.py."""

from __future__ import annotations

import contextlib

import pytest

from gateway.errors import TruncatedAnswer
from gateway.testing import answering, opened, request
from plugins.cache import Cache

SAID = {"Cache-Control": "max-age=60", "Content-Location": "/a"}


@pytest.mark.parametrize(
    ("chunks", "error", "kept"),
    [
        pytest.param([b"a", b"b"], None, True, id="a stream"),
        pytest.param([b"a"], TruncatedAnswer(), False, id="a stream that breaks off"),
        pytest.param([b"x" * 60_000, b"x" * 60_000], None, False, id="one that is too large"),
    ],
)
async def test_what_streams(chunks: list[bytes], error: TruncatedAnswer | None, kept: bool) -> None:
    async with opened(Cache, {"memory": "4MB", "max_object": "100KB"}) as live:
        with contextlib.suppress(TruncatedAnswer):
            answer = await live(request("POST", "/a", body="x"), answering(200, SAID, chunks=chunks, error=error))
            assert answer.body.whole == b"".join(chunks)
        target = answering(200, SAID, "own")
        got = await live(request("GET", "/a"), target)
        assert (target.calls, got.body.whole) == ((0, b"".join(chunks)) if kept else (1, b"own"))


async def test_a_purge_while_it_passes_keeps_it_out() -> None:
    async with opened(Cache, None) as live:
        asked = request("POST", "/a", body="x")
        answer = await live.head(asked, answering(200, SAID, chunks=[b"old"]))
        await live(request("DELETE", "/a"), answering(204))
        while await answer.body.pull():
            pass
        target = answering(200, SAID, "new")
        assert (await live(request("GET", "/a"), target)).body.whole == b"new"
