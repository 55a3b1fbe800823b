"""cache's settings: what cannot be meant is refused with its reason."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.testing import settings_of
from plugins.cache import Cache


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param({"max_object": "20MB"}, "a quarter", id="an object larger than a quarter"),
        pytest.param({"override": "all"}, "`ttl`", id="override without ttl"),
        pytest.param({"partition": "none", "authenticated": True}, "partition", id="authenticated without a partition"),
        pytest.param({"methods": ["PUT"]}, "GET", id="a method that changes something"),
        pytest.param({"statuses": [206]}, "206", id="parts"),
        pytest.param({"tiers": ["memory", "memory"]}, "once", id="a tier twice"),
        pytest.param({"seal": ["0123456789abcdef"]}, "shared", id="a key for nothing"),
        pytest.param({"tiers": ["shared"], "seal": ["short"]}, "16 bytes", id="a short key"),
        pytest.param({"ttl": {"2xx": "5m"}}, "by status", id="a class of statuses"),
        pytest.param({"key": {"query": {"only": ["a"], "ignore": ["b"]}}}, "not both", id="only and ignore"),
        pytest.param({"invalidate": [{"on": "POST", "purge": ["/a"]}]}, "method", id="invalidate without a path"),
        pytest.param({"invalidate": [{"on": "POST /a", "purge": ["a"]}]}, "path", id="invalidate of no path"),
        pytest.param({"invalidate": [{"on": "POST /a", "purge": ["/{x}"]}]}, "x", id="a parameter that is not there"),
    ],
)
def test_settings_that_cannot_be_meant(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings_of(Cache, settings)
    assert said in str(caught.value)


def test_the_defaults_are_the_standards_own():
    rules = settings_of(Cache, {}).rules()
    assert (rules.ttl, rules.negative_ttl, rules.stale_if_error, rules.stale_while_revalidate) == (None, 0.0, 0.0, 0.0)
    assert rules.targets == ("Sidegate-Cache-Control", "CDN-Cache-Control")
