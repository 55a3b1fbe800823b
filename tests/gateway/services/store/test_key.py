"""Names of keys."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.services.store.key import LONGEST, KeyPrefix, channel, escape

PREFIX = KeyPrefix("rate_limit", "orders")


@pytest.mark.parametrize(
    ("subject", "field", "expected"),
    [
        pytest.param("alice", "", b"sg:{rate_limit/orders/alice}", id="a subject alone"),
        pytest.param("alice", "tokens", b"sg:{rate_limit/orders/alice}:tokens", id="a field of a subject"),
        pytest.param(b"\xff", "", b"sg:{rate_limit/orders/\xff}", id="bytes that are no text"),
        pytest.param("2001:db8::1", "", b"sg:{rate_limit/orders/2001%3adb8%3a%3a1}", id="colons are escaped"),
        pytest.param("a}:b", "", b"sg:{rate_limit/orders/a%7d%3ab}", id="a brace cannot end the hashed part early"),
        pytest.param("", "", b"sg:{rate_limit/orders/}", id="an empty subject is one, too"),
    ],
)
def test_the_name(subject: str | bytes, field: str, expected: bytes):
    assert PREFIX.key(subject, field) == expected


def test_a_long_subject_becomes_its_digest():
    key = PREFIX.key("x" * 10_000)
    assert key.startswith(b"sg:{rate_limit/orders/~")
    assert len(key) < 100
    assert key != PREFIX.key("x" * 10_001)


def test_no_subject_can_pass_itself_off_as_a_digest():
    digest = PREFIX.key("x" * 500).removeprefix(b"sg:{rate_limit/orders/").removesuffix(b"}")
    assert PREFIX.key(digest) != PREFIX.key("x" * 500)


def test_a_channel_has_our_prefix():
    assert channel("purge") == b"sg:purge"


@settings(max_examples=200, deadline=None)
@given(
    st.tuples(st.binary(max_size=150), st.text(max_size=20)), st.tuples(st.binary(max_size=150), st.text(max_size=20))
)
def test_different_subjects_and_fields_never_share_a_key(one: tuple[bytes, str], other: tuple[bytes, str]):
    keys = PREFIX.key(*one), PREFIX.key(*other)
    assert (keys[0] == keys[1]) == (one == other)
    for key in keys:
        assert key.count(b"{") == key.count(b"}") == 1
        assert len(key) < 400


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2 * LONGEST))
def test_an_escaped_part_is_short_and_plain(part: bytes):
    assert len(escape(part)) <= LONGEST
    assert not set(escape(part)) & set(b"{}:/ \r\n")


def test_keys_begin_with_their_beginning_and_others_do_not():
    assert PREFIX.key("alice.1").startswith(PREFIX.beginning("alice."))
    assert PREFIX.key("alice.1", "f").startswith(PREFIX.beginning())
    assert not PREFIX.key("alicia.1").startswith(PREFIX.beginning("alice."))
