"""`gateway inbox`: mistakes are told and change nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        pytest.param(["replay"], "say which", id="a replay of nothing in particular"),
        pytest.param(["replay", "--state", "dead"], "say which", id="a state alone is nothing in particular"),
        pytest.param(["replay", "--all", "--state", "ready"], "dead and done", id="a replay of what waits anyway"),
        pytest.param(["replay", "--all", "--rate", "0"], "--rate", id="a rate of nothing"),
        pytest.param(["purge"], "say which", id="a purge of nothing in particular"),
        pytest.param(["purge", "--route", ""], "route is empty", id="a purge of a route that was left out"),
        pytest.param(["purge", "--route", "", "--status", "503"], "route is empty", id="or of any, by status"),
        pytest.param(["list", "--state", "alive"], "alive", id="a state there is not"),
        pytest.param(["list", "--since", "yesterday"], "yesterday", id="no time"),
        pytest.param(["list", "--limit", "0"], "--limit", id="no limit"),
        pytest.param(["show", "nothing"], "no item", id="an item there is not"),
        pytest.param(["erase", ""], "SUBJECT", id="nobody"),
        pytest.param(["restore", "/nowhere/queue.db"], "no /nowhere", id="a copy there is not"),
    ],
)
def test_mistakes_are_told_and_change_nothing(inbox: Any, words: list[str], problem: str) -> None:
    ids = inbox.fill()
    code, out, err = inbox(*words)
    assert (code, out) == (1, "")
    assert problem in err
    assert "Traceback" not in err
    assert [inbox.states()[each] for each in ids] == ["dead", "dead", "dead", "ready"]


def test_who_has_seen_enough_may_go(inbox: Any) -> None:
    inbox.fill()
    words = [sys.executable, "-m", "gateway", "inbox", "export", "-c", str(inbox.file)]
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        ended = subprocess.run(words, check=False, stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (1, "")
