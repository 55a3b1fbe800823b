"""What a field's name says of it."""

from __future__ import annotations

import pytest

from gateway.services.masking import is_secret
from gateway.services.masking.floor import WORDS
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


@pytest.mark.parametrize("word", WORDS)
def test_what_never_shows_without_masking_is_masked_with_it(word):
    assert is_secret(word)
    assert category_of(word) in {"credential", "card"}
