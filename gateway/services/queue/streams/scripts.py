"""The queue's steps: each is one Lua script, so that it happens wholly or not at all, whoever dies when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from gateway.services.store import Script
from gateway.services.store.table import Table
from gateway.services.store.wire import Arg

_FOLDER: Final = Path(__file__).with_name("lua")
_PRELUDE: Final = (_FOLDER / "prelude.lua").read_text()


def _nowhere(_table: Table, _keys: Sequence[bytes], _args: Sequence[Arg], _now: int) -> Any:
    raise NotImplementedError("the queue's scripts run in Redis only")


def _script(name: str, *, durable: bool = False) -> Script[Any]:
    # Keys of items are made in Lua from the tag, in KEYS[1]: all have its slot, which is what Redis Cluster asks for.
    return Script(
        f"queue_{name}", lua=_PRELUDE + (_FOLDER / f"{name}.lua").read_text(), local=_nowhere, durable=durable
    )


REGISTER: Final = _script("register", durable=True)
PUT: Final = _script("put", durable=True)
TAKE: Final = _script("take")
RENEW: Final = _script("renew")
SETTLE: Final = _script("settle")
UPCOMING: Final = _script("upcoming")
ONE: Final = _script("one")
ATTEMPTS: Final = _script("attempts")
PAGE: Final = _script("page")
TALLY: Final = _script("tally")
REPLAY: Final = _script("replay")
PURGE: Final = _script("purge")
ERASE: Final = _script("erase")
SWEEP: Final = _script("sweep")
CHECK_ITEMS: Final = _script("check_items")
CHECK_PLACES: Final = _script("check_places")
KEEP: Final = _script("keep", durable=True)
KEPT: Final = _script("kept")
UNKEEP: Final = _script("unkeep")
BELONG: Final = _script("belong")
BELONGINGS: Final = _script("belongings")
DISOWN: Final = _script("disown")
ENLIST: Final = _script("enlist", durable=True)
ENLISTED: Final = _script("enlisted")
FORGET: Final = _script("forget")
