"""Claims of a genuine token: until when they hold. What is refused is in the attack table of `test_jwt.py`."""

from __future__ import annotations

import pytest

from gateway.plugin.identity import Unacceptable
from gateway.services.jose.token import Token
from plugins.jwt.claims import check
from plugins.jwt.settings import Issuer

NOW = 1000.0
RULES = Issuer(issuer="https://id.test", audience="orders", discovery=True, leeway=10.0)


def judged(typ="jwt", **claims):
    return check(Token("RS256", None, typ, {"aud": "orders", "exp": NOW + 60, **claims}, b"", b""), RULES, NOW)


def test_a_token_holds_until_its_end_and_the_leeway():
    assert judged() == NOW + 70
    assert judged(typ="at+jwt", nbf=NOW + 10, iat=NOW) == NOW + 70


@pytest.mark.parametrize(
    ("claims", "expired"),
    [
        pytest.param({"exp": NOW - 10}, True, id="its time is over"),
        pytest.param({"nbf": NOW + 11}, False, id="its time has not come"),
        pytest.param({"aud": "billing"}, False, id="for somebody else"),
    ],
)
def test_only_the_end_of_its_time_is_the_senders_business(claims, expired):
    with pytest.raises(Unacceptable) as caught:
        judged(**claims)
    assert caught.value.expired is expired
