"""A worker in this process: reload of what a worker owns, logs, counters, the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.config import load_text
from gateway.config.logs import LogSink
from gateway.config.model import Config
from gateway.errors import StoreUnavailable
from gateway.runtime import BuildError
from gateway.supervisor.worker import Worker
from plugins.respond import Respond


def config(access_log: str = "off", body: str = "one", **more: str) -> Config:
    extra = "".join(f"{key}: {value}\n" for key, value in more.items())
    return load_text(
        f"""
listeners: [{{bind: "127.0.0.1:0"}}]
access_log: {access_log}
{extra}routes: [{{name: r, match: {{path: /}}, plugins: [{{plugin: respond, with: {{body: {body}}}}}]}}]
""",
        {},
    ).config


@pytest.fixture
async def start() -> AsyncIterator[Any]:
    started: list[Worker] = []

    async def begin(wanted: Config) -> Worker:
        worker = Worker(wanted)
        started.append(worker)
        await worker.start()
        return worker

    yield begin
    for worker in started:
        await worker.close()
        await worker.close()


async def get(worker: Worker) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"http://{worker.listeners[0].name}/") as answer:
        return await answer.text()


def sample(worker: Worker, name: str, *labels: str) -> Any:
    (family,) = [family for family in worker.snapshot() if family["name"] == name]
    return family["kind"], {tuple(values): value for values, value in family["samples"]}.get(labels)


async def test_access_logs_follow_reloads_and_lose_no_line(start: Any, tmp_path: Path, until: Any) -> None:
    first, second = tmp_path / "1.log", tmp_path / "2.log"
    worker = await start(config(f"{{file: {first}}}"))
    await get(worker)
    await worker.prepare(config(f"{{file: {second}}}", "two"))
    worker.commit()
    assert await get(worker) == "two"
    await until(lambda: first.read_text().count("\n") == 1 and second.read_text().count("\n") == 1)
    await worker.prepare(config("off", "three"))
    worker.commit()
    assert await get(worker) == "three"
    await worker.close()
    assert second.read_text().count("\n") == 1


async def test_a_sink_that_is_stuck_does_not_hold_up_a_reload(start: Any, tmp_path: Path, until: Any) -> None:
    """A fifo that nobody reads: its writer hangs, and closing it takes seconds of somebody else's time."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    worker = await start(config(f"{{file: {fifo}}}"))
    (sink,) = worker._outlets.sinks
    for _ in range(100):
        sink.write(b"x" * 10_000 + b"\n")
    loop = asyncio.get_running_loop()
    await worker.prepare(config())
    before = loop.time()
    worker.commit()
    await asyncio.sleep(0)
    assert loop.time() - before < 2.0  # closing waits for five
    assert await get(worker) == "one"
    assert worker._outlets.closing  # it is still stuck
    while worker._outlets.closing:
        with contextlib.suppress(BlockingIOError):
            os.read(reader, 1 << 20)
        await asyncio.sleep(0.01)
    os.close(reader)


async def test_a_log_file_that_cannot_be_opened_refuses_and_changes_nothing(start: Any, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    worker = await start(config(f"{{file: {log}}}"))
    other = config(body="two")
    nowhere = other.access_log.model_copy(update={"to": (LogSink(file=tmp_path / "no" / "where.log"),)})
    with pytest.raises(OSError, match="where"):
        await worker.prepare(other.model_copy(update={"access_log": nowhere}))
    worker.commit()  # of nothing
    assert await get(worker) == "one"


async def test_a_build_that_fails_closes_the_log_it_had_opened(start: Any, tmp_path: Path) -> None:
    worker = await start(config())
    bad = config(f"{{file: {tmp_path}/b.log}}")
    routes = bad.routes[0].plugins[0]
    broken = routes.model_copy(update={"plugin": "nobody_has_this"})
    route = bad.routes[0].model_copy(update={"plugins": (broken,)})
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(BuildError):
        await worker.prepare(bad.model_copy(update={"routes": (route,)}))
    assert len(set(Path("/proc/self/fd").iterdir())) == len(before)


async def test_what_is_counted(start: Any) -> None:
    worker = await start(config())
    for _ in range(3):
        await get(worker)
    assert sample(worker, "connections_total") == ("counter", 3)
    assert sample(worker, "log_dropped_total", "access", "processor") == ("counter", 0)
    assert sample(worker, "log_dropped_total", "gateway", "processor")[0] == "counter"
    assert sample(worker, "connections_open")[0] == "gauge"
    status = await worker.status()
    assert (status["worker"], status["draining"], status["store"]["state"]) == (0, False, "up")
    assert status["listeners"] == [worker.listeners[0].name]


async def test_lines_of_a_log_that_is_gone_stay_counted(start: Any, tmp_path: Path, until: Any) -> None:
    worker = await start(config(f"{{file: {tmp_path}/a.log}}"))
    (sink,) = worker._outlets.sinks
    sink.dropped = 7
    await worker.prepare(config())
    worker.commit()
    await until(lambda: not worker._outlets.closing)
    assert sample(worker, "log_dropped_total", "access", f"{tmp_path}/a.log") == ("counter", 7)


async def test_draining_takes_no_more_and_says_whether_it_was_clean(start: Any) -> None:
    worker = await start(config())
    address = worker.listeners[0].name
    reader, writer = await asyncio.open_connection(*address.rsplit(":", 1))
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readuntil(b"one")
    assert await worker.drain(5.0) is True
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address.rsplit(":", 1))


async def test_an_address_that_is_taken_is_named(start: Any) -> None:
    worker = await start(config())
    taken = config().model_copy(
        update={"listeners": (config().listeners[0].model_copy(update={"bind": worker.listeners[0].name}),)}
    )
    with pytest.raises(OSError, match=f"cannot listen on {worker.listeners[0].name}"):
        await start(taken)


async def test_a_view_that_no_plugin_has(start: Any) -> None:
    worker = await start(config())
    with pytest.raises(LookupError):
        await worker.plugin_view("r", "respond", "nothing", "GET", {})


async def test_what_another_worker_found_of_targets_is_taken_over(start: Any) -> None:
    wanted = load_text(
        """
listeners: [{bind: "127.0.0.1:0"}]
access_log: off
upstreams: {a: {targets: [http://127.0.0.1:1], health: {active: {path: /, interval: 1h}}}}
routes: [{name: r, match: {path: /}, upstream: a}]
""",
        {},
    ).config
    worker = await start(wanted)
    assert worker.probed() == {"a": {"http://127.0.0.1:1": True}}
    worker.told({"a": {"http://127.0.0.1:1": False}, "gone": {"http://127.0.0.1:2": False}})
    assert worker.probed() == {"a": {"http://127.0.0.1:1": False}}


async def test_what_one_plugin_cannot_erase_keeps_no_other(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = await start(
        load_text(
            """
listeners: [{bind: "127.0.0.1:0"}]
access_log: off
routes:
  - {name: a, match: {path: /a}, plugins: [{plugin: headers}, {plugin: respond}]}
  - {name: b, match: {path: /b}, plugins: [{plugin: respond}]}
""",
            {},
        ).config
    )
    asked: list[str] = []

    async def erase(plugin: Any, subject: str) -> int:
        asked.append(subject)
        if plugin.context.route == "a":
            raise StoreUnavailable(reason="the store is away")
        return 3

    monkeypatch.setattr(Respond, "erase", erase)
    assert await worker.erase("alice") == {"erased": 3, "failed": ["a/respond: the store is away"]}
    assert asked == ["alice", "alice"]
