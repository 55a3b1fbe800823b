"""One thing the bench started: its processes, the CPU time and the memory they used, and its certain end."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

TICKS = os.sysconf("SC_CLK_TCK")
STOP_WITHIN = 5.0
SAMPLE_EVERY = 0.5


def parse_stat(stat: str) -> tuple[int, float]:
    """(parent's pid, CPU seconds) of a line of /proc/PID/stat, proc_pid_stat(5).

    CPU is user + system of all threads, and of the children that have ended and been waited for, so that the sum over a
    tree of live processes loses nothing. The command's name stands in parentheses and may hold spaces and parentheses.
    """
    fields = stat[stat.rindex(")") + 2 :].split()
    return int(fields[1]), sum(int(ticks) for ticks in fields[11:15]) / TICKS


def _stats() -> dict[int, tuple[int, float]]:
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, ValueError):
                found[int(entry.name)] = parse_stat(Path(entry.path, "stat").read_text())
    return found


def tree(pid: int) -> dict[int, float]:
    """The live processes under `pid`, itself included: pid → CPU seconds."""
    stats = _stats()
    members: dict[int, float] = {}
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        if one in stats:
            members[one] = stats[one][1]
            waiting += [child for child, (parent, _) in stats.items() if parent == one]
    return members


def cpu_seconds(pid: int) -> float:
    """CPU seconds, user and system, that `pid` and its descendants have used so far."""
    return sum(tree(pid).values())


def parse_pss(rollup: str) -> float:
    """MiB of /proc/PID/smaps_rollup's `Pss` line (proportional set size: shared pages are divided by their users)."""
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError("smaps_rollup has no Pss line")


def pss_mib(pid: int) -> list[float]:
    """PSS in MiB of each live process under `pid`, largest first."""
    sizes = []
    for member in tree(pid):
        with contextlib.suppress(OSError, ValueError):
            sizes.append(parse_pss(Path(f"/proc/{member}/smaps_rollup").read_text()))
    return sorted(sizes, reverse=True)


class Process:
    """A child on one core that dies with the bench. Use it as a context manager; leaving it ends the whole group."""

    def __init__(
        self, argv: Sequence[str], *, core: int, log: Path, env: Mapping[str, str] | None = None, piped: bool = False
    ) -> None:
        self.log = log
        pipe = subprocess.PIPE if piped else None
        with log.open("ab") as out:
            # setpriv and taskset exec what follows, so the pid below is the program's own.
            self._child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), *argv],
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or out,
                stderr=out,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                text=True,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def cpu(self) -> float:
        return cpu_seconds(self.pid)

    def pss(self) -> float:
        """MiB, all processes together."""
        return sum(pss_mib(self.pid))

    def read_line(self) -> str:
        """Next line a piped child writes; empty when it has ended."""
        assert self._child.stdout is not None
        return self._child.stdout.readline()

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """TERM, then KILL to the group: asked nicely first because some masters must take their workers along."""
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signum)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(STOP_WITHIN)
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class PeakMemory:
    """Samples a process's PSS on a thread and keeps the highest. Reading it walks page tables: not for CPU figures."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._ended = threading.Event()
        self.mib = 0.0

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_EVERY):
            self.mib = max(self.mib, self._process.pss())

    @contextlib.contextmanager
    def watching(self) -> Iterator[Self]:
        thread = threading.Thread(target=self._sample, name="peak-memory", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()
            self.mib = max(self.mib, self._process.pss())
