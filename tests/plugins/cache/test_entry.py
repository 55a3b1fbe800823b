"""A stored answer, and its way to another process and back."""

from __future__ import annotations

import pytest

from gateway.http import Response
from plugins.cache.entry import Entry, Place, Since, fields_of_lines, pack, revive, stored_lines, unpack
from plugins.cache.freshness import Terms

TERMS = Terms(60.0, 5.0, False, False, 10.0, 20.0, 30.0, True)


def entry(terms: Terms = TERMS) -> Entry:
    lines = [b'ETag: "a"', b"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", b"X: \xc3\xbc", b'Cache-Groups: "g"']
    made = Entry(Place("key", "a.test/x", ("foo",), "=1"), 203, b"Fine", lines, b"body", Since(3, 7))
    made.delay = 0.5
    made.hold(terms, 1000.0, 5000.0, 1.0)
    return made


def test_until_when_it_may_be_used():
    made = entry()
    assert (made.born, made.fresh_until, made.stale_until) == (995.0, 1055.0, 1065.0)
    assert (made.error_until, made.disconnected_until, made.usable_until()) == (1075.0, 1085.0, 1085.0)
    assert made.early == 1050.0, "ten times what the fetch took"


@pytest.mark.parametrize(
    "terms",
    [
        pytest.param(Terms(60.0, 0.0, False, True, 10.0, 20.0, 30.0, True), id="strict"),
        pytest.param(Terms(60.0, 0.0, True, True, 10.0, 20.0, 30.0, True), id="to be validated"),
    ],
)
def test_what_is_strict_is_never_used_stale(terms: Terms):
    made = entry(terms)
    assert max(made.stale_until, made.error_until, made.disconnected_until) < 0
    assert (made.fresh_until < 0) is terms.validate


def test_a_soft_purge_ends_its_freshness_and_begins_its_staleness():
    made = entry()
    made.soften(1010.0)
    assert (made.fresh_until, made.early, made.stale_until) == (1010.0, 1010.0, 1020.0)
    made.soften(1100.0)
    assert made.fresh_until == 1010.0, "what is stale is not made fresh"


def test_there_and_back():
    made = entry()
    back = revive(unpack(pack(made, made.body, 0)), b"body", 2000.0, 5040.0, 1.0)
    assert back.fresh_until - 2000.0 == made.fresh_until - 1040.0, "40 seconds have passed on the wall's clock"
    for name in ("key", "url", "slot", "status", "reason", "lines", "body", "etag", "modified", "groups", "fleet"):
        assert getattr(back, name) == getattr(made, name), name


def test_a_clock_that_runs_behind_makes_nothing_younger_than_it_was():
    made = entry()
    back = revive(unpack(pack(made, b"", 0)), b"", 2000.0, 4000.0, 1.0)
    assert back.fresh_until <= 2000.0 + TERMS.lifetime - TERMS.age


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x90", b"\xff" * 50])
def test_what_is_no_packed_answer_is_refused(data: bytes):
    with pytest.raises(ValueError):
        unpack(data)


def test_what_is_kept_of_the_fields():
    fields = [(b"Age", b"7"), (b"X", b"1"), (b"TE", b"x"), (b"Proxy-Authenticate", b"x"), (b"Mine", b"x")]
    lines = stored_lines(Response(200, fields=fields), frozenset({"mine"}), 784111777.0)
    assert lines == [b"X: 1", b"Date: Sun, 06 Nov 1994 08:49:37 GMT"]
    assert fields_of_lines(lines)["x"] == "1"
