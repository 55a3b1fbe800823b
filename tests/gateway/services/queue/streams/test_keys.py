"""How topics, ids and keys belong together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from gateway.services.queue.streams.keys import digest, kept_key, lowest_id, subject_key, tag_of_id, tag_of_topic


@given(st.text(), st.integers(0, 2**53))
def test_an_id_leads_to_its_topics_tag(topic: str, stamp: int):
    tag = tag_of_topic(topic)
    id_ = lowest_id(stamp) + tag[6:-1].decode()
    assert tag_of_id(id_) == tag
    assert key_slot(tag) == key_slot(tag + b":i:" + id_.encode())


@pytest.mark.parametrize(
    "id_",
    [
        "",
        "0" * 25,
        "0" * 27,
        "0" * 25 + "g",
        "0" * 25 + "A",
        "0" * 26 + "\n",
        "00000000000000}:x{aaaaaaaa",
        "\u0660" * 26,
    ],
)
def test_what_is_no_id_leads_nowhere(id_: str):
    assert tag_of_id(id_) is None


@given(st.integers(0, 2**53), st.integers(0, 2**53))
def test_ids_sort_by_their_stamps(one: int, other: int):
    assert (lowest_id(one) < lowest_id(other)) is (one < other)


def test_a_stamp_below_zero_is_the_first():
    assert lowest_id(-5) == lowest_id(0)


def test_digests_are_of_the_text_and_as_long_as_asked_for():
    assert digest("a", 6) == digest("a", 6) != digest("b", 6)
    assert len(digest("\udcff", 20)) == 40
    assert kept_key("ab") == b"sg:{q/kept/ab}"
    assert subject_key("ab") == b"sg:{q/of/ab}"
