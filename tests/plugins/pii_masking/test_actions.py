"""What stands in a line instead."""

from __future__ import annotations

import re

import pytest

from gateway.plugin import Context
from gateway.testing import ports, settings_of
from plugins.pii_masking import PiiMasking


def masks(**given_settings):
    context = Context(ports(), route="r", plugin="pii_masking", id="p")
    return PiiMasking(settings_of(PiiMasking, given_settings), context).log_processor()


@pytest.mark.parametrize(
    ("action", "text", "masked"),
    [
        ("drop", "to ada@shop.example now", "to  now"),
        ("replace", "to ada@shop.example now", "to [email] now"),
        ("partial", "to ada@shop.example now", "to a***@shop.example now"),
        ("truncate", "to ada@shop.example now", "to ada@**** now"),
        ("keep", "to ada@shop.example now", "to ada@shop.example now"),
    ],
)
def test_actions(action, text, masked):
    assert masks(actions={"email": action}).text(text) == masked


def test_the_same_value_has_the_same_token_under_one_key():
    one, other = (masks(actions={"email": "hash", "phone": "hash"}, key=key * 16) for key in "ab")
    token = one.text("ada@shop.example")
    assert re.fullmatch(r"<email:[a-p]{16}>", token)
    assert one.text("Ada@Shop.example") == token != other.text("ada@shop.example")
    assert one.text("+49 30 901820") == one.text("+4930901820")
