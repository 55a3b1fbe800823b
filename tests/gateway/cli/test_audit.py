"""`gateway audit`: what it says of a trail, and how it ends."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.services.audit import Event, Keys, Kind, Ledger, Result, Writer
from gateway.services.masking import Masking

KEY = b"0123456789abcdef"
CONFIG = """
audit: {path: trail, key: 0123456789abcdef, identity_key: 0123456789abcdef, instance: gw}
routes: [{name: r, match: {path: /}, plugins: [{plugin: respond, with: {body: x}}]}]
"""


@pytest.fixture
def trail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trail with three requests, beside the configuration that names it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    (tmp_path / "key").write_bytes(KEY + b"\n")
    writer = Writer("gw", Masking(), KEY)
    ledger = Ledger(tmp_path / "trail", Keys((KEY,)), writer)
    events = [Event(Kind.REQUEST, "GET", f"/orders/{n}", Result.SUCCESS, "alice", "shop") for n in range(2)]
    events.append(Event(Kind.REQUEST, "GET", "/bank\x1b[31m", Result.REFUSED, "bob", "bank", {"status": 403}))
    ledger.append(list(map(writer, events)))
    ledger.close()
    return tmp_path / "trail"


def day(trail: Path) -> Path:
    (file,) = trail.glob("*.jsonl")
    return file


def harm(trail: Path) -> None:
    day(trail).write_bytes(day(trail).read_bytes().replace(b"/orders/1", b"/orders/7"))


def test_a_trail_that_holds(trail: Path, capsys: Any):
    assert main(["audit", "verify"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("holds: 4 records (1 to 4) in 1 files, signed; head 4:")
    note = json.loads((trail / "verified.json").read_text())
    assert (note["ok"], note["seq"]) == (True, 4)


def test_one_that_does_not(trail: Path, capsys: Any):
    harm(trail)
    assert main(["audit", "verify"]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first == f"trail/{day(trail).name}:3: was changed: its hash is not that of its bytes"
    assert last.startswith("does NOT hold: 4 records")
    assert json.loads((trail / "verified.json").read_text())["ok"] is False


def test_for_scripts(trail: Path, capsys: Any):
    assert main(["audit", "verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["last"] == 4
    harm(trail)
    assert main(["audit", "verify", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["breaks"][0]["line"]) == (False, 3)


def test_a_head_that_was_noted_elsewhere(trail: Path, capsys: Any):
    assert main(["audit", "head"]) == 0
    noted = capsys.readouterr().out.strip()
    assert main(["audit", "verify", "--head", noted]) == 0
    assert main(["audit", "verify", "--head", noted.replace("4:", "5:")]) == 1
    assert main(["audit", "verify", "--head", f"4:{'0' * 64}"]) == 1
    assert main(["audit", "verify", "--head", "4"]) == 2


def test_a_copy_needs_no_configuration_and_is_left_as_it_is(trail: Path, tmp_path: Path, capsys: Any):
    copy = trail.rename(tmp_path / "copy")
    before = sorted((path.name, path.stat().st_mtime_ns) for path in copy.iterdir())
    options = ["--path", str(copy), "--key-file", "key"]
    assert main(["audit", "export", *options]) == 0
    assert main(["audit", "tail", *options]) == 0
    assert main(["audit", "head", *options]) == 0
    assert before == sorted((path.name, path.stat().st_mtime_ns) for path in copy.iterdir())
    assert main(["audit", "verify", *options]) == 0
    assert main(["audit", "verify", "--path", str(copy)]) == 1
    assert "is signed with the key" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        pytest.param([], 4, id="all"),
        pytest.param(["--principal", "alice"], 2, id="a principal, although tokens stand there"),
        pytest.param(["--result", "refused", "--result", "failed"], 1, id="results"),
        pytest.param(["--route", "bank"], 1, id="a route"),
        pytest.param(["--kind", "chain"], 1, id="a kind"),
        pytest.param(["--resource", "/orders/"], 2, id="resources"),
        pytest.param(["--to", "2020-01-01"], 0, id="before"),
        pytest.param(["--from", "2020-01-01T00:00Z"], 4, id="since"),
    ],
)
def test_exports(trail: Path, capsys: Any, arguments: list[str], count: int):
    before = day(trail).read_bytes().splitlines()
    assert main(["audit", "export", *arguments]) == 0
    captured = capsys.readouterr()
    lines = captured.out.encode().splitlines()
    assert len(lines) == count
    assert set(lines) <= set(before)
    assert captured.err == f"{count} records\n"
    told = json.loads(day(trail).read_bytes().splitlines()[-1])
    assert (told["kind"], told["action"], told["records"]) == ("command", "audit.export", count)
    assert main(["audit", "verify"]) == 0


def test_an_export_as_csv_is_the_owners(trail: Path, tmp_path: Path):
    out = tmp_path / "out.csv"
    assert main(["audit", "export", "--format", "csv", "-o", str(out)]) == 0
    assert out.stat().st_mode & 0o777 == 0o600
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seq"] for row in rows] == ["1", "2", "3", "4"]
    assert rows[3]["status"] == "403"
    assert "<principal:" in rows[3]["actor"]


def test_an_export_over_a_file_that_others_may_read(trail: Path, tmp_path: Path):
    out = tmp_path / "out.jsonl"
    out.write_text("x" * 100_000)
    out.chmod(0o644)
    assert main(["audit", "export", "-o", str(out)]) == 0
    assert out.stat().st_mode & 0o777 == 0o600
    assert out.read_bytes() + day(trail).read_bytes().splitlines(keepends=True)[-1] == day(trail).read_bytes()


def test_an_export_that_is_cut_short_is_recorded_all_the_same(trail: Path):
    assert main(["audit", "export", "-o", "/dev/full"]) == 1
    told = json.loads(day(trail).read_bytes().splitlines()[-1])
    assert (told["action"], told["result"], told["records"]) == ("audit.export", "aborted", 4)


def test_the_note_of_a_verification_follows_no_link(trail: Path, tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (trail / f".verified.json.{os.getpid()}").symlink_to(victim)
    assert main(["audit", "verify"]) == 0
    assert victim.read_text() == "untouched"
    assert json.loads((trail / "verified.json").read_text())["ok"] is True


def test_an_export_of_what_was_changed_ends_with_1(trail: Path, capsys: Any):
    harm(trail)
    assert main(["audit", "export"]) == 1
    captured = capsys.readouterr()
    assert "/orders/7" in captured.out
    assert "1 lines are not what was written" in captured.err


def test_the_newest_for_people_cannot_steer_a_terminal(trail: Path, capsys: Any):
    assert main(["audit", "tail", "-n", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "\x1b" not in lines[1]
    assert "refused  403" in lines[1]
    assert main(["audit", "tail", "-n", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == 403
    assert main(["audit", "tail", "-n", "0"]) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(["verify", "--path", "nowhere"], 1, "there is no trail", id="no folder"),
        pytest.param(["verify", "-c", "nowhere.yaml"], 1, "nowhere.yaml", id="no configuration"),
        pytest.param(["verify", "--key-file", "key"], 1, "--key-file goes with --path", id="two keys"),
        pytest.param(["export", "--from", "yesterday"], 2, "expected 2026-11-21", id="no time"),
        pytest.param(["export", "--from", "2026-13-01"], 1, "month", id="no month"),
        pytest.param([], 2, "required", id="nothing"),
    ],
)
def test_what_cannot_be_done(trail: Path, capsys: Any, arguments: list[str], code: int, said: str):
    assert trail.is_dir()
    assert main(["audit", *arguments]) == code
    assert said in capsys.readouterr().err


def test_a_configuration_without_a_trail(trail: Path, capsys: Any):
    (trail.parent / "plain.yaml").write_text(CONFIG.partition("\n")[2].partition("\n")[2])
    assert main(["audit", "verify", "-c", "plain.yaml"]) == 1
    assert "has no `audit`" in capsys.readouterr().err
