"""A keyed token in place of a value: the same key gives the same value the same token, wherever it is written.

So a person or a credential can be followed over logs, traces and audit records by who holds the key, and by nobody
else: a hash without a key is undone by trying out all telephone numbers there are.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

SHORTEST_KEY: Final = 16
"""Bytes."""
_NUMBERED: Final = frozenset({"card", "iban", "phone", "government_id"})
_LETTERS: Final = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_SIGNS: Final = re.compile(r"%2[Bb]|[ ().\-/+]")


def token_of(key: bytes, category: str, value: str) -> str:
    """``<email:hagbjd…>``: HMAC-SHA-256 (RFC 2104) of the value, cut to 64 bits, as letters.

    Letters, because digits would be taken for a number by whoever masks the line once more. However a value is spelled
    (letter case of e-mail, signs in numbers), it gets the same one. The category is not part of it: what was found by
    name in one place and by shape in another is the same value still.
    """
    plain = value.strip()
    if category == "email":
        plain = plain.lower().replace("%40", "@")
    elif category in _NUMBERED:
        plain = _SIGNS.sub("", plain).upper()
    digest = hmac.digest(key, plain.encode("utf-8", "replace"), hashlib.sha256)
    return f"<{category}:{digest[:8].hex().translate(_LETTERS)}>"
