"""Files that a configuration is made of, or names: read within limits, YAML or JSON, as trees or plain values."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from gateway.plugin.tree import Node, Position, Problem, Tree
from gateway.plugin.yaml import Expand, compose

MOST_BYTES: Final = 32 * 1024 * 1024

FileState = tuple[int, ...]
"""Differs when a file was written or replaced; links are followed."""


@dataclass(slots=True)
class Reading:
    """What one load keeps track of; validators get it as their context."""

    directory: Path
    files: dict[Path, bytes] = field(default_factory=dict)
    """Every file read through ``{file: …}``, with its content."""
    states: dict[Path, FileState] = field(default_factory=dict)
    """How each of them stood before it was read."""
    placed: dict[int, tuple[str, Path]] = field(default_factory=dict)
    """By the identity of a text: the directory of its file, where that is not ``directory``."""
    models: dict[int, tuple[dict[str, Any], type[BaseModel]]] = field(default_factory=dict)
    """By the identity of the mapping that a model was made from; the mapping is kept so that no other takes its id."""


class FileReference(dict[str, Any]):
    """The mapping ``{file: path}``, wherever it stands. Only fields that expect a file's content read it."""

    __slots__ = ("content", "directory", "node")

    def __init__(self, value: dict[str, Any], directory: Path | None = None, node: Node | None = None) -> None:
        super().__init__(value)
        self.directory = directory if directory is not None else Path()
        self.node = node
        self.content: Any = None
        """What `parse` gave."""

    @property
    def path(self) -> Path:
        return self.directory / str(self["file"])

    def parse(self, reading: Reading | None) -> Any:
        """The document in the file. Raises PydanticCustomError (a ValueError)."""
        content = read_bytes(self, reading)
        tree = parse(content, str(self.path))
        if tree.problems:
            first = tree.problems[0]
            raise PydanticCustomError("file", "{place}: {what}", {"place": str(first.position), "what": first.message})
        if self.node is not None:
            self.node.document = tree.root
        self.content = plain(tree.root)
        return self.content


def plain(node: Node, reading: Reading | None = None) -> Any:
    """A tree as Python values, made anew at each call; ``reading`` notes the texts that stand in another directory."""
    if isinstance(node.value, dict):
        found = {key: plain(inner, reading) for key, inner in node.value.items()}
        if len(found) == 1 and isinstance(found.get("file"), str):
            return FileReference(found, directory=node.directory, node=node)
        return found
    if isinstance(node.value, list):
        return [plain(inner, reading) for inner in node.value]
    if reading is not None and isinstance(node.value, str) and node.directory != reading.directory:
        reading.placed[id(node.value)] = (node.value, node.directory)
    return node.value


def read_bytes(reference: FileReference, reading: Any, most: int = MOST_BYTES) -> bytes:
    """The content of a referenced file, noted in ``reading``. Raises PydanticCustomError (a ValueError)."""
    path = reference.path
    before = file_state(path)
    try:
        content = read_limited(path, most, regular=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PydanticCustomError("file", "cannot read {path}: {why}", {"path": str(path), "why": reason}) from None
    if isinstance(reading, Reading):
        reading.files[path] = content
        reading.states[path] = before
    return content


def file_state(path: Path) -> FileState:
    """How a file stands now; one that is not there, or cannot be asked, has a state, too."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return (0,)
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def read_limited(path: Path, most: int = MOST_BYTES, *, regular: bool = False) -> bytes:
    """A file's bytes. Raises OSError; ValueError if it holds more than ``most`` or the path cannot be one.

    ``regular`` refuses pipes and devices: opening one can wait for ever, and a reload must not.
    """
    if regular and not (path.is_file() or path.is_dir()) and path.exists():
        raise ValueError("not a regular file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"larger than {most} bytes")
    return content


def parse(content: bytes, name: str, expand: Expand | None = None) -> Tree:
    """The tree of a YAML or JSON file, and every mistake in it.

    ``expand`` replaces variables in scalars; a file that is only data (a schema, a key file) has none.
    """
    position = Position(name, 1, 1)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        return Tree(Node(None, position), [Problem(Position(name, line, column), "", "not UTF-8 text")], complete=False)
    if expand is None and name.endswith(".json"):
        return _parse_json(text, position)
    return compose(text, name, expand)


def _parse_json(text: str, position: Position) -> Tree:
    """JSON files can be large (API documents of 10 MB), so they are read at C speed and know only their file."""
    try:
        return Tree(_wrap(json.loads(text), position), [])
    except json.JSONDecodeError as error:
        problem = Problem(Position(position.file, error.lineno, error.colno), "", f"not JSON: {error.msg}")
    except (ValueError, RecursionError) as error:
        problem = Problem(position, "", f"not JSON that can be read: {error}")
    return Tree(Node(None, position), [problem], complete=False)


def _wrap(value: Any, position: Position) -> Node:
    if isinstance(value, dict):
        return Node({key: _wrap(item, position) for key, item in value.items()}, position)
    if isinstance(value, list):
        return Node([_wrap(item, position) for item in value], position)
    return Node(value, position)
