"""What a masker looks for, and what it calls when it finds something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from plugins.pii_masking.described import Templates
from plugins.pii_masking.government import Numbers


@dataclass(frozen=True, slots=True)
class Counts:
    """What is called for each value found, by category."""

    hits: Mapping[str, Callable[[], None]]
    leaks: Mapping[str, Callable[[], None]]
    """Found by shape where no name said so."""
    missed: Mapping[str, Callable[[], None]]
    """Found at the second look only."""


@dataclass(frozen=True, slots=True)
class Aims:
    """What is looked for, and how far."""

    active: frozenset[str]
    """Categories."""
    numbers: Numbers
    budget: int
    """Characters of a line."""
    declared: Mapping[str, str] = field(default_factory=dict)
    """Categories by the names of fields, from settings and descriptions; empty for what is nothing."""
    templates: Templates | None = None
    """Paths that hold something, from descriptions."""
    sample: int = 0
    """One of so many lines is looked at a second time."""
