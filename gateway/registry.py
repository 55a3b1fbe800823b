"""From a plugin's name in YAML to its class. A plugin's module is imported when it is first named, never before.

A name is looked for in our own ``plugins`` package (``rate_limit`` is `RateLimit` in ``plugins/rate_limit.py``), then
among the entry points of installed packages (group ``gateway.plugins``), and ``package.module:Class`` is taken as it
stands. Nothing is added to ``sys.path``.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final

from gateway.plugin import Plugin

GROUP: Final = "gateway.plugins"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_PATH: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


class UnknownPlugin(LookupError):
    """No plugin has this name. ``names`` are those there are."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no plugin is called {name!r}")
        self.names = names()


class BrokenPlugin(ImportError):
    """The plugin is there and cannot be loaded."""


def bundled() -> tuple[str, ...]:
    """Names of the plugins that come with the gateway, sorted; nothing is imported but the empty package.

    Raises RuntimeError if ``import plugins`` finds somebody else's package: another distribution or a folder on
    ``sys.path`` would then decide who is let in.
    """
    return _bundled()


@cache
def _bundled() -> tuple[str, ...]:
    package = importlib.import_module("plugins")
    ours = Path(__file__).resolve().parent.parent / "plugins"
    found = [Path(path).resolve() for path in package.__path__]
    if found != [ours]:
        raise RuntimeError(f"the package `plugins` is not the gateway's: found {found}, expected {ours}")
    return tuple(
        sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))
    )


def built_in() -> tuple[str, ...]:
    """Plugins whose step in the log pipeline every route gets though no file names them (``plugins.BUILT_IN``)."""
    bundled()
    return tuple(getattr(importlib.import_module("plugins"), "BUILT_IN", ()))


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def names() -> tuple[str, ...]:
    """Every name there is, sorted."""
    return tuple(sorted({*bundled(), *_installed()}))


@cache
def find(name: str) -> type[Plugin[Any]]:
    """The class of a plugin. Raises UnknownPlugin (LookupError) or BrokenPlugin (ImportError)."""
    if _NAME.fullmatch(name) and name in bundled():
        return _load(name, f"plugins.{name}", class_name(name))
    if name in _installed():
        point = _installed()[name]
        return _load(name, point.module, point.attr)
    if _PATH.fullmatch(name):
        module, _, attribute = name.partition(":")
        return _load(name, module, attribute)
    raise UnknownPlugin(name)


def class_name(name: str) -> str:
    """``rate_limit`` to ``RateLimit``."""
    return "".join(part.capitalize() for part in name.split("_"))


def _load(name: str, module: str, attribute: str) -> type[Plugin[Any]]:
    try:
        loaded = importlib.import_module(module)
    except Exception as error:  # a module may fail in any way while it is imported
        raise BrokenPlugin(f"plugin {name!r} cannot be loaded: {type(error).__name__}: {error}") from error
    found = getattr(loaded, attribute, None)
    if not (isinstance(found, type) and issubclass(found, Plugin)):
        raise BrokenPlugin(f"plugin {name!r} cannot be loaded: {module} has no plugin class {attribute}")
    return found
