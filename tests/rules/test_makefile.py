"""The Makefile and CI say what they do, and a Python that will not do is told so in words."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = ["help", "run", "test", "lint", "bench", "crash", "soak", "clean"]


def make(*words: str) -> subprocess.CompletedProcess[str]:
    # MAKEFLAGS and MAKELEVEL of the `make test` that may have started us are not for this one.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, check=False, env=clean)


def test_help_names_every_target_and_comes_without_being_asked():
    said = make()
    assert said.returncode == 0
    assert re.findall(r"^  make (\w+)", said.stdout, re.MULTILINE) == TARGETS


def test_no_target_is_taken_for_a_file():
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony.split() == TARGETS


@pytest.mark.parametrize("target", ["run", "test"])
def test_a_python_that_is_too_old_is_told_so_and_nothing_is_left_behind(tmp_path: Path, target: str):
    old = tmp_path / "old"
    old.write_text(f"#!/bin/sh\nexec {sys.executable} -c \"import sys; sys.version_info = (3, 9, 1, '', 0)\n$2\"\n")
    old.chmod(0o755)
    said = make(target, f"PYTHON={old}", f"VENV={tmp_path}/venv")
    assert said.returncode != 0
    assert f"needs Python 3.11 or newer; '{old}' is 3.9. Name another: make {target} PYTHON=" in said.stderr
    assert not (tmp_path / "venv").exists()


def test_a_python_that_is_not_there_is_told_so(tmp_path: Path):
    said = make("test", "PYTHON=python-of-nowhere", f"VENV={tmp_path}/venv")
    assert said.returncode != 0
    assert "there is no 'python-of-nowhere' here" in said.stderr


def test_the_marks_that_are_left_out_have_their_targets():
    assert make("-n", "crash", "VENV=x").stdout.count("-m crash") == 1
    assert make("-n", "soak", "VENV=x").stdout.count("-m soak") == 1


def test_ci_runs_what_the_readme_tells_a_person_to_run():
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert "set -euo pipefail" in lines
    assert "make lint" in lines
    assert any(line.startswith("make test") for line in lines)
    assert "- run: .ci/run" in (ROOT / ".github/workflows/ci.yml").read_text()
