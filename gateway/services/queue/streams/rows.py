"""Items as Redis keeps them, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gateway.services.queue.contract import Attempt, Draft, Item, QueueError, State
from gateway.services.queue.opening import QueueSettings
from gateway.services.queue.streams.keys import digest
from gateway.services.seal import Broken, Seal
from gateway.services.store.wire import Arg

PURPOSE: Final = b"queue"
LETTERS: Final = {State.READY: "r", State.WAITING: "w", State.LEASED: "l", State.DEAD: "x", State.DONE: "f"}
_STATES: Final = {letter.encode(): state for state, letter in LETTERS.items()}
_PLAIN, _SEALED = b"\0", b"\1"


class Head(msgspec.Struct, rename={"labels": "l", "order": "o"}, omit_defaults=True):
    """What stands before the payload and is never sealed."""

    labels: dict[str, str] = {}
    order: str | None = None


_encode: Final = msgspec.json.Encoder().encode
_read_head: Final = msgspec.json.Decoder(Head).decode
_read_attempt: Final = msgspec.json.Decoder(Attempt).decode


class Unreadable(QueueError):
    """No key opens it."""


class Codec:
    """Makes arguments of scripts and reads their rows; seals payloads where there are keys."""

    def __init__(self, settings: QueueSettings) -> None:
        self.configure(settings)

    def configure(self, settings: QueueSettings) -> None:
        """Take up other keys."""
        self._seal = Seal(settings.keys) if settings.keys else None

    def sealed(self, plain: bytes) -> bytes:
        """One byte that says how, then the payload."""
        return _PLAIN + plain if self._seal is None else _SEALED + self._seal.seal(plain, PURPOSE)

    def opened(self, kept: bytes) -> bytes:
        """What `sealed` was given. Raises Unreadable."""
        if kept[:1] == _PLAIN:
            return kept[1:]
        if self._seal is None:
            raise Unreadable("it was sealed, and there is no key")
        try:
            return self._seal.open(kept[1:], PURPOSE)
        except Broken as error:
            raise Unreadable("no key opens it") from error

    def draft(self, draft: Draft) -> list[Arg]:
        """The arguments of put.lua from ``state`` on."""
        head = encoded(Head(dict(draft.labels), draft.order))
        last = draft.last if draft.state is State.DEAD else None
        return [
            "x" if draft.state is State.DEAD else "r",
            micros(draft.due),
            head + self.sealed(draft.payload),
            len(head),
            len(draft.payload),
            "" if draft.order is None else digest(draft.order),
            "" if draft.subject is None else digest(draft.subject),
            "" if draft.dedup is None or draft.window <= 0 else digest(draft.dedup),
            max(micros(draft.window), 1),
            *(("", 0, 0, "") if last is None else (encoded(last), last.number, last.status, last.error)),
        ]

    def item(self, topic: str, row: Sequence[Any], *, whole: bool = False) -> Item:
        """An item from a row (prelude.lua). Raises Unreadable if its payload is asked for and no key opens it."""
        id_, body, last, accepted, due, state, attempts, round_, replays, size, head_size, lease, until = row
        split = int(head_size)
        head = _read_head(body[:split]) if body else Head()
        leased = state == b"l"
        return Item(
            id=id_.decode(),
            topic=topic,
            labels=head.labels,
            state=_STATES[state],
            accepted=seconds(accepted),
            due=seconds(due),
            attempts=int(attempts),
            round=int(round_),
            replays=int(replays),
            size=int(size),
            order=head.order,
            last=_read_attempt(last) if last else None,
            payload=self.opened(body[split:]) if whole and body else None,
            lease=lease.decode() if leased and lease else "",
            lease_until=seconds(until) if leased and until else 0.0,
        )


def encoded(value: Head | Attempt) -> bytes:
    """JSON. What is no UTF-8, such as a byte of a header field that came as a surrogate, is replaced."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(_clean(msgspec.to_builtins(value)))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_clean(key): _clean(each) for key, each in value.items()}
    return value


def read_attempt(raw: bytes) -> Attempt:
    """An attempt as it was kept."""
    return _read_attempt(raw)


def micros(span: float) -> int:
    """Seconds as microseconds."""
    return round(span * 1_000_000)


def seconds(raw: bytes) -> float:
    """Microseconds, as Redis writes them, as seconds."""
    return int(raw) / 1_000_000
