"""One object a process through which data goes before people see it; a reload refills it.

What it does is what plugins bring (`gateway.plugin.Plugin.log_processor`). It never raises: what cannot be masked is
withheld. Lines of the logs show what processors leave of them. Everything else (traces, audit, stored requests) has a
floor besides: secrets by name do not appear there even if nothing is configured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from gateway.services.masking.content import Content, content_of
from gateway.services.masking.floor import floor_value

LogProcessor = Callable[[dict[str, Any]], dict[str, Any] | None]
"""Changes a line, or drops it by returning None. May be called from any thread; should not raise.

Two attributes are asked for. ``value``: a function of a name and a value that gives the value as it may be shown, or
None if it must not be; without it a line of that one field is given. ``secrets``: True if it takes care of secrets
by name, so that the floor is not needed.
"""
WITHHELD: Final = "[withheld]"
"""In place of what could not be masked."""
LONGEST: Final = 64 * 1024
"""Characters of a text, and of what is shown of a body."""

_Table = tuple[tuple[LogProcessor, ...], Mapping[str, tuple[LogProcessor, ...]]]


class Masking:
    """Masks lines, texts, header fields, bodies and attributes, each by its route. Safe to call from any thread."""

    def __init__(
        self,
        everywhere: Iterable[LogProcessor] = (),
        of_routes: Mapping[str, Sequence[LogProcessor]] | None = None,
    ) -> None:
        self._table: _Table = ((), {})
        self.failures = 0
        """Values and lines that were withheld because a processor failed on them."""
        self.refill(everywhere, of_routes)

    def refill(
        self, everywhere: Iterable[LogProcessor] = (), of_routes: Mapping[str, Sequence[LogProcessor]] | None = None
    ) -> None:
        """Use these from now on; in one step. ``of_routes`` as in `AccessLog`: other routes get ``everywhere``."""
        self._table = (tuple(everywhere), {name: tuple(each) for name, each in (of_routes or {}).items()})

    def processors(self, route: str | None = None) -> tuple[LogProcessor, ...]:
        """What a route's data goes through. None, and routes that are not configured, mean everybody's together."""
        everywhere, of_routes = self._table
        return everywhere if route is None else of_routes.get(route, everywhere)

    def line(self, line: dict[str, Any], route: str | None = None) -> dict[str, Any] | None:
        """A line of a log as it may be written; None if it must not be. The dictionary given may be changed."""
        current: dict[str, Any] | None = line
        try:
            for process in self.processors(route):
                if current is None:
                    return None
                current = process(current)
        except Exception:  # noqa: BLE001 - what cannot be masked must not be written
            self.failures += 1
            return None
        return current

    def value(self, name: str, value: Any, route: str | None = None) -> Any:
        """A value under a name, as JSON can hold it, with all that is in it; None if it must not be shown."""
        try:
            processors = self.processors(route)
            for process in processors:
                if value is None:
                    return None
                own = getattr(process, "value", None)
                value = own(name, value) if own is not None else (process({name: value}) or {}).get(name)
            if any(getattr(process, "secrets", False) for process in processors):
                return value
            return floor_value(name, value)
        except Exception:  # noqa: BLE001 - as for lines
            self.failures += 1
            return WITHHELD

    def text(self, text: str, route: str | None = None) -> str:
        """A text of no name, such as the message of an exception. Cut to `LONGEST` characters."""
        cut = text[:LONGEST]
        masked = str(self.value("", cut, route) or "")
        return masked if len(cut) == len(text) else f"{masked}… [{len(text)} characters]"

    def fields(self, pairs: Iterable[tuple[str, str]], route: str | None = None) -> list[tuple[str, str]]:
        """Header fields, in their order; those that must not be shown are left out."""
        masked = ((name, self.value(name, value, route)) for name, value in pairs)
        return [(name, str(value)) for name, value in masked if value is not None]

    def attributes(self, attributes: Mapping[str, Any], route: str | None = None) -> dict[str, Any]:
        """Attributes of a span, fields of a record, by name, nested ones too; those that must not be shown left out."""
        masked = ((name, self.value(name, value, route)) for name, value in attributes.items())
        return {name: value for name, value in masked if value is not None or attributes[name] is None}

    def query(self, query: str, route: str | None = None) -> str:
        """What follows ``?`` in a URL, by the names of its parameters; where nothing is found, as it was spelled."""
        return self._content(Content("form", query.encode("utf-8", "replace"), "utf-8"), route) if query else ""

    def body(self, body: bytes, media_type: str = "", route: str | None = None) -> str:
        """A body for people: JSON, forms, multipart and text by name and shape; of anything else only the size.

        ``media_type`` as in Content-Type; without one it is guessed. Bounded: what is longer than `LONGEST` bytes is
        shown in part.
        """
        try:
            return self._content(content_of(body[:LONGEST], media_type, len(body)), route)
        except Exception:  # noqa: BLE001 - as for lines
            self.failures += 1
            return WITHHELD

    def _content(self, content: Content, route: str | None) -> str:
        return content.shown(lambda name, value: self.value(name, value, route))
