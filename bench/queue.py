"""The durable queue on SQLite in process: what it accepts and hands out a second, empty and with much waiting in it.

Run ``python -m bench.queue`` (``--waiting 1000000`` for as many as the bar names; minutes, and ten gigabytes
of disk); `measure` gives the same figures to ``make bench``. Files lie in ``SIDEGATE_BENCH_DIR`` or the system's folder
for temporary ones: it must be a disk, not memory, or nothing is measured.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from gateway.services.clock import Clock
from gateway.services.queue import Attempt, Done, Draft, Query, Queue
from gateway.services.queue.opening import QueueSettings, open_queue

SENDERS = 64
SIZE = 2_048
WAITING = 200_000
ROUNDS = 5
SECONDS = 1.5
"""Of each measurement in a round."""
OTHER_WORK = 80e-6
"""Seconds on the loop's thread for each event beside the queue's: what receiving a request over HTTP may take."""
TOPIC = "inbox/stripe/inbox"
LABELS = {"route": "stripe", "method": "POST", "path": "/hooks/stripe", "event": "invoice.paid", "provider": "stripe"}


@dataclass
class Accepted:
    rate: float = 0.0
    waits: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def put(queue: Queue, body: bytes) -> None:
    await queue.put(Draft(TOPIC, body, LABELS, dedup=os.urandom(12).hex(), window=86_400))


def work(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def accept(queue: Queue, seconds: float, other: float = 0.0) -> Accepted:
    """64 senders, each with its next event as soon as the last one is on disk."""
    found, body, count = Accepted(), os.urandom(SIZE), 0
    until = time.perf_counter() + seconds

    async def sender() -> None:
        nonlocal count
        while (began := time.perf_counter()) < until:
            if other:
                work(other)
            await put(queue, body)
            found.waits.append(time.perf_counter() - began)
            count += 1

    async def lag() -> None:
        while (began := time.perf_counter()) < until:
            await asyncio.sleep(0.001)
            found.lags.append(time.perf_counter() - began - 0.001)

    began = time.perf_counter()
    await asyncio.gather(lag(), *[sender() for _ in range(SENDERS)])
    found.rate = count / (time.perf_counter() - began)
    return found


async def deliver(queue: Queue, seconds: float) -> float:
    """Taken, and settled one by one, as each delivery ends at its own time; items a second."""
    count, until = 0, time.perf_counter() + seconds

    async def courier() -> None:
        nonlocal count
        while time.perf_counter() < until:
            items = await queue.take(TOPIC, 16, 60)
            if not items:
                return
            attempt = Attempt(1, time.time(), 0.01, 200)
            await asyncio.gather(*[queue.settle([Done(item, attempt)]) for item in items])
            count += len(items)

    began = time.perf_counter()
    await asyncio.gather(*[courier() for _ in range(4)])
    return count / (time.perf_counter() - began)


async def fill(queue: Queue, count: int) -> None:
    body, left = os.urandom(SIZE), count

    async def sender() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await put(queue, body)

    await asyncio.gather(*[sender() for _ in range(512)])


async def rounds(folder: str, waiting: int, count: int) -> dict[str, float]:
    empty = await open_queue(f"sqlite://{folder}/empty.db", QueueSettings(), Clock())
    full = await open_queue(f"sqlite://{folder}/full.db", QueueSettings(), Clock())
    await accept(empty, 0.5)
    before = resident()
    await fill(full, waiting)
    runs: dict[str, list[float]] = {name: [] for name in ("into_empty", "into_full", "from_empty", "from_full")}
    p99s, lags, grown = [], [], 0
    for _ in range(count):
        for name, queue in (("empty", empty), ("full", full)):
            found = await accept(queue, SECONDS)
            runs[f"into_{name}"].append(found.rate)
            if name == "empty":
                p99s.append(quantile(found.waits, 0.99) * 1e3)
                lags += found.lags
            runs[f"from_{name}"].append(await deliver(queue, SECONDS))
            if name == "empty":
                await empty.purge(Query())
        grown = max(grown, resident() - before)
    busy = await accept(empty, SECONDS * 2, OTHER_WORK)
    await full.close()
    await empty.close()

    def ratio(way: str) -> float:
        pairs = zip(runs[f"{way}_full"], runs[f"{way}_empty"], strict=True)
        return statistics.median(full / empty for full, empty in pairs)

    return {name: statistics.median(values) for name, values in runs.items()} | {
        "p99": statistics.median(p99s), "lag": quantile(lags, 0.999) * 1e3, "waiting": float(waiting),
        "accepting": ratio("into"), "delivering": ratio("from"), "grown": grown / 1024**2,
        "busy": busy.rate, "busy_p99": quantile(busy.waits, 0.99) * 1e3, "busy_lag": quantile(busy.lags, 0.999) * 1e3,
    }  # fmt: skip


def measure(waiting: int = WAITING, count: int = ROUNDS) -> dict[str, float]:
    """Medians of alternated rounds: items a second, milliseconds, ratios within a round, MiB."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("SIDEGATE_BENCH_DIR"), prefix="queue-") as folder:
        return uvloop.run(rounds(folder, waiting, count))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, default=WAITING)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    for name, value in measure(asked.waiting, asked.rounds).items():
        print(f"{name:12} {value:,.2f}")
