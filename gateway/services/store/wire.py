"""How a command looks on the wire to Redis (RESP: arrays of bulk strings)."""

from __future__ import annotations

from collections.abc import Sequence

Arg = bytes | str | int | float
"""What a command or script takes. Redis sees all of them as strings; a float keeps its full precision."""


def pack(*words: Arg) -> bytes:
    """One command, encoded."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        raw = word if type(word) is bytes else encode(word)
        parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


def pack_evalsha(sha: bytes, keys: Sequence[bytes], args: Sequence[Arg]) -> bytes:
    """``EVALSHA``: the command of the request path, so without a generic loop over its fixed part."""
    count = b"%d" % len(keys)
    parts = [
        b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$%d\r\n%b\r\n" % (3 + len(keys) + len(args), sha, len(count), count),
    ]
    parts += [b"$%d\r\n%b\r\n" % (len(key), key) for key in keys]
    for word in args:
        raw = b"%d" % word if type(word) is int else encode(word)
        parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


def encode(word: Arg) -> bytes:
    """One word as Redis gets it."""
    if isinstance(word, bytes):
        return word
    if isinstance(word, str):
        return word.encode()
    if isinstance(word, int):
        return b"%d" % word
    return repr(word).encode()
