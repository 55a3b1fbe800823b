"""Errors that nobody handles, in real processes: counted, shown to operators, and at a tracker, without a secret."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

PLUGIN = '''
"""A plugin with a bug."""

import asyncio
from gateway.plugin import Plugin, Settings


class Buggy(Plugin[Settings]):
    async def __call__(self, request, proceed):
        if request.path == "/task":
            asyncio.get_running_loop().create_task(self.later())
            return await proceed(request)
        if request.path == "/callback":
            asyncio.get_running_loop().call_soon(self.called)
            return await proceed(request)
        if request.path == "/bug":
            secret = request.headers.get("Authorization")
            raise KeyError(f"password={request.query} of {secret}")
        return await proceed(request)

    async def later(self):
        raise ZeroDivisionError("in a task")

    def called(self):
        raise LookupError("in a callback")
'''


def buggy(behind: Any, url: str, folder: Path, dsn: str, **more: Any) -> tuple[dict[str, Any], dict[str, str]]:
    (folder / "buggy.py").write_text(PLUGIN)
    config = behind(url)
    config["routes"][0]["plugins"] = [{"plugin": "buggy:Buggy"}]
    config["errors"] = {"sentry": {"dsn": dsn, "environment": "test", "release": "shop@7"}}
    return {**config, **more}, {"PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}


async def test_bugs_are_grouped_shown_and_sent_without_what_the_client_said(
    gateway: Any, behind: Any, origin: Any, answering: Any, session: Any, error_tracker: Any, tmp_path: Path, until: Any
) -> None:
    target = await origin(answering())
    config, environ = buggy(behind, target.url, tmp_path, error_tracker.dsn)
    process = gateway(config, **environ)
    headers = {"Authorization": "Bearer t0p-s3cret", "Cookie": "session=c00kie-s3cret"}
    for path in ("/bug?s3cret1", "/bug?s3cret2", "/task", "/callback"):
        async with session.post(process.url + path, headers=headers, data=b"b0dy-s3cret") as answer:
            assert answer.status == (500 if path.startswith("/bug") else 200)
            await answer.read()

    async def shown() -> bool:
        return len((await process.tell("/errors"))["errors"]) == 3

    await until(shown)
    groups = {each["error"]: each for each in (await process.tell("/errors"))["errors"]}
    assert {name: each["count"] for name, each in groups.items()} == {
        "KeyError": 2,
        "ZeroDivisionError": 1,
        "LookupError": 1,
    }
    bug = groups["KeyError"]
    assert (bug["where"], bug["route"]) == ("buggy:Buggy.__call__", "all")
    assert "buggy.py" in bug["sample"]
    assert bug["request_id"]
    counted = await process.metrics()
    labels = (("error", "KeyError"), ("group", bug["group"]), ("where", "buggy:Buggy.__call__"))
    assert counted["sidegate_unhandled_errors_total", labels] == 2
    events = await error_tracker.until(3)
    sent = {event["exception"]["values"][-1]["type"]: event for event in events}
    assert set(sent) == set(groups), "the second of a group within a minute is not sent"
    event = sent["KeyError"]
    assert (event["environment"], event["release"], event["fingerprint"]) == ("test", "shop@7", [bug["group"]])
    assert event["exception"]["values"][-1]["stacktrace"]["frames"][-1]["function"] == "__call__"
    assert "request" not in event
    assert "sentry_key=publickey" in error_tracker.auth[0]
    for text in (error_tracker.raw.decode(), json.dumps(groups)):
        assert "s3cret" not in text
        assert str(tmp_path) not in error_tracker.raw.decode()
    process.signal(signal.SIGTERM)
    assert await process.ended() == 0


async def test_workers_tell_theirs_and_one_that_dies_is_an_error_of_the_supervisor(
    gateway: Any, behind: Any, origin: Any, answering: Any, session: Any, error_tracker: Any, tmp_path: Path, until: Any
) -> None:
    target = await origin(answering())
    config, environ = buggy(behind, target.url, tmp_path, error_tracker.dsn, workers=2)
    process = gateway(config, **environ)
    async with session.get(f"{process.url}/bug") as answer:
        assert answer.status == 500
    await error_tracker.until(1)
    worker = (await process.tell("/workers"))["workers"][0]
    os.kill(worker["pid"], signal.SIGSEGV)

    async def told() -> bool:
        return any(each["error"] == "worker_died" for each in (await process.tell("/errors"))["errors"])

    await until(told)
    events = await error_tracker.until(2)
    assert any("died" in event.get("message", "") for event in events)
