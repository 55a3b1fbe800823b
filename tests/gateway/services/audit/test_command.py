"""Commands that change state: what they did stands in the trail of the gateway."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gateway.services.audit import Keys, Result, TrailOptions, may_record, record_command, user, verify


def test_a_command_is_recorded_with_who_ran_it(tmp_path: Path):
    trail = TrailOptions(path=tmp_path, instance="gw", secrets=(b"k" * 16,))
    assert may_record(trail)
    assert record_command(trail, "inbox.purge", "orders", Result.SUCCESS, {"count": 7, "password": "hidden-1234"})
    assert verify(tmp_path, Keys(trail.secrets)).ok
    (file,) = tmp_path.glob("*.jsonl")
    told = json.loads(file.read_bytes().splitlines()[-1])
    assert (told["kind"], told["action"], told["resource"], told["count"]) == ("command", "inbox.purge", "orders", 7)
    assert told["actor"] == user()
    assert told["actor"].startswith(f"uid:{os.getuid()}")
    assert "hidden" not in json.dumps(told)


@pytest.mark.parametrize(("deny", "may"), [(True, False), (False, True)])
def test_where_nothing_can_be_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str], deny: bool, may: bool):
    (tmp_path / "file").touch()
    trail = TrailOptions(path=tmp_path / "file" / "x", instance="gw", deny=deny)
    assert may_record(trail) is may
    assert record_command(trail, "a", "b", Result.SUCCESS) is False
    assert "could not be recorded" in capsys.readouterr().err
