"""The version, for people and scripts."""

from __future__ import annotations

import json
from importlib import metadata
from typing import Any

import pytest

from gateway.cli import main, version


@pytest.mark.parametrize("word", ["version", "--version", "-V"])
def test_printed(word: str, capsys: Any):
    assert main([word]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"sidegate {metadata.version('sidegate')} (python ")
    assert f"aiohttp {metadata.version('aiohttp')}" in out


def test_for_scripts(capsys: Any):
    assert main(["version", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pydantic"] == metadata.version("pydantic")


def test_a_package_that_is_not_installed_is_no_reason_to_fail(monkeypatch: Any, capsys: Any):
    monkeypatch.setattr(version, "_TOLD", ("no-such-package-anywhere",))
    assert main(["version"]) == 0
    assert "no-such-package-anywhere unknown" in capsys.readouterr().out
