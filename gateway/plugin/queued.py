"""Items of the durable queue as people choose and see them, at the command line and at the admin API.

Everything that is shown goes through `Masking`; the original bytes leave the gateway by an export only.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from gateway.plugin.moment import Moment
from gateway.plugin.settings import parse_duration
from gateway.services.masking import Masking
from gateway.services.queue import Attempt, Item, Query, State, Tally
from gateway.services.queue.message import KeptRequest, Unreadable, unpack

PARAMETERS: Final = {
    "id": "this item; may be repeated",
    "route": "of this route",
    "topic": "of this topic, or of all that begin so if it ends in /",
    "state": "ready, waiting, leased, dead or done; may be repeated",
    "since": "accepted at this time or later: 2027-03-31, 2027-03-31T10:00:00Z, or an age such as 2h",
    "until": "accepted before this time",
    "status": "whose last attempt was answered so; 0: not at all",
    "error": "whose last attempt ended with this code",
    "label": "with this label, NAME=VALUE; may be repeated",
}
"""What items are chosen by, and what it means. What is given must all hold; of one that is repeated, one must."""
_MOMENT: Final[TypeAdapter[datetime]] = TypeAdapter(Moment)
MOST_IDS: Final = 1000
_IDS_SHOWN: Final = 20


def selection(given: Mapping[str, Sequence[str]], now: float) -> Query:
    """What is meant by parameters as they were written. Raises ValueError with what is wrong, for people."""
    unknown = sorted(set(given) - set(PARAMETERS))
    if unknown:
        raise ValueError(f"there is no {', '.join(unknown)} to choose by; there is {', '.join(PARAMETERS)}")
    for name in ("route", "topic", "since", "until", "status", "error"):
        if len(given.get(name, ())) > 1:
            raise ValueError(f"{name} stands more than once")
    for name, values in given.items():
        if not all(values):  # of a script whose variable is not set: it must not mean everything
            raise ValueError(f"{name} is empty")
    ids = tuple(dict.fromkeys(given.get("id", ())))
    if len(ids) > MOST_IDS:
        raise ValueError(f"at most {MOST_IDS} ids at once")
    return Query(
        ids=ids,
        topic=_one(given, "topic"),
        states=frozenset(map(_state, given.get("state", ()))),
        labels=_labels(given),
        since=_moment(given, "since", now),
        until=_moment(given, "until", now),
        status=_status(given),
        error=_one(given, "error"),
    )


def is_everything(query: Query) -> bool:
    """Whether nothing was said of what is meant; a state alone is nothing in particular."""
    return query == Query(states=query.states)


def _one(given: Mapping[str, Sequence[str]], name: str) -> str:
    (value,) = given.get(name) or ("",)
    return value


def _state(text: str) -> State:
    try:
        return State(text)
    except ValueError:
        raise ValueError(f"there is no state {text!r}; there is {', '.join(State)}") from None


def _labels(given: Mapping[str, Sequence[str]]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for text in given.get("label", ()):
        name, found, value = text.partition("=")
        if not found or not name:
            raise ValueError(f"a label is given as NAME=VALUE, not {text!r}")
        if labels.setdefault(name, value) != value:
            raise ValueError(f"an item has one label {name}, and two are asked for")
    route = _one(given, "route")
    if route and labels.setdefault("route", route) != route:
        raise ValueError("an item has one route, and two are asked for")
    return labels


def _status(given: Mapping[str, Sequence[str]]) -> int | None:
    text = _one(given, "status")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 3:
        raise ValueError(f"a status is a number such as 503, not {text!r}")
    return int(text)


def _moment(given: Mapping[str, Sequence[str]], name: str, now: float) -> float | None:
    text = _one(given, name)
    if not text:
        return None
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        return _MOMENT.validate_python(text).timestamp()
    except ValidationError:
        expected = "a date (2027-03-31), a time with its zone (2027-03-31T10:00:00Z) or an age (2h)"
        raise ValueError(f"{name}: expected {expected}, not {text!r}") from None


def selection_shown(query: Query) -> dict[str, Any]:
    """What was meant, for a record of it: as little as says it, of many ids the first and how many."""
    shown: dict[str, Any] = {
        "ids": list(query.ids[:_IDS_SHOWN]),
        "more_ids": max(0, len(query.ids) - _IDS_SHOWN),
        "topic": query.topic,
        "states": sorted(query.states),
        "labels": dict(query.labels),
        "since": when(query.since or 0.0),
        "until": when(query.until or 0.0),
        "error": query.error,
    }
    status = {"status": query.status} if query.status is not None else {}
    return {**{key: value for key, value in shown.items() if value}, **status}


# -- as JSON can hold it -----------------------------------------------------------------------------------------------


def when(moment: float) -> str:
    """A time as RFC 3339 has it, in UTC, to the millisecond; empty for 0."""
    if moment <= 0:
        return ""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def item_shown(item: Item, masking: Masking) -> dict[str, Any]:
    """An item without its payload."""
    route = item.labels.get("route")
    shown: dict[str, Any] = {
        "id": item.id,
        "topic": item.topic,
        "state": item.state.value,
        "accepted": when(item.accepted),
        "due": when(item.due) if item.state in (State.READY, State.WAITING) else "",
        "attempts": item.attempts,
        "replays": item.replays,
        "bytes": item.size,
        "labels": masking.attributes(item.labels, route),
        "order": masking.value("order", item.order, route) if item.order is not None else None,
        "last": attempt_shown(item.last, masking, route) if item.last is not None else None,
    }
    return {key: value for key, value in shown.items() if value not in (None, "")}


def attempt_shown(attempt: Attempt, masking: Masking, route: str | None = None) -> dict[str, Any]:
    """One try. Its detail was masked when it was written, and is again: the rules may have become stricter."""
    shown: dict[str, Any] = {
        "number": attempt.number,
        "began": when(attempt.began),
        "seconds": round(attempt.seconds, 3),
        "status": attempt.status,
        "error": attempt.error,
        "detail": masking.text(attempt.detail, route) if attempt.detail else "",
        "gateway": attempt.gateway,
    }
    return {key: value for key, value in shown.items() if value != ""}


def item_exported(item: Item, attempts: Iterable[Attempt], masking: Masking) -> dict[str, Any]:
    """An item with what the sender sent, unmasked: bytes that need not be text are in base64."""
    route = item.labels.get("route")
    kept = _kept(item)
    request = None
    if kept is not None:
        request = {
            "method": kept.method,
            "path": kept.path,
            "query": kept.query,
            "host": kept.host,
            "arrived": when(kept.arrived),
            "client": kept.client_ip,
            "fields": [(_text(name), _text(value)) for name, value in kept.fields],
            "body": base64.b64encode(kept.body).decode("ascii"),
        }
    opaque = item.payload if kept is None else None
    return {
        **item_shown(item, masking),
        "labels": dict(item.labels),
        "history": [attempt_shown(each, masking, route) for each in attempts],
        "request": request,
        "payload": None if opaque is None else base64.b64encode(opaque).decode("ascii"),
    }


def tally_shown(tally: Tally, now: float) -> dict[str, Any]:
    """How a topic stands."""
    return {
        "topic": tally.topic,
        "ready": tally.ready,
        "leased": tally.leased,
        "dead": tally.dead,
        "done": tally.done,
        "bytes": tally.size,
        "oldest_seconds": 0.0 if tally.oldest is None else round(max(0.0, now - tally.oldest), 3),
    }


def request_shown(item: Item, masking: Masking) -> dict[str, Any] | None:
    """The kept request as people may see it; None if it is not kept, or what is kept is none."""
    kept = _kept(item)
    if kept is None:
        return None
    route = item.labels.get("route")
    path, query = masking.text(kept.path, route), masking.query(kept.query, route)
    fields = [(_text(name), _text(value)) for name, value in kept.fields]
    shown: dict[str, Any] = {
        "method": kept.method,
        "target": f"{path}?{query}" if query else path,
        "host": kept.host,
        "arrived": when(kept.arrived),
        "client": masking.value("client", kept.client_ip, route) if kept.client_ip else None,
        "principal": masking.value("principal", kept.principal.id, route) if kept.principal is not None else None,
        "event": masking.value("event", kept.event_id, route) if kept.event_id else None,
    }
    return {
        **{key: value for key, value in shown.items() if value is not None},
        "fields": masking.fields(fields, route),
        "body": masking.body(kept.body, kept.header("Content-Type"), route),
    }


def _kept(item: Item) -> KeptRequest | None:
    try:
        return unpack(item.payload) if item.payload is not None else None
    except Unreadable:
        return None


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
