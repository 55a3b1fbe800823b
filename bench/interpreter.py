"""Which Python the gateway and the plain aiohttp proxy run on: the fastest that is here, in an environment of its own.

A Python built without profile-guided optimisation is a fifth slower than the ones that distributions and the official
container images ship. Releases run on the latter, so the comparison does too; both Python proxies run on the same one,
with the same packages, and the results say which.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.install import HERE, PEERS, CannotHave, path_of, run

OLDEST = (3, 11)
NAMES = ("python3", "python3.11", "python3.12", "python3.13", "python3.14")
ENVIRONMENTS = PEERS / "python"
PROJECT = HERE.parent / "pyproject.toml"
# Runs in each candidate, half a second: what it is, and how long a mix of calls, coroutines, strings and tables takes
# there. A loop of additions alone would tell little: it is the rest that a profile-guided build makes faster.
PROBE = """
import json, os, platform, sys, sysconfig, time

class Item:
    __slots__ = ("name", "number")
    def __init__(self, number, name):
        self.number, self.name = number, name
    def line(self):
        return b"%s: %d" % (self.name, self.number)

async def inner(item):
    return item.line()

async def outer(item):
    try:
        return await inner(item)
    finally:
        item.number += 1

def loop(count):
    seen = {}
    for number in range(count):
        item = Item(number, b"name")
        try:
            outer(item).send(None)
        except StopIteration as end:
            seen[end.value] = item
        head, _, rest = "/".join(["a", str(number), "b"]).partition("/")
        if len(seen) > 50:
            seen.clear()
        [text for text in (head, rest) if text.startswith("a")]

best = float("inf")
for _ in range(10):
    began = time.perf_counter()
    loop(40_000)
    best = min(best, time.perf_counter() - began)
said = sysconfig.get_config_var("CONFIG_ARGS") or ""
try:
    shared = "libpython" in open("/proc/self/maps").read()
except OSError:
    shared = bool(sysconfig.get_config_var("Py_ENABLE_SHARED"))
print(json.dumps({
    "path": os.path.realpath(sys.executable), "version": platform.python_version(), "loop": best * 1000,
    "shared": shared, "optimized": "--enable-optimizations" in said, "lto": "--with-lto" in said,
    "compiler": platform.python_compiler(),
}))
"""
PROBE_WITHIN = 30.0


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that was found, and what it said of itself."""

    path: Path
    version: str
    loop: float
    """Milliseconds; best of five."""
    build: str

    @property
    def suits(self) -> bool:
        return tuple(int(part) for part in self.version.split(".")[:2]) >= OLDEST

    def __str__(self) -> str:
        return f"{self.version} ({self.shown}; {self.build}; loop {self.loop:.0f} ms)"

    @property
    def shown(self) -> str:
        """Its path as it may be published: without whose home it lies in."""
        home = str(Path.home())
        return "~" + str(self.path)[len(home) :] if self.path.is_relative_to(home) else str(self.path)


def build_of(said: Mapping[str, object]) -> str:
    """How an interpreter was built, as far as it says so itself.

    Debian builds the executable (with PGO and LTO) and the shared library apart and keeps the configuration of the
    library's build only, so nothing is found there about how the executable was optimised.
    """
    flags = [name for name, key in (("PGO", "optimized"), ("LTO", "lto")) if said[key]]
    linked = "libpython shared" if said["shared"] else "libpython linked in"
    unsaid = "built with " + "+".join(flags) if flags else "CONFIG_ARGS names neither PGO nor LTO"
    return f"{linked}, {unsaid}, {said['compiler']}"


def probed(path: Path, core: int | None = None) -> Interpreter:
    """Raises CannotHave when it does not run."""
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    try:
        done = subprocess.run(
            [*pinned, str(path), "-I", "-c", PROBE], capture_output=True, text=True, check=False, timeout=PROBE_WITHIN
        )
        said = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise CannotHave(f"{path} is no Python that runs: {error}") from error
    return Interpreter(Path(said["path"]), said["version"], said["loop"], build_of(said))


def candidates() -> list[Path]:
    """Where a Python may be; some may not run, some may be the same."""
    named = [Path(getattr(sys, "_base_executable", sys.executable)), Path("/usr/bin/python3")]
    named += [Path(found) for name in NAMES if (found := path_of(name))]
    return [path for path in dict.fromkeys(named) if path.exists()]


def choose(asked: Path | None, core: int) -> tuple[Interpreter, list[Interpreter]]:
    """(the fastest, or the one asked for; all that were tried, each once). Raises CannotHave."""
    found: dict[Path, Interpreter] = {}
    for path in [asked] if asked else candidates():
        try:
            one = probed(path, core)
        except CannotHave:
            if asked:
                raise
        else:
            known = found.get(one.path, one)
            found[one.path] = min(known, one, key=lambda either: either.loop)
    return fastest([*found.values()]), [*found.values()]


def fastest(found: Sequence[Interpreter]) -> Interpreter:
    """Raises CannotHave when none is new enough."""
    if fit := [one for one in found if one.suits]:
        return min(fit, key=lambda one: one.loop)
    raise CannotHave(f"no Python from {'.'.join(map(str, OLDEST))} on: {'; '.join(map(str, found)) or 'none found'}")


def stamp(interpreter: Interpreter, project: bytes) -> str:
    """What an environment was made of; another stamp, another environment."""
    return f"{interpreter.path} {interpreter.version} {hashlib.sha256(project).hexdigest()}"


def environment(interpreter: Interpreter) -> Path:
    """Python of an environment with the project in it, made once for each interpreter. Raises CannotHave.

    Its pip is the bench's own: distributions split ensurepip off.
    """
    name = "-".join(interpreter.path.parts[1:])
    home, wanted = ENVIRONMENTS / name, stamp(interpreter, PROJECT.read_bytes())
    python, mark = home / "bin" / "python", home / "stamp"
    if mark.exists() and mark.read_text() == wanted and python.exists():
        return python
    print(f"· installing the project for {interpreter.path} into {home} (once)", file=sys.stderr)
    run([str(interpreter.path), "-m", "venv", "--clear", "--without-pip", str(home)])
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "--python", str(python)]
    run([*pip, "install", "--editable", f"{HERE.parent}[otel]"])  # traces are measured, too
    mark.write_text(wanted)
    return python


def versions(python: Path, names: Sequence[str]) -> dict[str, str]:
    """Versions of distributions installed in `python`'s environment. Raises CannotHave when one is absent."""
    code = (
        "import json, sys; from importlib.metadata import version; "
        "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
    )
    done = subprocess.run([str(python), "-c", code, *names], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotHave(f"{python}: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    found: dict[str, str] = json.loads(done.stdout)
    return found
