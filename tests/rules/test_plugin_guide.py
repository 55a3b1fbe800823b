"""What plugins/README.md tells an author to do works as told: its code is run, in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config import load_text

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "plugins/README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
MODULE, TEST, YAML, FILTER, FILTER_TEST = [text for _, text in BLOCKS]


def run(project, *words):
    done = subprocess.run(
        [sys.executable, *words],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project with the plugin of the guide in it."""
    made = tmp_path_factory.mktemp("project")
    for name in ("gateway", "plugins", "config", "bench/masking"):  # the last for the corpora of pii_masking's test
        shutil.copytree(ROOT / name, made / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "tests/rules/test_every_plugin.py", "tests/rules/test_generated.py"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, made / name)
    shutil.copytree(ROOT / "tests/plugins", made / "tests/plugins", ignore=shutil.ignore_patterns("__pycache__"))
    (made / "plugins/maintenance.py").write_text(MODULE)
    (made / "tests/plugins/test_maintenance.py").write_text(TEST)
    code, said = run(made, "-m", "gateway", "schema", "--write", ".")
    assert code == 0, said
    return made


def test_the_plugin_passes_its_test_and_what_every_plugin_keeps_to(project):
    code, said = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "maintenance", "tests")
    assert code == 0, said
    assert re.search(r"[2-9]\d passed", said), said


def test_the_generated_files_know_it(project):
    code, said = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/rules/test_generated.py")
    assert code == 0, said
    assert "| `maintenance` | 503 | policy |" in (project / "config/reference.md").read_text()


def test_its_configuration_is_accepted(project):
    (project / "own.yaml").write_text(YAML)
    code, said = run(project, "-m", "gateway", "check", "own.yaml")
    assert code == 0, said
    (project / "own.yaml").write_text(YAML.replace("back_in", "back_at"))
    code, said = run(project, "-m", "gateway", "check", "own.yaml")
    assert code == 1, said
    assert "back_in" in said


def test_its_code_is_as_clean_as_ours(project):
    code, said = run(project, "-m", "ruff", "check", "plugins/maintenance.py", "tests/plugins/test_maintenance.py")
    assert code == 0, said
    code, said = run(project, "-m", "ruff", "format", "--check", "plugins/maintenance.py")
    assert code == 0, said


async def test_its_filter_works():
    names = {}
    exec(FILTER, names)
    exec(FILTER_TEST, names)
    await names["test_any_chunking_gives_the_same"]()


def test_without_the_plugin_its_configuration_is_not():
    with pytest.raises(Exception, match="maintenance"):
        load_text(YAML)
