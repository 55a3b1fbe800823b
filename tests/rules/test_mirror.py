"""Tests mirror the source: ``gateway/http/path.py`` has ``tests/gateway/http/test_path.py``, and the other way round.

What a package's ``__init__.py`` does is tested beside its folder: ``plugins/cache/__init__.py`` by
``tests/plugins/test_cache.py``. A long test may be split: ``test_path_encoding.py`` counts for ``path.py``, too.
A module without behaviour (re-exports, types, constants) needs no test.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Modules whose behaviour is seen elsewhere, each with the reason. This list may only get shorter: a row whose module
# has gone, or has its mirror now, fails.
ELSEWHERE: dict[str, str] = {}


def has_behaviour(source: str) -> bool:
    """Whether a module has a function that does more than a docstring, ``...``, ``pass`` or ``raise``."""
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(map(is_behaviour, node.body))
        for node in ast.walk(ast.parse(source))
    )


def is_behaviour(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)
    return not isinstance(statement, ast.Pass | ast.Raise)


def mirror_of(module: Path) -> Path:
    """The path of a module's test without ``.py``, from the root."""
    place = module.parent if module.name == "__init__.py" else module
    return Path("tests") / place.parent / f"test_{place.stem}"


def source_files() -> list[Path]:
    return sorted(path.relative_to(ROOT) for part in ("gateway", "plugins") for path in (ROOT / part).rglob("*.py"))


def is_tested(module: Path) -> bool:
    mirror = ROOT / mirror_of(module)
    return mirror.with_suffix(".py").is_file() or any(mirror.parent.glob(f"{mirror.name}_*.py"))


@pytest.mark.parametrize("module", source_files(), ids=str)
def test_a_module_with_behaviour_has_its_test(module: Path):
    if has_behaviour((ROOT / module).read_text()) and str(module) not in ELSEWHERE:
        assert is_tested(module), f"{module} needs {mirror_of(module)}.py"


def test_a_test_is_of_a_module_that_exists():
    mirrors = [str(mirror_of(module)) for module in source_files()]
    tests = (
        path.relative_to(ROOT) for part in ("gateway", "plugins") for path in (ROOT / "tests" / part).rglob("test_*.py")
    )
    strays = [
        str(test)
        for test in tests
        if not any((name := str(test.with_suffix(""))) == mirror or name.startswith(f"{mirror}_") for mirror in mirrors)
    ]
    assert strays == []


def test_the_list_of_exceptions_only_shrinks():
    needless = [name for name in ELSEWHERE if not (ROOT / name).is_file() or is_tested(Path(name))]
    assert needless == []


def test_no_package_hides_among_the_tests():
    """An ``__init__.py`` under tests/gateway would make ``import gateway`` mean the tests."""
    assert [str(path) for path in (ROOT / "tests").rglob("__init__.py")] == []


@pytest.mark.parametrize(
    ("source", "verdict"),
    [
        pytest.param('"""Docstring."""', False, id="a docstring"),
        pytest.param("from a import b\n__all__ = ['b']", False, id="re-exports"),
        pytest.param(
            "LIMIT = 3\nclass A(Protocol):\n  def m(self) -> int:\n    'Doc.'\n    ...", False, id="a protocol"
        ),
        pytest.param("class A:\n  def m(self): raise NotImplementedError", False, id="an abstract method"),
        pytest.param("def f():\n  return 1", True, id="a function"),
        pytest.param("class A:\n  async def m(self):\n    await self.x()", True, id="a coroutine in a class"),
    ],
)
def test_has_behaviour(source: str, verdict: bool):
    assert has_behaviour(source) is verdict


@pytest.mark.parametrize(
    ("module", "mirror"),
    [
        ("gateway/errors.py", "tests/gateway/test_errors"),
        ("gateway/http/path.py", "tests/gateway/http/test_path"),
        ("plugins/cache/__init__.py", "tests/plugins/test_cache"),
    ],
)
def test_mirror_of(module: str, mirror: str):
    assert mirror_of(Path(module)) == Path(mirror)
