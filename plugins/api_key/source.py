"""Where keys stand: a file that is looked at, or the shared store, in which all replicas find the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from gateway.plugin.watched import changed_files
from gateway.services.store import KeyPrefix, Script, Store, Table
from plugins.api_key.file import LARGEST_JSON, KeyEntry, KeysDocument, read_keys

TRIES: Final = 20
"""How often a change is made anew because somebody else was faster."""


class Source(Protocol):
    """A set of keys that may change."""

    async def changed(self) -> Sequence[KeyEntry] | None:
        """All keys, or None if nothing has changed since. Raises OSError, ValueError, StoreUnavailable."""
        ...


class FileSource:
    """A file; cheap to look at often."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self._seen: tuple[object, ...] | None = None

    async def changed(self) -> Sequence[KeyEntry] | None:
        """As `Source.changed`."""
        return await asyncio.to_thread(self._changed)

    def _changed(self) -> Sequence[KeyEntry] | None:
        sign = changed_files([self._path], self._seen)
        if sign is None:
            return None
        found = read_keys(self._path).keys
        self._seen = sign
        return found


class StoreSource:
    """A document in the store, beside its version, which is all that is asked for while nothing changes."""

    def __init__(self, store: Callable[[], Store], name: str) -> None:
        self.name = f"store: {name}"
        self._store = store
        self._document, self._version = keys_of(name)
        self._seen: bytes | None = None

    async def changed(self) -> Sequence[KeyEntry] | None:
        """As `Source.changed`."""
        store = self._store()
        version = await store.get(self._version) or b"0"
        if version == self._seen:
            return None
        content = await store.get(self._document)
        found = await asyncio.to_thread(parse_document, content)
        self._seen = version  # of before: a change between the two reads is seen at the next look
        return found.keys


def parse_document(content: bytes | None) -> KeysDocument:
    """What `write_keys` has written; nothing is no keys. Raises ValueError, whose text repeats no hash."""
    if content is None:
        return KeysDocument()
    try:
        return KeysDocument.model_validate_json(content)
    except ValueError:
        raise ValueError("the document in the store is not one of keys") from None


def keys_of(name: str) -> tuple[bytes, bytes]:
    """The document's key in the store, and its version's."""
    prefix = KeyPrefix("api_key")
    return prefix.key(name, "document"), prefix.key(name, "version")


def _write(table: Table, keys: Sequence[bytes], args: Sequence[Any], now: int) -> int:  # noqa: ARG001 - one shape
    if (table.get(keys[1]) or b"0") != args[0]:
        return 0
    table.put(keys[0], args[1])
    table.put(keys[1], b"%d" % (int(args[0]) + 1))
    return 1


WRITE: Final = Script(
    "api_key_write",
    lua="""
if (redis.call('GET', KEYS[2]) or '0') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('INCR', KEYS[2])
return 1
""",
    local=_write,
)
"""KEYS: document, version. ARGV: the version that was read, the new document. → 0 if somebody was faster."""


async def write_keys(store: Store, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the document in the store, whoever else does so meanwhile.

    ``change`` edits the document in place and may be called several times; what it raises ends it. Raises
    StoreUnavailable, ValueError.
    """
    document_key, version_key = keys_of(name)
    for _ in range(TRIES):
        version = await store.get(version_key) or b"0"
        content = await store.get(document_key)
        document: dict[str, Any] = json.loads(content) if content is not None else {"keys": []}
        change(document)
        written = KeysDocument.model_validate(document).model_dump_json(exclude_defaults=True).encode()
        if len(written) > LARGEST_JSON:
            raise ValueError(f"more than {LARGEST_JSON} bytes of keys")
        if await store.run(WRITE, [document_key, version_key], [version, written]):
            return
    raise ValueError("too many others change these keys")
