"""Figures as tables: on the terminal, as JSON, and as sections of RESULTS.md."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.scenario import Figure, Rounds, Scenario, median, per_round

PEERS = ("envoy", "nginx", "haproxy", "aiohttp")
OURS = "gateway"
NOTES = "## Notes"
SECTION = re.compile(r"^<!-- scenario: (\S+) -->\n(.*?)(?=^<!-- scenario: |^## Notes|\Z)", re.MULTILINE | re.DOTALL)
HEAD = """# Results of the bench

Written by `python -m bench --write` (`make bench ARGS=--write`); only the section Notes is written by hand. Each
figure is the median of the rounds, with the lowest and the highest in parentheses; a ratio is taken within each round,
and then their median. What is compared with what, and what could not be made equal, says [README.md](README.md).
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """A scenario's outcome."""

    scenario: Scenario
    rounds: Mapping[str, Rounds]
    failures: Mapping[str, str]
    facts: Mapping[str, str]

    def bars(self) -> list[tuple[str, str, str, bool | None]]:
        """(name, limit, value with spread, met); met is None where a side was not measured."""
        rows: list[tuple[str, str, str, bool | None]] = []
        for bar in self.scenario.bars:
            values = per_round(self.rounds, bar.expression)
            met = bar.met(median(values)) if values else None
            rows.append((bar.name, bar.limit, spread(values, 2) if values else "not measured", met))
        return rows


def number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"


def spread(values: Sequence[float], digits: int) -> str:
    """Median, and lowest … highest when there is more than one round."""
    middle = number(median(list(values)), digits)
    low, high = number(min(values), digits), number(max(values), digits)
    return middle if low == high else f"{middle} ({low} … {high})"


def _cells(rounds: Mapping[str, Rounds], subject: str, figures: Sequence[Figure]) -> list[str]:
    cells = []
    for figure in figures:
        values = per_round(rounds, f"{subject}.{figure.key}")
        cells.append(spread(values, figure.digits) if values else "-")
    return cells


def _ratios(rounds: Mapping[str, Rounds], peer: str, figures: Sequence[Figure]) -> list[str]:
    cells = []
    for figure in figures:
        values = per_round(rounds, f"{OURS}.{figure.key} / {peer}.{figure.key}") if figure.ratio else []
        cells.append(spread(values, 2) if values else "")
    return cells


def table(rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A Markdown table that reads well on a terminal too. First row: its head; first `words` columns: text."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = zip(row, widths, strict=True)
        padded = (cell.ljust(width) if n < words else cell.rjust(width) for n, (cell, width) in enumerate(cells))
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (width + 1) + ("-" if n < words else ":") for n, width in enumerate(widths)) + "|"
    return "\n".join([line(rows[0]), rule, *(line(row) for row in rows[1:])])


def figures_table(ran: Ran) -> str:
    figures = ran.scenario.figures
    if set(ran.rounds) == {OURS} and len(figures) > 8:  # one row of many columns reads badly: turn it
        return table(
            [["", OURS], *([f.head, c] for f, c in zip(figures, _cells(ran.rounds, OURS, figures), strict=True))]
        )
    rows = [["", *(figure.head for figure in figures)]]
    rows += [[subject, *_cells(ran.rounds, subject, figures)] for subject in ran.rounds]
    if OURS in ran.rounds:
        for peer in PEERS:
            cells = _ratios(ran.rounds, peer, figures) if peer in ran.rounds else []
            if any(cells):
                rows.append([f"{OURS} ÷ {peer}", *cells])
    return table(rows)


VERDICT = {True: "met", False: "**missed**", None: "-"}


def section(ran: Ran) -> str:
    """One scenario's part of RESULTS.md; the terminal prints the same."""
    parts = [f"## {ran.scenario.name}: {ran.scenario.title}", ""]
    parts += [" · ".join(f"{name} {value}" for name, value in ran.facts.items()), ""]
    if ran.rounds:
        parts += [figures_table(ran), ""]
    parts += [f"{subject} failed: {why.splitlines()[0]}\n" for subject, why in ran.failures.items()]
    if bars := ran.bars():
        parts += [
            table([["bar", "limit", "measured", ""], *([n, lim, val, VERDICT[met]] for n, lim, val, met in bars)]),
            "",
        ]
    if ran.scenario.note:
        parts += [ran.scenario.note, ""]
    return "\n".join(parts)


def merge(old: str, new: Mapping[str, str], order: Sequence[str]) -> str:
    """RESULTS.md with the sections of `new` put in, other scenarios' and the Notes kept as they were."""
    _, found, notes = old.partition(NOTES)
    sections = {name: text.strip() for name, text in SECTION.findall(old)}
    sections |= {name: text.strip() for name, text in new.items()}
    body = "\n\n".join(f"<!-- scenario: {name} -->\n{sections[name]}" for name in order if name in sections)
    return f"{HEAD}\n{body}\n\n{NOTES}{notes if found else chr(10)}"


def write(path: Path, new: Mapping[str, str], order: Sequence[str]) -> None:
    path.write_text(merge(path.read_text() if path.exists() else "", new, order))
