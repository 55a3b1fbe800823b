"""Encryption at rest and in cookies: what is sealed can be read and changed by nobody without the key.

AES-256-GCM under keys derived from the operator's (HKDF, RFC 5869), one for each purpose, so that what was sealed as a
session is no cached answer. The first key seals and every key opens: put a new one in front, and take the old one out
when nothing that it sealed is wanted any more.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LEAST_KEY: Final = 16
"""Bytes. A key is a random secret, not a password: nothing here slows a guesser down."""
OVERHEAD: Final = 1 + 4 + 24 + 16
"""Bytes that sealing adds: version, name of the key, nonce, tag."""
_VERSION: Final = b"\x01"
_SALT: Final = b"sidegate seal v1"


class Broken(Exception):
    """Not sealed with any of the keys, for another purpose, or changed since."""


class Seal:
    """Seals and opens bytes; safe to share between threads."""

    def __init__(self, keys: Sequence[bytes | str]) -> None:
        """Newest first. Raises ValueError without a key, and for one shorter than `LEAST_KEY` bytes."""
        if not keys:
            raise ValueError("no key to seal with")
        self._keys = tuple(key.encode() if isinstance(key, str) else key for key in keys)
        if any(len(key) < LEAST_KEY for key in self._keys):
            raise ValueError(f"a key to seal with has at least {LEAST_KEY} bytes")

    def seal(self, plain: bytes, purpose: bytes) -> bytes:
        """Sealed under the first key; `OVERHEAD` bytes longer."""
        name, secret = _purpose_key(self._keys[0], purpose)
        # A cipher of its own for every message, from a 192-bit nonce: with GCM's 96 bits alone a busy key would near
        # the 2^32 messages that NIST SP 800-38D §8.3 allows under random nonces.
        nonce = os.urandom(24)
        head = _VERSION + name + nonce
        return head + _cipher(secret, nonce).encrypt(nonce[12:], plain, head)

    def open(self, sealed: bytes, purpose: bytes) -> bytes:
        """What was sealed for this purpose. Raises Broken."""
        if len(sealed) < OVERHEAD or sealed[:1] != _VERSION:
            raise Broken("not sealed by us")
        head, nonce = sealed[:29], sealed[5:29]
        for key in self._keys:
            name, secret = _purpose_key(key, purpose)
            if name == sealed[1:5]:
                try:
                    return _cipher(secret, nonce).decrypt(nonce[12:], sealed[29:], head)
                except InvalidTag:
                    continue  # four bytes may name two keys
        raise Broken("no key opens it")


def _cipher(secret: bytes, nonce: bytes) -> AESGCM:
    return AESGCM(_derive(secret, b"message", nonce[:12], 32))


@lru_cache(maxsize=64)
def _purpose_key(key: bytes, purpose: bytes) -> tuple[bytes, bytes]:
    """Its name, which says nothing of it, and the secret."""
    made = _derive(key, b"purpose", purpose, 36)
    return made[:4], made[4:]


def _derive(key: bytes, label: bytes, of: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, _SALT, label + b"\0" + of).derive(key)
