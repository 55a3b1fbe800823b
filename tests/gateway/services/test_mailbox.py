"""A queue to a thread: bounded, in order, never waited for, and what is lost is counted."""

import threading

import pytest

from gateway.services.mailbox import Mailbox

WITHIN = 60.0


class Taker:
    """Takes batches; may be held up, or fail."""

    def __init__(self):
        self.batches = []
        self.enough = threading.Event()
        self.may = threading.Event()
        self.may.set()
        self.begun = threading.Event()
        self.wants = 0
        self.fails = False

    def __call__(self, batch):
        self.begun.set()
        assert self.may.wait(WITHIN)
        if self.fails:
            self.fails = False
            raise OSError("gone")
        self.batches.append(batch)
        if sum(map(len, self.batches)) >= self.wants:
            self.enough.set()


@pytest.fixture
def taker():
    return Taker()


def test_a_full_batch_goes_at_once_and_in_order(taker):
    box = Mailbox("test", taker, room=100, batch=4, interval=3600.0)
    taker.wants = 8
    box.put(range(8))
    assert taker.enough.wait(WITHIN)
    assert taker.batches == [[0, 1, 2, 3], [4, 5, 6, 7]]
    box.close(WITHIN)


def test_less_than_a_batch_goes_after_the_interval(taker):
    box = Mailbox("test", taker, room=100, batch=50, interval=0.01)
    taker.wants = 1
    box.put(["a"])
    assert taker.enough.wait(WITHIN)
    assert taker.batches == [["a"]]
    box.close(WITHIN)


def test_what_finds_no_room_is_dropped_and_nobody_waits(taker):
    taker.may.clear()
    box = Mailbox("test", taker, room=3, batch=1, interval=3600.0)
    box.put([0])
    assert taker.begun.wait(WITHIN), "one is being delivered, and that takes for ever"
    box.put(range(1, 9))
    assert (box.waiting, box.dropped) == (3, 5)
    taker.may.set()
    box.close(WITHIN)
    assert taker.batches == [[0], [1], [2], [3]]
    box.put(["late"])
    assert box.dropped == 6, "after the end nothing is taken"


def test_the_end_delivers_what_waits(taker):
    box = Mailbox("test", taker, room=100, batch=50, interval=3600.0)
    box.put("abc")
    box.close(WITHIN)
    box.close(WITHIN)
    assert taker.batches == [["a", "b", "c"]]
    assert (box.dropped, box.failed) == (0, 0)


def test_a_delivery_that_hangs_does_not_hold_up_the_end(taker):
    taker.may.clear()
    box = Mailbox("test", taker, room=100, batch=1, interval=3600.0)
    box.put("abc")
    assert taker.begun.wait(WITHIN)
    box.close(0.01)
    assert box.dropped == 2
    taker.may.set()


def test_a_delivery_that_fails_is_counted_and_the_next_one_is_made(taker, caplog):
    taker.fails = True
    taker.wants = 1
    box = Mailbox("test", taker, room=100, batch=1, interval=3600.0)
    box.put("ab")
    assert taker.enough.wait(WITHIN)
    box.close(WITHIN)
    assert (taker.batches, box.failed) == ([["b"]], 1)
    assert "test could not be delivered" in caplog.text


def test_a_mailbox_that_was_never_used_has_no_thread(taker):
    before = threading.active_count()
    box = Mailbox("test", taker, room=1, batch=1)
    assert threading.active_count() == before
    box.close(WITHIN)
