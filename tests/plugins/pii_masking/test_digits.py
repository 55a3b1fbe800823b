"""Check digits, with numbers that their issuers publish."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.pii_masking.digits import is_card, is_iban, luhn


@pytest.mark.parametrize(
    ("number", "holds"),
    [
        pytest.param("4111111111111111", True, id="Visa"),
        pytest.param("5555555555554444", True, id="Mastercard"),
        pytest.param("2223003122003222", True, id="Mastercard of the second range"),
        pytest.param("378282246310005", True, id="American Express"),
        pytest.param("6011111111111117", True, id="Discover"),
        pytest.param("3530111333300000", True, id="JCB"),
        pytest.param("30569309025904", True, id="Diners"),
        pytest.param("4111111111111112", False, id="a wrong check digit"),
        pytest.param("1732197917123", False, id="milliseconds"),
        pytest.param("0000000000000000", False, id="zeros"),
    ],
)
def test_cards(number, holds):
    assert is_card(number) is holds


@given(st.text("0123456789", min_size=12, max_size=18))
def test_one_check_digit_in_ten_holds(body):
    assert sum(luhn(body + check) for check in "0123456789") == 1


@pytest.mark.parametrize("number", ["DE89370400440532013000", "GB82WEST12345698765432", "NO9386011117947"])
def test_accounts(number):
    assert is_iban(number)
    assert not is_iban(number[:-1] + str((int(number[-1]) + 1) % 10))
