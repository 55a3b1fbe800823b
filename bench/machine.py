"""The machine the figures come from: its cores, who gets which, its limits and its description."""

import os
import platform
import resource
from dataclasses import dataclass
from pathlib import Path

OPEN_FILES = 65_536


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where. The proxy has its core to itself; origin and load generator share what is left."""

    proxy: int
    origin: int
    load: int


def cores() -> Cores:
    """Raises SystemExit on a machine of one core, where nothing of this could be measured."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise SystemExit("bench: two cores are needed, one of them for the proxy alone")
    return Cores(proxy=usable[0], origin=usable[1], load=usable[2] if len(usable) > 2 else usable[1])


def raise_open_files() -> int:
    """Raises the limit of open files for this process and what it starts; returns the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in ((OPEN_FILES, max(hard, OPEN_FILES)), (hard, hard)):
        if soft < wanted[0]:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, wanted)
                break
            except (ValueError, OSError):
                continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def parse_core(stat: str, core: int) -> float:
    """Seconds a core has worked, from /proc/stat, proc_stat(5).

    Soft interrupts belong to it: on loopback they run within the sender's system call and are in its time as well.
    """
    for line in stat.splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _waiting, irq, softirq = (int(spent) for spent in ticks[:7])
            return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    raise ValueError(f"/proc/stat has no cpu{core}")


def core_seconds(core: int) -> float:
    return parse_core(Path("/proc/stat").read_text(), core)


def describe() -> dict[str, str]:
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "CPU": model,
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
    }
