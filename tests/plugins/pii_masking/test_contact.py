"""Telephone numbers in a text."""

from __future__ import annotations

import pytest

from plugins.pii_masking.contact import phones


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("call +49 30 901820 now", ["+49 30 901820"]),
        ("0049 30 901820", ["0049 30 901820"]),
        ("(555) 223-4567", ["(555) 223-4567"]),
        ("1-555-223-4567", ["1-555-223-4567"]),
        ("tel 5552234567", ["5552234567"]),
        ("phone: 030/901820", ["030/901820"]),
        ("01 23 45 67 89", ["01 23 45 67 89"]),
        ("5552234567", []),
        ("055-123", []),
        ("01/02/2026", []),
        ("2026-11-21", []),
        ("1.2.3.4", []),
    ],
)
def test_phones(text, found):
    assert sorted({text[start:end] for start, end in phones(text)}) == found
