"""A worker's services: the store of the configuration in force, and of the one that is being built."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.config import load_text
from gateway.config.model import Config
from gateway.runtime import Services


def config(store: str = "memory://", more: str = "") -> Config:
    text = f'stores: {{shared: "{store}"}}\n{more}\nroutes: [{{name: r, match: {{path: /}}, redirect: {{to: /b}}}}]'
    return load_text(text, {}).config


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    made = Services()
    yield made
    await made.close()
    await made.close()


async def test_there_is_no_store_before_one_was_committed(services: Services) -> None:
    assert not services.has_store
    with pytest.raises(RuntimeError):
        services.store()
    await services.prepare(config())
    with pytest.raises(RuntimeError):
        services.store()
    services.commit()
    assert services.has_store
    assert services.store() is services.store()


async def test_the_same_store_is_kept(services: Services) -> None:
    await services.prepare(config())
    services.commit()
    store = services.store()
    await services.prepare(config(more="replicas: 3"))
    assert services.replicas == 1
    services.commit()
    assert services.store() is store
    assert services.replicas == 3


async def test_what_is_built_sees_the_new_store_and_everybody_else_the_old(services: Services) -> None:
    await services.prepare(config())
    services.commit()
    old = services.store()
    await services.prepare(config("memory://?keys=1000"))
    go_on = asyncio.Event()

    async def spawned() -> object:
        await go_on.wait()
        return services.store()

    with services.building():
        new = services.store()
        task = asyncio.create_task(spawned())
    assert new is not old
    assert services.store() is old
    services.commit()
    assert services.store() is new
    go_on.set()
    assert await task is new
    await services.settle()


async def test_what_was_prepared_and_is_not_wanted_is_closed(services: Services) -> None:
    await services.prepare(config())
    services.commit()
    old = services.store()
    await services.prepare(config("memory://?keys=1000"))
    await services.abandon()
    services.commit()  # of nothing
    assert services.store() is old
    with services.building():
        assert services.store() is old
