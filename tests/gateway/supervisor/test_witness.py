"""What the trail learns of the gateway itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import load, load_text
from gateway.services.audit import Keys, user, verify
from gateway.services.masking import Masking
from gateway.supervisor.gateway import RunningGateway
from gateway.supervisor.witness import Witness

TEXT = """
listeners: [{{bind: "{bind}"}}]
admin: {{bind: "127.0.0.1:0"}}
access_log: off
reload: {{watch: false}}
audit: {{path: {trail}, key: 0123456789abcdef, instance: gw}}
routes: [{{name: r, match: {{path: /}}, plugins: [{{plugin: respond, with: {{body: {body}}}}}]}}]
"""


def text(trail: Path, body: str = "one", bind: str = "127.0.0.1:0") -> str:
    return TEXT.format(trail=trail, body=body, bind=bind)


def records(folder: Path) -> list[dict[str, Any]]:
    assert verify(folder, Keys((b"0123456789abcdef",))).ok
    return [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.read_bytes().splitlines()]


async def test_start_configurations_and_stop(tmp_path: Path):
    file, trail = tmp_path / "gateway.yaml", tmp_path / "trail"
    file.write_text(text(trail))
    gateway = RunningGateway([file], load([file]))
    await gateway.start()
    before = gateway.loaded.digest
    file.write_text(text(trail, "two"))
    assert await gateway.reload()
    assert await gateway.reload()  # nothing has changed
    file.write_text("routs: 1")
    assert not await gateway.reload()
    gateway.stop("signal:SIGTERM")
    gateway.stop("signal:SIGTERM")
    assert await gateway.run()
    told = [(each["action"], each["result"], each["actor"]) for each in records(trail)]
    assert told == [
        ("begin", "success", "gateway"),
        ("start", "success", user()),
        ("configuration", "success", "admin"),
        ("configuration", "refused", "admin"),
        ("stop", "success", "signal:SIGTERM"),
        ("drain", "success", "gateway"),
    ]
    start, taken_up, refused = records(trail)[1:4]
    assert (start["digest"], start["files"], start["listeners"]) == (
        before,
        [str(file)],
        gateway.addresses or start["listeners"],
    )
    assert (taken_up["before"], taken_up["digest"]) == (before, gateway.loaded.digest)
    assert (refused["before"], refused["digest"], refused["problems"]) == (gateway.loaded.digest,) * 2 + (1,)


async def test_a_gateway_that_does_not_start_says_so(tmp_path: Path):
    trail = tmp_path / "trail"
    missing = tmp_path / "nowhere" / "x.sock"
    gateway = RunningGateway([], load_text(text(trail, bind=f"unix:{missing}"), {}))
    with pytest.raises(OSError, match="cannot listen"):
        await gateway.start()
    assert [(each["action"], each["result"]) for each in records(trail)][1:] == [("start", "failed")]


async def test_a_trail_that_cannot_be_is_a_reason_not_to_start(tmp_path: Path):
    (tmp_path / "file").touch()
    gateway = RunningGateway([], load_text(text(tmp_path / "file" / "trail"), {}))
    with pytest.raises(OSError, match="audit: "):
        await gateway.start()


async def test_and_a_reason_to_refuse_a_configuration(tmp_path: Path):
    (tmp_path / "taken").touch()
    file = tmp_path / "gateway.yaml"
    file.write_text(text(tmp_path / "trail"))
    gateway = RunningGateway([file], load([file]))
    await gateway.start()
    file.write_text(text(tmp_path / "taken" / "trail"))
    assert not await gateway.reload()
    file.write_text(text(tmp_path / "other"))
    assert await gateway.reload()
    await gateway.shut_down()
    assert [each["action"] for each in records(tmp_path / "trail")] == ["begin", "start", "configuration", "trail"]
    assert [each["action"] for each in records(tmp_path / "other")] == ["begin", "configuration", "drain"]


async def test_its_counters_are_those_of_the_trail_only():
    witness = Witness(Masking())
    names = {family["name"] for family in witness.snapshot()}
    assert "audit_records_total" in names
    assert all(name.startswith("audit_") for name in names)
