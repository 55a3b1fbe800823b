"""Where things stand in a text."""

from __future__ import annotations

import pytest

from plugins.pii_masking.find import addresses, cards, ibans, named, secrets, spoken
from plugins.pii_masking.names import category_of


def by_name(text):
    return [text[start:end] for start, end, *_ in named(text, lambda name, query: category_of(name, query=query))]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("password=a b", ["a"], id="a word"),
        pytest.param('password="a b" c', ["a b"], id="a quoted one"),
        pytest.param("Authorization: Bearer abc", ["abc"], id="the scheme stays"),
        pytest.param("authorization=Basic abc next", ["abc"], id="a scheme, and a word"),
        pytest.param("Cookie: a=b; c=d\nX: y", ["a=b; c=d"], id="a whole line"),
        pytest.param("?code=a&state=b", ["a", "b"], id="parameters that are secret in URLs only"),
        pytest.param("code=a", [], id="the same name elsewhere"),
        pytest.param("next=%2F%3Ftoken%3Dabc", ["abc"], id="percent-encoded"),
        pytest.param("https://token:abc@host/x", [], id="who a URL's password is of"),
        pytest.param("<ns:Password a='b'>abc</ns:Password>", ["abc"], id="an element"),
        pytest.param("password=null token=true", [], id="what says nothing"),
        pytest.param("token=[credential] x", [], id="what was masked"),
        pytest.param("token=[credential]/abc", ["[credential"], id="what only begins as if it were masked"),
        pytest.param("contrase\u00f1a=abc has\u0142o: def", ["abc", "def"], id="other languages"),
    ],
)
def test_by_name(text, found):
    assert by_name(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("curl -u ada:abc https://x", ["ada:abc"], id="a user and a password"),
        pytest.param("run --api-token abc --name x", ["abc"], id="a flag"),
        pytest.param("run --token --name x", [], id="a flag without a value"),
        pytest.param("mysqldump -h db -pabc shop", ["abc"], id="a password right behind its flag"),
        pytest.param("the password is abc123", ["abc123"], id="a sentence"),
        pytest.param("the password is required", [], id="a sentence without one"),
        pytest.param("ls -u file", [], id="another program's flag"),
    ],
)
def test_spoken(text, found):
    spans = spoken(text, lambda name, query: category_of(name, query=query))
    assert [text[start:end] for start, end, *_ in spans] == found


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("email: invalid", id="an e-mail that is none"),
        pytest.param("phone: missing", id="a number without digits"),
        pytest.param("authorization: denied by rule 17", id="a state"),
        pytest.param("session: started", id="another"),
    ],
)
def test_a_sentence_about_something_is_no_value_of_it(text):
    assert by_name(text) == []


@pytest.mark.parametrize(
    ("find", "text", "found"),
    [
        pytest.param(cards, "4111 1111 1111 1111 12", ["4111 1111 1111 1111"], id="a card beside a number"),
        pytest.param(cards, "4111111111111112", [], id="a card whose check digit is wrong"),
        pytest.param(
            ibans,
            "NO9386011117947 DE89370400440532013000",
            ["NO9386011117947", "DE89370400440532013000"],
            id="accounts",
        ),
        pytest.param(ibans, "AB12 DE89 3704 0044 0532 0130 00", ["DE89 3704 0044 0532 0130 00"], id="behind a word"),
        pytest.param(secrets, "the token 8x7Kq2LmN9pR4sT6vW1yZ3bC", ["8x7Kq2LmN9pR4sT6vW1yZ3bC"], id="close to a word"),
        pytest.param(secrets, "the thing 8x7Kq2LmN9pR4sT6vW1yZ3bC", [], id="close to none"),
        pytest.param(secrets, "token e83c5163316f89bfbde7d9ab23ca2e25604af290", [], id="a commit"),
        pytest.param(addresses, "from 203.0.113.9, 2001:db8::1", ["203.0.113.9", "2001:db8::1"], id="addresses"),
        pytest.param(addresses, "http://10.0.0.9/ Chrome/120.0.6099.1 a::b", [], id="a host, a version, a name"),
    ],
)
def test_by_shape(find, text, found):
    assert [text[start:end] for start, end in find(text)] == found
