"""What there is to plug in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway import registry
from gateway.cli import main
from gateway.cli.plugins import _settings
from gateway.plugin.settings import keys_of


def test_all_are_listed(capsys: Any):
    assert main(["plugins"]) == 0
    out = capsys.readouterr().out
    first_words = {line.split()[0] for line in out.splitlines() if line[:1].strip()}
    assert first_words == set(registry.names())


def test_all_are_listed_for_scripts(capsys: Any):
    assert main(["plugins", "--json"]) == 0
    told = {plugin["name"]: plugin for plugin in json.loads(capsys.readouterr().out)}
    assert set(told) == set(registry.names())
    assert told["size_limit"]["refuses"] is True
    assert told["respond"]["answers"] is True


def test_one_with_its_settings(capsys: Any):
    assert main(["plugins", "size_limit"]) == 0
    out = capsys.readouterr().out
    assert 'json  size, default "100KB"\n' in out
    assert "can refuse     yes" in out
    for key in keys_of(registry.find("size_limit").settings_type):
        assert f"\n  {key}  " in out


@pytest.mark.parametrize("name", registry.bundled())
def test_each_can_be_shown(name: str, capsys: Any):
    assert main(["plugins", name]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{name}: ")
    assert main(["plugins", name, "--json"]) == 0
    for key in json.loads(capsys.readouterr().out)["settings"].get("properties", {}):
        assert f"\n  {key}  " in shown


@pytest.mark.parametrize(
    ("name", "told"),
    [
        pytest.param("size_limits", "did you mean 'size_limit'?", id="nearly"),
        pytest.param("xyzzy", "no plugin is called 'xyzzy'\n", id="not at all"),
        pytest.param("json:JSONDecoder", "json has no plugin class JSONDecoder", id="a class that is no plugin"),
    ],
)
def test_one_that_is_not_there(name: str, told: str, capsys: Any):
    assert main(["plugins", name]) == 1
    assert told in capsys.readouterr().err


def test_settings_within_settings_end_somewhere():
    """A tree, as of conditions that hold conditions."""
    node = {"properties": {"inner": {"$ref": "#/$defs/node", "description": "More of it."}}}
    lines = list(_settings(node, {"node": node}, "", 3))
    assert [line.strip() for line in lines].count("More of it.") == 4
