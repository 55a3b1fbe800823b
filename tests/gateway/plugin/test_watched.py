"""What is read again: a change is taken up, a failure keeps what is at hand and is told once."""

import asyncio

import pytest

from gateway.errors import StoreUnavailable
from gateway.plugin import Context
from gateway.plugin.watched import Watched, changed_files
from gateway.testing import ports


class Elsewhere:
    """Gives what a test put in, once."""

    def __init__(self):
        self.next = "first"
        self.reads = 0
        self.read_again = asyncio.Event()

    async def read(self):
        self.reads += 1
        if self.reads > 1:
            self.read_again.set()
        given, self.next = self.next, None
        if isinstance(given, Exception):
            raise given
        return given


@pytest.fixture
async def made():
    held, place, taken = ports(), Elsewhere(), []
    context = Context(held, route="r", plugin="p", id="p")
    watched = Watched(context, "keys", 0.01, place.read, taken.append)
    yield held, place, taken, watched
    watched.close()
    await held.close()


async def test_it_is_read_at_once_and_again(made):
    _, place, taken, watched = made
    await watched.open()
    assert (taken, watched.known, watched.error) == (["first"], True, "")
    place.next = "second"
    await asyncio.wait_for(place.read_again.wait(), 60)
    await asyncio.sleep(0)
    assert taken == ["first", "second"]


async def test_nothing_new_is_not_taken(made):
    _, place, taken, watched = made
    await watched.refresh()
    await watched.refresh()
    assert (place.reads, taken) == (2, ["first"])


@pytest.mark.parametrize(
    ("error", "why"),
    [(OSError("gone"), "gone"), (ValueError("bad"), "bad"), (StoreUnavailable(reason="away"), "away")],
    ids=["a file", "its text", "a store"],
)
async def test_what_goes_wrong_is_told_once_and_what_is_at_hand_stays(made, error, why, caplog):
    _, place, taken, watched = made
    await watched.refresh()
    for _ in range(2):
        place.next = error
        await watched.refresh()
        assert (taken, watched.error) == (["first"], why)
    assert caplog.text.count(f"keys stay as they were: {why}") == 1
    place.next = "second"
    await watched.refresh()
    assert (taken[-1], watched.error) == ("second", "")


async def test_it_may_not_be_there_at_first(made):
    _, place, taken, watched = made
    place.next = OSError("not yet")
    await watched.open()
    assert (taken, watched.known) == ([], False)


async def test_nobody_looks_after_the_end(made):
    _, place, _, watched = made
    await watched.open()
    watched.close()
    watched.close()
    reads = place.reads
    await asyncio.sleep(0.05)
    assert place.reads <= reads + 1  # one may have been under way


def test_changed_files(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    two.write_text("b")
    seen = changed_files([one, two], None)
    assert seen is not None
    assert changed_files([one, two], seen) is None
    two.write_text("longer")
    assert changed_files([one, two], seen) is not None
    two.unlink()
    with pytest.raises(OSError, match="two"):
        changed_files([one, two], seen)
