"""Members of a JSON document by their paths, read without building the rest of it.

A number is taken as it is written, so that nothing is lost to floating point: ``1130``, ``1.10``, ``true``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

MOST_ELEMENTS: Final = 100
_NULL: Final = msgspec.Raw(b"null")
_text: Final = msgspec.json.Decoder(str).decode
_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Members:
    """Looks up the same paths in many documents."""

    __slots__ = ("_below", "_decode", "_leaves")

    def __init__(self, paths: Iterable[tuple[str, ...]]) -> None:
        tree: dict[str, list[tuple[str, ...]]] = {}
        for path in sorted(set(paths)):
            tree.setdefault(path[0], []).append(path[1:])
        fields = [(f"f{number}", msgspec.Raw, _NULL) for number in range(len(tree))]
        names = {f"f{number}": name for number, name in enumerate(tree)}
        shape = msgspec.defstruct("Shape", fields, rename=names) if tree else None
        self._decode: Any = msgspec.json.Decoder(shape).decode if shape is not None else None
        self._leaves = [(f"f{number}", (name,)) for number, name in enumerate(tree) if () in tree[name]]
        self._below = [
            (f"f{number}", name, Members(rest))
            for number, name in enumerate(tree)
            if (rest := [path for path in tree[name] if path])
        ]

    def find(self, document: bytes | msgspec.Raw) -> dict[tuple[str, ...], str]:
        """What is there, as text; not what is null, a list or an object. Raises ValueError if it is no JSON object."""
        if self._decode is None:
            return {}
        try:
            found = self._decode(document)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        values: dict[tuple[str, ...], str] = {}
        for field, path in self._leaves:
            value = _scalar(getattr(found, field))
            if value is not None:
                values[path] = value
        for field, name, below in self._below:
            raw = getattr(found, field)
            if bytes(raw)[:1] == b"{":
                values |= {(name, *rest): value for rest, value in below.find(raw).items()}
        return values


def _scalar(raw: msgspec.Raw) -> str | None:
    data = bytes(raw)
    if data[:1] == b'"':
        return _text(data)
    return None if data == b"null" or data[:1] in b"[{" else data.decode("ascii")


def elements(document: bytes, path: tuple[str, ...]) -> list[msgspec.Raw]:
    """The elements of a list in a document. Raises ValueError if it is not there, or is too long."""
    raw: Any = document
    for step in path:
        shape = msgspec.defstruct("Step", [("found", msgspec.Raw, _NULL)], rename={"found": step})
        raw = msgspec.json.decode(raw, type=shape).found  # type: ignore[attr-defined]
    found = _list(raw)
    if len(found) > MOST_ELEMENTS:
        raise ValueError(f"more than {MOST_ELEMENTS} elements")
    return found
