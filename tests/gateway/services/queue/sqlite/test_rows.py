from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.services.queue.sqlite.rows import (
    Names,
    accepted_of,
    decode,
    first_seq,
    info_of,
    micros,
    seconds_of,
    writable,
)

NAMES = Names(b"s" * 32, ())
SEQS = st.integers(0, (1 << 62) - 1)


@given(SEQS, SEQS)
def test_an_id_tells_its_number_and_sorts_as_it(one: int, other: int):
    assert NAMES.seq(NAMES.id(one)) == one
    assert (NAMES.id(one) < NAMES.id(other)) == (one < other)


@given(SEQS, st.integers(0, 31), st.sampled_from("0123456789abcdef"))
def test_a_changed_id_is_nobodys(seq: int, place: int, digit: str):
    id = NAMES.id(seq)  # noqa: A001
    changed = id[:place] + digit + id[place + 1 :]
    assert (NAMES.seq(changed) is None) == (changed != id)


def test_two_queues_share_no_id():
    other = Names(b"o" * 32, ())
    assert other.id(17) != NAMES.id(17)
    assert other.seq(NAMES.id(17)) is None


@given(st.integers(0, 4_000_000_000_000).map(lambda n: n / 1000))
def test_a_moment_bounds_the_numbers_of_what_is_accepted_then(moment: float):
    seq = first_seq(moment)
    assert accepted_of(seq) == moment
    assert accepted_of(seq - 1) < moment


def test_a_moment_within_a_millisecond_is_after_what_was_accepted_in_it():
    assert first_seq(1.0004) == first_seq(1.001)


@given(st.floats(0, 4e9))
def test_times_are_kept_to_the_microsecond(moment: float):
    assert abs(seconds_of(micros(moment)) - moment) < 1e-6
    assert micros(seconds_of(micros(moment))) == micros(moment)


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_topic_and_text_do_not_run_into_each_other(one: tuple[str, str], other: tuple[str, str]):
    assert (NAMES.dedup(*one) == NAMES.dedup(*other)) == (one == other)


@pytest.mark.parametrize("digest", [NAMES.order("a", "b"), *NAMES.dedup("a", "b"), NAMES.subject("a")])
def test_digests_fit_an_integer_of_sqlite(digest: int):
    assert 0 <= digest < 1 << 63


def test_a_subject_is_stored_under_the_newest_key_and_found_under_all():
    names = Names(b"s" * 32, (b"new" * 8, b"old" * 8))
    assert names.subject("ada") == names.subjects("ada")[0]
    assert Names(b"s" * 32, (b"old" * 8,)).subject("ada") in names.subjects("ada")
    assert NAMES.subject("ada") in names.subjects("ada")
    assert Names(b"x" * 32, (b"new" * 8,)).subject("ada") == names.subject("ada")  # the key decides, not the file


def test_a_lone_surrogate_does_not_keep_an_item_out():
    assert decode(info_of({"path": "/\udcff"}, "k\udcff")) == {"labels": {"path": "/?"}, "order": "k?"}


def test_writable_text_has_no_nul():
    assert writable("a\0b\udcff") == "a\ufffdb?"
