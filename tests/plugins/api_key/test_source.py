"""Where keys stand: a change is seen once, and of two who change the store's document none undoes the other's."""

import asyncio
import json

import pytest

from gateway.errors import StoreUnavailable
from gateway.services.store import MemoryStore, open_store
from plugins.api_key.source import TRIES, WRITE, FileSource, StoreSource, keys_of, parse_document, write_keys

HASH = "sha256:" + "0" * 64


@pytest.fixture(params=["memory", "redis"])
async def store(request):
    if request.param == "memory":
        yield MemoryStore(100)
        return
    server = request.getfixturevalue("redis_server")
    made = await open_store(server.url)
    yield made
    await made.close()


def adding(name):
    def change(document):
        document["keys"].append({"id": name, "hash": f"sha256:{name * 64}"})

    return change


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        pytest.param([(b"0", b"a", 1)], b"a", id="the first"),
        pytest.param([(b"0", b"a", 1), (b"1", b"b", 1)], b"b", id="one after the other"),
        pytest.param([(b"0", b"a", 1), (b"0", b"b", 0)], b"a", id="one that has read what is old"),
        pytest.param([(b"5", b"a", 0)], None, id="one that has read what is gone"),
    ],
)
async def test_write(store, steps, left):
    document, version = keys_of("k")
    for expected, content, done in steps:
        assert await store.run(WRITE, [document, version], [expected, content]) == done
    assert await store.get(document) == left


async def test_a_change_is_seen_once(store):
    source = StoreSource(lambda: store, "k")
    assert await source.changed() == ()
    assert await source.changed() is None
    await write_keys(store, "k", adding("1"))
    assert [entry.id for entry in await source.changed()] == ["1"]
    assert await source.changed() is None


async def test_of_many_who_change_it_none_undoes_the_others(store):
    await asyncio.gather(*(write_keys(store, "k", adding(name)) for name in "0123456789"))
    document = parse_document(await store.get(keys_of("k")[0]))
    assert {entry.id for entry in document.keys} == set("0123456789")


async def test_a_change_that_cannot_be_written_gives_up():
    class Busy(MemoryStore):
        runs = 0

        async def run(self, *_arguments):
            self.runs += 1
            return 0

    busy = Busy(10)
    with pytest.raises(ValueError, match="too many others"):
        await write_keys(busy, "k", adding("1"))
    assert busy.runs == TRIES


async def test_a_document_that_is_not_ours(store):
    await write_keys(store, "k", adding("1"))
    await store.set(keys_of("k")[0], json.dumps({"keys": [{"id": "x", "hash": HASH, "more": 1}]}).encode())
    with pytest.raises(ValueError, match="not one of keys") as caught:
        await StoreSource(lambda: store, "k").changed()
    assert HASH not in str(caught.value)


async def test_a_change_that_is_no_document_is_not_written(store):
    with pytest.raises(ValueError, match="id"):
        await write_keys(store, "k", lambda document: document["keys"].append({"hash": HASH}))
    assert await store.get(keys_of("k")[0]) is None


async def test_a_file_is_read_when_it_changes(tmp_path):
    file = tmp_path / "keys.yaml"
    file.write_text("keys: []")
    source = FileSource(file)
    assert await source.changed() == ()
    assert await source.changed() is None
    file.write_text(f"keys: [{{id: a, hash: '{HASH}'}}]")
    assert [entry.id for entry in await source.changed()] == ["a"]
    file.write_text("keys: [")
    with pytest.raises(ValueError, match=r"keys\.yaml"):
        await source.changed()


async def test_a_store_that_is_away(start_redis):
    server = start_redis()
    store = await open_store(server.url)
    source = StoreSource(lambda: store, "k")
    await write_keys(store, "k", adding("1"))
    await source.changed()
    server.kill()
    with pytest.raises(StoreUnavailable):
        await source.changed()
    await store.close()
