"""The scripts as such: each is loaded by a real Redis, and none is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.services.queue.streams import scripts
from gateway.services.store import Script
from gateway.services.store.table import Table

ALL = {script.name: script for script in vars(scripts).values() if isinstance(script, Script)}
FOLDER = Path(scripts.__file__).with_name("lua")


def test_each_file_is_a_script():
    assert {f"queue_{path.stem}" for path in FOLDER.glob("*.lua")} - {"queue_prelude"} == set(ALL)


@pytest.mark.parametrize("name", sorted(ALL))
def test_redis_takes_it(redis_server: Any, name: str):
    text = b"SCRIPT\r\n"
    assert text in ALL[name].load_command
    source = ALL[name].load_command.split(b"\r\n", 6)[-1].rsplit(b"\r\n", 1)[0]
    assert redis_server.command("SCRIPT", "LOAD", source) in {ALL[name].sha, ALL[name].sha.decode()}


def test_there_is_no_side_in_memory():
    with pytest.raises(NotImplementedError):
        scripts.PUT.local(Table(1), (b"k",), (), 0)
