"""From a plugin's name to its class."""

from __future__ import annotations

import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from gateway import registry
from gateway.plugin import Plugin, Settings


class Audit(Plugin[Settings]):
    pass


@pytest.fixture(autouse=True)
def forget():
    yield
    for cached in (registry.find, registry._bundled, registry._installed):
        cached.cache_clear()


@pytest.fixture
def acme(monkeypatch) -> types.ModuleType:
    module = types.ModuleType("acme")
    module.Audit = Audit  # type: ignore[attr-defined]
    module.thing = object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "acme", module)
    return module


def installed(monkeypatch, *points: EntryPoint) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [point for point in points if point.group == group])
    registry._installed.cache_clear()
    registry.find.cache_clear()


def test_a_bundled_plugin():
    found = registry.find("size_limit")
    assert (found.__module__, found.__name__) == ("plugins.size_limit", "SizeLimit")
    assert found is registry.find("size_limit")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("rate_limit", "RateLimit"), ("jwt", "Jwt"), ("pii_masking", "PiiMasking"), ("oauth2_x", "Oauth2X")],
)
def test_the_class_of_a_name(name: str, expected: str):
    assert registry.class_name(name) == expected


def test_a_plugin_of_an_installed_package(monkeypatch, acme):
    installed(
        monkeypatch, EntryPoint("acme_audit", "acme:Audit", "gateway.plugins"), EntryPoint("x", "acme:Audit", "other")
    )
    assert registry.find("acme_audit") is Audit
    assert "acme_audit" in registry.names()
    assert "x" not in registry.names()


def test_a_bundled_name_cannot_be_taken_over(monkeypatch, acme):
    installed(monkeypatch, EntryPoint("size_limit", "acme:Audit", "gateway.plugins"))
    assert registry.find("size_limit").__module__ == "plugins.size_limit"


def test_a_class_by_its_path(acme):
    assert registry.find("acme:Audit") is Audit


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nope",
        "Size_Limit",
        "size-limit",
        "../size_limit",
        "plugins.size_limit",
        "__init__",
        "acme",
        ":X",
        "a:",
        "a b:C",
        "size_limit\n",
        "testing.x",
    ],
)
def test_no_plugin_of_that_name(name: str):
    with pytest.raises(registry.UnknownPlugin) as caught:
        registry.find(name)
    assert "size_limit" in caught.value.names


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("acme:Missing", "acme has no plugin class Missing", id="no such class"),
        pytest.param("acme:thing", "acme has no plugin class thing", id="not a class"),
        pytest.param("pathlib:Path", "pathlib has no plugin class Path", id="a class that is no plugin"),
        pytest.param("no_such:X", "ModuleNotFoundError", id="no such module"),
        pytest.param("broken_plugin_module:X", "ZeroDivisionError: division by zero", id="a module that fails"),
    ],
)
def test_a_plugin_that_cannot_be_loaded(monkeypatch, tmp_path: Path, acme, name: str, reason: str):
    (tmp_path / "broken_plugin_module.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(registry.BrokenPlugin, match=reason):
        registry.find(name)


def test_somebody_elses_plugins_package_is_refused(monkeypatch, tmp_path: Path):
    """A namespace package, or another distribution's, must not decide who is let in."""
    other = types.ModuleType("plugins")
    other.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "plugins", other)
    registry._bundled.cache_clear()
    with pytest.raises(RuntimeError, match="not the gateway's"):
        registry.bundled()


def test_names_are_sorted_and_nothing_is_imported_for_them():
    assert list(registry.bundled()) == sorted(registry.bundled())
    files = {path.stem for path in Path(registry.__file__).parent.parent.joinpath("plugins").glob("[a-z]*.py")}
    folders = {
        path.parent.name for path in Path(registry.__file__).parent.parent.joinpath("plugins").glob("*/__init__.py")
    }
    assert set(registry.bundled()) == files | folders
