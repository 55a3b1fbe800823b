"""What stands in a line instead of what was found."""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from typing import Final

from gateway.services.masking import token_of

CATEGORIES: Final = (
    "credential",
    "secret",
    "card",
    "iban",
    "email",
    "phone",
    "government_id",
    "address",
    "personal",
)
_PLAIN: Final = re.compile(r"[ ().\-/+]")
SUBSTITUTE: Final = re.compile(rf"\[(?:{'|'.join(CATEGORIES)})\]|<(?:{'|'.join(CATEGORIES)}):[a-p]{{16}}>")
MASKED: Final = re.compile(
    r"\[(?:" + "|".join(CATEGORIES) + r")\]|<(?:" + "|".join(CATEGORIES) + r"):[a-p]{16}>|\*{4}.{0,4}"
)


class Action(StrEnum):
    """What is done with a value that was found."""

    KEEP = "keep"
    DROP = "drop"
    REPLACE = "replace"
    PARTIAL = "partial"
    TRUNCATE = "truncate"
    HASH = "hash"


class Substitute:
    """Writes substitutes. They hold nothing that would be found again, so that two passes write what one does."""

    def __init__(self, actions: dict[str, Action], key: bytes) -> None:
        self._actions = actions
        self._key = key

    def __call__(self, category: str, value: str) -> str:
        """The substitute of a value."""
        match self._actions[category]:
            case Action.KEEP:
                return value
            case Action.DROP:
                return ""
            case Action.HASH:
                return token_of(self._key, category, value)
            case Action.PARTIAL:
                return _partial(category, value)
            case Action.TRUNCATE:
                return _truncated(category, value)
            case _:
                return f"[{category}]"


def _partial(category: str, value: str) -> str:
    if category == "email":
        local, _, domain = value.replace("%40", "@").rpartition("@")
        return f"{local[:1]}***@{domain}" if local else "[email]"
    if category in {"card", "iban", "phone"}:
        plain = _PLAIN.sub("", value)
        return "****" + plain[-4:] if len(plain) > 6 else f"[{category}]"
    if category == "address":
        return _truncated(category, value)
    return f"[{category}]"


def _truncated(category: str, value: str) -> str:
    if category != "address":
        return f"{value[: min(4, len(value) // 4)]}****"
    try:
        given = ipaddress.ip_address(value.split("%", 1)[0])
    except ValueError:
        return "[address]"
    return str(ipaddress.ip_network((given, 24 if given.version == 4 else 48), strict=False).network_address)
