"""What never shows, whatever is configured."""

from __future__ import annotations

import pytest

from gateway.services.masking import REPLACED, Masking, is_secret

FIELDS = [
    ("Authorization", "Bearer abc.def.ghi"),
    ("Proxy-Authorization", "Basic YTpi"),
    ("Cookie", "sid=abc; theme=dark"),
    ("Set-Cookie", "sid=abc; HttpOnly"),
    ("X-Api-Key", "k-123"),
    ("X-Goog-Api-Key", "k-123"),
    ("X-Amz-Security-Token", "tok"),
    ("X-CSRF-Token", "tok"),
    ("X-Hub-Signature-256", "sha256=abc"),
    ("Stripe-Signature", "t=1,v1=abc"),
]


@pytest.mark.parametrize("pair", FIELDS, ids=[name for name, _ in FIELDS])
def test_header_fields_that_open_doors_never_show(pair):
    kept = ("Content-Type", "application/json")
    shown = Masking().fields([kept, pair, pair])
    assert shown in ([kept, (pair[0], REPLACED), (pair[0], REPLACED)], [kept])


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        pytest.param("password", True, id="a password"),
        pytest.param("newPassword", True, id="camel case"),
        pytest.param("user[password]", True, id="a field of a form's object"),
        pytest.param("DB_PASSWORD", True, id="an environment variable"),
        pytest.param("X-Api-Key", True, id="a header field"),
        pytest.param("http.request.header.authorization", True, id="an attribute of a span"),
        pytest.param("refresh_token", True, id="a token"),
        pytest.param("cvv2", True, id="a card's check number"),
        pytest.param("keyboard", False, id="a word that begins alike"),
        pytest.param("author", False, id="an author is no authorization"),
        pytest.param("idempotency_key", False, id="a key that opens nothing"),
        pytest.param("order_id", False, id="an order's number"),
        pytest.param("", False, id="no name"),
    ],
)
def test_names(name, secret):
    assert is_secret(name) is secret


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("redis://:hunter2@db:6379/0", "redis://[secret]@db:6379/0", id="a URL with a password"),
        pytest.param("Cookie: a=b; c=d\nHost: x", "Cookie: [secret]\nHost: x", id="a line of a header"),
        pytest.param("token: 'it''s'", "token: '[secret]''s'", id="a quoted value"),
        pytest.param("status=200 path=/a", "status=200 path=/a", id="what is no secret"),
        pytest.param("Authorization: Basic YTpi, next", "Authorization: [secret]", id="a scheme and what follows"),
    ],
)
def test_texts(text, shown):
    assert Masking().text(text) == shown


def test_what_is_nested_deeper_than_anybody_looks_does_not_show():
    value = "hunter2"
    for _ in range(40):
        value = [value]
    assert "hunter2" not in str(Masking().value("a", value))
