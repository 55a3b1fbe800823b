"""Commands that an installed package's plugin brings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGIN = '''\
"""Keeps words."""

from gateway.plugin import Command, Plugin, Settings


def _say(options):
    print("said", options.word)
    return 3


class Keeper(Plugin[Settings]):
    @classmethod
    def commands(cls):
        return [Command("keep", "keep a word", _say, lambda parser: parser.add_argument("word"))]
'''


@pytest.fixture
def installed(here: Path) -> dict[str, str]:
    """A package with a plugin that has a command, and one that cannot be loaded."""
    site = here / "site"
    about = site / "keeper-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "keeper_module.py").write_text(PLUGIN)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: keeper\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[gateway.plugins]\nkeeper = keeper_module:Keeper\nworn = not_there_at_all:Worn\n"
    )
    return {"PYTHONPATH": str(site)}


def test_its_command_runs(gateway: Callable[..., Any], installed: dict[str, str]):
    ended = gateway("keep", "this", env=installed)
    assert (ended.returncode, ended.stdout) == (3, "said this\n")


def test_its_command_has_usage(gateway: Callable[..., Any], installed: dict[str, str]):
    ended = gateway("keep", env=installed)
    assert ended.returncode == 2
    assert "usage: gateway keep" in ended.stderr


def test_it_is_listed(gateway: Callable[..., Any], installed: dict[str, str]):
    ended = gateway("help", "all", env=installed)
    assert ended.returncode == 0
    assert "keep          keep a word (keeper)" in ended.stdout
    listed = gateway("plugins", env=installed)
    assert "adds `gateway keep`: keep a word" in listed.stdout
    assert "plugin 'worn' cannot be loaded" in listed.stderr
    assert listed.returncode == 1


def test_it_is_among_what_may_have_been_meant(gateway: Callable[..., Any], installed: dict[str, str]):
    ended = gateway("kepe", env=installed)
    assert ended.returncode == 2
    assert "no such command: 'kepe'; did you mean 'keep'?" in ended.stderr
    assert "Traceback" not in ended.stderr
