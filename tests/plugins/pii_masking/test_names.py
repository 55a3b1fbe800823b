"""What a field's name says of it."""

from __future__ import annotations

import pytest

from plugins.pii_masking.names import category_of


@pytest.mark.parametrize(
    ("name", "category"),
    [
        *((name, "credential") for name in ("Authorization", "Set-Cookie", "user[password]", "stripeSecretKey", "cvv")),
        *(
            (name, "credential")
            for name in ("X-Auth-Token", "refresh_token", "client-secret", "JSESSIONID", "X-Api-Key")
        ),
        *((name, "email") for name in ("e-mail", "emailAddress")),
        *(
            (name, None)
            for name in ("code", "token_type", "max_tokens", "path", "page_token", "author", "key", "status")
        ),
        ("cardNumber", "card"),
        ("date_of_birth", "personal"),
        ("SSN", "government_id"),
        ("phone", "phone"),
    ],
)
def test_names(name, category):
    assert category_of(name) == category


def test_a_code_is_a_credential_in_a_query():
    assert category_of("code", query=True) == "credential"
