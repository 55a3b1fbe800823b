"""The load generators: wrk (as fast as it goes, a fixed number of connections) and h2load (a rate that is held)."""

import json
import math
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.install import HERE, program

GRACE = 30.0
REPORT = re.compile(r"^BENCH (\{.*\})$", re.MULTILINE)
H2LOAD_REQUESTS = re.compile(
    r"^requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout",
    re.MULTILINE,
)


class LoadFailed(Exception):
    """The load generator itself failed, or said something it never says."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a generator saw. Latencies in milliseconds."""

    requests: int
    errors: int
    seconds: float
    p50: float
    p99: float
    worst: float
    lowest_second: int = 0  # fewest answers in any whole second of the window, where the generator tells

    @property
    def rps(self) -> float:
        return self.requests / self.seconds


def _call(argv: Sequence[str], core: int, seconds: float) -> str:
    pinned = ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(core), *argv]
    try:
        done = subprocess.run(pinned, capture_output=True, text=True, check=False, timeout=seconds + GRACE)
    except subprocess.TimeoutExpired as error:
        raise LoadFailed(f"{argv[0]} did not end within {seconds + GRACE:.0f} s") from error
    if done.returncode:
        raise LoadFailed(f"{argv[0]} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def parse_wrk(out: str) -> Load:
    """Reads the line that wrk_report.lua writes. Raises LoadFailed when it is not there."""
    found = REPORT.search(out)
    if found is None:
        raise LoadFailed(f"wrk wrote no report: {out[-500:]}")
    seen = json.loads(found[1])
    return Load(
        requests=seen["requests"],
        errors=seen["connect"] + seen["read"] + seen["write"] + seen["status"] + seen["timeout"],
        seconds=seen["us"] / 1e6,
        p50=seen["p50"] / 1e3,
        p99=seen["p99"] / 1e3,
        worst=seen["max"] / 1e3,
    )


def wrk(
    port: int,
    path: str,
    *,
    connections: int,
    seconds: float,
    core: int,
    body: int = 0,
    tokens: Path | None = None,
    field: str = "",
) -> Load:
    """`body` bytes are sent with POST when not 0. Of `tokens`, a file of lines, one after the other is the bearer's.

    `field` is a header field to send, ``Name: value``.
    """
    argv = [
        program("wrk"), "-t", "1", "-c", str(connections), "-d", f"{math.ceil(seconds)}s", "--timeout", "20s",
        *(["-H", field] if field else []), "-s", str(HERE / "wrk_report.lua"),
        f"http://127.0.0.1:{port}{path}", "--", str(body),
        *([str(tokens)] if tokens is not None else []),
    ]  # fmt: skip
    return parse_wrk(_call(argv, core, seconds))


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank: the smallest value that at least `share` of all do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def parse_log(lines: Iterable[str], since: int, until: int) -> tuple[list[float], int, int]:
    """(latencies in ms, ascending; answers that were not 2xx; fewest answers in a whole second) of h2load's log.

    A line is start (µs since the epoch), status (-1: failed), duration (µs). Only requests begun in [since, until)
    count, both in µs since the epoch; seconds are counted by when the answer was complete.
    """
    latencies, bad, answered = [], 0, Counter[int]()
    for line in lines:
        start, status, duration = (int(field) for field in line.split("\t")[:3])
        if not since <= start < until:
            continue
        latencies.append(duration / 1000)
        bad += not 200 <= status < 300
        answered[(start + duration - since) // 1_000_000] += 1
    whole = range(int((until - since) // 1_000_000))
    return sorted(latencies), bad, min((answered[second] for second in whole), default=0)


def parse_h2load(out: str, log: Path, seconds: float, skip: float) -> Load:
    """Failures of the whole run count; latencies are those of the `seconds` after the first `skip`."""
    totals = H2LOAD_REQUESTS.search(out)
    if totals is None:
        raise LoadFailed(f"h2load wrote no totals: {out[-500:]}")
    with log.open() as lines:
        began = min((int(line.split("\t", 1)[0]) for line in lines), default=0)
    since = began + int(skip * 1e6)
    with log.open() as lines:
        latencies, bad, lowest = parse_log(lines, since, since + int(seconds * 1e6))
    if not latencies:
        raise LoadFailed("h2load logged no request in the window")
    failed, errored, timeout = (int(totals[group]) for group in (5, 6, 7))
    return Load(
        requests=len(latencies),
        errors=max(bad, failed + errored + timeout),
        seconds=seconds,
        p50=percentile(latencies, 0.5),
        p99=percentile(latencies, 0.99),
        worst=latencies[-1],
        lowest_second=lowest,
    )


def h2load(port: int, path: str, *, connections: int, rps: float, seconds: float, core: int, log: Path) -> Load:
    """Holds `rps` requests a second in all for `seconds`, after two seconds in which the connections are made.

    They are made one a millisecond: each sends by a timer of its own, and made at once they would all fire together, a
    burst of a thousand each tenth of a second in place of a steady rate.
    A late answer delays that connection's next request (HTTP/1.1, nothing is pipelined), so latencies alone would hide
    a proxy that falls behind: look at `rps` and `lowest_second` as well.
    """
    skip = 2.0
    argv = [
        program("h2load"), "--h1", "-t", "1", "-c", str(connections), "--rps", f"{rps / connections:g}",
        "-r", "1", "--rate-period=1ms", "-n", str(round(rps * (seconds + skip + 1))), "--log-file", str(log), f"http://127.0.0.1:{port}{path}",
    ]  # fmt: skip
    log.unlink(missing_ok=True)
    try:
        return parse_h2load(_call(argv, core, 2 * seconds + skip), log, seconds, skip)
    finally:
        log.unlink(missing_ok=True)
