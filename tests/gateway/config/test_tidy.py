"""JSON Schema in the form that editors and the reference want."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.tidy import tidy


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"title": "Timeout", "type": "object"}, {"type": "object"}),
        ({"title": "duration", "default": 2.0}, {"title": "duration", "default": "2s"}),
        (
            {"anyOf": [{"title": "size"}, {"const": "off"}], "default": 1000},
            {"anyOf": [{"title": "size"}, {"const": "off"}], "default": "1KB"},
        ),
        ({"default": None, "gt": 0}, {}),
        ({"patternProperties": {"^a": {}}}, {"patternProperties": {"^a": {}}, "additionalProperties": False}),
        ({"properties": {"title": {"title": "Title"}}}, {"properties": {"title": {}}}),
    ],
)
def test_tidy(given: Any, expected: Any):
    assert tidy(given) == expected
