"""Processes are killed at random moments: what was promised holds, over one file for all of them."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.services.queue import Query, State

CHILD = Path(__file__).with_name("killed.py")
PATIENCE = 60.0


class Child:
    """A process at work, and all that it said before it was killed."""

    def __init__(self, path: Path, putters: int) -> None:
        self.process = subprocess.Popen([sys.executable, str(CHILD), str(path), str(putters)], stdout=subprocess.PIPE)
        self.lines: list[str] = []
        self.enough = threading.Event()
        self.wanted = random.randrange(1, 150)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith(b"\n"):
                self.lines.append(line.decode().strip())
            if len(self.lines) >= self.wanted:
                self.enough.set()

    def kill(self) -> None:
        """After a random number of promises, and a moment more."""
        assert self.enough.wait(PATIENCE), "it does not get on"
        threading.Event().wait(random.random() * 0.005)
        self.process.kill()
        self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()


async def rounds(open_queue: Any, path: Path, count: int, together: int = 1) -> int:
    put: set[str] = set()
    tried: set[str] = set()
    done: set[str] = set()
    buried: set[str] = set()
    said = {"P": put, "?": tried, "D": done, "B": buried, "O": set()}
    for _ in range(count):
        children = [Child(path, random.choice([1, 8, 32])) for _ in range(together)]
        for child in children:
            child.kill()
            for line in child.lines:
                letter, _, name = line.partition(" ")
                said[letter].add(name)
    queue = await open_queue(path, real_clock=True)
    there = {item.id: item async for item in queue.export(Query())}
    assert put - set(there) - tried == set(), "what was acknowledged is lost"
    assert done & set(there) == set(), "what was settled came back"
    assert {name for name in buried if there[name].state is State.DEAD} == buried, "a dead letter came back to life"
    assert all(item.payload is not None and len(item.payload) == item.size for item in there.values())
    assert await queue.check() == []
    return len(put)


async def test_ten_kills(open_queue: Any, path: Path):
    assert await rounds(open_queue, path, 5, together=2) > 0


@pytest.mark.crash
@pytest.mark.parametrize("together", [1, 3])
async def test_two_hundred_kills(open_queue: Any, path: Path, together: int):
    assert await rounds(open_queue, path, 200, together) > 0
