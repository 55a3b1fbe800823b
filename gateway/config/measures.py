"""Every metric there is, with type, labels and help: read from the source, as nothing else knows those of all plugins.

Metrics are declared by calls such as ``metrics.counter("name", "Help.", ("route",))``; what they are given stands in
the same module, as text or under a name.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_KINDS: Final = ("counter", "gauge", "histogram")
_SIGNS: Final = (".counter(", ".gauge(", ".histogram(", "alone(", '"kind"')
_PACKAGES: Final = ("gateway", "plugins")


class Measure(NamedTuple):
    """A metric as the source declares it."""

    name: str
    """Without the prefix ``sidegate_``."""
    kind: str
    labels: tuple[str, ...]
    help: str
    plugin: str
    """Whose it is; empty for those of the gateway itself."""


def measures() -> list[Measure]:
    """All of them, by name."""
    found: dict[str, Measure] = {}
    for package in _PACKAGES:
        for folder in importlib.import_module(package).__path__:
            for path in sorted(Path(folder).rglob("*.py")):
                text = path.read_text()
                if any(sign in text for sign in _SIGNS):
                    plugin = path.relative_to(folder).parts[0].removesuffix(".py") if package == "plugins" else ""
                    for each in _Module(ast.parse(text), plugin).measures():
                        found.setdefault(each.name, each)
    return [found[name] for name in sorted(found)]


class _Module:
    """One module's declarations."""

    def __init__(self, tree: ast.Module, plugin: str) -> None:
        self._nodes = list(ast.walk(tree))
        self._plugin = plugin
        self._assigned: dict[str, list[tuple[int, ast.expr]]] = {}
        for node in self._nodes:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._assign(target, node.value)
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                self._assign(node.target, node.value)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._assigned.setdefault(target.id, []).append((value.lineno, value))
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, its in zip(target.elts, value.elts, strict=False):
                self._assign(one, its)

    def measures(self) -> Iterator[Measure]:
        for node in self._nodes:
            if isinstance(node, ast.Call):
                yield from self._called(node)
            elif isinstance(node, ast.Dict):
                yield from self._written_out(node)

    def _called(self, node: ast.Call) -> Iterator[Measure]:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given: dict[str | None, ast.expr] = {keyword.arg: keyword.value for keyword in node.keywords}
        args = node.args
        if called in _KINDS and len(args) >= 2:
            labels = args[2] if len(args) > 2 else given.get("labels")
            for name, text in self._named(args[0], args[1]):
                yield self._made(name, called, self._texts(labels), text)
        elif called in ("alone", "family") and len(args) >= 3:
            name, kind, text = map(self._text, args[:3])
            if name and kind in _KINDS:
                beside = ast.Name("labels", lineno=node.lineno) if called == "family" else None
                yield self._made(name, kind, self._texts(beside), text)
        elif called == "_info" and len(args) == 2 and (name := self._text(args[0])):
            yield self._made(name, "gauge", tuple(filter(None, given)), self._text(args[1]))

    def _written_out(self, node: ast.Dict) -> Iterator[Measure]:
        keyed = zip(node.keys, node.values, strict=True)
        row = {key.value: value for key, value in keyed if isinstance(key, ast.Constant)}
        if {"name", "kind", "help", "labels"} <= {*row} and (kind := self._text(row["kind"])) in _KINDS:
            name = self._text(row["name"])
            yield self._made(name, kind, self._texts(row["labels"]), self._text(row["help"]))

    def _made(self, name: str, kind: str, labels: tuple[str, ...], text: str) -> Measure:
        return Measure(name, kind, labels, text, self._plugin)

    def _named(self, name: ast.expr, text: ast.expr) -> Iterator[tuple[str, str]]:
        """The name and help of a call, or of all rows of a table that begin with them."""
        if found := self._text(name):
            yield found, self._text(text)
        elif isinstance(name, ast.Name) and isinstance(text, ast.Name):
            for table in (value for assigned in self._assigned.values() for _, value in assigned):
                for row in table.elts if isinstance(table, ast.Tuple) else ():
                    if isinstance(row, ast.Tuple) and len(row.elts) > 2 and all(map(_is_text, row.elts[:2])):
                        yield self._text(row.elts[0]), self._text(row.elts[1])

    def _value(self, node: ast.expr) -> ast.expr | None:
        """What a name was given last before."""
        if not isinstance(node, ast.Name):
            return node
        before = [value for line, value in self._assigned.get(node.id, ()) if line <= node.lineno]
        return self._value(before[-1]) if before else None

    def _text(self, node: ast.expr) -> str:
        value = self._value(node)
        return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""

    def _texts(self, node: ast.expr | None) -> tuple[str, ...]:
        value = self._value(node) if node is not None else None
        if isinstance(value, ast.Tuple | ast.List):
            each = (
                self._texts(one.value) if isinstance(one, ast.Starred) else (self._text(one),) for one in value.elts
            )
            return tuple(text for texts in each for text in texts)
        return ()


def _is_text(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
