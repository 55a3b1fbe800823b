"""The durable queue of a worker over reloads: opened when needed, one at a time for each file, closed when unused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config import load_text
from gateway.config.model import Config
from gateway.runtime.durable import Durable
from gateway.services.clock import Clock
from gateway.services.metrics import Metrics
from gateway.services.queue import Draft, QueueFull, QueueUnavailable


def config(url: str | None = None, more: str = "") -> Config:
    stores = f'stores: {{durable: "{url}"}}' if url is not None else ""
    return load_text(f"{stores}\n{more}\nroutes: [{{name: r, match: {{path: /}}, redirect: {{to: /b}}}}]", {}).config


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/one.db"


@pytest.fixture
async def durable() -> AsyncIterator[Durable]:
    made = Durable(Clock(), Metrics(), owner=False)
    yield made
    await made.close()
    await made.close()


async def take_up(durable: Durable, made: Config) -> None:
    await durable.prepare(made)
    durable.commit(())


async def test_without_one_it_says_what_is_missing(durable: Durable) -> None:
    await take_up(durable, config())
    with pytest.raises(RuntimeError, match=r"stores\.durable"):
        await durable.get()


async def test_it_is_opened_once_and_only_when_somebody_asks(durable: Durable, url: str, tmp_path: Path) -> None:
    await take_up(durable, config(url))
    assert not (tmp_path / "one.db").exists()
    first, second = await asyncio.gather(durable.get(), durable.get())
    assert first is second
    assert (tmp_path / "one.db").exists()


async def test_what_is_built_gets_the_new_one_and_everybody_else_the_old(
    durable: Durable, url: str, tmp_path: Path
) -> None:
    await take_up(durable, config(url))
    old = await durable.get()
    await durable.prepare(config(f"sqlite://{tmp_path}/two.db"))
    with durable.building():
        new = await durable.get()
    assert new is not old
    assert await durable.get() is old
    durable.commit(())
    assert await durable.get() is new
    assert not (await old.put(Draft("t", b"x"))).duplicate, "the old one serves those who still have it"
    await durable.settle()
    with pytest.raises(QueueUnavailable):
        await old.put(Draft("t", b"x"))


async def test_a_configuration_that_is_refused_leaves_the_old_one(durable: Durable, url: str, tmp_path: Path) -> None:
    await take_up(durable, config(url))
    old = await durable.get()
    await durable.prepare(config(f"sqlite://{tmp_path}/two.db"))
    with durable.building():
        unwanted = await durable.get()
    await durable.abandon()
    await old.put(Draft("t", b"x"))
    with pytest.raises(QueueUnavailable):
        await unwanted.put(Draft("t", b"x"))
    assert await durable.get() is old


async def test_other_settings_are_taken_up_by_the_queue_that_is_open(durable: Durable, url: str) -> None:
    await take_up(durable, config(url))
    queue = await durable.get()
    await queue.put(Draft("t", b"in clear"))
    await take_up(durable, config(url, "queue: {keys: [a-key-of-sixteen-bytes], max_items: 2}"))
    assert await durable.get() is queue
    sealed = await queue.put(Draft("t", b"sealed"))
    with pytest.raises(QueueFull):
        await queue.put(Draft("t", b"one too many"))
    assert (await queue.get(sealed.id)).payload == b"sealed"
    await take_up(durable, config(url))
    assert (await queue.get(sealed.id)).payload is None, "the key is gone"


async def test_back_to_a_file_that_is_still_open_is_not_opening_it_twice(
    durable: Durable, url: str, tmp_path: Path
) -> None:
    await take_up(durable, config(url))
    first = await durable.get()
    await take_up(durable, config(f"sqlite://{tmp_path}/two.db"))
    await take_up(durable, config(url))
    assert await durable.get() is first
    await durable.settle()
    await first.put(Draft("t", b"x"))


async def test_a_file_that_cannot_be_opened(durable: Durable, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, no folder")
    await take_up(durable, config(f"sqlite://{tmp_path}/taken/queue.db"))
    with pytest.raises(QueueUnavailable):
        await durable.get()


async def test_only_the_owner_looks_after_it(url: str) -> None:
    for owner in (True, False):
        made = Durable(Clock(), Metrics(), owner=owner)
        await take_up(made, config(url))
        assert (made.snapshot() is not None) == owner
        await made.close()
