"""JSON without what two readers take differently (RFC 8259): keys that stand twice, numbers that are none.

A service that takes the first of two equal keys and a gateway that takes the last see different requests.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode
_SPACE: Final = b" \t\r\n"


class Unreadable(ValueError):
    """A body that cannot be read. The text is for the client and repeats nothing of it."""


def read_json(data: bytes, deepest: int) -> Any:
    """The value. Raises Unreadable."""
    try:
        value = _decode(data)
    except RecursionError:
        raise Unreadable(f"nested deeper than {deepest}") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise Unreadable(f"not JSON: {str(error).removeprefix('JSON is malformed: ')[:100]}") from None
    if data.count(b"[") + data.count(b"{") > deepest and _depth(value, deepest) > deepest:
        raise Unreadable(f"nested deeper than {deepest}")
    # Written anew, equal keys have become one; what differs in no more than white space had none. Stripped inside of
    # strings, too, but the same on both sides, and no quote or colon comes or goes with it.
    if _encode(value).translate(None, _SPACE) != data.translate(None, _SPACE):
        _no_key_twice(data)
    return value


def _no_key_twice(data: bytes) -> None:
    try:
        json.loads(data.decode("utf-8"), object_pairs_hook=_members)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise Unreadable("not JSON that all read alike") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Unreadable("a key stands twice in one object")
    return made


def _depth(value: Any, most: int) -> int:
    """How deep it is nested; counting stops beyond ``most``."""
    level = [value] if isinstance(value, dict | list) else []
    depth = 0
    while level and depth <= most:
        depth += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return depth
