"""Entries of a list of plugins."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.config.entry import AnyEntry, Entry, PluginEntry, plugins_in
from gateway.plugin import Mode

ENTRY: TypeAdapter[Any] = TypeAdapter(Entry)


def test_settings_are_the_plugins_own():
    entry = ENTRY.validate_python({"plugin": "kinds:Guard", "with": {"limit": "5B"}})
    assert type(entry.settings).__name__ == "GuardSettings"
    assert entry.settings.limit == 5
    assert (entry.mode, entry.when, entry.name) == (Mode.ENFORCE, None, "kinds:Guard")


@pytest.mark.parametrize("given", [{}, {"with": None}, {"with": {}}])
def test_without_settings_the_defaults_serve(given: Any):
    assert ENTRY.validate_python({"plugin": "kinds:Guard", **given}).settings.limit == 10


def test_a_dump_has_the_settings_as_they_are():
    entry = ENTRY.validate_python({"plugin": "kinds:Guard", "with": {"inner": {"wait": "5m", "secrets": ["hunter2"]}}})
    dumped = entry.model_dump(mode="json", by_alias=True)
    assert dumped["with"]["inner"] == {"wait": "5m", "secrets": ["**********"]}


@pytest.mark.parametrize(
    ("written", "location", "kind"),
    [
        pytest.param(
            {"plugin": "kinds:Guard", "with": {"inner": {"wait": "x"}}},
            ("with", "inner", "wait"),
            "expected",
            id="deep within with",
        ),
        pytest.param(
            {"plugin": "nope", "with": {"x": 1}},
            ("plugin",),
            "unknown_plugin",
            id="no such plugin: its settings are not judged",
        ),
        pytest.param({"with": {}}, ("plugin",), "missing", id="no plugin"),
        pytest.param({"plugin": "kinds:Guard", "limit": 5}, ("limit",), "extra_forbidden", id="a setting beside with"),
        pytest.param({"plugin": "kinds:Guard", "mode": "on"}, ("mode",), "enum", id="a mode that is none"),
        pytest.param(
            {"plugin": "kinds:Guard", "when": {"path": "x"}},
            ("when", "path"),
            "string_pattern_mismatch",
            id="a path without a slash",
        ),
        pytest.param(
            {"plugin": "kinds:Guard", "when": {"methods": ["a b"]}},
            ("when", "methods", 0),
            "string_pattern_mismatch",
            id="no method",
        ),
        pytest.param({"any": []}, ("any",), "too_short", id="any of nothing"),
        pytest.param({"any": [{"any": []}]}, ("any", 0, "plugin"), "missing", id="any within any"),
        pytest.param("kinds:Guard", (), "expected", id="a name alone"),
    ],
)
def test_mistakes_have_their_place(written: Any, location: tuple[Any, ...], kind: str):
    with pytest.raises(ValidationError) as caught:
        ENTRY.validate_python(written)
    assert (location, kind) in {(error["loc"], error["type"]) for error in caught.value.errors()}


def test_every_plugin_of_a_list():
    listed = tuple(
        ENTRY.validate_python(one)
        for one in ({"plugin": "headers"}, {"any": [{"plugin": "kinds:Who"}, {"plugin": "kinds:Who", "id": "x"}]})
    )
    assert [entry.name for entry in plugins_in(listed)] == ["headers", "kinds:Who", "x"]
    assert (listed[1].name, AnyEntry(any=(PluginEntry(plugin="kinds:Who"),), id="y").name) == ("any", "y")
