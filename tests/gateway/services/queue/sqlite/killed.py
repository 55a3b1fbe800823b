"""A process that puts, takes and settles until it is killed, and says so on its standard output: run by a test.

A line is written in one call, after the queue has promised what it says: ``P id`` put, ``? id`` about to be settled,
``D id`` done, ``B id`` buried. ``python killed.py <path> <putters> [careless]``; careless: nothing is synced.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import sys
from pathlib import Path

from gateway.services.clock import Clock
from gateway.services.queue import Attempt, Buried, Done, Draft, QueueError
from gateway.services.queue.opening import QueueSettings
from gateway.services.queue.sqlite import SqliteQueue, open_sqlite, schema


def say(letter: str, text: str) -> None:
    os.write(1, f"{letter} {text}\n".encode())


async def put(queue: SqliteQueue, number: int) -> None:
    count = 0
    while True:
        count += 1
        order = f"k{number}" if number % 2 else None
        try:
            receipt = await queue.put(Draft("t", os.urandom(random.choice([0, 100, 2000, 9000])), order=order))
        except QueueError:
            await asyncio.sleep(0.01)
        else:
            say("P", receipt.id)


async def work(queue: SqliteQueue) -> None:
    while True:
        try:
            items = await queue.take("t", 10, 0.05)
            for item in items:
                say("?", item.id)
                attempt = Attempt(item.attempts + 1, 0, 0)
                burying = random.random() < 0.2
                settlement = Buried(item, attempt) if burying else Done(item, attempt)
                if (await queue.settle([settlement]))[0]:
                    say("B" if burying else "D", item.id)
            if not items:
                await queue.wait("t", 0.05)
        except QueueError:
            await asyncio.sleep(0.01)


def be_careless() -> None:
    connect = schema.connect

    def careless(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
        connection = connect(path, read_only=read_only)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    schema.connect = careless


async def main() -> None:
    if "careless" in sys.argv:
        be_careless()
    queue = await open_sqlite(sys.argv[1], QueueSettings(gateway="child"), Clock())
    say("O", "pen")
    await asyncio.gather(*[put(queue, number) for number in range(int(sys.argv[2]))], *[work(queue) for _ in range(3)])


if __name__ == "__main__":
    asyncio.run(main())
