"""What is refused at load, and which limits are said never to bind."""

import pytest
from pydantic import ValidationError

from gateway.testing import settings_of
from plugins.rate_limit import RateLimit
from plugins.rate_limit.settings import Exempt, Limit, idle

MINUTE = {"rate": 100, "period": "60s"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({}, "`limits`, or `plans` with `default`", id="no limit"),
        pytest.param({"plans": {"gold": [MINUTE]}}, "`limits`, or `plans`", id="no limit for those without a class"),
        pytest.param({"limits": [MINUTE], "plans": {"default": []}}, "not both", id="two defaults"),
        pytest.param({"limits": [{**MINUTE, "rate": 0}]}, "greater than or equal to 1", id="nothing in a minute"),
        pytest.param({"limits": [{**MINUTE, "rate": True}]}, "whole number", id="a switch is no rate"),
        pytest.param({"limits": [{**MINUTE, "period": "0s"}]}, "greater than or equal", id="in no time"),
        pytest.param({"limits": [{**MINUTE, "period": 60}]}, "with its unit", id="a period without a unit"),
        pytest.param({"limits": [{**MINUTE, "algorithm": "token"}]}, "gcra", id="an algorithm nobody knows"),
        pytest.param(
            {"limits": [{**MINUTE, "burst": 200, "algorithm": "fixed_window"}]}, "gcra` only", id="a window's burst"
        ),
        pytest.param({"limits": [{**MINUTE, "burst": 3}], "cost": 4}, "could ever pass", id="costs more than fits"),
        pytest.param({"limits": [MINUTE], "cost": {"POST": 101}}, "could ever pass", id="one method costs too much"),
        pytest.param({"limits": [MINUTE], "cost": {"post": 2}}, "upper case", id="a method in lower case"),
        pytest.param({"limits": [MINUTE], "key": "ip"}, "client_ip", id="a key nobody knows"),
        pytest.param({"limits": [MINUTE], "key": "{nobody}"}, "placeholders", id="a placeholder nobody knows"),
        pytest.param({"limits": [MINUTE], "exempt": {"clients": ["10.0.0.1/8"]}}, "host bits", id="host bits"),
        pytest.param({"limits": [MINUTE] * 9}, "at most 8", id="nine limits"),
        pytest.param(
            {"limits": [{"rate": 999_999_937, "period": "3650d"}]}, "counted exactly", id="beyond exact numbers"
        ),
    ],
)
def test_refused(settings, words):
    with pytest.raises(ValidationError) as caught:
        settings_of(RateLimit, settings)
    assert words in str(caught.value)


def limit(rate, period, burst=None, algorithm="gcra"):
    return Limit(rate=rate, period=period, burst=burst, algorithm=algorithm)


@pytest.mark.parametrize(
    ("limits", "never"),
    [
        pytest.param([limit(100, 60, 200)], [], id="one"),
        pytest.param([limit(100, 60, 200), limit(1000, 3600)], [], id="a minute's burst and an hour's total"),
        pytest.param([limit(10, 1), limit(1000, 60)], [1], id="ten a second are never a thousand a minute"),
        pytest.param([limit(1000, 60), limit(10, 1)], [0], id="in whatever order"),
        pytest.param([limit(100, 60), limit(100, 60)], [1], id="of two alike the second"),
        pytest.param([limit(100, 60, 200), limit(50, 60, 500)], [], id="smaller bursts and a smaller rate"),
        pytest.param([limit(10, 1, None, "fixed_window"), limit(600, 60, None, "fixed_window")], [1], id="windows"),
        pytest.param([limit(10, 1, None, "fixed_window"), limit(599, 60, None, "fixed_window")], [], id="one less"),
        pytest.param([limit(10, 7, None, "fixed_window"), limit(90, 60, None, "fixed_window")], [], id="not aligned"),
        pytest.param([limit(9, 60, None, "sliding_window"), limit(9, 60, None, "sliding_window")], [1], id="slides"),
        pytest.param([limit(10, 1), limit(620, 60, None, "fixed_window")], [1], id="a bucket below a window"),
        pytest.param([limit(10, 1), limit(609, 60, None, "fixed_window")], [], id="a bucket's burst fills a window"),
        pytest.param([limit(10, 1, None, "fixed_window"), limit(600, 60, 19)], [], id="two windows meet at an edge"),
        pytest.param([limit(10, 1, None, "fixed_window"), limit(600, 60, 20)], [1], id="and fit the bucket"),
    ],
)
def test_limits_that_can_never_bind(limits, never):
    assert [limits.index(each) if limits.count(each) == 1 else 1 for each, _ in idle(limits)] == never


def test_check_says_so_in_words():
    slow, fast = {"rate": 1000, "period": "60s"}, {"rate": 10, "period": "1s"}
    given = {"plans": {"default": [MINUTE], "gold": [slow, fast]}, "headers": False, "legacy_headers": True}
    first, second = RateLimit.check(settings_of(RateLimit, given))
    assert first == "plans.gold: 1000-per-1m can never bind: whatever 10-per-1s lets through fits it"
    assert second.startswith("legacy_headers")
    assert RateLimit.check(settings_of(RateLimit, {"limits": [MINUTE]})) == []


@pytest.mark.parametrize(
    ("address", "holds"),
    [
        pytest.param("10.1.2.3", True, id="within"),
        pytest.param("11.1.2.3", False, id="without"),
        pytest.param("::ffff:10.1.2.3", True, id="IPv4 in IPv6"),
        pytest.param("fd00::1", True, id="IPv6"),
        pytest.param("", False, id="a unix socket has no address"),
    ],
)
def test_exempt_networks(address, holds):
    assert Exempt.model_validate({"clients": ["10.0.0.0/8", "fd00::/8"]}).holds(address) is holds
