"""YAML as a tree that knows where each value stands.

YAML 1.2 with its core schema, so that ``off``, ``no`` and ``on`` are words. ruamel.yaml scans and parses; the tree is
composed here, because positions, duplicate keys, limits and variables must all be dealt with in one walk, and because
one mistake must not hide the next.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from gateway.plugin.syntax import explain
from gateway.plugin.tree import Node, Position, Problem, Scalar, Tree

MOST_VALUES: Final = 2_000_000
"""After aliases are followed: a few lines of YAML can stand for billions of values."""
DEEPEST: Final = 64

Expand = Callable[[str], tuple[str, tuple[str, ...]]]
"""Text with variables to text without, and the variables' names. Raises LookupError with a sentence."""


def compose(text: str, name: str, expand: Expand | None = None) -> Tree:
    """The tree of a YAML text, and every mistake in it; ``name`` stands in positions."""
    composer = _Composer(name, expand)
    return Tree(composer.compose(text), composer.problems, composer.complete)


# YAML 1.2.2 §10.3.2. Numbers longer than any that is meant stay text: Python refuses to convert thousands of digits.
_INT: Final = re.compile(r"[-+]?[0-9]{1,40}")
_BASED: Final = re.compile(r"0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]{1,40}|[0-9]{1,40}(?:\.[0-9]{0,40})?)(?:[eE][-+]?[0-9]{1,4})?")
_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_TAGS: Final = {"tag:yaml.org,2002:" + kind for kind in ("str", "int", "float", "bool", "null", "map", "seq")}


def resolve_scalar(text: str) -> Scalar:
    """What an unquoted YAML scalar means under the core schema (YAML 1.2.2 §10.3.2)."""
    if text in _WORDS:
        return _WORDS[text]
    if not text[0].isascii() or text[0] not in "0123456789+-.":
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


class _Stop(Exception):
    """Reading cannot go on."""


class _Composer:
    """Events to nodes. Mistakes that leave the rest readable are collected; others end it."""

    def __init__(self, name: str, expand: Expand | None) -> None:
        self.name = name
        self.expand = expand
        self.problems: list[Problem] = []
        self.anchors: dict[str, Node] = {}
        self.values = 0
        self.complete = True
        self.last = Position(name, 1, 1)

    def compose(self, text: str) -> Node:
        from ruamel.yaml import YAML  # noqa: PLC0415 - a plugin's settings made in code need no YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415

        root = Node(None, self.last)
        try:
            self.events = iter(YAML(typ="safe", pure=True).parse(text))
            for event in self.events:
                kind = type(event).__name__
                if kind == "DocumentStartEvent":
                    if root.size > 1 or root.value is not None:
                        self.stop("one document, got another after ---", event)
                    root = self.node(next(self.events), 0)
        except _Stop:
            self.complete = False
        except MarkedYAMLError as error:
            place = explain(error, text)
            position = self.last if place is None else Position(self.name, *place[:2])
            self.problems.append(Problem(position, "", "not YAML" if place is None else place[2]))
            self.complete = False
        except (YAMLError, ValueError, OverflowError, ArithmeticError, LookupError, RecursionError) as error:
            # ruamel raises ReaderError for control bytes, and ValueError for escapes of no character.
            told = getattr(error, "reason", None) or "an escape that is no character"
            at = getattr(error, "position", None)
            if isinstance(at, int) and getattr(error, "character", None) is not None:
                before = text[:at]
                self.last = Position(self.name, before.count("\n") + 1, at - before.rfind("\n"))
                told = "a control character"
            self.problems.append(Problem(self.last, "", f"not YAML that can be read near here: {told}"))
            self.complete = False
        return root

    def at(self, event: Any) -> Position:
        self.last = Position(self.name, event.start_mark.line + 1, event.start_mark.column + 1)
        return self.last

    def report(self, message: str, event: Any) -> None:
        self.problems.append(Problem(self.at(event), "", message))

    def stop(self, message: str, event: Any) -> None:
        self.report(message, event)
        raise _Stop

    def node(self, event: Any, depth: int) -> Node:
        kind = type(event).__name__
        position = self.at(event)
        if kind == "AliasEvent":
            return self.alias(event)
        if depth > DEEPEST:
            self.stop(f"nested deeper than {DEEPEST} levels", event)
        tag = str(event.tag) if event.tag else ""
        if tag and tag != "!" and tag not in _TAGS:
            self.report("a tag (!…) that is not understood", event)
        if kind == "ScalarEvent":
            made = self.scalar(event, position, tag)
        elif kind == "SequenceStartEvent":
            made = self.sequence(position, depth)
        else:
            made = self.mapping(position, depth)
        self.count(1, event)
        if event.anchor:
            self.anchors[event.anchor] = made
        return made

    def alias(self, event: Any) -> Node:
        found = self.anchors.get(event.anchor)
        if found is None:
            self.report(f"*{event.anchor}: no anchor &{event.anchor} ends before it", event)
            return Node(None, self.at(event))
        self.count(found.size, event)
        return found

    def count(self, more: int, event: Any) -> None:
        self.values += more
        if self.values > MOST_VALUES:
            self.stop(f"more than {MOST_VALUES} values, aliases followed", event)

    def text(self, event: Any) -> str:
        text = str(event.value)
        try:
            text.encode()
        except UnicodeEncodeError:
            # JSON writes characters beyond the first 65,536 as two escapes (RFC 8259 §7), and JSON is YAML.
            try:
                return text.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError:
                self.report("an escape that is half of a character", event)
                return text.encode(errors="replace").decode()
        return text

    def scalar(self, event: Any, position: Position, tag: str) -> Node:
        text = self.text(event)
        bare = event.style is None or event.style == ""
        if self.expand is not None and "$" in text:
            try:
                expanded, variables = self.expand(text)
            except LookupError as error:
                self.report(str(error.args[0]), event)
                # Read on, with a value that no field takes for granted; the load is refused anyway.
                return Node(None, position, variables=("?",))
            if expanded != text:
                # Typed by the field that takes it: a secret of digits stays text, a number of workers becomes one.
                empty = bare and not expanded
                return Node(None if empty else expanded, position, variables=variables)
        if tag == "tag:yaml.org,2002:str" or (not bare and not tag) or tag == "!":
            return Node(text, position)
        return Node(resolve_scalar(text), position)

    def sequence(self, position: Position, depth: int) -> Node:
        made: list[Node] = []
        size = 1
        for event in self.until("SequenceEndEvent"):
            item = self.node(event, depth + 1)
            size += item.size
            made.append(item)
        return Node(made, position, size=size)

    def mapping(self, position: Position, depth: int) -> Node:
        made: dict[str, Node] = {}
        keys: dict[str, Position] = {}
        inherited: list[Node] = []
        for event in self.until("MappingEndEvent"):
            at = self.at(event)
            if type(event).__name__ != "ScalarEvent":
                self.report("a key that is not text", event)
                self.node(event, depth + 1)
                self.node(next(self.events), depth + 1)
                continue
            key = self.text(event)
            merge = key == "<<" and not event.style
            if key in made and not merge:
                self.report(f"the key {key!r} stands twice, first in line {keys[key].line}", event)
            value = self.node(next(self.events), depth + 1)
            if merge:
                self.inherit(value, inherited, at)
            elif key not in made:
                made[key], keys[key] = value, at
            if event.anchor:
                self.anchors[event.anchor] = Node(key, at)
        for other in inherited:
            for key, value in other.value.items() if isinstance(other.value, dict) else ():
                if key not in made:
                    made[key], keys[key] = value, other.keys.get(key, other.position)
        return Node(made, position, keys, size=1 + sum(node.size for node in made.values()))

    def inherit(self, value: Node, inherited: list[Node], at: Position) -> None:
        """``<<: *anchor`` or a list of them: keys not given here are taken from there, the earlier first."""
        for node in value.value if isinstance(value.value, list) else [value]:
            if isinstance(node.value, dict):
                inherited.append(node)
            else:
                self.problems.append(Problem(at, "", "<<: expects a mapping, or a list of them"))

    def until(self, end: str) -> Iterator[Any]:
        for event in self.events:
            if type(event).__name__ == end:
                return
            yield event
