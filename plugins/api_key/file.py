"""The file of keys: what stands in it, how it is read and how it is changed."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from gateway.plugin import Settings
from gateway.plugin.document import parse, plain, read_limited

LARGEST_YAML: Final = 1024 * 1024
"""Bytes, some four thousand keys: a second of work, which a thread takes from requests a little at a time."""
LARGEST_JSON: Final = 16 * 1024 * 1024


class KeyEntry(Settings):
    """One key in the file."""

    id: str = Field(
        pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="What people call it; part of a key that `gateway keys` makes."
    )
    hash: str = Field(
        pattern=r"^sha256:[0-9a-f]{64}$",
        description="`sha256:` and the hex digest of the whole key, as `sha256sum` has it.",
    )
    principal: str = Field(default="", max_length=256, description="Who it belongs to; the key's `id` if not given.")
    tenant: str | None = Field(default=None, max_length=256, description="The owner's tenant.")
    roles: tuple[str, ...] = Field(default=(), max_length=256, description="The owner's roles.")
    scopes: tuple[str, ...] = Field(default=(), max_length=256, description="What the key is good for.")
    rate_class: str | None = Field(default=None, max_length=64, description="For limits that differ by class.")
    expires: AwareDatetime | None = Field(default=None, description="From when on it is refused, with a time zone.")
    disabled: bool = Field(default=False, description="Refused while this is so; `gateway keys revoke` sets it.")
    note: str = Field(default="", max_length=1024, description="For people.")


class KeysDocument(Settings):
    """The file, YAML or JSON."""

    keys: tuple[KeyEntry, ...] = Field(default=(), description="All keys.")

    @model_validator(mode="after")
    def _distinct(self) -> KeysDocument:
        for what in ("id", "hash"):
            counted = Counter(getattr(each, what) for each in self.keys)
            if len(counted) != len(self.keys):
                twice = next(each.id for each in self.keys if counted[getattr(each, what)] > 1)
                raise ValueError(f"two keys have the same {what}, one of them is {twice}")
        return self


def read_keys(path: Path) -> KeysDocument:
    """The keys in a file. Raises ValueError, whose text repeats no hash."""
    try:
        content = read_limited(path, LARGEST_JSON if path.suffix == ".json" else LARGEST_YAML, regular=True)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ValueError(f"cannot read {path}: {why}") from None
    tree = parse(content, str(path))
    if tree.problems:
        raise ValueError(f"{tree.problems[0].position}: {tree.problems[0].message}")
    try:
        return KeysDocument.model_validate(plain(tree.root) or {})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise ValueError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


@contextlib.contextmanager
def changing(path: Path) -> Iterator[Any]:
    """The document, to be changed in place: comments stay, nobody else writes meanwhile, no reader sees half a file."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - only this command writes

    folder = os.open(path.resolve().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        exists = path.exists()
        if exists:
            read_keys(path)  # nothing is written over what is not understood
        yaml = YAML()
        text = path.read_text() if exists else ""
        document = (json.loads(text) if path.suffix == ".json" else yaml.load(text)) if text.strip() else {}
        yield document
        written = io.StringIO()
        if path.suffix == ".json":
            json.dump(document, written, indent=2)
        else:
            yaml.dump(document, written)
        _replace(path, written.getvalue(), path.stat().st_mode & 0o777 if exists else 0o600)
    finally:
        os.close(folder)


def _replace(path: Path, text: str, mode: int) -> None:
    target = path.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
        Path(name).chmod(mode)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
