"""What an event looks like as a record, and that none is ever refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.services.audit import Event, Kind, Result, Writer, timestamp
from gateway.services.audit.event import LARGEST
from gateway.services.masking import Masking


def record(event: Event, masking: Masking | None = None, key: bytes = b"") -> dict[str, Any]:
    body = Writer("gw-1", masking or Masking(), key)(event)
    assert b"\n" not in body
    told: dict[str, Any] = json.loads(b"{" + body + b"}")
    return told


def made(**more: Any) -> Event:
    given: dict[str, Any] = {"actor": "alice", "at": 1_795_262_400.25, **more}
    return Event(Kind.REQUEST, "GET", "/a", Result.SUCCESS, **given)


def test_who_did_what_to_what_and_when():
    told = record(made(route="shop", facts={"status": 200}, details={"client": "10.0.0.1"}))
    assert told == {
        "kind": "request",
        "ts": "2026-11-21T12:00:00.250Z",
        "instance": "gw-1",
        "actor": "alice",
        "action": "GET",
        "resource": "/a",
        "result": "success",
        "route": "shop",
        "status": 200,
        "client": "10.0.0.1",
    }


def test_the_route_says_what_is_masked():
    def shout(line: dict[str, Any]) -> dict[str, Any]:
        return dict.fromkeys(line, "***")

    masking = Masking((shout,), {"open": ()})
    assert record(made(route="open"), masking)["actor"] == "alice"
    closed = record(made(route="closed", facts={"status": 200}, details={"client": "10.0.0.1"}), masking)
    assert (closed["actor"], closed["resource"], closed["client"], closed["status"]) == ("***", "***", "***", 200)


def test_secrets_by_name_are_not_there_even_without_any_plugin():
    told = record(made(details={"headers": {"X-Api-Key": "k3y-0123456789"}, "query": {"password": "pw-012345"}}))
    assert "k3y" not in json.dumps(told)
    assert "pw-" not in json.dumps(told)


def test_an_identity_key_makes_tokens_that_join_and_that_no_other_key_makes():
    key, other = b"i" * 16, b"o" * 16
    first, again = record(made(), key=key)["actor"], record(made(), key=key)["actor"]
    assert first == again != record(made(), key=other)["actor"]
    assert "alice" not in first
    assert record(made(actor=""), key=key)["actor"] == ""
    admin = Event(Kind.ADMIN, "reload", "/reload", Result.SUCCESS, "token", at=0)
    assert record(admin, key=key)["actor"] == "token"


@pytest.mark.parametrize(
    ("event", "actor"),
    [
        pytest.param(made(actor="é\udcff\n\"'"), "é?\n\"'", id="signs that JSON cannot hold"),
        pytest.param(made(actor="a" * 5000), "a" * 2048, id="a very long name"),
        pytest.param(made(details={"claims": {"x": object()}}), "alice", id="what JSON does not know"),
    ],
)
def test_odd_texts(event: Event, actor: str):
    assert record(event)["actor"] == actor


def test_details_say_nothing_in_the_place_of_the_record():
    told = record(made(details={"kind": "admin", "hash": "0", "actor": "mally", "x": 1}))
    assert (told["kind"], told["actor"], told["of_actor"], told["x"]) == ("request", "alice", "mally", 1)
    assert "hash" not in told


def test_what_is_too_large_loses_its_details():
    told = record(made(details={f"h{number}": "x" * 2000 for number in range(20)}))
    assert told["cut"] > LARGEST
    assert "h0" not in told


def test_what_cannot_be_told_whole_is_told_in_short():
    class Rude:
        def __str__(self) -> str:
            raise RuntimeError

    event = made(facts={"status": Rude()})
    told = record(event)
    assert (told["kind"], told["result"]) == ("request", "success")
    assert "unreadable" in told


def test_masking_that_fails_withholds():
    def broken(_line: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError

    told = record(made(route="r"), Masking((broken,)))
    assert "alice" not in json.dumps(told)
    assert told["result"] == "success"


def test_times_are_rfc_3339():
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1_795_262_400.9999) == "2026-11-21T12:00:00.999Z"
