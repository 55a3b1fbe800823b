"""The proxies under test. A subject takes part in a scenario when it has a configuration for the scenario's variant.

Adding a variant (say `jwt`) is adding files: `gateway/jwt.yaml`, `peers/envoy-jwt.yaml`, …, with @PORT@, @ADMIN_PORT@,
@ORIGIN_PORT@, @WORK@ and @LOG@ in them; the gateway's own file takes the same names as ${PORT} and so on.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import install, interpreter
from bench.install import HERE, first_line, program
from bench.origin import Origin
from bench.ports import fill, free_port, wait_answer
from bench.process import Process

PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Serving:
    """A proxy that answers: its port, and the process whose CPU and memory count."""

    port: int
    process: Process


@dataclass(frozen=True, slots=True)
class Launch:
    argv: list[str]
    env: dict[str, str]


class Subject:
    """One proxy: where its configurations lie and how it is started."""

    name = ""
    template = ""  # with {} for the variant

    def config(self, variant: str) -> Path | None:
        """None when this subject has no configuration for `variant`."""
        path = HERE / self.template.format("" if variant == PLAIN else f"-{variant}")
        return path if path.exists() else None

    def version(self) -> str:
        """Raises CannotHave when the program is absent."""
        raise NotImplementedError

    def launch(self, config: Path, ports: dict[str, object]) -> Launch:
        raise NotImplementedError

    def filled(self, config: Path, ports: dict[str, object]) -> str:
        work = Path(str(ports["WORK"]))
        return str(fill(config, work / f"{self.name}-{config.name}", **ports))


class PythonSubject(Subject):
    """One that runs on the interpreter the bench has chosen, all on the same."""

    python = Path(sys.executable)
    """Of an environment with the project and what it needs."""


class Gateway(PythonSubject):
    name = "gateway"
    template = "gateway/{}.yaml"

    def config(self, variant: str) -> Path | None:
        path = HERE / "gateway" / f"{variant}.yaml"
        return path if path.exists() else None

    def _command(self) -> str:
        beside = self.python.parent / "gateway"
        if not beside.exists():
            raise install.CannotHave(f"there is no `gateway` beside {self.python} (make bench installs it)")
        return str(beside)

    def version(self) -> str:
        self._command()
        return f"sidegate {interpreter.versions(self.python, ['sidegate'])['sidegate']}"

    def launch(self, config: Path, ports: dict[str, object]) -> Launch:
        return Launch([self._command(), "run", str(config)], {name: str(value) for name, value in ports.items()})


class Envoy(Subject):
    name = "envoy"
    template = "peers/envoy{}.yaml"

    def version(self) -> str:
        return first_line([install.envoy(), "--version"]).rpartition("version: ")[2].split("/")[1]

    def launch(self, config: Path, ports: dict[str, object]) -> Launch:
        flags = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
        return Launch([install.envoy(), "-c", self.filled(config, ports), *flags], {})


class Nginx(Subject):
    name = "nginx"
    template = "peers/nginx{}.conf"

    def version(self) -> str:
        return first_line([program("nginx"), "-v"]).rpartition("/")[2]

    def launch(self, config: Path, ports: dict[str, object]) -> Launch:
        return Launch([program("nginx"), "-c", self.filled(config, ports)], {})


class Haproxy(Subject):
    name = "haproxy"
    template = "peers/haproxy{}.cfg"

    def version(self) -> str:
        return first_line([program("haproxy"), "-v"]).split()[2]

    def launch(self, config: Path, ports: dict[str, object]) -> Launch:
        return Launch([program("haproxy"), "-db", "-f", self.filled(config, ports)], {})


class PlainAiohttp(PythonSubject):
    name = "aiohttp"
    variants = (PLAIN, "log")

    def config(self, variant: str) -> Path | None:
        return HERE / "peers" / "aiohttp_proxy.py" if variant in self.variants else None

    def version(self) -> str:
        found = interpreter.versions(self.python, ["aiohttp", "uvloop"])
        return f"{found['aiohttp']} on uvloop {found['uvloop']}"

    def launch(self, config: Path, ports: dict[str, object]) -> Launch:
        target = f"http://127.0.0.1:{ports['ORIGIN_PORT']}"
        argv = [str(self.python), str(config), "--port", str(ports["PORT"]), "--target", target]
        if ports["VARIANT"] == "log":
            argv += ["--access-log", str(ports["LOG"])]
        return Launch(argv, {})


SUBJECTS: dict[str, Subject] = {one.name: one for one in (Gateway(), Envoy(), Nginx(), Haproxy(), PlainAiohttp())}


def run_on(python: Path) -> None:
    """All subjects that are written in Python run on this one from now on."""
    PythonSubject.python = python


DEFAULT = ("gateway", "envoy", "nginx", "aiohttp")


@contextmanager
def started(subject: Subject, variant: str, origin: Origin, core: int, **more: object) -> Iterator[Serving]:
    """Starts `subject` without waiting for it: what follows decides when it counts as up. ``more`` names for files."""
    config = subject.config(variant)
    assert config is not None, f"{subject.name} has no configuration for {variant}"
    log = origin.work / f"{subject.name}-access.log"
    port = free_port()
    ports: dict[str, object] = {
        "PORT": port, "ADMIN_PORT": free_port(), "ORIGIN_PORT": origin.port, "WORK": origin.work, "LOG": log,
        "VARIANT": variant, **more,
    }  # fmt: skip
    launch = subject.launch(config, ports)
    try:
        with Process(launch.argv, env=launch.env, core=core, log=origin.work / f"{subject.name}.log") as process:
            yield Serving(port, process)
    finally:
        log.unlink(missing_ok=True)  # it lies in memory


@contextmanager
def serving(
    subject: Subject, variant: str, origin: Origin, core: int, *, ready: str = "/small", **more: object
) -> Iterator[Serving]:
    """Raises NotReady when it does not answer ``ready`` with 200."""
    with started(subject, variant, origin, core, **more) as proxy:
        wait_answer(proxy.port, ready, proxy.process)
        yield proxy
