"""Header fields and a body: what requests and responses share.

Header fields arrive as raw pairs and leave as raw pairs; most exchanges never need more. ``headers`` is a view to read,
made when first asked for; `Message.edit_headers` gives a copy to change, which is then what is sent. Reading costs a
dictionary look-up in C, and nobody pays for a copy that no plugin wanted.
"""

from __future__ import annotations

from collections.abc import Sequence

from multidict import CIMultiDict, MultiMapping

from gateway.errors import InternalError
from gateway.http.body import Body

Fields = Sequence[tuple[bytes, bytes]]
"""Header fields as on the wire: names in the sender's case, order and repetitions kept."""


def decode(fields: Fields) -> CIMultiDict[str]:
    """Raw fields as text. Bytes that are not UTF-8 survive the way back (surrogateescape)."""
    return CIMultiDict(
        [(name.decode("ascii", "surrogateescape"), value.decode("utf-8", "surrogateescape")) for name, value in fields]
    )


def encode(headers: MultiMapping[str]) -> list[tuple[bytes, bytes]]:
    """The reverse of `decode`. Raises InternalError where a value would split the message (RFC 9110 §5.5)."""
    fields = []
    for name, value in headers.items():
        bad = "\n" in value or "\r" in value or "\0" in value
        if bad or not name or not name.isascii() or not name.isprintable() or ":" in name or " " in name:
            raise InternalError(reason=f"a plugin set a header field {name!r} that cannot be sent")
        fields.append((name.encode(), value.encode("utf-8", "surrogateescape")))
    return fields


def split_lines(lines: Sequence[bytes]) -> Fields:
    """Fields out of lines in wire form, ``Name: value``."""
    return [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]


class Message:
    """What requests and responses share: header fields and a body."""

    __slots__ = ("_edited", "_fields", "_view", "body")

    _fields: Fields
    _view: MultiMapping[str] | None
    _edited: CIMultiDict[str] | None
    body: Body

    @property
    def headers(self) -> MultiMapping[str]:
        """The header fields, to read. Names compare without case; `getall` for repeated ones."""
        view = self._view
        if view is None:
            view = self._view = decode(self._raw())
        return view

    def edit_headers(self) -> CIMultiDict[str]:
        """The header fields, to change: from now on these are what is sent and what ``headers`` shows."""
        edited = self._edited
        if edited is None:
            edited = self._edited = decode(self._raw())
            self._view = edited
        return edited

    def drop(self, *names: str) -> None:
        """Take fields out, names in lower case: at a third of what `edit_headers` costs."""
        edited = self._edited
        if edited is not None:
            for name in names:
                edited.popall(name, None)
            return
        raw = [name.encode() for name in names]
        # A tuple as the server's: the transport recognises the fields of a connection's last request.
        self._fields = tuple([field for field in self._raw() if field[0].lower() not in raw])
        if self._view is not None:
            view = CIMultiDict(self._view)
            for name in names:
                view.popall(name, None)
            self._view = view

    def _raw(self) -> Fields:
        """The fields as they came."""
        return self._fields

    @property
    def edited(self) -> bool:
        """Somebody asked for the header fields to change them."""
        return self._edited is not None

    @property
    def fields(self) -> Fields:
        """The header fields as they go on the wire. Raises InternalError if an edited one cannot be sent."""
        return self._raw() if self._edited is None else encode(self._edited)
