"""From a URL to a store."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.services.store import MemoryStore, Scope, StoreUrlError, open_store
from gateway.services.store.memory import DEFAULT_KEYS


async def test_the_url_says_how_many_keys_and_the_workers_how_much_of_a_limit():
    store = await open_store("memory://?keys=7", workers=4)
    assert isinstance(store, MemoryStore)
    assert (store.table.capacity, store.share) == (7, 0.25)
    default = await open_store("memory://")
    assert isinstance(default, MemoryStore)
    assert (default.table.capacity, default.share) == (DEFAULT_KEYS, 1.0)


def test_redis_library_is_not_loaded_for_it():
    code = (
        "import asyncio, sys\n"
        "from gateway.services.store import open_store\n"
        "asyncio.run(open_store('memory://'))\n"
        "sys.exit(any(name.partition('.')[0] in ('redis', 'hiredis') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("kind", "scope"),
    [pytest.param("memory", Scope.WORKER, id="memory"), pytest.param("redis", Scope.FLEET, id="redis")],
)
async def test_state_has_a_scope(kind: str, scope: Scope, request: pytest.FixtureRequest):
    url = "memory://?keys=7" if kind == "memory" else request.getfixturevalue("redis_server").url
    store = await open_store(url, timeout=1, workers=2)
    assert store.scope is scope
    assert store.approximate is (kind == "memory")
    await store.close()


async def test_a_url_that_names_no_store_is_refused():
    with pytest.raises(StoreUrlError, match="'sqlite' is no kind of store"):
        await open_store("sqlite:///tmp/x.db")
