"""The rules: read from the file beside this one, compiled once, and applied to one value at a time."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_plus

from pydantic import Field, field_validator

from gateway.plugin import Count, Settings
from gateway.plugin.document import parse, plain
from gateway.plugin.settings import expected

LONGEST: Final = 16_384
"""Characters of one value that are looked at."""
_ODD: Final = re.compile(
    r"""[<>'"`;|&$(){}\[\]\\%#\x00]|\.\.|--|__|/\.|://|/etc/|/proc/|/bin/|/dev/|\.ini|cmd|:$"""
    r"""|script|\b(?:union|or|and)\b""",
    re.IGNORECASE,
)
"""Without any of these in it no rule for values can match."""
_COMMENT: Final = re.compile(r"/\*[^*]{0,100}\*/")
_SPACE: Final = re.compile(r"[\s\x0b]+")


class Place(StrEnum):
    """Where a value stood."""

    URL = "url"
    NAME = "name"
    """Of a parameter, form field or JSON member."""
    HEADER = "header"
    AGENT = "agent"
    """The User-Agent."""
    BODY = "body"


class Rule(Settings):
    """One row of the file; see its head."""

    id: str = Field(pattern=r"^[a-z0-9-]{1,40}$", description="What log and metrics call it.")
    category: str = Field(pattern=r"^[a-z]{1,20}$", description="Of each category only the highest score counts.")
    pattern: str = Field(
        max_length=500,
        description="A regular expression over the value: decoded, in lower case, comments and runs of space made one "
        "space. Write it without a repetition inside a repetition.",
    )
    score: Count = Field(ge=1, le=10, description="What a match adds in URLs, forms and header fields.")
    prose: Count | None = Field(
        default=None, ge=0, le=10, description="The same in JSON and text bodies. Unset: as `score`."
    )
    in_: tuple[Place, ...] = Field(
        default=(Place.URL, Place.HEADER, Place.BODY), alias="in", description="Where it is looked for."
    )
    raw: bool = Field(default=False, description="Over the value as it came, before decoding.")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, text: str) -> str:
        try:
            re.compile(text)
        except re.error as error:
            raise expected(f"a regular expression ({error})") from None
        return text


class Rules(Settings):
    """The file."""

    rules: tuple[Rule, ...] = Field(description="All rules, in no order.")


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that matched."""

    rule: str
    category: str
    score: int


@lru_cache(maxsize=1)
def bundled() -> tuple[Rule, ...]:
    """The rules that come with the plugin."""
    path = Path(__file__).with_name("rules.yaml")
    return Rules.model_validate(plain(parse(path.read_bytes(), str(path)).root)).rules


class Ruleset:
    """Rules by place, compiled."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules: dict[Place, list[tuple[Rule, re.Pattern[str]]]] = {place: [] for place in Place}
        for rule in rules:
            compiled = re.compile(rule.pattern, re.IGNORECASE)
            for place in rule.in_:
                self._rules[place].append((rule, compiled))

    def look(self, value: str, place: Place, *, prose: bool = False) -> list[Hit]:
        """What is found in one value. ``prose``: from a body in which people write what they like."""
        if place is not Place.AGENT and _ODD.search(value) is None:
            return []
        value = value[:LONGEST]
        shapes = decoded(value)
        hits = []
        for rule, pattern in self._rules[place]:
            score = rule.score if not prose or rule.prose is None else rule.prose
            if score and any(pattern.search(shape) for shape in ((value,) if rule.raw else shapes)):
                hits.append(Hit(rule.id, rule.category, score))
        return hits


def decoded(value: str) -> tuple[str, ...]:
    """The shapes in which a value may take effect: as it is, and with what hides it taken off.

    Percent-encoding comes off twice, since a target may decode what the client encoded doubly.
    """
    shapes = [value]
    for _ in range(2):
        if "%" in shapes[-1] or "+" in shapes[-1]:
            shapes.append(unquote_plus(shapes[-1], errors="replace"))
    if "&" in value:
        shapes.append(html.unescape(shapes[-1]))
    plainer = [_SPACE.sub(" ", _COMMENT.sub(" ", shape)).lower() for shape in shapes]
    return tuple(dict.fromkeys(plainer))


def total(hits: Iterable[Hit]) -> int:
    """Of each category only the highest counts."""
    best: dict[str, int] = {}
    for hit in hits:
        best[hit.category] = max(best.get(hit.category, 0), hit.score)
    return sum(best.values())


def texts(document: Any) -> Iterable[tuple[Place, str]]:
    """Every name and every text of a JSON document. Numbers and the like hold nothing."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield Place.BODY, value
        elif isinstance(value, Mapping):
            for name, inner in value.items():
                yield Place.NAME, name
                waiting.append(inner)
        elif isinstance(value, list):
            waiting.extend(value)
