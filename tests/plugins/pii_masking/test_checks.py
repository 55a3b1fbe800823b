"""Check digits, over values made by other code than theirs."""

from __future__ import annotations

import random

import pytest

from bench.masking.composed import WORDS
from bench.masking.values import GOVERNMENT
from plugins.pii_masking.checks import mod_11_10, verhoeff
from plugins.pii_masking.government import Numbers


@pytest.mark.parametrize("name", GOVERNMENT)
def test_what_another_made_holds(name):
    rng, numbers = random.Random(name), Numbers((name[:2],))
    for _ in range(40):
        value = GOVERNMENT[name](rng)
        text = f"{WORDS[name]} {value}"
        assert numbers.find(text) == [(len(text) - len(value), len(text))]


@pytest.mark.parametrize(
    ("check", "right"),
    [pytest.param(verhoeff, "2363", id="Verhoeff"), pytest.param(mod_11_10, "33392005961", id="ISO 7064 MOD 11,10")],
)
def test_each_other_last_digit_is_wrong(check, right):
    assert [last for last in "0123456789" if check(right[:-1] + last)] == [right[-1]]
