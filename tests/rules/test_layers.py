"""The import contracts of pyproject.toml hold, and each of them would be noticed when broken.

A contract that nothing can break is worth nothing, so each is broken on purpose in a copy of the tree.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = [
    contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
]


def lint(tree: Path) -> tuple[int, dict[str, str], str]:
    """The exit code of import-linter over ``tree``, the verdict on each contract, and all it said."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
        # An installed Sidegate must not be taken for the copy.
        env={**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "200"},
    )
    said = done.stdout + done.stderr
    verdicts = dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b.*$", said, re.MULTILINE))
    return done.returncode, verdicts, said


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("gateway", "plugins"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_all_contracts_are_kept():
    code, verdicts, said = lint(ROOT)
    assert code == 0, said
    assert verdicts == dict.fromkeys(CONTRACTS, "KEPT"), said


def violation(module: str, line: str, contract: str, *also: str, id: str) -> object:  # noqa: A002 -- pytest's word
    return pytest.param(module, line, {contract, *also}, id=id)


LAYERED = "the engine is layered"
NO_PLUGIN = "the engine knows no plugin by name"
APART = "plugins do not know each other"
CONTRACT_ONLY = "plugins see the contract only"
EDGES = "aiohttp stays at the edges"


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        violation("gateway/errors.py", "import gateway.config", LAYERED, id="a lower layer imports a higher one"),
        violation("gateway/wheelbarrow.py", "", LAYERED, id="a new module has no layer"),
        violation("gateway/route/x.py", "import gateway.forward", LAYERED, id="one sibling imports another"),
        violation("gateway/route/x.py", "import plugins.probe", NO_PLUGIN, id="the engine imports a plugin"),
        violation("plugins/x.py", "import plugins.probe", APART, id="a plugin imports another"),
        violation("plugins/x.py", "import gateway.config", CONTRACT_ONLY, id="a plugin reads configuration"),
        violation("plugins/x.py", "import gateway.demo", CONTRACT_ONLY, id="a plugin imports the application"),
        violation("gateway/route/x.py", "import aiohttp.web", EDGES, id="aiohttp in the middle of the engine"),
        violation("gateway/services/x.py", "import aiohttp", EDGES, id="aiohttp in another service than client"),
        violation("plugins/x.py", "import aiohttp", EDGES, id="aiohttp in a plugin"),
    ],
)
def test_a_violation_is_noticed(copy: Path, module: str, line: str, broken: set[str]):
    (copy / "plugins/probe.py").write_text("")
    with (copy / module).open("a") as source:
        source.write(f"\n{line}\n")
    code, verdicts, said = lint(copy)
    assert code == 1, said
    assert {name for name, verdict in verdicts.items() if verdict == "BROKEN"} == broken, said


@pytest.mark.parametrize(
    ("module", "line"),
    [
        pytest.param(
            "plugins/x.py", "import gateway.plugin\nimport gateway.errors\nimport gateway.http", id="contract"
        ),
        pytest.param("gateway/server/x.py", "import aiohttp.web", id="aiohttp at the server's edge"),
        pytest.param("gateway/services/client.py", "import aiohttp", id="aiohttp in the client for JWKS and the like"),
        pytest.param("gateway/admin/x.py", "import aiohttp_cors", id="aiohttp-cors in the admin application"),
    ],
)
def test_what_is_allowed_is_not_refused(copy: Path, module: str, line: str):
    with (copy / module).open("a") as source:
        source.write(f"\n{line}\n")
    code, _, said = lint(copy)
    assert code == 0, said


def test_each_contract_is_broken_by_some_row():
    rows = test_a_violation_is_noticed.pytestmark[0].args[1]
    assert set().union(*(row.values[2] for row in rows)) == set(CONTRACTS)
