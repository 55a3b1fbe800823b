"""Values under a name: the last one holds, time ends them, and a subject's are found."""

from __future__ import annotations

from typing import Any

from gateway.services.queue.streams.keys import digest, subject_key


async def test_who_kept_it_last_owns_it(queue: Any):
    await queue.keep("name", b"ada's", 60, subject="ada")
    await queue.keep("name", b"bob's", 60, subject="bob")
    assert await queue.erase("ada") == 0
    assert await queue.kept("name") == b"bob's"
    assert await queue.erase("bob") == 1
    assert await queue.kept("name") is None


async def test_a_value_and_its_index_go_by_themselves(queue: Any, redis_server: Any):
    await queue.keep("name", b"value", 60, subject="ada")
    with redis_server.client() as client:
        kept = [key for key in client.scan_iter() if b"/kept/" in key or b"/of/" in key]
        assert len(kept) == 2
        assert all(0 < client.pttl(key) <= 120_000 for key in kept)


async def test_the_index_forgets_what_has_ended(queue: Any, redis_server: Any, clock: Any):
    for number in range(5):
        await queue.keep(f"{number}", b"value", 10, subject="ada")
        clock.advance(10)
    assert redis_server.command("ZCARD", subject_key(digest("ada"))) == 1


async def test_more_than_one_step_erases(queue: Any):
    for number in range(600):
        await queue.keep(f"{number}", b"value", 60, subject="ada")
    assert await queue.erase("ada") == 600
