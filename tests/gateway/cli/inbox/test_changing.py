"""`gateway inbox replay`, `purge` and `erase` over a real queue."""

from __future__ import annotations

import asyncio
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.services.queue import Attempt, Buried, Queue, QueueUnavailable
from gateway.services.queue.sqlite import SqliteQueue


def test_a_replay_of_some_leaves_the_others(inbox: Any) -> None:
    ids = inbox.fill()
    code, out, _ = inbox("replay", "--route", "stripe", "--status", "503", "--dry-run")
    assert (code, out.split()[0]) == (0, "1")
    assert ids[0] in out
    assert inbox.states()[ids[0]] == "dead"
    code, out, _ = inbox("replay", "--route", "stripe", "--status", "503")
    assert (code, out.split()[0]) == (0, "1")
    assert [inbox.states()[each] for each in ids] == ["ready", "dead", "dead", "ready"]


def test_a_replay_keeps_to_its_rate(inbox: Any) -> None:
    ids = inbox.fill()
    assert inbox("replay", "--state", "dead", "--all", "--rate", "0.01")[0] == 0

    async def due(queue: Queue) -> list[float]:
        return [item.due for each in ids[:3] if (item := await queue.get(each)) is not None]

    first, second, third = sorted(inbox.on_queue(due))
    assert (round(second - first), round(third - second)) == (100, 100)


def test_a_purge_deletes_what_is_meant(inbox: Any) -> None:
    ids = inbox.fill()
    assert inbox("purge", ids[1], "--dry-run")[0] == 0
    assert ids[1] in inbox.states()
    assert inbox("purge", ids[1])[1].startswith("1 ")
    assert list(inbox.states()) == [ids[0], ids[2], ids[3]]
    assert inbox("purge", "--all")[1].startswith("3 ")
    assert inbox.states() == {}


def test_a_subject_is_erased(inbox: Any) -> None:
    ids = inbox.fill()
    assert inbox("erase", "bob")[1].startswith("0 ")
    assert inbox("erase", "alice")[1].startswith("3 ")
    assert list(inbox.states()) == [ids[3]]


def test_what_is_being_delivered_stays(inbox: Any) -> None:
    ids = inbox.fill()

    async def meanwhile(queue: Queue) -> None:
        (item,) = await queue.take("inbox/stripe/inbox", 10, 60.0)
        assert item.id == ids[3]
        assert (await asyncio.to_thread(inbox, "purge", "--all"))[0] == 0
        attempt = Attempt(1, time.time(), 0.1, 500)
        assert await queue.settle([Buried(item, attempt)]) == [True]

    inbox.on_queue(meanwhile)
    assert inbox.states() == {ids[3]: "dead"}


def test_what_changes_something_is_in_the_audit_trail(inbox: Any, tmp_path: Path) -> None:
    ids = inbox.fill()
    (tmp_path / "trail").mkdir()
    with inbox.file.open("a") as file:
        file.write(f"audit: {{path: {tmp_path}/trail}}\n")
    assert inbox("list")[0] == 0
    assert inbox("replay", ids[0])[0] == 0
    assert inbox("erase", "alice")[0] == 0
    records = [
        json.loads(line)
        for path in sorted((tmp_path / "trail").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    actions = [each["action"] for each in records if str(each.get("action", "")).startswith("inbox.")]
    assert actions == ["inbox.replay", "inbox.erase"]
    assert "alice" not in json.dumps(records)


def test_a_subject_may_come_where_no_process_list_shows_it(inbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox.fill()
    monkeypatch.setattr("sys.stdin", io.StringIO("alice\nbob\n"))
    assert inbox("erase", "-")[:2] == (0, "3 items deleted\n")


@pytest.mark.parametrize(
    ("admin", "problem"),
    [
        pytest.param("off", "`admin` is off", id="without an admin listener"),
        pytest.param("{bind: 'unix:/nowhere/admin.sock'}", "no gateway answers", id="while nobody answers there"),
    ],
)
def test_what_could_not_be_asked_for_is_named(inbox: Any, admin: str, problem: str) -> None:
    inbox.fill()
    text = inbox.file.read_text().replace("admin: off", f"admin: {admin}")
    inbox.file.write_text(text.replace("upstream: u}]", "upstream: u, plugins: [{plugin: idempotency}]}]"))
    code, out, err = inbox("erase", "alice")
    assert (code, out) == (1, "3 items deleted\n")
    assert problem in err
    assert "what idempotency may keep is not erased" in err
    assert inbox("erase", "alice", "--queue-only")[:2] == (0, "0 items deleted\n")


@pytest.mark.parametrize("words", [["purge", "--all"], ["replay", "--all"], ["erase", "alice"]], ids=lambda it: it[0])
def test_what_fails_half_way_is_in_the_audit_trail_too(
    inbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    inbox.fill()
    (tmp_path / "trail").mkdir()
    with inbox.file.open("a") as file:
        file.write(f"audit: {{path: {tmp_path}/trail}}\n")

    async def fails(*_: object, **__: object) -> int:
        raise QueueUnavailable("disk I/O error")

    monkeypatch.setattr(SqliteQueue, words[0], fails)
    assert inbox(*words)[0] == 1
    trail = "".join(path.read_text() for path in (tmp_path / "trail").glob("*.jsonl"))
    assert f"inbox.{words[0]}" in trail
    assert "failed" in trail
    assert "alice" not in trail
