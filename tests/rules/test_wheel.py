"""The wheel holds both packages whole: every module, and the data files that stand beside them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_SHIPPED = {".pyc", ".md"}
PLANTED = ["gateway/planted/page.html", "plugins/planted/data.json", "gateway/server/planted/deep/messages.yaml"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a wheel is built from, with data in folders that are no packages."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("gateway", "plugins"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, tree)
    for name in PLANTED:
        (tree / name).parent.mkdir(parents=True)
        (tree / name).write_text("{}")
    return tree


def build(tree: Path, place: Path) -> Path:
    """The wheel of ``tree``, built in ``place`` without asking the registry, as the Dockerfile dates it."""
    copy = place / "source"
    shutil.copytree(tree, copy)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(place), str(copy)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1767225600"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = place.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def built(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tree, tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def wheel(built: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(built) as archive:
        yield archive


def test_it_holds_every_module_and_data_file(tree: Path, wheel: zipfile.ZipFile):
    wanted = {
        str(path.relative_to(tree))
        for part in ("gateway", "plugins")
        for path in (tree / part).rglob("*")
        if path.is_file() and path.suffix not in NOT_SHIPPED
    }
    assert set(PLANTED) <= wanted
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == wanted


def test_it_carries_licence_and_command(wheel: zipfile.ZipFile):
    names = [name.partition(".dist-info/")[2] for name in wheel.namelist() if ".dist-info/" in name]
    assert "licenses/LICENSE" in names
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "gateway = gateway.cli:main" in wheel.read(entry_points).decode()


def test_built_again_it_is_the_same_to_the_byte(tree: Path, built: Path, tmp_path: Path):
    assert build(tree, tmp_path).read_bytes() == built.read_bytes()
