"""What stands in the rows: ids, digests, times, and items made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.services.queue.contract import Attempt, Item, State
from gateway.services.queue.sqlite import schema

COUNTER_BITS: Final = 20
"""Of an item's number; above them stand the milliseconds of its acceptance."""
_ID: Final = 32
_PLAIN: Final = {
    schema.READY: State.READY,
    schema.LEASED: State.LEASED,
    schema.WAITING: State.WAITING,
    schema.HELD: State.DEAD,
    schema.DEAD: State.DEAD,
    schema.DONE: State.DONE,
}

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


def micros(seconds: float) -> int:
    """As times are stored."""
    return round(seconds * 1_000_000)


def seconds_of(stored: int) -> float:
    return stored / 1_000_000


def first_seq(moment: float) -> int:
    """The least number that an item accepted at this moment can have: whole milliseconds, upwards."""
    return -int(-round(moment * 1000, 3) // 1) << COUNTER_BITS


def accepted_of(seq: int) -> float:
    return (seq >> COUNTER_BITS) / 1000


class Names:
    """Ids and digests, under the secret that each queue has of its own."""

    __slots__ = ("_keys", "_secret")

    def __init__(self, secret: bytes, keys: Sequence[bytes]) -> None:
        self._secret = secret
        self._keys: tuple[bytes, ...] = ()
        self.configure(keys)

    def configure(self, keys: Sequence[bytes]) -> None:
        """Other keys for subjects from now on."""
        self._keys = tuple(hashlib.blake2b(key, digest_size=32, person=b"queue subject").digest() for key in keys)

    def id(self, seq: int) -> str:
        """Sorts as the number does. The second half is a code: nobody guesses an id, and no two queues share one."""
        code = hashlib.blake2b(seq.to_bytes(8), digest_size=8, key=self._secret).hexdigest()
        return f"{seq:016x}{code}"

    def seq(self, id: str) -> int | None:  # noqa: A002 - what it is
        """The number of an item of this queue, else None."""
        if len(id) != _ID:
            return None
        try:
            seq = int(id[:16], 16)
        except ValueError:
            return None
        return seq if seq < 1 << 63 and self.id(seq) == id else None

    def order(self, topic: str, order: str) -> int:
        """Two texts with one digest would only wait for each other: 63 bits are enough."""
        return self._digest(b"order", topic, order)[0]

    def dedup(self, topic: str, text: str) -> tuple[int, int]:
        """Two texts with one digest would lose an event: 126 bits."""
        return self._digest(b"dedup", topic, text)

    def subject(self, subject: str) -> int:
        """Under the newest key if there is one: without it nobody can try subjects out on a stolen file."""
        return self.subjects(subject)[0]

    def subjects(self, subject: str) -> list[int]:
        """All that it may be stored as: under each key, and as it was before there were keys."""
        text = subject.encode("utf-8", "surrogatepass")
        digests = (
            hashlib.blake2b(text, digest_size=8, key=key, person=b"subject").digest()
            for key in (*self._keys, self._secret)
        )
        return [int.from_bytes(digest) >> 1 for digest in digests]

    def _digest(self, kind: bytes, topic: str, text: str) -> tuple[int, int]:
        name, value = topic.encode("utf-8", "surrogatepass"), text.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(b"%d " % len(name) + name + value, digest_size=16, key=self._secret, person=kind)
        both = int.from_bytes(digest.digest())
        return both >> 65, both >> 1 & (1 << 63) - 1


def info_of(labels: Mapping[str, str], order: str | None) -> str:
    """What is stored of an item for people. Lone surrogates, which no JSON can carry, become question marks."""
    info = {"labels": dict(labels), "order": order}
    try:
        return encode(info).decode()
    except UnicodeEncodeError:
        plain = {writable(name): writable(value) for name, value in labels.items()}
        return encode({"labels": plain, "order": None if order is None else writable(order)}).decode()


def writable(text: str) -> str:
    """Text that SQLite and its JSON take as it is."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def attempt_of(row: Sequence[Any]) -> Attempt:
    """Out of number, began, seconds, status, error, detail, gateway."""
    number, began, seconds, status, error, detail, gateway = row
    return Attempt(number, seconds_of(began), seconds_of(seconds), status, error, detail, gateway)


def item_of(names: Names, topic: str, row: Sequence[Any], now: float, payload: bytes | None = None) -> Item:
    """Out of `statements.COLUMNS`; a lease that has run out ``now`` is none."""
    seq, _, code, due, until, lease, attempts, rounds, replays, size, _, info, *last = row
    known = decode(info)
    leased = code == schema.LEASED and until > micros(now)
    state = State.READY if code == schema.LEASED and not leased else _PLAIN[code]
    return Item(
        names.id(seq), topic, known["labels"], state, accepted_of(seq), seconds_of(due), attempts, rounds, replays,
        size, known["order"], attempt_of(last) if last[0] is not None else None, payload,
        str(lease) if leased else "", seconds_of(until) if leased else 0.0,
    )  # fmt: skip
