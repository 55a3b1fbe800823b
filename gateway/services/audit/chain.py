"""How records are linked: each holds the hash of the one before, and its own over all of its bytes.

A record is one line of JSON::

    {"seq":7,"prev":"<64 hex>","kid":"<8 hex>",…,"hash":"<64 hex>"}

``hash`` is taken over the very bytes of the line before ``,"hash":``, so nothing has to be written anew to check it:
SHA-256, or HMAC-SHA-256 (RFC 2104) where there is a key. ``kid`` names the key and is empty without one. A plain hash
tells of accidents and of who changes a record in the middle; only a key, or a hash kept elsewhere, holds against who
can write to the disk, as such a one can compute all plain hashes anew.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

ZERO: Final = "0" * 64
"""What the first record of a chain follows."""
LEAST_KEY: Final = 16
"""Bytes."""
LONGEST: Final = 64 * 1024
"""Bytes of a line; writers stay far below."""
HEAD_SIZE: Final = 512
"""Bytes of the head file: one sector, so that a power cut leaves the old one or the new one."""
_MARK: Final = b',"hash":"'
_members: Final = msgspec.json.Decoder(dict[str, Any]).decode
_LINE: Final = re.compile(
    rb'\{"seq":([1-9][0-9]{0,18}),"prev":"([0-9a-f]{64})","kid":"([0-9a-f]{8}|)",(.*),"hash":"([0-9a-f]{64})"\}'
)


class Keys:
    """The keys of a chain, newest first: the first signs, every one verifies. None at all: plain hashes."""

    def __init__(self, secrets: Sequence[bytes] = ()) -> None:
        """Raises ValueError for a key shorter than `LEAST_KEY` bytes."""
        if any(len(secret) < LEAST_KEY for secret in secrets):
            raise ValueError(f"a key of the audit trail has at least {LEAST_KEY} bytes")
        # One for each purpose, so that what one of them shows says nothing of another.
        self._keys = {
            _derived(secret, b"name")[:4].hex(): _derived(secret, b"chain") for secret in reversed(list(secrets))
        }
        self.newest = _derived(secrets[0], b"name")[:4].hex() if secrets else ""
        """Name of the key that signs; empty without one."""

    def __bool__(self) -> bool:
        return bool(self._keys)

    def digest(self, kid: str, data: bytes) -> str | None:
        """The hash under a key; None for one that is not there."""
        if not kid:
            return hashlib.sha256(data).hexdigest()
        key = self._keys.get(kid)
        return None if key is None else hmac.digest(key, data, "sha256").hex()


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return hmac.digest(secret, b"sidegate audit v1 " + purpose, "sha256")


@dataclass(frozen=True, slots=True)
class Link:
    """A line as a member of the chain."""

    seq: int
    prev: str
    kid: str
    body: bytes
    """Its own members, as JSON without the braces."""
    hash: str


def forge(seq: int, prev: str, body: bytes, keys: Keys) -> tuple[bytes, str]:
    """The line of a record, line break included, and its hash."""
    kid = keys.newest
    text = b'{"seq":%d,"prev":"%s","kid":"%s",%s' % (seq, prev.encode(), kid.encode(), body)
    made = keys.digest(kid, text)
    assert made is not None
    return b'%s,"hash":"%s"}\n' % (text, made.encode()), made


def parse(line: bytes) -> Link | None:
    """A line without its line break; None if it has not the form of a record."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    seq, prev, kid, body, own = found.groups()
    return Link(int(seq), prev.decode(), kid.decode(), body, own.decode())


def holds(line: bytes, link: Link, keys: Keys) -> bool | None:
    """Whether a line's hash is right; None if its key is not there."""
    made = keys.digest(link.kid, line[: -len(_MARK) - 66])
    return None if made is None else hmac.compare_digest(made, link.hash)


def members(link: Link) -> dict[str, Any]:
    """What a record says; nothing where it is no JSON."""
    try:
        return _members(b"{" + link.body + b"}")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


def is_chain(link: Link) -> bool:
    """The chain speaks of itself: a file begins, something was repaired or removed."""
    return link.body.startswith(b'"kind":"chain"')


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the chain: what a trail that was cut off at its tail no longer leads to."""

    chain: str
    """Drawn when the chain began; another one means another chain."""
    seq: int
    hash: str
    file: str
    size: int
    """Bytes of the file up to there."""
    kid: str = ""
    mac: str = ""

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Head).decode


def pack_head(head: Head, keys: Keys) -> bytes:
    """As it stands in its file, `HEAD_SIZE` bytes."""
    plain = msgspec.structs.replace(head, kid=keys.newest, mac="")
    mac = keys.digest(keys.newest, _encode(plain))
    return _encode(msgspec.structs.replace(plain, mac=mac or "")).ljust(HEAD_SIZE - 1) + b"\n"


def unpack_head(data: bytes, keys: Keys) -> Head | None:
    """What stands in a head file; None if it is not what a gateway wrote, to the last byte."""
    try:
        head = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if _encode(head).ljust(HEAD_SIZE - 1) + b"\n" != data:
        return None
    mac = keys.digest(head.kid, _encode(msgspec.structs.replace(head, mac="")))
    return head if mac is not None and hmac.compare_digest(mac, head.mac) else None
