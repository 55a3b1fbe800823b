"""Commands as bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.connection import Connection

from gateway.services.store.wire import Arg, encode, pack, pack_evalsha

WORDS = st.one_of(st.binary(), st.text(), st.integers(), st.floats(allow_nan=False, allow_infinity=False))


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, max_size=6))
def test_a_command_is_packed_as_redis_py_packs_it(words: list[Arg]):
    assert pack(b"SET", *words) == b"".join(Connection().pack_command(b"SET", *words))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(), min_size=1, max_size=3), st.lists(WORDS, max_size=4))
def test_the_short_way_for_scripts_says_the_same(keys: list[bytes], args: list[Arg]):
    sha = b"0" * 40
    assert pack_evalsha(sha, keys, args) == pack(b"EVALSHA", sha, len(keys), *keys, *args)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        pytest.param(True, b"1", id="true is one"),
        pytest.param(1e22, b"1e+22", id="a large float"),
        pytest.param(0.1, b"0.1", id="a float in full"),
        pytest.param("é", b"\xc3\xa9", id="text is UTF-8"),
    ],
)
def test_a_word(word: Arg, expected: bytes):
    assert encode(word) == expected
