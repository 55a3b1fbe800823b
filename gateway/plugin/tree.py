"""Values that know where they stand, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Severity(StrEnum):
    """Whether a configuration with it is refused."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake, or something that is probably not meant, in a configuration."""

    position: Position
    path: str
    """Such as ``routes[0].plugins[1].with.rate``; empty for the file as a whole."""
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        place = f"{self.path}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.position}: {self.severity}: {place}{self.message}{hint}"


Scalar = str | int | float | bool | None


@dataclass(slots=True)
class Node:
    """A value and where it stands. Aliases share one node."""

    value: dict[str, Node] | list[Node] | Scalar
    position: Position
    keys: dict[str, Position] = field(default_factory=dict)
    """Where each key of a mapping stands."""
    variables: tuple[str, ...] = ()
    """Variables that a scalar was made from: its value is not shown in messages."""
    document: Node | None = None
    """What ``{file: …}`` was found to hold."""
    size: int = 1
    """Values in it, itself included."""

    @property
    def directory(self) -> Path:
        """Of the file in which it stands."""
        return Path(self.position.file).parent

    def step(self, key: str | int) -> Node | None:
        """The node under a key or index; looks through ``{file: …}`` that was read."""
        within = (self.document or self).value
        if isinstance(within, dict):
            return within.get(str(key))
        if isinstance(within, list) and isinstance(key, int) and 0 <= key < len(within):
            return within[key]
        return None


@dataclass(frozen=True, slots=True)
class Tree:
    """What a file holds."""

    root: Node
    problems: list[Problem]
    complete: bool = True
    """False if reading stopped at a problem; else ``root`` is whole but for what the problems name."""
