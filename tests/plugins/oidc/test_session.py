"""Sessions at rest: sealed for their kind, and the same on both sides of the store's scripts."""

from __future__ import annotations

import pytest

from gateway.services.store import MemoryStore, open_store
from plugins.oidc.session import LARGEST, MARK, REPLACE, TOUCH, Handle, Records, Sealed, Session, owner_of

KEY = "a key of thirty-two bytes or more"
OWNER = owner_of("https://id.test", "shop", "sidegate")


def session(**changes):
    usual = {
        "id": "s1",
        "subject": "ada",
        "sid": "p1",
        "issued": 100.0,
        "began": 1000.0,
        "seen": 1000.0,
        "claims": {"sub": "ada", "groups": ["a"], "n": 1, "deep": {"x": None}},
        "access": "a",
        "access_expires": 1300.0,
        "refreshed": 1000.0,
        "refresh": "r",
    }
    return Session(**{**usual, **changes})


def test_what_is_sealed_opens_as_its_kind_only():
    sealed = Sealed([KEY], OWNER)
    made = sealed.seal(session())
    assert sealed.open(made, Session) == session()
    assert sealed.open(made, Handle) is None
    assert Sealed([KEY], owner_of("https://id.test", "other", "sidegate")).open(made, Session) is None
    assert Sealed(["another key of enough bytes"], OWNER).open(made, Session) is None
    assert Sealed(["another key of enough bytes", KEY], OWNER).open(made, Session) == session()
    for bad in (None, b"", b"x", made[:-1], b"x" * (LARGEST + 1)):
        assert sealed.open(bad, Session) is None


def test_another_version_of_us_is_no_error():
    class Session(Handle):  # of the same name, and of another shape
        pass

    sealed = Sealed([KEY], OWNER)
    from plugins.oidc.session import Session as Ours

    assert sealed.open(sealed.seal(Session("s", "a", "p", 1.0, 2.0)), Ours) is None


@pytest.fixture(params=["memory", "redis"])
async def records(request):
    if request.param == "memory":
        store = MemoryStore()
    else:
        store = await open_store(request.getfixturevalue("redis_server").url, timeout=2.0)
    yield Records(store, Sealed([KEY], OWNER), OWNER, max_age=3600.0, idle=600.0)
    await store.close()


async def test_a_session_that_was_ended_is_not_written_again(records):
    assert not await records.replace(session(), 1000.0)
    await records.put(session(), 1000.0)
    assert await records.read("s1") == session()
    assert await records.replace(session(generation=1), 1000.0)
    assert (await records.read("s1")).generation == 1
    await records.end(session())
    assert not await records.replace(session(generation=2), 1000.0)
    assert await records.read("s1") is None
    assert await records.ended(session())


async def test_a_record_under_another_name_is_not_it(records):
    await records.store.set(records._key("s2"), records._sealed.seal(session()))
    assert await records.read("s2") is None


@pytest.mark.parametrize(
    ("kind", "name", "until", "ended"),
    [
        ("sub", "ada", 100, True),
        ("sub", "ada", 99, False),
        ("sub", "eve", 100, False),
        ("sid", "p1", 100, True),
        ("sid", "p2", 100, False),
        pytest.param("lone", "ada", 100, False, id="only what names no session of the provider's"),
    ],
)
async def test_marks(records, kind, name, until, ended):
    await records.mark(kind, name, until)
    assert await records.ended(session()) is ended
    assert await records.ended(session(sid="")) is (ended if kind == "sub" else kind == "lone")


async def test_the_latest_mark_counts(records):
    await records.mark("sub", "ada", 200)
    await records.mark("sub", "ada", 50)
    assert await records.ended(session(issued=150.0))


async def test_once(records):
    assert [await records.once("state", 60) for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize(
    ("script", "held", "args", "reply"),
    [
        pytest.param(REPLACE, None, (b"v", 1000), 0, id="replace: nothing there"),
        pytest.param(REPLACE, b"o", (b"v", 1000), 1, id="replace"),
        pytest.param(TOUCH, None, (1000,), 0, id="touch: nothing there"),
        pytest.param(TOUCH, b"o", (1000,), 1, id="touch"),
        pytest.param(MARK, None, (1_800_000_000, 1000), 1_800_000_000, id="mark"),
        pytest.param(MARK, b"1800000009", (1_800_000_000, 1000), 1_800_000_009, id="mark: a later one"),
    ],
)
async def test_both_sides_of_a_script_agree(records, script, held, args, reply):
    key = b"sg:{oidc/test}"
    if held is not None:
        await records.store.set(key, held)
    assert await records.store.run(script, (key,), args) == reply
