"""Undoing a coding within limits: of size, of ratio, and of members that hold nothing."""

from __future__ import annotations

from typing import Final

from gateway.errors import PayloadTooLarge
from plugins.compression.coding import Decoder, Undecodable

GRACE: Final = 262_144
"""Bytes up to which a body may be of any ratio."""
MOST_EMPTY: Final = 100
"""Members of a compressed request that hold nothing: each costs a new decoder, and an honest sender makes none."""


class Bomb(PayloadTooLarge):
    """The request's body becomes too large, or far larger than it came."""

    code, title = "decompression_bomb", "Content too large when decompressed"


class Excess(Exception):
    """It becomes more than it may."""

    def __init__(self, why: str, part: bytes) -> None:
        super().__init__(why)
        self.why = why
        self.part = part
        """With which it became too much."""

    def bomb(self) -> Bomb:
        """As an error for the client."""
        return Bomb(reason=f"a compressed body becomes {self.why}")


class Unpacking:
    """One body. Gives out a piece at a time, so that nothing is made that is not wanted yet."""

    __slots__ = ("_came", "_empty", "_made", "_max_ratio", "_max_size", "_more", "_went", "bounded")

    def __init__(self, made: Decoder, max_size: int, max_ratio: int) -> None:
        self._made = made
        self._max_size = max_size
        self._max_ratio = max_ratio
        self._came = self._went = self._empty = 0
        self._more = False
        self.bounded = True
        """Its limits hold."""

    def feed(self, chunk: bytes) -> bytes:
        """More of what is coded; the first piece of what that becomes. Raises Excess, Undecodable."""
        self._came += len(chunk)
        return self._checked(self._made.feed(chunk))

    def next(self) -> bytes:
        """The next piece of what was fed; empty when nothing comes without more. Raises Excess, Undecodable."""
        while self._more:
            if part := self._checked(self._made.feed(b"")):
                return part
        return b""

    def _checked(self, part: bytes) -> bytes:
        self._more = bool(part) or self._made.more
        if not part:
            if self._more:
                self._empty += 1
                if self._empty > MOST_EMPTY:
                    raise Undecodable("The body is not usable.", reason="a compressed body of empty members")
            return part
        self._went += len(part)
        if self.bounded:
            large = self._went > self._max_size
            if large or (self._went > GRACE and self._went > self._came * self._max_ratio):
                why = "larger than max_size" if large else f"{self._went // max(1, self._came)} times its size"
                raise Excess(why, part)
        return part

    def end(self) -> None:
        """Nothing more is coded. Raises Undecodable if there should be."""
        if self._came and not self._made.ended:
            raise Undecodable("The body ends too early.", reason="a compressed body ends too early")
