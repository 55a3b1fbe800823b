"""Keys of a request, such as an event's id, out of templates: what `gateway.plugin.template` knows, and what only a
verified event or the body says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import Annotated, Any, Final
from urllib.parse import parse_qs

import msgspec
from pydantic import AfterValidator

from gateway.http import Request
from gateway.http.event import event_of
from gateway.plugin.settings import expected
from gateway.plugin.template import compile_template

LONGEST: Final = 512
"""Characters of a key; of a longer one its digest stands."""
MOST_FIELDS: Final = 200
"""Fields of a form that are looked at."""

_BRACES: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_decode: Final = msgspec.json.Decoder().decode
_NOTHING: Final = object()


class Look:
    """A request with its body, read as far as somebody asks."""

    __slots__ = ("_document", "_form", "body", "request")

    def __init__(self, request: Request, body: bytes) -> None:
        self.request = request
        self.body = body
        self._document: Any = _NOTHING
        self._form: Mapping[str, list[str]] | None = None

    @property
    def document(self) -> Any:
        """The body as JSON; None if it is not."""
        if self._document is _NOTHING:
            try:
                self._document = _decode(self.body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self._document = None
        return self._document

    @property
    def form(self) -> Mapping[str, list[str]]:
        """The body as a form (``application/x-www-form-urlencoded``)."""
        if self._form is None:
            try:
                self._form = parse_qs(self.body.decode("ascii"), max_num_fields=MOST_FIELDS)
            except (ValueError, UnicodeDecodeError):
                self._form = {}
        return self._form


Read = Callable[[Look], str]
"""What stands there; empty if there is nothing."""


def compile_key(text: str) -> Read:
    """Reads a key. One placeholder that is empty makes the whole key empty. Raises ValueError."""
    parts: list[Read | str] = []
    position = 0
    for found in _BRACES.finditer(text):
        parts.append(text[position : found.start()])
        parts.append(_part(found))
        position = found.end()
    parts.append(text[position:])
    reads = [part for part in parts if part != ""]
    if not any(callable(part) for part in reads):
        raise expected("a template with a placeholder, such as {header.X-Event-Id} or {json./id}")
    return partial(_join, reads)


def _join(parts: Sequence[Read | str], look: Look) -> str:
    found = []
    for part in parts:
        value = part if isinstance(part, str) else part(look)
        if not value:
            return ""
        found.append(value)
    joined = found[0] if len(found) == 1 else "".join(found)
    if len(joined) > LONGEST:
        return "digest:" + blake2b(joined.encode("utf-8", "surrogateescape"), digest_size=24).hexdigest()
    return joined


def _part(found: re.Match[str]) -> Read | str:
    if found[1] is None:
        if len(found[0]) == 1:
            raise expected("text in which { and } stand in pairs, {{ and }} for braces of their own")
        return found[0][0]
    name = found[1].strip()
    kind, _, rest = name.partition(".")
    if name == "event":
        return _event
    if name == "body":
        return _digest
    if kind == "json" and rest:
        return partial(_member, pointer(rest))
    if kind == "form" and rest:
        return partial(_field, rest)
    try:
        value = compile_template("{" + name + "}")
    except ValueError as error:
        raise expected(
            f"{error}, or {{event}}, {{body}}, {{json./POINTER}}, {{form.NAME}}".removeprefix("expected ")
        ) from None
    return lambda look: value(look.request)


def pointer(text: str) -> tuple[str, ...]:
    """The steps of a JSON Pointer (RFC 6901). Raises ValueError."""
    if not text.startswith("/") or re.search("~(?![01])", text):
        raise expected("a JSON Pointer such as /data/object/id")
    return tuple([step.replace("~1", "/").replace("~0", "~") for step in text[1:].split("/")])


def _event(look: Look) -> str:
    event = event_of(look.request)
    return (event.key or "") if event is not None else ""


def _digest(look: Look) -> str:
    return "sha:" + blake2b(look.body, digest_size=32).hexdigest() if look.body else ""


def _member(steps: tuple[str, ...], look: Look) -> str:
    found = look.document
    for step in steps:
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and step.isdecimal() and step.isascii() and len(step) < 6:
            found = found[int(step)] if int(step) < len(found) else None
        else:
            return ""
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        return ""
    return found if isinstance(found, str) else repr(found)


def _field(name: str, look: Look) -> str:
    values = look.form.get(name)
    return values[0] if values else ""


def _compiles(text: str) -> str:
    compile_key(text)
    return text


KeyTemplate = Annotated[str, AfterValidator(_compiles)]
"""A key in settings: what it says is known to compile."""
