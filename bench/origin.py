"""The service behind the proxies: nginx with fixed answers and files on tmpfs (peers/origin.conf)."""

import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.install import HERE, program
from bench.ports import fill, free_port, wait_answer
from bench.process import Process

SMALL_BYTES = 200
FILES = {"1k": 1024, "100k": 100 * 1024, "10m": 10 * 1024 * 1024}


@dataclass(frozen=True, slots=True)
class Origin:
    port: int
    work: Path


def small_body() -> str:
    """200 bytes of JSON."""
    empty = json.dumps({"id": 1, "text": ""}, separators=(",", ":"))
    return json.dumps({"id": 1, "text": "x" * (SMALL_BYTES - len(empty))}, separators=(",", ":"))


def json_body(size: int) -> bytes:
    """A list of records, the same each time, that compresses as usual answers do: to an eighth or so."""
    chance, records, length = random.Random(1), [], 2
    words = ("ada", "berlin", "invoice", "pending", "overnight", "premium", "refund", "tea")
    while length < size:
        record = {
            "id": chance.randrange(10**9),
            "name": chance.choice(words),
            "email": f"u{chance.randrange(10**6)}@example.com",
            "tags": chance.sample(words, 3),
            "active": chance.random() < 0.5,
            "total": round(chance.random() * 1000, 2),
        }
        records.append(record)
        length += len(json.dumps(record)) + 2
    return json.dumps(records).encode()


def work_dir() -> Path:
    """A new folder on tmpfs, so that no disk is measured."""
    shm = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="sidegate-bench-", dir=shm if os.access(shm, os.W_OK) else None))


@contextmanager
def serving(core: int) -> Iterator[Origin]:
    """Everything the bench writes lies in `work`; it is removed at the end."""
    work = work_dir()
    try:
        work.chmod(0o755)  # nginx's worker, started by root, is another user
        (work / "files").mkdir()
        for name, size in FILES.items():
            (work / "files" / name).write_bytes(os.urandom(size))
        (work / "files" / "100k.json").write_bytes(json_body(100 * 1024))
        port = free_port()
        conf = fill(HERE / "peers" / "origin.conf", work / "origin.conf", PORT=port, WORK=work, SMALL=small_body())
        with Process([program("nginx"), "-c", str(conf)], core=core, log=work / "origin.log") as process:
            wait_answer(port, "/small", process)
            yield Origin(port, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
