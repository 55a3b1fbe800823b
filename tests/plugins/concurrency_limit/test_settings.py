"""What can be written, and where a limit begins."""

import pytest
from pydantic import ValidationError

from gateway.testing import settings_of
from plugins.concurrency_limit import ConcurrencyLimit


@pytest.mark.parametrize(
    ("given", "first"),
    [
        pytest.param({"limit": 7}, 7, id="fixed"),
        pytest.param({"adaptive": {}}, 20, id="adaptive begins at 20"),
        pytest.param({"adaptive": {}, "limit": 50}, 50, id="or where it is told to"),
        pytest.param({"adaptive": {"max": 10}}, 10, id="within its bounds above"),
        pytest.param({"adaptive": {"min": 30}, "limit": 2}, 30, id="and below"),
    ],
)
def test_where_a_limit_begins(given, first):
    assert settings_of(ConcurrencyLimit, given).first == first


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({}, "expected `limit`, or `adaptive`", id="no limit at all"),
        pytest.param({"limit": 0}, "greater than or equal to 1", id="none may be under way"),
        pytest.param({"adaptive": {}, "key": "principal"}, "without `key`", id="latency is not a caller's"),
        pytest.param({"adaptive": {"min": 5, "max": 4}}, "`min` not above `max`", id="bounds the wrong way round"),
        pytest.param({"limit": 1, "key": "who"}, "expected one of client_ip", id="a key that does not exist"),
        pytest.param({"limit": 1, "priority": {"default": "gold"}}, "critical, normal, background", id="no such class"),
        pytest.param(
            {"limit": 1, "priority": {"rate_classes": {"gold": "best"}}},
            "critical, normal",
            id="a rate class without one",
        ),
        pytest.param({"limit": 1, "priority": {"classes": ["a", "a"], "default": "a"}}, "twice", id="a class twice"),
        pytest.param(
            {"limit": 1, "priority": {"reserve": "50%"}}, "leaves something", id="nothing left for the lowest"
        ),
        pytest.param({"limit": 1, "priority": {"header": "X Y"}}, "pattern", id="a header that is none"),
        pytest.param({"limit": 1, "queue": {"timeout": "6m"}}, "less than or equal to 300", id="a line without an end"),
    ],
)
def test_what_is_refused(given, words):
    with pytest.raises(ValidationError, match=words):
        settings_of(ConcurrencyLimit, given)


def test_a_reserve_that_rounds_to_nothing_is_a_warning():
    check = ConcurrencyLimit.check
    assert check(settings_of(ConcurrencyLimit, {"limit": 1, "priority": {}}))
    assert not check(settings_of(ConcurrencyLimit, {"limit": 10, "priority": {}}))
