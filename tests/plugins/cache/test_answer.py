"""Answers made of stored ones."""

from __future__ import annotations

from gateway.testing import request
from plugins.cache.answer import hit, own_taken_out, stored
from plugins.cache.asked import RANGE
from plugins.cache.entry import Entry, Place, Since
from plugins.cache.freshness import Terms


def entry() -> Entry:
    made = Entry(Place("k", "k"), 200, b"OK", [b"Content-Type: a/b", b"Date: x"], b"0123456789", Since(0, 0))
    made.hold(Terms(60.0, 0.0, False, False, 0.0, 0.0, 0.0, True), 1000.0, 0.0, 1.0)
    return made


def test_a_head_is_made_once_a_second():
    one = entry()
    first, second, later = hit(one, 1000.1), hit(one, 1000.9), hit(one, 1001.0)
    assert first.lines is second.lines
    assert later.lines == [*one.lines, b"Age: 1", b"Cache-Status: sidegate; hit; ttl=59"]
    assert later.dated


def test_a_plugin_that_edits_a_hit_changes_no_other():
    one = entry()
    hit(one, 1000.0).edit_headers()["X"] = "1"
    assert "X" not in hit(one, 1000.0).headers


def test_two_parts():
    asked = request(headers={"Range": "bytes=0-1, -1"})
    answer = stored(entry(), asked, RANGE, 1000.0, b"")
    assert answer.status == 206
    assert answer.headers["Content-Type"].startswith("multipart/byteranges; boundary=")
    assert b"Content-Range: bytes 9-9/10\r\n\r\n9\r\n" in answer.body.whole
    assert answer.headers.getall("Content-Type") == [answer.headers["Content-Type"]]


def test_what_only_we_are_told_is_taken_out():
    lines = [b"A: 1", b"SIDEGATE-cache-control: x", b"Sidegate-Cache-Control-Not: y"]
    assert own_taken_out(lines, frozenset({"sidegate-cache-control"})) == [lines[0], lines[2]]
    untouched = [b"A: 1"]
    assert own_taken_out(untouched, frozenset({"sidegate-cache-control"})) is untouched
