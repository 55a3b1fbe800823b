"""CPU and memory accounting of a started process, its threads and its children."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from bench.process import Process, cpu_seconds, parse_pss, parse_stat, tree

TICK = 0.01
CORE = min(os.sched_getaffinity(0))
# The process, a thread, a child that has ended and one that lives burn CPU, each by its own clock; then their own sum.
BURNER = """
import json, os, subprocess, sys, threading, time
def burn(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(1000))
burn(0.1)
thread = threading.Thread(target=burn, args=(0.1,)); thread.start(); thread.join()
child = "import time; u = time.process_time() + 0.1\\nwhile time.process_time() < u: sum(range(1000))"
subprocess.run([sys.executable, "-c", child], check=True)
live = subprocess.Popen([sys.executable, "-c", child + "\\nprint(time.process_time(), flush=True)\\ninput()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
theirs = float(live.stdout.readline())
own = os.times()
print(json.dumps(own.user + own.system + own.children_user + own.children_system + theirs), flush=True)
input()
"""

needs_util_linux = pytest.mark.skipif(
    not (shutil.which("setpriv") and shutil.which("taskset")),
    reason="the bench starts what it measures by setpriv and taskset",
)


@pytest.mark.parametrize(
    ("line", "parent", "seconds"),
    [
        pytest.param(
            "12 (nginx) S 7 12 12 0 -1 4194304 100 0 0 0 30 20 4 6 20 0 1 0 5",
            7,
            0.6,
            id="user, system and waited-for children",
        ),
        pytest.param(
            "12 (a) b (c)) R 3 12 12 0 -1 0 0 0 0 0 100 0 0 0 20 0 1 0 5", 3, 1.0, id="a name with parentheses"
        ),
    ],
)
def test_a_line_of_stat(line: str, parent: int, seconds: float) -> None:
    assert parse_stat(line) == (parent, pytest.approx(seconds))


def test_pss_is_the_pss_line_and_not_its_parts() -> None:
    rollup = "00400000-7fff rollup\nRss:   9000 kB\nPss:   2048 kB\nPss_Anon:  100 kB\n"
    assert parse_pss(rollup) == 2.0
    with pytest.raises(ValueError, match="no Pss"):
        parse_pss("Rss: 1 kB\n")


@needs_util_linux
def test_cpu_of_threads_and_children_is_counted_once(tmp_path: Path) -> None:
    with Process([sys.executable, "-c", BURNER], core=CORE, log=tmp_path / "log", piped=True) as process:
        line = process.read_line()
        assert line, process.tail()
        counted = process.cpu()
        assert len(tree(process.pid)) == 2
        assert process.pss() > 1
    # Rounded down to ticks, for user and system, in each of the four that took part.
    assert counted == pytest.approx(json.loads(line), abs=10 * TICK)
    assert counted > 0.4


@needs_util_linux
def test_leaving_ends_the_process_and_its_children(tmp_path: Path) -> None:
    script = "import subprocess, sys; subprocess.Popen(['sleep', '60']); print('up', flush=True); input()"
    with Process([sys.executable, "-c", script], core=CORE, log=tmp_path / "log", piped=True) as process:
        assert process.read_line() == "up\n"
        members = tree(process.pid)
        assert len(members) == 2
    assert not process.alive
    for pid in members:
        assert cpu_seconds(pid) == 0 or "sleep" not in Path(f"/proc/{pid}/comm").read_text()
