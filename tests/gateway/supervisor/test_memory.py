from __future__ import annotations

import subprocess
import sys

import pytest

ANSWERS = """
import sys
from resource import RUSAGE_SELF, getrusage
from gateway.supervisor.memory import keep_memory

print(keep_memory())
def burst():
    return [bytes(64 * 1024) for _ in range(64)]

burst()
before = getrusage(RUSAGE_SELF).ru_minflt
for _ in range(100):
    burst()
print(getrusage(RUSAGE_SELF).ru_minflt - before)
"""


def ran(**environment: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", ANSWERS], capture_output=True, text=True, check=True, env=environment)
    return done.stdout.split()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_what_was_given_back_is_not_taken_from_the_system_anew():
    kept, faults = ran()
    assert kept == "True"
    assert int(faults) < 1000  # 4 MB a hundred times would be 100,000 pages


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_the_environment_says_is_left_alone(name: str):
    assert ran(**{name: "131072" if name.startswith("MALLOC") else "glibc.malloc.check=0"})[0] == "False"
