"""How items of the queue are chosen, and what of them is shown."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway.plugin.queued import (
    PARAMETERS,
    attempt_shown,
    item_exported,
    item_shown,
    request_shown,
    selection,
    selection_shown,
    tally_shown,
    when,
)
from gateway.services.masking import Masking
from gateway.services.queue import Attempt, Item, Query, State, Tally
from gateway.services.queue.message import VERSION, KeptRequest

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("given", "query"),
    [
        pytest.param({}, Query(), id="nothing means all"),
        pytest.param({"id": ["a", "b", "a"]}, Query(ids=("a", "b")), id="ids, each once"),
        pytest.param({"route": ["stripe"]}, Query(labels={"route": "stripe"}), id="a route is a label"),
        pytest.param(
            {"label": ["event=evt_1", "x=a=b"]},
            Query(labels={"event": "evt_1", "x": "a=b"}),
            id="labels, cut at the first =",
        ),
        pytest.param(
            {"state": ["dead", "done"]}, Query(states=frozenset({State.DEAD, State.DONE})), id="one of several states"
        ),
        pytest.param({"since": ["2h"]}, Query(since=NOW - 7200), id="an age"),
        pytest.param({"since": ["2027-01-15"]}, Query(since=1_799_971_200.0), id="a day begins in UTC"),
        pytest.param({"until": ["2027-01-15T10:00:00+02:00"]}, Query(until=1_800_000_000.0), id="a time with its zone"),
        pytest.param({"status": ["0"]}, Query(status=0), id="no answer at all"),
        pytest.param(
            {"status": ["503"], "error": ["x"]}, Query(status=503, error="x"), id="how the last attempt ended"
        ),
        pytest.param({"topic": ["inbox/"]}, Query(topic="inbox/"), id="topics that begin so"),
    ],
)
def test_what_is_meant(given: dict[str, list[str]], query: Query) -> None:
    assert selection(given, NOW) == query


@pytest.mark.parametrize(
    ("given", "word"),
    [
        pytest.param({"colour": ["red"]}, "colour", id="what there is not"),
        pytest.param({"state": ["alive"]}, "alive", id="no state"),
        pytest.param({"status": ["5xx"]}, "5xx", id="no status"),
        pytest.param({"status": ["99999"]}, "99999", id="a status of five digits"),
        pytest.param({"status": ["٥٠٣"]}, "٥٠٣", id="digits of another script"),
        pytest.param({"since": ["yesterday"]}, "yesterday", id="no time"),
        pytest.param({"since": ["2027-01-15T10:00:00"]}, "zone", id="a time without its zone"),
        pytest.param({"since": ["1800000000"]}, "1800000000", id="a bare number"),
        pytest.param({"label": ["event"]}, "NAME=VALUE", id="a label without a value"),
        pytest.param({"label": ["a=1", "a=2"]}, "one label", id="two values of one label"),
        pytest.param({"route": ["a"], "label": ["route=b"]}, "one route", id="two routes"),
        pytest.param({"route": ["a", "b"]}, "more than once", id="one that cannot be repeated"),
        pytest.param({"id": [str(n) for n in range(1001)]}, "1000", id="more ids than may be"),
    ],
)
def test_what_cannot_be_meant_is_told(given: dict[str, list[str]], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        selection(given, NOW)


def item(**other: Any) -> Item:
    made: dict[str, Any] = {
        "id": "01",
        "topic": "inbox/stripe/inbox",
        "labels": {"route": "stripe", "event": "evt_1"},
        "state": State.DEAD,
        "accepted": NOW,
        "due": NOW + 5,
        "attempts": 2,
        "round": 2,
        "replays": 0,
        "size": 7,
    }
    return Item(**{**made, **other})


def kept(**other: Any) -> KeptRequest:
    made: dict[str, Any] = {
        "method": "POST",
        "path": "/hooks",
        "query": "token=s3cr3t&page=2",
        "host": "shop.example",
        "scheme": "https",
        "fields": [(b"Content-Type", b"application/json"), (b"Authorization", b"Bearer s3cr3t"), (b"X-Odd", b"\xff")],
        "body": b'{"id": "evt_1", "password": "s3cr3t"}',
        "arrived": NOW,
        "id": "r1",
    }
    return KeptRequest(VERSION, **{**made, **other})


def test_an_item_in_json() -> None:
    last = Attempt(2, NOW, 0.1234, 503, "bad_gateway", "no answer", "a:1")
    shown = item_shown(item(last=last, order="customer-1"), Masking())
    assert json.loads(json.dumps(shown)) == {
        "id": "01",
        "topic": "inbox/stripe/inbox",
        "state": "dead",
        "accepted": "2027-01-15T08:00:00.000Z",
        "attempts": 2,
        "replays": 0,
        "bytes": 7,
        "labels": {"route": "stripe", "event": "evt_1"},
        "order": "customer-1",
        "last": {
            "number": 2,
            "began": "2027-01-15T08:00:00.000Z",
            "seconds": 0.123,
            "status": 503,
            "error": "bad_gateway",
            "detail": "no answer",
            "gateway": "a:1",
        },
    }


def test_only_what_waits_has_a_time_to_come() -> None:
    assert item_shown(item(state=State.READY), Masking())["due"] == "2027-01-15T08:00:05.000Z"
    assert "due" not in item_shown(item(state=State.DONE), Masking())
    assert when(0.0) == ""


def test_a_request_is_shown_without_its_secrets() -> None:
    shown = request_shown(item(payload=kept().pack()), Masking())
    assert shown is not None
    assert "s3cr3t" not in json.dumps(shown)
    assert shown["method"] == "POST"
    assert "page=2" in shown["target"]
    assert "evt_1" in shown["body"]
    assert ["Content-Type", "application/json"] in [list(pair) for pair in shown["fields"]]


@pytest.mark.parametrize(
    "payload",
    [pytest.param(None, id="not kept"), pytest.param(b"\xff\x00", id="no request"), pytest.param(b"", id="empty")],
)
def test_what_is_no_request_is_shown_as_none(payload: bytes | None) -> None:
    assert request_shown(item(payload=payload), Masking()) is None


def test_an_export_holds_what_came() -> None:
    exported = item_exported(item(payload=kept().pack()), [Attempt(1, NOW, 0.1, 500)], Masking())
    assert base64.b64decode(exported["request"]["body"]) == kept().body
    assert ("Authorization", "Bearer s3cr3t") in exported["request"]["fields"]
    assert ("X-Odd", "\\xff") in exported["request"]["fields"]
    assert exported["history"][0]["status"] == 500
    assert exported["payload"] is None
    opaque = item_exported(item(payload=b"\xff\x00"), [], Masking())
    assert (opaque["request"], base64.b64decode(opaque["payload"])) == (None, b"\xff\x00")


def test_an_attempts_detail_is_masked_again() -> None:
    masking = Masking([lambda line: dict.fromkeys(line, "[masked]")])
    assert attempt_shown(Attempt(1, NOW, 0.1, detail="alice@example.com"), masking)["detail"] == "[masked]"


def test_a_tally_in_json() -> None:
    assert tally_shown(Tally("t", ready=1, dead=2, size=3, oldest=NOW - 60), NOW)["oldest_seconds"] == 60.0
    assert tally_shown(Tally("t"), NOW)["oldest_seconds"] == 0.0


@pytest.mark.parametrize("name", [*PARAMETERS])
def test_a_parameter_without_a_value_means_nothing_rather_than_everything(name):
    with pytest.raises(ValueError, match=f"{name} is empty"):
        selection({name: [""]}, 0.0)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        pytest.param(Query(), {}, id="everything"),
        pytest.param(
            Query(topic="t/", states=frozenset({State.DONE, State.DEAD}), labels={"route": "r"}, status=0, since=1.8e9),
            {
                "topic": "t/",
                "states": ["dead", "done"],
                "labels": {"route": "r"},
                "status": 0,
                "since": "2027-01-15T08:00:00.000Z",
            },
            id="some, in one order whatever the set's",
        ),
        pytest.param(
            Query(ids=[str(n) for n in range(1000)]),
            {"ids": [str(n) for n in range(20)], "more_ids": 980},
            id="many by name",
        ),
    ],
)
def test_what_was_meant_as_it_is_recorded(query, shown):
    assert selection_shown(query) == shown
    assert json.loads(json.dumps(selection_shown(query))) == shown
