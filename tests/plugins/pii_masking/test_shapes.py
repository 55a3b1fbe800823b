"""Keys by their shape."""

from __future__ import annotations

import random

import pytest

from bench.masking.values import KEYS, pem
from plugins.pii_masking.shapes import LITERALS, private_keys, shaped


@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_found_to_its_end(name):
    rng = random.Random(name)
    for _ in range(20):
        key = KEYS[name](rng)
        (start, end) = next(iter(shaped(f"key {key} used")))
        assert end == 4 + len(key)
        assert start in {4, 12}  # a webhook's begins with its host


@pytest.mark.parametrize("literal", LITERALS)
def test_what_only_begins_like_one_is_none(literal):
    assert list(shaped(f"{literal} is how they begin")) == []


@pytest.mark.parametrize(
    ("text", "left"),
    [
        pytest.param("{pem} and more", " and more", id="what follows stays"),
        pytest.param("a {pem}\n{pem} b", "a \n b", id="two of them"),
        pytest.param("{cut}", "", id="one that was cut"),
        pytest.param("-----BEGIN PUBLIC KEY-----", "-----BEGIN PUBLIC KEY-----", id="a public key"),
    ],
)
def test_private_keys(text, left):
    key = pem(random.Random(1))
    given = text.replace("{pem}", key).replace("{cut}", key[:150])
    for start, end in reversed(list(private_keys(given))):
        given = given[:start] + given[end:]
    assert given == left
