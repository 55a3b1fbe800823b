"""A stored answer: its fields in wire form, its body, and until when it may be used in which way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec
from multidict import CIMultiDict

from gateway.http import Response, decode
from plugins.cache.dates import format_date, parse_date
from plugins.cache.freshness import Terms
from plugins.cache.groups import groups_of
from plugins.cache.vary import Selecting

_UNSTORED: Final = frozenset(
    {b"age", b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authentication-info", b"proxy-authorization"}
    | {b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"content-length"}
)
"""About a connection, about a proxy's own dealings, or written anew for each answer (RFC 9111 §3.1)."""
EARLIEST: Final = float("-inf")


@dataclass(frozen=True, slots=True)
class Place:
    """What an answer is found by."""

    key: str
    """Of the URL and whatever else the operator keeps apart: principal, cookies, a body's digest."""
    url: str
    """What a purge speaks of: scheme, authority, path and query."""
    selecting: Selecting = ()
    chosen: str = ""


class Since(NamedTuple):
    """Where the purge log stood."""

    seq: int
    """This process's number."""
    fleet: int
    """That of all replicas; 0 without a shared store."""


class Entry:
    """One stored answer. Times are on the loop's clock; ``date`` and ``arrived`` on the wall's."""

    __slots__ = (
        "arrived",
        "body",
        "born",
        "chosen",
        "date",
        "delay",
        "disconnected_until",
        "early",
        "error_until",
        "etag",
        "fleet",
        "fresh_until",
        "groups",
        "head",
        "hits",
        "key",
        "language",
        "lines",
        "modified",
        "modified_text",
        "queue",
        "reason",
        "second",
        "selecting",
        "seq",
        "size",
        "slot",
        "stale_until",
        "status",
        "terms",
        "url",
        "validate",
        "vouched",
    )

    def __init__(self, place: Place, status: int, reason: bytes, lines: list[bytes], body: bytes, since: Since) -> None:
        self.key, self.url = place.key, place.url
        self.selecting, self.chosen = place.selecting, place.chosen
        self.slot = place.key if not place.selecting else f"{place.key}\n{','.join(place.selecting)}\n{place.chosen}"
        """Unique among all that is stored."""
        self.status = status
        self.reason = reason
        self.lines = lines
        self.body = body
        self.seq, self.fleet = since
        """The purge log's numbers when its request was made: what was purged since does not hold any more."""
        self.vouched = since.seq
        """The log's number when it was last compared with the log."""
        self.hits = 0
        self.queue = 0
        self.size = 0
        self.delay = 0.0
        """Seconds the target took."""
        self._read_fields()

    def _read_fields(self) -> None:
        fields = decode([(name, value) for name, _, value in (line.partition(b": ") for line in self.lines)])
        self.etag = fields.get("ETag", "").strip()
        self.modified_text = fields.get("Last-Modified", "")
        self.modified = parse_date(self.modified_text)
        self.date = parse_date(fields.get("Date", ""))
        self.language = fields.get("Content-Language", "")
        self.groups = groups_of(fields.getall("Cache-Groups", ()))
        self.second = -1
        self.head: list[bytes] = []

    def hold(self, terms: Terms, now: float, arrived: float, early_refresh: float) -> None:
        """Set until when it may be used: ``now`` on the loop's clock, ``arrived`` on the wall's."""
        self.terms = terms
        self.arrived = arrived
        self.born = now - terms.age
        self.validate = terms.validate
        self.fresh_until = EARLIEST if terms.validate else self.born + terms.lifetime
        self._set_stale(self.born + terms.lifetime)
        # Ten times the time that a fetch takes, the draw has hardly a chance: before that nobody needs to draw.
        ahead = min(10 * self.delay * early_refresh, max(0.0, (self.fresh_until - now) / 2))
        self.early = self.fresh_until - ahead if ahead else self.fresh_until

    def _set_stale(self, since: float) -> None:
        terms = self.terms
        never = terms.strict
        self.stale_until = EARLIEST if never else since + terms.stale_while_revalidate
        self.error_until = EARLIEST if never else since + terms.stale_if_error
        self.disconnected_until = EARLIEST if never else since + terms.disconnected

    def soften(self, now: float) -> None:
        """Make it stale from now on: a soft purge."""
        if self.fresh_until > now:
            self.fresh_until = self.early = now
            self._set_stale(now)

    @property
    def has_validator(self) -> bool:
        return bool(self.etag or self.modified_text)

    def usable_until(self) -> float:
        """After this it serves nothing but validation."""
        return max(self.fresh_until, self.stale_until, self.error_until, self.disconnected_until)

    def refreshed(self, lines: list[bytes], since: Since) -> Entry:
        """The same answer with other fields, after a 304."""
        place = Place(self.key, self.url, self.selecting, self.chosen)
        return Entry(place, self.status, self.reason, lines, self.body, since)


def stored_lines(response: Response, unstored: frozenset[str], arrived: float) -> list[bytes]:
    """The fields of an answer that are kept, in wire form, with a ``Date`` (RFC 9110 §6.6.1)."""
    left_out = _UNSTORED | {name.encode() for name in unstored} if unstored else _UNSTORED
    lines, dated = [], False
    for name, value in response.fields:
        lowered = name.lower()
        if lowered in left_out:
            continue
        dated = dated or lowered == b"date"
        lines.append(name + b": " + value)
    if not dated:
        lines.append(b"Date: " + format_date(arrived).encode())
    return lines


def own_lines(response: Response, own: frozenset[str]) -> list[bytes]:
    """The fields that are not kept and still meant for whoever asked, in wire form."""
    names = {name.encode() for name in own} - _UNSTORED
    return [name + b": " + value for name, value in response.fields if name.lower() in names] if names else []


def without(lines: Iterable[bytes], names: frozenset[bytes]) -> list[bytes]:
    """The lines whose names, in lower case, are none of these."""
    return [line for line in lines if line.partition(b":")[0].lower() not in names]


def update_lines(response: Response) -> list[tuple[bytes, bytes]]:
    """What a 304 brings for a stored answer."""
    return [(name, value) for name, value in response.fields if name.lower() not in _UNSTORED]


def fields_of_lines(lines: Sequence[bytes]) -> CIMultiDict[str]:
    """Stored lines, to read."""
    return decode([(name, value) for name, _, value in (line.partition(b": ") for line in lines)])


# -- between processes -------------------------------------------------------------------------------------------------


class Packed(msgspec.Struct, array_like=True, frozen=True):
    """An entry without its body, as it stands in a shared store. All times on the wall's clock."""

    key: str
    url: str
    selecting: tuple[str, ...]
    chosen: str
    status: int
    reason: bytes
    lines: list[bytes]
    seq: int
    """The fleet's number of purges when its request was made."""
    delay: float
    arrived: float
    lifetime: float
    age: float
    validate: bool
    strict: bool
    stale_while_revalidate: float
    stale_if_error: float
    disconnected: float
    explicit: bool
    blob: bytes
    """Its body, or the name that the body's pieces are found by."""
    pieces: int
    """0: ``blob`` is the body."""


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(Packed).decode


def pack(entry: Entry, blob: bytes, pieces: int) -> bytes:
    """An entry's head for a shared store."""
    terms = entry.terms
    return _pack(
        Packed(
            entry.key, entry.url, entry.selecting, entry.chosen, entry.status, entry.reason, entry.lines, entry.fleet,
            entry.delay, entry.arrived, terms.lifetime, terms.age, terms.validate, terms.strict,
            terms.stale_while_revalidate, terms.stale_if_error, terms.disconnected, terms.explicit, blob,
            pieces,
        )
    )  # fmt: skip


def unpack(data: bytes) -> Packed:
    """Raises ValueError (msgspec's) for what is not a packed entry."""
    return _unpack(data)


def revive(packed: Packed, body: bytes, now: float, wall: float, early_refresh: float) -> Entry:
    """The entry again, in this process: ``now`` on the loop's clock, ``wall`` on the wall's."""
    place = Place(packed.key, packed.url, packed.selecting, packed.chosen)
    entry = Entry(place, packed.status, packed.reason, packed.lines, body, Since(0, packed.seq))
    entry.delay = packed.delay
    terms: Any = Terms(
        packed.lifetime, packed.age, packed.validate, packed.strict, packed.stale_while_revalidate,
        packed.stale_if_error, packed.disconnected, packed.explicit,
    )  # fmt: skip
    resident = max(0.0, wall - packed.arrived)
    entry.hold(terms, now - resident, packed.arrived, early_refresh)
    return entry
