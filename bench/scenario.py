"""What a scenario is: how it is measured, which figures come out, and which bars they must meet.

To add one, write a module in `bench/scenarios/` that ends in ``SCENARIOS = (Scenario(…),)``; it is found by itself. A
variant of the configurations (`jwt`, `cache`) is a set of files, see `bench/subject.py`.
"""

import importlib
import pkgutil
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import Cores
from bench.origin import Origin
from bench.subject import DEFAULT, PLAIN, Subject

Figures = dict[str, float]
Rounds = list[Figures]
"""One subject's figures, round by round."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What a measurement is given: the origin that runs, who gets which core, and whether to be brief."""

    origin: Origin
    cores: Cores
    quick: bool
    python: Path = Path(sys.executable)
    """The interpreter that the gateway runs on; what is measured in process runs on it too."""

    def seconds(self, full: float, quick: float) -> float:
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Figure:
    """One column: its key in a measurement's result, and how it is printed."""

    key: str
    head: str
    digits: int = 1
    ratio: bool = False  # print ours ÷ theirs as well


@dataclass(frozen=True, slots=True)
class Bar:
    """`expression` is `subject.figure`, or two of them with ` / ` between; the limit is a most or a least."""

    name: str
    expression: str
    at_most: float | None = None
    at_least: float | None = None

    def met(self, value: float) -> bool:
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    @property
    def limit(self) -> str:
        return f"≤ {self.at_most:g}" if self.at_most is not None else f"≥ {self.at_least:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    name: str
    title: str
    measure: Callable[[Stage, Subject], Figures]
    figures: tuple[Figure, ...]
    bars: tuple[Bar, ...] = ()
    subjects: tuple[str, ...] = DEFAULT
    variant: str = PLAIN
    rounds: int = 5
    note: str = field(default="")


def per_round(rounds: Mapping[str, Rounds], expression: str) -> list[float]:
    """The expression's value in each round; empty when a subject or figure of it was not measured.

    A ratio is taken within a round, where both sides met the same machine, and only then compared over rounds.
    """
    sides = []
    for term in expression.split(" / "):
        subject, _, key = term.partition(".")
        values = [one[key] for one in rounds.get(subject, []) if key in one]
        if not values:
            return []
        sides.append(values)
    if len(sides) == 1:
        return sides[0]
    return [over / under for over, under in zip(sides[0], sides[1], strict=False) if under]


def median(values: list[float]) -> float:
    return statistics.median(values)


def load_all() -> dict[str, Scenario]:
    """Every scenario of every module in `bench/scenarios/`, in the modules' alphabetical order."""
    package = importlib.import_module("bench.scenarios")
    found: dict[str, Scenario] = {}
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda one: one.name):
        for one in importlib.import_module(f"bench.scenarios.{module.name}").SCENARIOS:
            if one.name in found:
                raise ValueError(f"two scenarios are named {one.name}")
            found[one.name] = one
    return found
