"""`gateway inbox list`, `show`, `stats` and `export` over a real queue."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.inbox import looking
from gateway.services.queue import Draft, Queue, QueueUnavailable

BODY = b'{"id": "evt_1", "password": "s3cr3t"}'


@pytest.mark.parametrize(
    ("words", "count"),
    [
        pytest.param([], 4, id="all"),
        pytest.param(["--state", "dead"], 3, id="by state"),
        pytest.param(["--route", "stripe"], 3, id="by route"),
        pytest.param(["--topic", "inbox/"], 4, id="by the beginning of the topic"),
        pytest.param(["--status", "503"], 2, id="by the last answer"),
        pytest.param(["--error", "gone"], 1, id="by the last error"),
        pytest.param(["--route", "stripe", "--status", "503"], 1, id="by two things, both of which hold"),
        pytest.param(["--label", "event=evt_2"], 1, id="by a label"),
        pytest.param(["--since", "1h"], 4, id="by age"),
        pytest.param(["--until", "2020-01-01"], 0, id="by time"),
        pytest.param(["--state", "dead", "--state", "ready"], 4, id="by one of two states"),
    ],
)
def test_what_is_listed(inbox: Any, words: list[str], count: int) -> None:
    inbox.fill()
    code, out, _ = inbox("list", *words)
    assert (code, len(out.splitlines())) == (0, count)
    code, out, _ = inbox("list", "--json", *words)
    assert (code, len(json.loads(out)["items"])) == (0, count)


def test_a_long_list_comes_in_parts(inbox: Any) -> None:
    ids = inbox.fill()
    code, out, _ = inbox("list", "--json", "--limit", "3")
    first = json.loads(out)
    code, out, _ = inbox("list", "--json", "--limit", "3", "--after", first["after"])
    second = json.loads(out)
    assert code == 0
    assert [each["id"] for each in first["items"] + second["items"]] == ids
    assert second["after"] is None


def test_one_item_with_its_request_masked(inbox: Any) -> None:
    ids = inbox.fill()
    code, out, _ = inbox("show", ids[0])
    assert code == 0
    assert "POST /hooks" in out
    assert "evt_1" in out
    assert "status=503" in out
    assert "s3cr3t" not in out
    code, out, _ = inbox("show", ids[0], "--json")
    shown = json.loads(out)
    assert (code, shown["id"], shown["request"]["method"], shown["history"][0]["status"]) == (0, ids[0], "POST", 503)
    assert "s3cr3t" not in out


def test_what_would_steer_a_terminal_is_written_out(inbox: Any) -> None:
    async def put(queue: Queue) -> None:
        await queue.put(Draft("t", b"x", labels={"route": "r", "event": "\x1b[2Jevil"}))

    inbox.on_queue(put)
    for words in (["list"], ["stats"]):
        _, out, _ = inbox(*words)
        assert "\x1b" not in out


def test_how_it_stands(inbox: Any) -> None:
    inbox.fill()
    code, out, _ = inbox("stats", "--json")
    stands = {each["topic"]: each for each in json.loads(out)}
    assert code == 0
    assert (stands["inbox/stripe/inbox"]["dead"], stands["inbox/stripe/inbox"]["ready"]) == (2, 1)
    assert "inbox/github/inbox" in inbox("stats")[1]


def test_an_export_has_the_original_bytes_and_belongs_to_its_owner(inbox: Any, tmp_path: Path) -> None:
    ids = inbox.fill()
    target = tmp_path / "dead.jsonl"
    code, _, err = inbox("export", "--state", "dead", "-o", str(target))
    assert (code, err.split()[0]) == (0, "3")
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [line["id"] for line in lines] == ids[:3]
    assert base64.b64decode(lines[0]["request"]["body"]) == BODY
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert len(inbox("export")[1].splitlines()) == 4


def test_an_export_in_the_place_of_an_old_file_is_its_owners_too(inbox: Any, tmp_path: Path) -> None:
    inbox.fill()
    target = tmp_path / "dead.jsonl"
    target.write_text("old")
    target.chmod(0o644)
    assert inbox("export", "-o", str(target))[0] == 0
    assert (stat.S_IMODE(target.stat().st_mode), len(target.read_text().splitlines())) == (0o600, 4)


def test_of_an_export_that_fails_nothing_is_taken_for_the_whole(
    inbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox.fill()
    target = tmp_path / "dead.jsonl"

    def fails(*_: object) -> None:
        raise QueueUnavailable("disk I/O error")

    monkeypatch.setattr(looking, "item_exported", fails)
    code, _, err = inbox("export", "-o", str(target))
    assert (code, "disk I/O error" in err) == (1, True)
    assert [path.name for path in tmp_path.iterdir() if "dead" in path.name] == []


def test_json_steers_no_terminal_either(inbox: Any) -> None:
    async def put(queue: Queue) -> None:
        await queue.put(Draft("t", b"x", labels={"route": "r", "event": "\x9b2J\u202eevil"}))

    inbox.on_queue(put)
    for words in (["list", "--json"], ["export"]):
        _, out, _ = inbox(*words)
        assert out.isascii()
        shown = json.loads(out)
        assert shown.get("items", [shown])[0]["labels"]["event"] == "\x9b2J\u202eevil"


def test_a_path_with_a_blank_is_found(inbox: Any) -> None:
    inbox.fill()
    inbox.file.write_text(inbox.file.read_text().replace("/kept/queue.db", "/kept%20here/queue.db"))
    assert "kept here" in inbox("stats")[2]
    inbox.path.parent.rename(inbox.path.parent.with_name("kept here"))
    assert inbox("stats")[0] == 0
