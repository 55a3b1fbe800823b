"""Rows of a corpus, and what a masker makes of them.

A row is a text in which what must not survive is marked: ``{{kind|value}}``. All else must survive. A template has
slots that `values` fills: ``{email}``, ``{phone de}``, ``{card visa -}``, ``{key npm token}``; in square brackets
stands what is nobody's secret and looks like one: ``[uuid]``, ``[commit]``.
"""

from __future__ import annotations

import random
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.masking import values

EXACT: Final = frozenset({"named", "cookie", "key", "jwt", "pem", "url", "card", "iban", "email"})
"""Kinds that are found by a name or an exact shape: none may be missed."""
_SLOT: Final = re.compile(
    r"\{([a-z][a-z0-9]*)((?: [^{}]+)?)\}|\[(uuid|commit|n|time|epoch|version|ulid|date)((?: \d+)?)\]"
)
_MARK: Final = re.compile(r"\{\{([a-z0-9]+)\|(.*?)\}\}", re.DOTALL)
_WORDS: Final = [
    "Sommer2024!",
    "hunter2",
    "correct-horse",
    "tr0ub4dor&3",
    "Passw0rd!",
    "s3cret.word",
    "letMeIn99",
    "qwertz12345",
]


@dataclass(frozen=True, slots=True)
class Row:
    """One text."""

    name: str
    marked: str

    @property
    def text(self) -> str:
        """As it is logged."""
        return _MARK.sub(lambda found: found[2], self.marked)

    @property
    def values(self) -> list[tuple[str, str]]:
        """Kind and value of all that must not survive."""
        return [(found[1], found[2]) for found in _MARK.finditer(self.marked)]

    @property
    def rest(self) -> list[str]:
        """What must survive, in pieces."""
        return re.split(r"\{\{[a-z0-9]+\|.*?\}\}", self.marked, flags=re.DOTALL)


def _sensitive(kind: str, more: str, rng: random.Random) -> str:
    words = more.split(" ")
    match kind:
        case "email":
            return values.email(rng)
        case "phone":
            return values.phone(rng, words[0], int(words[1]) if len(words) > 1 else -1)
        case "gov":
            return values.GOVERNMENT[words[0]](rng)
        case "key":
            return values.KEYS[more](rng)
        case "card":
            return values.card(rng, words[0], {"s": " ", "-": "-", "": ""}[words[1] if len(words) > 1 else ""])
        case "iban":
            return values.iban(rng, words[0], " " if "s" in words[1:] else "")
        case "jwt":
            return values.jwt(rng)
        case "pem":
            return values.pem(rng, more or "RSA PRIVATE KEY")
        case "url":
            return f"{words[0]}:{values.secret(rng, int(words[1])) if len(words) > 1 else rng.choice(_WORDS)}"
        case "cookie":
            return f"sid={values.secret(rng, 32)}; theme=dark"
        case "named":
            return rng.choice(_WORDS).replace("&", "x") if not more else values.secret(rng, int(words[0]))
        case "entropy":
            return values.secret(rng, int(words[0]), values.HEX if "hex" in words else values.ALNUM + "+/")
        case "ip4":
            return f"{rng.choice(['203.0.113', '198.51.100', '84.17.44', '91.12.7'])}.{rng.randint(1, 254)}"
        case "ip6":
            return f"2001:db8:{rng.randint(0x1000, 0xFFFF):x}:{rng.randint(1, 0xFFF):x}::{rng.randint(1, 0xFFFF):x}"
        case _:
            raise KeyError(kind)


def _harmless(kind: str, more: str, rng: random.Random) -> str:
    match kind:
        case "uuid":
            return str(uuid.UUID(int=rng.getrandbits(128), version=4))
        case "commit":
            return values.run(rng, values.HEX, int(more or 40))
        case "n":
            return str(rng.randint(1, 9)) + values.run(rng, values.DIGITS, int(more) - 1)
        case "time":
            day = f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
            return f"{day}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:12.{rng.randint(100, 999)}Z"
        case "epoch":
            return str(rng.randint(1_700_000_000, 1_799_999_999))
        case "version":
            return f"{rng.randint(0, 20)}.{rng.randint(0, 40)}.{rng.randint(0, 99)}"
        case "ulid":
            return "01" + values.run(rng, "0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24)
        case "date":
            return f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
        case _:
            raise KeyError(kind)


def rows_of(templates: Iterable[str], *, seed: int, times: int = 1) -> list[Row]:
    """Each template filled, ``times`` over with other values."""
    rng = random.Random(seed)
    made = []

    def fill(found: re.Match[str]) -> str:
        if found[3]:
            return _harmless(found[3], found[4].strip(), rng)
        return "{{" + f"{found[1]}|{_sensitive(found[1], found[2].strip(), rng)}" + "}}"

    for template in templates:
        made += [Row(f"{template} #{number + 1}", _SLOT.sub(fill, template)) for number in range(times)]
    return made


@dataclass(slots=True)
class Score:
    """What was found of what there is."""

    rows: int = 0
    there: Counter[str] = field(default_factory=Counter)
    missed: list[tuple[str, str, str]] = field(default_factory=list)
    """Kind, value and what was written instead of its row."""
    wrong: list[tuple[str, str]] = field(default_factory=list)
    """A piece that should have survived, and what was written instead of its row."""

    @property
    def missed_exact(self) -> list[tuple[str, str, str]]:
        """What no miss is allowed of."""
        return [each for each in self.missed if each[0] in EXACT]

    @property
    def recall(self) -> float:
        """Of the kinds that can only be guessed."""
        there = sum(count for kind, count in self.there.items() if kind not in EXACT)
        return 1 - (len(self.missed) - len(self.missed_exact)) / there if there else 1.0

    @property
    def precision(self) -> float:
        """Of everything that was masked, how much should have been."""
        found = sum(self.there.values()) - len(self.missed)
        return found / (found + len(self.wrong)) if found else 1.0

    def lines(self) -> Iterator[str]:
        """For people."""
        exact = sum(count for kind, count in self.there.items() if kind in EXACT)
        yield f"{self.rows} rows, {sum(self.there.values())} values"
        yield f"by name or exact shape: {len(self.missed_exact)} of {exact} missed"
        yield f"the rest: recall {self.recall:.4f}; precision {self.precision:.4f}"


def score(rows: Sequence[Row], mask: Callable[[str], str]) -> Score:
    """Mask every row, and count."""
    made = Score(len(rows))
    for row in rows:
        masked = mask(row.text)
        for kind, value in row.values:
            made.there[kind] += 1
            if shows(kind, value, masked):
                made.missed.append((kind, value, masked))
        made.wrong.extend((piece, masked) for piece in _lost(row, masked))
    return made


def shows(kind: str, value: str, masked: str) -> bool:
    """Whether a value can still be read: whole, or (numbers) more than its last four digits, or a key's half."""
    if value in masked:
        return True
    if kind in {"phone", "card", "iban"}:
        digits = re.sub(r"\D", "", value)
        return len(digits) > 6 and digits[:-4][-6:] in re.sub(r"[ ().\-/+]", "", masked)
    if kind in {"key", "jwt", "pem", "entropy"}:
        middle = value[len(value) // 2 :][:12]
        return len(middle) == 12 and middle in masked
    return False


def _lost(row: Row, masked: str) -> Iterator[str]:
    """Words outside of the marks that are not there any more. In a row without marks all must be as it was."""
    values_there = row.values
    if not values_there:
        if masked != row.text:
            yield row.text
        return
    at = 0
    for piece in row.rest:
        for word in re.findall(r"\w[\w.:-]{2,}\w", piece):
            found = masked.find(word, at)
            if found < 0:
                yield word
            else:
                at = found + len(word)
