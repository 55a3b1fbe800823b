"""Header fields that only the gateway may write, such as a caller's identity: what a client sends of that name goes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.http.message import Message

MOST_SPELLINGS: Final = 4096


class ReservedFields(dict[str, bool]):
    """Spelling of a field's name → whether a target could take it for one that only the gateway writes.

    Servers that hand fields on as variables (CGI, WSGI) read ``X_User`` as ``X-User``.
    """

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self._names = frozenset(_folded(name) for name in names)

    def __missing__(self, name: str) -> bool:
        reserved = _folded(name) in self._names
        if len(self) >= MOST_SPELLINGS:  # a sender of ever new names must not grow it
            self.clear()
        self[name] = reserved
        return reserved

    def take_out(self, message: Message) -> None:
        """Out with the sender's, and with its wish that they be dropped on the way (RFC 9110 §7.6.1)."""
        given = message.headers
        found = {name for name in given if self[name]}
        for name in found:
            message.edit_headers().popall(name, None)
        for line in given.getall("Connection", ()):
            if any(self[option.strip()] for option in line.split(",")):
                message.edit_headers().popall("Connection", None)
                break


def _folded(name: str) -> str:
    return name.lower().replace("_", "-")
