"""A trail in a folder of the test's own, on a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.services.audit import Event, Keys, Kind, Ledger, Result, Verdict, Writer, verify
from gateway.services.masking import Masking

DAY = 86400.0
NOON = 1_795_262_400.0
"""2026-11-21 12:00 UTC."""


class Place:
    """A folder with a trail, and what writes and judges it."""

    def __init__(self, folder: Path, secrets: tuple[bytes, ...] = (b"k" * 32,)) -> None:
        self.folder = folder
        self.keys = Keys(secrets)
        self.writer = Writer("gw-1", Masking())
        self.now = NOON
        self.opened: list[Ledger] = []

    def ledger(self, *secrets: bytes) -> Ledger:
        keys = Keys(secrets) if secrets else self.keys
        made = Ledger(self.folder, keys, self.writer, fsync=False, now=lambda: self.now)
        self.opened.append(made)
        return made

    def write(self, count: int = 1, ledger: Ledger | None = None, **more: Any) -> Ledger:
        """Append so many records in one batch."""
        ledger = ledger if ledger is not None else self.ledger()
        bodies = [self.writer(event(resource=f"/orders/{number}", at=self.now, **more)) for number in range(count)]
        ledger.append(bodies)
        return ledger

    def verify(self, **options: Any) -> Verdict:
        return verify(self.folder, self.keys, **options)

    def file(self, day: str = "2026-11-21") -> Path:
        return self.folder / f"{day}.jsonl"

    def lines(self, day: str = "2026-11-21") -> list[bytes]:
        return self.file(day).read_bytes().splitlines(keepends=True)

    def rewrite(self, lines: list[bytes], day: str = "2026-11-21") -> None:
        self.file(day).write_bytes(b"".join(lines))

    @property
    def head(self) -> Path:
        return self.folder / "head"


def event(**more: Any) -> Event:
    given: dict[str, Any] = {"resource": "/a", "actor": "alice", "facts": {"status": 200}, "at": NOON, **more}
    return Event(Kind.REQUEST, "GET", given.pop("resource"), Result.SUCCESS, **given)


@pytest.fixture(name="event")
def _event() -> Callable[..., Event]:
    return event


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "trail")
    made.folder.mkdir()
    yield made
    for ledger in made.opened:
        ledger.close()


@pytest.fixture
def make_place() -> type[Place]:
    return Place
