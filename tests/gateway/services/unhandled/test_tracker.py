"""What is sent to a tracker, how often, and what never is."""

import asyncio
from traceback import TracebackException

import pytest

from gateway.services.masking import Masking
from gateway.services.unhandled import Group, Options, Tracker, available
from gateway.services.unhandled.group import Occurrence
from gateway.services.unhandled.tracker import _relative

ANNA = "anna@example.com"


class Time:
    now = 0.0

    def __call__(self):
        return self.now


def failing(secret):
    local = f"a local with {secret}"
    try:
        raise LookupError(f"token={secret}")
    except LookupError as error:
        raise ValueError(f"email {ANNA}, password: " + secret) from error
    return local


def occurrence(**known):
    try:
        failing("s3" + "cret")
    except ValueError as error:
        trace = TracebackException(type(error), error, error.__traceback__, lookup_lines=False)
    return Occurrence(trace, "it failed", "gateway.test", 1700000000.0, known)


def group(name="abc"):
    return Group(name, "ValueError", "x:failing", 1.0, 2.0, 5)


@pytest.fixture
def time():
    return Time()


def tracker(dsn, time, masking=None, **more):
    return Tracker(Options(dsn, **more), masking or Masking(), time)


def test_the_extra_is_here():
    assert available()


async def test_an_event_has_type_stack_and_ids_and_nothing_of_a_request(error_tracker, time):
    one = tracker(error_tracker.dsn, time, environment="test")
    one.note(group(), occurrence(route="shop", request_id="req-1", trace="ab" * 16, span="cd" * 8))
    (event,) = await error_tracker.until(1)
    await asyncio.to_thread(one.close)
    first, last = event["exception"]["values"]
    assert (first["type"], last["type"], last["mechanism"]["handled"]) == ("LookupError", "ValueError", False)
    assert last["stacktrace"]["frames"][-1]["function"] == "failing"
    assert event["tags"] == {"group": "abc", "route": "shop"}
    assert event["contexts"]["trace"] == {"trace_id": "ab" * 16, "span_id": "cd" * 8}
    assert (event["extra"]["count"], event["extra"]["request_id"]) == (5, "req-1")
    assert event["release"].startswith("sidegate@")
    assert not {"request", "user", "breadcrumbs", "modules"} & set(event)
    text = error_tracker.raw.decode()
    assert "s3cret" not in text
    assert "vars" not in text
    assert error_tracker.paths == ["/api/7/envelope/"]
    assert one.sent == 1


async def test_messages_go_through_the_masking_of_their_route(error_tracker, time):
    class Hiding:
        def __call__(self, line):
            return {name: value.replace(ANNA, "***") for name, value in line.items()}

    one = tracker(error_tracker.dsn, time, Masking((), {"shop": (Hiding(),)}))
    one.note(group(), occurrence(route="shop", request_id=ANNA))
    await error_tracker.until(1)
    await asyncio.to_thread(one.close)
    assert b"anna@" not in error_tracker.raw


async def test_a_message_is_masked_before_it_is_cut(error_tracker, time):
    def hiding(line):
        return {name: value.replace(ANNA, "***") for name, value in line.items()}

    one = tracker(error_tracker.dsn, time, Masking((hiding,)))
    one.note(group(), Occurrence(None, "x" * 4090 + ANNA, "gateway", 1700000000.0))
    (event,) = await error_tracker.until(1)
    await asyncio.to_thread(one.close)
    assert event["message"] == "x" * 4090 + "***"


async def test_a_group_of_errors_tells_of_each(error_tracker, time):
    try:
        raise ExceptionGroup("several", [ValueError("one"), KeyError("other")])
    except ExceptionGroup as error:
        trace = TracebackException(type(error), error, error.__traceback__, lookup_lines=False)
    one = tracker(error_tracker.dsn, time)
    one.note(group(), Occurrence(trace, "", "gateway.test", 1700000000.0))
    (event,) = await error_tracker.until(1)
    await asyncio.to_thread(one.close)
    assert [each["type"] for each in event["exception"]["values"]] == ["KeyError", "ValueError", "ExceptionGroup"]


async def test_an_incident_without_an_exception_is_a_message(error_tracker, time):
    one = tracker(error_tracker.dsn, time)
    one.note(group("worker_died"), Occurrence(None, "worker 1 died", "gateway", 1700000000.0))
    (event,) = await error_tracker.until(1)
    await asyncio.to_thread(one.close)
    assert event["message"] == "worker 1 died"


def passed(one, names):
    before = one.suppressed
    for name in names:
        one.note(group(name), Occurrence(None, "x", "x", 0.0))
    return len(names) - (one.suppressed - before)


def test_one_group_is_not_sent_more_often_than_the_interval(time, monkeypatch):
    one = tracker("http://key@127.0.0.1:1/7", time, interval=60.0)
    reports = []
    monkeypatch.setattr(one._mailbox, "put", reports.extend)
    assert passed(one, ["a"] * 10 + ["b"]) == 2
    time.now = 59.0
    assert passed(one, ["a"]) == 0
    time.now = 61.0
    assert passed(one, ["a"]) == 1
    assert reports[-1].suppressed == 10, "what was left out is told with the next"


def test_all_groups_together_have_a_limit_a_minute(time, monkeypatch):
    one = tracker("http://key@127.0.0.1:1/7", time, interval=0.0, most=5)
    monkeypatch.setattr(one._mailbox, "put", lambda reports: None)
    assert passed(one, [str(number) for number in range(50)]) == 5
    time.now = 60.0
    assert passed(one, [str(number) for number in range(50)]) == 5


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 350, 650), (1.0, 1000, 1000)])
def test_a_share_is_sent(time, monkeypatch, share, least, most):
    one = tracker("http://key@127.0.0.1:1/7", time, interval=0.0, most=10_000, sample=share)
    monkeypatch.setattr(one._mailbox, "put", lambda reports: None)
    assert least <= passed(one, ["a"] * 1000) <= most


async def test_a_tracker_that_is_not_there_costs_nothing_but_reports(time):
    one = tracker("http://key@127.0.0.1:1/7", time, interval=0.0)
    one.note(group(), occurrence())
    await asyncio.to_thread(one.close)
    assert (one.sent, one.dropped) == (1, 0)
    assert one.lost == 1
    assert "key" not in repr(one.options)


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        pytest.param("/srv/venv/lib/python3.11/site-packages/aiohttp/web.py", "aiohttp/web.py", id="a library's"),
        pytest.param("/usr/lib/python3.11/asyncio/tasks.py", "3.11/asyncio/tasks.py", id="Python's"),
        pytest.param("/home/anna/work/gateway/chain.py", "gateway/chain.py", id="ours"),
        pytest.param("/home/anna/own.py", "own.py", id="an operator's"),
    ],
)
def test_where_it_is_installed_is_not_told(file, shown):
    assert _relative(file) == shown
