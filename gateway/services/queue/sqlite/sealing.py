"""What is stored of payloads and values: sealed where there are keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.services.seal import Seal

KEPT_PURPOSE = b"queue value"


def purpose_of(topic: str) -> bytes:
    """What was sealed for one topic opens for no other."""
    return b"queue item " + topic.encode("utf-8", "surrogatepass")


class Sealing:
    """Seals with the newest key, opens with any; without keys it leaves things as they are. Shared by threads."""

    __slots__ = ("_seal",)

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._seal: Seal | None = None
        self.configure(keys)

    def configure(self, keys: Sequence[bytes]) -> None:
        """Other keys from now on. Raises ValueError for one that is too short."""
        if keys:
            from gateway.services.seal import Seal  # noqa: PLC0415 - its library's memory is paid by who has keys

            self._seal = Seal(keys)
        else:
            self._seal = None

    def stored(self, plain: bytes, purpose: bytes) -> tuple[bytes, bool]:
        """(what to store, whether it is sealed)."""
        seal = self._seal
        return (plain, False) if seal is None else (seal.seal(plain, purpose), True)

    def opened(self, stored: bytes, purpose: bytes, *, sealed: bool) -> bytes | None:
        """What was stored; None if no key opens it."""
        if not sealed:
            return stored
        seal = self._seal
        if seal is None:
            return None
        from gateway.services.seal import Broken  # noqa: PLC0415

        try:
            return seal.open(stored, purpose)
        except Broken:
            return None
