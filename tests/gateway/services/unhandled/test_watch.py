"""Errors that nobody handles are found in the log, wherever they come from, and are counted without bound in number but
not in groups.
"""

import asyncio
import gc
import logging
import sys
import threading

import pytest

from gateway.services.masking import Masking
from gateway.services.metrics import Metrics
from gateway.services.unhandled import Options, Unhandled, catch_the_rest, merged

log = logging.getLogger("gateway.test")
WITHIN = 60.0


@pytest.fixture
def watch():
    made = Unhandled(Metrics(), Masking())
    made.open()
    yield made
    made.close()


def fail(message="", kind=ZeroDivisionError):
    try:
        raise kind(message)
    except kind:
        log.exception("it failed")


def counted(watch):
    return {group.error: group.count for group in watch.groups.values()}


@pytest.mark.parametrize(
    ("say", "found"),
    [
        pytest.param(fail, {"ZeroDivisionError": 1}, id="a traceback at level error"),
        pytest.param(lambda: log.error("expected"), {}, id="a line without one is an expected failure"),
        pytest.param(lambda: log.warning("x", exc_info=ValueError()), {}, id="a warning is none"),
        pytest.param(lambda: fail(kind=asyncio.CancelledError), {}, id="a cancellation is none"),
        pytest.param(
            lambda: log.error("worker died", extra={"incident": "worker_died"}), {"worker_died": 1}, id="an incident"
        ),
        pytest.param(
            lambda: logging.getLogger("sentry_sdk.errors").error("x", exc_info=ValueError()), {}, id="the tracker's own"
        ),
    ],
)
def test_what_counts(watch, say, found):
    say()
    assert counted(watch) == found


async def test_a_task_that_nobody_awaits(watch):
    async def later():
        raise LookupError("in a task")

    task = asyncio.get_running_loop().create_task(later())
    await asyncio.sleep(0.01)
    assert task.done()
    del task
    gc.collect()
    assert counted(watch) == {"LookupError": 1}


async def test_a_callback_of_the_loop(watch):
    asyncio.get_running_loop().call_soon(lambda: 1 // 0)
    await asyncio.sleep(0.01)
    assert counted(watch) == {"ZeroDivisionError": 1}


def test_a_thread_and_a_finalizer(watch, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    catch_the_rest()

    class Bad:
        def __del__(self):
            raise BufferError

    thread = threading.Thread(target=[].pop)
    thread.start()
    thread.join(WITHIN)
    bad = Bad()
    del bad
    gc.collect()
    assert counted(watch) == {"IndexError": 1, "BufferError": 1}


def test_groups_are_bounded_and_what_comes_after_shares_one(watch):
    for number in range(150):
        fail(kind=type(f"Kind{number}", (Exception,), {}))
    assert len(watch.groups) == 101
    assert counted(watch)["__other__"] == 50


def test_no_local_variable_is_kept_alive(watch):
    class Heavy:
        pass

    def use():
        heavy = Heavy()
        assert heavy
        try:
            raise ValueError
        except ValueError as error:  # handed over by hand: pytest keeps what it sees in the log
            said = (type(error), error, error.__traceback__)
            watch.handle(logging.makeLogRecord({"name": "x", "levelno": logging.ERROR, "exc_info": said}))
            del said

    use()
    gc.collect()
    assert counted(watch) == {"ValueError": 1}
    assert not [each for each in gc.get_objects() if isinstance(each, Heavy)]


def test_a_record_that_breaks_the_watch_breaks_nobody_else(watch, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)

    class Awkward(Exception):
        __module__ = property(lambda self: 1 / 0)

    monkeypatch.setattr("gateway.services.unhandled.watch.fingerprint", lambda error: 1 / 0)
    log.error("x", exc_info=Awkward())
    assert watch.groups == {}


def test_the_latest_is_the_sample_and_stands_first(watch):
    fail("one")
    fail(kind=KeyError)
    fail("two")
    first, second = watch.shown()
    assert (first["error"], first["count"], second["error"]) == ("ZeroDivisionError", 2, "KeyError")
    assert "two" in first["sample"]
    assert first["first_seen"] <= first["last_seen"]


def test_several_processes_are_shown_as_one():
    def told(group, count, first, last):
        return {"group": group, "count": count, "first_seen": first, "last_seen": last, "sample": str(last)}

    found = merged([[told("a", 1, 1, 2), told("b", 1, 5, 5)], [told("a", 2, 0, 9)], []])
    assert found == [{**told("a", 3, 0, 9)}, told("b", 1, 5, 5)]


def test_a_changed_tracker_takes_over_and_what_was_counted_stays(watch):
    one = Options("http://key@127.0.0.1:1/7", interval=3600.0)
    watch.track(one)
    first = watch.tracker
    watch.track(Options("http://key@127.0.0.1:1/7", interval=3600.0))
    assert watch.tracker is first, "nothing has changed"
    first.suppressed = 3
    watch.track(None)
    assert watch.tracker is None
    for thread in threading.enumerate():
        if thread.name == "errors-retire":
            thread.join(WITHIN)
    assert dict(watch._outcomes())[("suppressed",)] == 3


def test_closed_it_watches_no_more(watch):
    watch.close()
    fail()
    assert watch.groups == {}
