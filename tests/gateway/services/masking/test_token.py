"""The keyed token: joinable by who writes it, of no use to who reads it."""

from __future__ import annotations

import re

import pytest

from gateway.services.masking import token_of

KEY = b"0123456789abcdef"


def hidden(category, value, key=KEY):
    return re.fullmatch(r"<(\w+):([a-p]{16})>", token_of(key, category, value))[2]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(("email", "Ada@Shop.example"), ("email", "ada@shop.example"), id="letter case of e-mail"),
        pytest.param(("email", "ada%40shop.example"), ("email", "ada@shop.example"), id="an e-mail in a URL"),
        pytest.param(("phone", "+49 (30) 123-456"), ("phone", "4930123456"), id="signs in a phone number"),
        pytest.param(("iban", "de89 3704 0044"), ("iban", "DE8937040044"), id="groups of an IBAN"),
        pytest.param(("credential", "abc"), ("secret", "abc"), id="found by name here and by shape there"),
    ],
)
def test_spelled_otherwise_it_is_the_same(one, other):
    assert hidden(*one) == hidden(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(("secret", "abc"), ("secret", "ABC"), id="letter case of secrets counts"),
        pytest.param(("secret", "abc"), ("secret", "abd"), id="another value"),
        pytest.param(("secret", "abc"), ("secret", "abc", b"another key of 16"), id="another key"),
    ],
)
def test_what_differs(one, other):
    assert hidden(*one) != hidden(*other)


def test_bytes_that_were_no_utf8_have_one_too():
    assert hidden("secret", "a\udcff") == hidden("secret", "a?")
