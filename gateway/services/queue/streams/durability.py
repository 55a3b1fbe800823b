"""What the server's own settings mean for the promise that nothing accepted is lost."""

from __future__ import annotations

from typing import Any, Final

from gateway.errors import InternalError, StoreUnavailable
from gateway.services.store.redis import RedisStore

EVERY_SECOND: Final = (
    "Redis writes its append-only file to disk once a second (appendfsync everysec): what it accepted in the last"
    " second (two when its disk is slow) is lost if its machine fails. With appendfsync always nothing is"
)


async def doubts(store: RedisStore) -> list[str]:
    """Why something accepted may be lost all the same, as lines for people; none: it may not.

    Raises `StoreUnavailable`.
    """
    found: list[str] = []
    kept = False
    for persistence in await store.ask_each("INFO", "persistence"):
        kept |= _info(persistence).get("aof_enabled") == "1"
        if _info(persistence).get("aof_enabled") != "1":
            found.append(
                "Redis keeps no append-only file: what was accepted is lost when it restarts (set appendonly yes)"
            )
        elif _info(persistence).get("aof_last_write_status") == "err":
            found.append("Redis could not write its append-only file the last time")
    for memory in await store.ask_each("INFO", "memory"):
        policy = _info(memory).get("maxmemory_policy", "noeviction")
        if policy != "noeviction" and _info(memory).get("maxmemory", "0") != "0":
            found.append(
                f"Redis throws keys away when its memory is full (maxmemory-policy {policy}): set noeviction, so that"
                " it refuses new items instead"
            )
    if kept:
        found += await _fsync(store)
    return list(dict.fromkeys(found))


async def _fsync(store: RedisStore) -> list[str]:
    try:
        answers = await store.ask_each("CONFIG", "GET", "appendfsync")
    except (InternalError, StoreUnavailable):  # a hosted one does not let itself be asked
        return ["Redis does not tell its appendfsync: only with always is nothing accepted lost in a power cut"]
    kinds = {answer[1].decode() for answer in answers if len(answer) == 2}
    if "no" in kinds:
        return ["Redis leaves it to the system when its append-only file reaches the disk (appendfsync no)"]
    if "everysec" in kinds:
        return [EVERY_SECOND]
    return []


def _info(raw: Any) -> dict[str, str]:
    """An answer of INFO."""
    lines = raw.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
