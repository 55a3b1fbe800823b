"""The reference of every key, plugin and error."""

from __future__ import annotations

import re

import pytest

from gateway import registry
from gateway.config.model import Config
from gateway.config.reference import reference
from gateway.errors import catalogue


@pytest.fixture(scope="module")
def page() -> str:
    return reference()


def rows(page: str, heading: str) -> dict[str, list[str]]:
    """A table's rows by their first cell."""
    section = page.split(f"{heading}\n", 1)[1].split("\n#", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return {
        cells[0].strip("` "): [cell.strip() for cell in cells]
        for cells in (re.split(r"(?<!\\)\|", line)[1:-1] for line in lines)
    }


def test_every_key_at_the_top_is_there(page: str):
    assert set(rows(page, "## Keys of a file")) == set(Config.model_fields)


@pytest.mark.parametrize(
    ("heading", "key", "value", "default"),
    [
        ("### `upstreams.NAME.timeout`", "connect", "duration", "`2s`"),
        ("### `upstreams.NAME.timeout`", "total", "duration or `off`", "`1m`"),
        ("### `upstreams.NAME`", "targets", "list of text or [mapping](#upstreamsnametargets)", "**required**"),
        ("### `upstreams.NAME.retry`", "max_body", "size", "`64KiB`"),
        ("### `upstreams.NAME.retry`", "budget", "percentage", "`20%`"),
        (
            "### `upstreams.NAME.retry`",
            "on",
            "list of `unsent`, `reset`, `timeout` or number",
            "`[unsent, reset, 502, 503, 504]`",
        ),
        ("### `stores`", "shared", "text", "`memory://`"),
        ("### `admin`", "token", "secret", ""),
        ("#### `size_limit.with`", "json", "size", "`100KB`"),
    ],
)
def test_rows(page: str, heading: str, key: str, value: str, default: str):
    row = rows(page, heading)[key]
    assert row[1:3] == [value, default]
    assert row[3]


def test_every_plugin_has_its_section(page: str):
    assert re.findall(r"^### ([a-z_0-9]+)$", page, re.MULTILINE) == list(registry.bundled())


def test_every_code_has_its_row(page: str):
    ours = {error.code for error in catalogue() if error.__module__.startswith(("gateway.", "plugins."))}
    assert set(rows(page, "## Errors")) == ours


def test_links_lead_to_headings(page: str):
    headings: dict[str, int] = {}
    anchors = set()
    for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE):
        anchor = "".join(letter for letter in heading.lower() if letter.isalnum() or letter in "-_ ").replace(" ", "-")
        anchors.add(anchor + (f"-{headings[anchor]}" if anchor in headings else ""))
        headings[anchor] = headings.get(anchor, 0) + 1
    assert set(re.findall(r"\]\(#([^)]*)\)", page)) <= anchors


def test_every_row_says_what_it_means(page: str):
    empty = [line for line in page.splitlines() if line.startswith("| `") and line.rstrip().endswith("|  |")]
    assert empty == []
