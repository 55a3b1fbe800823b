"""Reading records back: filters, days, and a CSV that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from gateway.services.audit import Event, Kind, Result
from gateway.services.audit.reading import COLUMNS, Count, Filter, csv_head, csv_row, last_lines, read

DAY = 86400.0
NOON = 1_795_262_400.0


@pytest.fixture
def month(place: Any) -> Any:
    """Two days: alice reads on shop, bob is refused on bank, the token reloads."""
    events = [
        Event(Kind.REQUEST, "GET", "/orders/1", Result.SUCCESS, "alice", "shop", details={"tenant": "a"}, at=NOON),
        Event(Kind.REQUEST, "POST", "/bank/1", Result.REFUSED, "bob", "bank", details={"tenant": "b"}, at=NOON + 60),
        Event(Kind.ADMIN, "reload", "/reload", Result.SUCCESS, "token", at=NOON + DAY),
    ]
    ledger = place.ledger()
    for event in events:
        place.now = event.at
        ledger.append([place.writer(event)])
    return place


@pytest.mark.parametrize(
    ("wanted", "actors"),
    [
        pytest.param(Filter(kinds=frozenset({"request", "admin"})), ["alice", "bob", "token"], id="by kind"),
        pytest.param(Filter(results=frozenset({"refused"})), ["bob"], id="by result"),
        pytest.param(Filter(route="shop"), ["alice"], id="by route"),
        pytest.param(Filter(actors=frozenset({"alice", "bob"})), ["alice", "bob"], id="by principal"),
        pytest.param(Filter(tenant="b"), ["bob"], id="by tenant"),
        pytest.param(Filter(resource="/orders/"), ["alice"], id="by resource"),
        pytest.param(Filter(since="2026-11-22", kinds=frozenset({"admin"})), ["token"], id="from a day on"),
        pytest.param(Filter(until="2026-11-21T12:01:00", route="bank"), [], id="before a moment"),
        pytest.param(Filter(until="2026-11-21T12:01:01", route="bank"), ["bob"], id="and after it"),
        pytest.param(Filter(since="2027-01-01"), [], id="from the future"),
    ],
)
def test_which_records_are_wanted(month: Any, wanted: Filter, actors: list[str]):
    count = Count()
    found = [record["actor"] for _, record in read(month.folder, month.keys, wanted, count)]
    assert found == actors
    assert count.broken == 0


def test_lines_are_those_on_the_disk(month: Any):
    lines = [line + b"\n" for line, _ in read(month.folder, month.keys, Filter(), Count())]
    assert lines == [*month.lines(), *month.lines("2026-11-22")]


def test_only_files_that_can_hold_them_are_read(month: Any):
    count = Count()
    list(read(month.folder, month.keys, Filter(since="2026-11-24"), count))
    assert (count.total, count.bytes) == (0, 0)


def test_what_was_changed_is_given_and_counted(month: Any):
    month.rewrite([line.replace(b"alice", b"mally") for line in month.lines()])
    with month.file().open("ab") as file:
        file.write(b"[1]\nno json\n")
    count = Count()
    found = [record["actor"] for _, record in read(month.folder, month.keys, Filter(route="shop"), count)]
    assert (found, count.broken) == (["mally"], 3)


def test_the_newest(month: Any):
    every = last_lines(month.folder, month.keys, Filter(), 100)
    assert [record["seq"] for record in every] == [1, 2, 3, 4, 5]
    assert last_lines(month.folder, month.keys, Filter(), 3) == every[2:]
    assert last_lines(month.folder, month.keys, Filter(route="shop"), 3) == every[1:2]


def test_csv_has_a_column_for_each_and_the_rest_as_json():
    record = {"seq": 7, "actor": "a,b", "status": 200, "claims": {"sub": "x"}, "prev": "0", "kid": "k", "hash": "h"}
    head, row = csv.reader(io.StringIO(csv_head() + csv_row(record)))
    assert head == list(COLUMNS)
    told = dict(zip(head, row, strict=True))
    assert (told["seq"], told["actor"], told["status"], told["hash"], told["tenant"]) == ("7", "a,b", "200", "h", "")
    assert json.loads(told["more"]) == {"claims": {"sub": "x"}}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff20SUM"])
def test_no_spreadsheet_takes_a_text_for_a_formula(text: str):
    (row,) = csv.reader(io.StringIO(csv_row({"resource": text, "duration_ms": -1.5})))
    told = dict(zip(COLUMNS, row, strict=True))
    assert told["resource"] == f"'{text}"
    assert told["duration_ms"] == "-1.5"
