"""How records are linked, and what a head holds."""

from __future__ import annotations

import hashlib
import json

import pytest

from gateway.services.audit import chain
from gateway.services.audit.chain import ZERO, Head, Keys, forge, holds, is_chain, pack_head, parse, unpack_head

OLD, NEW = b"o" * 32, b"n" * 32
HEAD = Head(chain="c" * 16, seq=7, hash="a" * 64, file="2026-11-21.jsonl", size=4711)


def test_a_record_is_what_anybody_can_hash():
    line, digest = forge(7, ZERO, b'"kind":"request","x":1', Keys())
    told = json.loads(line)
    assert (told["seq"], told["prev"], told["kid"], told["x"], told["hash"]) == (7, ZERO, "", 1, digest)
    assert hashlib.sha256(line.rpartition(b',"hash":')[0]).hexdigest() == digest


def test_a_key_makes_another_hash_and_has_a_name_that_tells_nothing_of_it():
    plain, keyed = forge(1, ZERO, b'"a":1', Keys())[1], forge(1, ZERO, b'"a":1', Keys((OLD,)))[1]
    assert plain != keyed
    assert Keys((OLD,)).newest != Keys((NEW,)).newest
    assert len(Keys((OLD,)).newest) == 8
    assert not Keys()
    assert Keys((OLD,))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param(Keys((OLD,)), True, id="the key that signed"),
        pytest.param(Keys((NEW, OLD)), True, id="an old key still verifies"),
        pytest.param(Keys((NEW,)), None, id="another key cannot tell"),
        pytest.param(Keys(), None, id="no key cannot tell"),
    ],
)
def test_who_can_verify(keys: Keys, expected: bool | None):
    line = forge(1, ZERO, b'"a":1', Keys((OLD,)))[0][:-1]
    link = parse(line)
    assert link is not None
    assert holds(line, link, keys) is expected


def test_a_changed_line_does_not_hold():
    keys = Keys((OLD,))
    line = forge(1, ZERO, b'"actor":"alice"', keys)[0][:-1].replace(b"alice", b"mally")
    link = parse(line)
    assert link is not None
    assert holds(line, link, keys) is False


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="another object"),
        pytest.param(forge(1, ZERO, b'"a":1', Keys())[0], id="with its line break"),
        pytest.param(forge(1, ZERO, b'"a":1', Keys())[0][:-2], id="torn"),
        pytest.param(b" " + forge(1, ZERO, b'"a":1', Keys())[0][:-1], id="with a space in front"),
        pytest.param(forge(1, ZERO, b'"a":1', Keys())[0][:-1].replace(b'"seq":1', b'"seq":0'), id="no sequence"),
    ],
)
def test_what_is_no_record(line: bytes):
    assert parse(line) is None


def test_a_key_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="at least 16 bytes"):
        Keys((b"short",))


def test_the_chain_speaks_of_itself():
    for body, expected in ((b'"kind":"chain","a":1', True), (b'"kind":"request","b":"\\"kind\\":\\"chain\\""', False)):
        link = parse(forge(1, ZERO, body, Keys())[0][:-1])
        assert link is not None
        assert is_chain(link) is expected


@pytest.mark.parametrize("keys", [pytest.param(Keys(), id="plain"), pytest.param(Keys((OLD,)), id="keyed")])
def test_a_head_comes_back_and_any_changed_byte_is_seen(keys: Keys):
    data = pack_head(HEAD, keys)
    assert len(data) == chain.HEAD_SIZE
    found = unpack_head(data, keys)
    assert found is not None
    assert str(found) == f"7:{'a' * 64}"
    for index in range(len(data)):
        changed = bytearray(data)
        changed[index] ^= 1
        assert unpack_head(bytes(changed), keys) is None, index
    assert unpack_head(data + b" ", keys) is None
    assert unpack_head(data[:-1], keys) is None


def test_a_head_of_another_key_is_none():
    assert unpack_head(pack_head(HEAD, Keys((OLD,))), Keys((NEW,))) is None
    assert unpack_head(pack_head(HEAD, Keys((OLD,))), Keys((NEW, OLD))) is not None
