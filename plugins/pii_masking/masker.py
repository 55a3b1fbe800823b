"""One pass over a line: cheap looks first, patterns only for what those leave open."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from plugins.pii_masking.actions import MASKED, Substitute
from plugins.pii_masking.again import decoded
from plugins.pii_masking.aims import Aims, Counts
from plugins.pii_masking.contact import phones
from plugins.pii_masking.find import (
    EMAIL,
    SCHEME,
    SPOKEN,
    UNICODE_EMAIL,
    UUID,
    Span,
    addresses,
    cards,
    ibans,
    named,
    secrets,
    spoken,
)
from plugins.pii_masking.names import category_of, plain_of
from plugins.pii_masking.shapes import SCHEMES, URL_CREDENTIALS, private_keys

_CLASSES: Final = bytes(0x30 if 48 <= c <= 57 else 0x41 if chr(c).isalpha() and c < 128 else 0x20 for c in range(256))
_RUNS: Final = bytes(0x61 if (chr(c).isalnum() and c < 128) or c in b"_-" else 0x20 for c in range(256))
_PLAIN: Final = b"abcdefghijklmnopqrstuvwxyz/_-"
FEWEST: Final = 6
"""Digits. What has fewer, and else small letters only, is no number of anybody and has no name in it: most paths."""
_LONG: Final = b"a" * 16
_UUID: Final = re.compile(rb"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
_HEX: Final = b"0123456789abcdefABCDEF"
# fmt: off
OWN: Final = frozenset({
    "ts", "level", "logger", "status", "duration_ms", "bytes_in", "bytes_out", "attempts", "aborted", "sampled",
    "plugins_ms", "delivery_attempt",
})
# fmt: on
"""Fields that the gateway writes by itself from numbers and words of its own."""
PLACES: Final = frozenset({"target", "host", "upstream", "bind", "listener", "server.address"})
"""Fields whose addresses are machines of the operator's."""
# fmt: off
ACCESS: Final = frozenset({
    "request_id", "method", "host", "path", "route", "target", "principal", "tenant", "error", "reason", "agent",
    "trace", "span", "delivery",
})
# fmt: on
"""Fields of an access line whose name says nothing of what is in them."""
UNIQUE: Final = frozenset(("request_id", "trace", "span", "path", "delivery"))
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{16}")
REMEMBERED, REMEMBERED_LENGTH = 4096, 256
"""Values and their characters that are remembered as clean: the same few agents, hosts and targets come again."""
KINDS: Final = {
    **dict.fromkeys(ACCESS, "text"),
    **dict.fromkeys(ACCESS & PLACES, "place"),
    **dict.fromkeys(OWN, "own"),
    **dict.fromkeys(("request_id", "trace", "span"), "id"),
    **{each: each for each in ("client", "path")},
}
"""How the fields of an access line are gone about: one look-up for each of them."""
DEPTH, MARGIN = 8, 128


class Masker:
    """Masks lines. Equal to another with the same settings."""

    __slots__ = (
        "_active",
        "_budget",
        "_clean",
        "_clean_paths",
        "_clean_places",
        "_clients",
        "_declared",
        "_hits",
        "_identity",
        "_kinds",
        "_leaks",
        "_left",
        "_missed",
        "_numbers",
        "_sample",
        "_substitute",
        "_templates",
        "quick",
        "secrets",
    )

    def __init__(self, identity: str, substitute: Substitute, aims: Aims, counts: Counts) -> None:
        self._identity = identity
        self._substitute = substitute
        self._active = aims.active
        self._numbers = aims.numbers
        self._budget = aims.budget
        self._declared = dict(aims.declared)
        self._templates = aims.templates or None
        self._sample = self._left = aims.sample
        self._hits, self._leaks, self._missed = counts.hits, counts.leaks, counts.missed
        self._clean: set[str] = {""}
        self._clean_places: set[str] = {""}
        self._clean_paths: set[str] = set()
        self._clients: dict[str, str] = {}
        self._kinds = {key: kind for key, kind in KINDS.items() if kind == "own" or plain_of(key) not in self._declared}
        self.quick = self._quick if len(self._kinds) == len(KINDS) else None
        """The access log's shorter way, see there."""
        self.secrets = {"credential", "secret"} <= aims.active
        """It takes care of secrets by name; see `gateway.services.masking`."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Masker) and other._identity == self._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def _quick(
        self, request_id: str, client: str, path: str, places: tuple[str, str], words: tuple[str, ...]
    ) -> str | None:
        if not (self._clean_places.issuperset(places) and self._clean.issuperset(words) and _ID.fullmatch(request_id)):
            return None
        if path not in self._clean_paths and (len(path) > self._budget or self._path(path) is not path):
            return None
        if self._sample and self._is_sampled():
            return None
        return self._address(client)

    def _path(self, path: str) -> str:
        """A path, by what a description says of its segments as well."""
        made = path
        for start, end, category in reversed(self._templates.find(path) if self._templates is not None else ()):
            if category in self._active and MASKED.fullmatch(path, start, end) is None:
                self._hits[category]()
                made = made[:start] + self._substitute(category, path[start:end]) + made[end:]
        made = self.text(made)
        if made is path and len(path) <= REMEMBERED_LENGTH:
            if len(self._clean_paths) >= REMEMBERED:
                self._clean_paths.clear()
            self._clean_paths.add(path)
        return made

    def _is_sampled(self) -> bool:
        self._left -= 1
        if self._left > 0:
            return False
        self._left = 1  # the long way takes it up
        return True

    def _look_again(self, line: dict[str, Any]) -> None:
        """What shows only when it is decoded is counted as missed, and withheld: this line is known to be unfit."""
        self._left = self._sample
        for key, value in line.items():
            if type(value) is str and self._kinds.get(key) not in {"own", "id", "client"}:
                for plain in decoded(value[: self._budget]):
                    for category in sorted(self._unmasked(plain)):
                        self._missed[category]()
                        line[key] = f"[{category}]"

    def _unmasked(self, text: str) -> set[str]:
        spans = self._find(text, text.encode("utf-8", "surrogatepass"), addresses=False)
        return {each[2] for each in spans if MASKED.fullmatch(text, each[0], each[1]) is None} & self._active

    def __call__(self, line: dict[str, Any]) -> dict[str, Any]:
        """The line without what must not be in it; changed in place."""
        changed: dict[str, Any] | None = None
        left = self._budget
        clean, places, paths, kinds = self._clean, self._clean_places, self._clean_paths, self._kinds
        for key, value in line.items():
            kind = kinds.get(key)
            if kind == "own":
                continue
            if type(value) is not str:
                made = self._value(key, value, DEPTH)
            elif kind == "client":
                made = self._address(value)
            elif (
                (kind == "text" and value in clean)
                or (kind == "place" and value in places)
                or (kind == "path" and value in paths)
                or (kind == "id" and _ID.fullmatch(value))
            ):
                continue
            elif left <= 0:
                made = "[cut]"
            else:
                made = self._remembered(key, value if len(value) <= left else _cut(value, left))
                left -= len(value)
            if made is not value:
                changed = changed or {}
                changed[key] = made
        if changed is not None:
            for key, value in changed.items():
                if value == "" and line[key] != "":
                    del line[key]
                else:
                    line[key] = value
        if self._sample:
            self._left -= 1
            if self._left <= 0:
                self._look_again(line)
        return line

    def _remembered(self, key: str, value: str) -> str:
        """As `_field`; what was found clean in an access line is not looked at again while it is remembered."""
        if key not in ACCESS or key not in self._kinds:
            return self._field(key, value)
        made = self._path(value) if key == "path" else self.text(value, addresses=key not in PLACES)
        if made == value and key not in UNIQUE and len(value) <= REMEMBERED_LENGTH:
            known = self._clean_places if key in PLACES else self._clean
            if len(known) >= REMEMBERED:
                known.clear()
            known.add(value)
        return made

    def _value(self, key: str, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            text = str(value)
            named_as = self._category(key, False)
            if not (named_as in self._active or len(text) > 8):
                return value
            made = self._field(key, text)
            return value if made == text else made
        if isinstance(value, dict) and depth:
            return {
                self.text(str(name)): self._value(self._inside(key, name), each, depth - 1)
                for name, each in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset) and depth:
            return [self._value(key, each, depth - 1) for each in value]
        text = value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else str(value)
        return self._field(key, text if len(text) <= self._budget else _cut(text, self._budget))

    def _inside(self, key: str, name: Any) -> str:
        """The name that says what a member of a mapping is: its own, or that of the mapping if this is a secret."""
        own = str(name)
        if key and self._category(own, False) is None and self._category(key, False) == "credential":
            return key
        return own

    def _category(self, name: str, query: bool) -> str | None:
        if self._declared and (declared := self._declared.get(plain_of(name))) is not None:
            return declared or None
        return category_of(name, query=query)

    def value(self, name: str, value: Any) -> Any:
        """A value under a name, and all in it, as people may see it; None if it is dropped."""
        if isinstance(value, str):
            made: Any = self._field(name, value if len(value) <= self._budget else _cut(value, self._budget))
        else:
            made = self._value(name, value, DEPTH)
        return None if made == "" and value != "" else made

    def _field(self, key: str, value: str) -> str:
        if key == "client":
            return self._address(value)
        told = self._category(key, False)
        if told is not None and told in self._active and value:
            if told == "address" and (made := self.text(value)) != value:
                return made
            if MASKED.fullmatch(value) is None and told != "address":
                self._hits[told]()
                scheme = SCHEME.match(value) if told == "credential" else None
                if scheme is None:
                    return self._substitute(told, value)
                rest = value[scheme.end() :]
                return scheme[0] + (rest if MASKED.fullmatch(rest) else self._substitute(told, rest))
        return self._path(value) if key == "url.path" else self.text(value, addresses=key not in PLACES)

    def _address(self, value: str) -> str:
        if "address" not in self._active or not value or value.startswith("127.") or value == "::1":
            return value
        made = self._clients.get(value)
        if made is None:
            if len(self._clients) >= REMEMBERED:
                self._clients.clear()
            made = self._clients[value] = self._substitute("address", value)
        if made != value:
            self._hits["address"]()
        return made

    def text(self, text: str, *, addresses: bool = True) -> str:
        """A text with substitutes for all that was found in it."""
        data = text.encode("utf-8", "surrogatepass")
        rest = data.translate(None, _PLAIN)
        if (not rest or (len(rest) < FEWEST and rest.isdigit())) and (
            len(data) < len(_LONG) or _LONG not in data.translate(_RUNS)
        ):
            return text
        spans = list(self._find(text, data, addresses=addresses))
        if not spans:
            return text
        spans.sort(key=lambda span: (span[0], -span[1]))
        parts, at = [], 0
        for start, end, category, told in spans:
            if end <= at or category not in self._active or (start < at and category == "email"):
                continue  # what is left of an e-mail whose beginning was a password is the host
            begin = max(start, at)
            if MASKED.fullmatch(text, begin, end) is None:
                made = self._substitute(category, text[begin:end])
                if made != text[begin:end]:
                    self._hits[category]()
                    if not told:
                        self._leaks[category]()
                parts += [text[at:begin], made]
                at = end
        return "".join([*parts, text[at:]]) if parts else text

    def _find(self, text: str, data: bytes, *, addresses: bool) -> Iterator[Span]:
        compact = data.translate(_CLASSES, b" .-()\xc2\xa0")
        long = _LONG in data.translate(_RUNS)
        if long and data.count(b"-") > 3:  # a UUID is neither a number nor a key
            without = _UUID.sub(b" ", data)
            compact, long = without.translate(_CLASSES, b" .-()\xc2\xa0"), _LONG in without.translate(_RUNS)
        if " " in text and any(word in text for word in SPOKEN):
            yield from spoken(text, self._category)
        if "=" in text or ":" in text or "%3" in text or "</" in text:
            yield from named(text, self._category)
        if (
            b"0000000" in compact
            or b"AA000000A" in compact
            or b"AAAAA0000A" in compact
            or b"000000 0000" in compact
            or b"000000A000" in compact
            or (long and b"00" in compact)
        ):
            yield from self._numbered(text)
        if "@" in text or "%40" in text:
            found = EMAIL if text.isascii() else UNICODE_EMAIL
            yield from (
                (*match.span(), "email", False)
                for match in found.finditer(text)
                if text[match.start() - 3 : match.start()] != "://"
            )
            yield from ((*match.span(), "credential", True) for match in URL_CREDENTIALS.finditer(text))
        if "earer" in text or "asic" in text or "BEARER" in text or "BASIC" in text:
            yield from (
                (*match.span(1), "credential", True)
                for match in SCHEMES.finditer(text)
                if not match[1].islower() or not match[1].isalpha()  # "basic authentication"
            )
        if long:
            yield from ((*span, "secret", False) for span in secrets(text))
        if "-----BEGIN" in text:
            yield from ((*span, "secret", False) for span in private_keys(text))
        if addresses:
            rest = data.translate(None, _HEX)
            if b"..." in rest or b"::" in rest:
                yield from _addresses(text)

    def _numbered(self, text: str) -> Iterator[Span]:
        uuids = [match.span() for match in UUID.finditer(text)] if text.count("-") > 3 else []
        for span in self._number_spans(text):
            if not any(start < span[1] and span[0] < end for start, end in uuids):
                yield span

    def _number_spans(self, text: str) -> Iterator[Span]:
        yield from ((*span, "card", False) for span in cards(text))
        yield from ((*span, "iban", False) for span in ibans(text))
        yield from ((*span, "government_id", False) for span in self._numbers.find(text))
        yield from ((*span, "phone", False) for span in phones(text))


def _addresses(text: str) -> Iterator[Span]:
    return ((*span, "address", False) for span in addresses(text))


def _cut(text: str, size: int) -> str:
    """The beginning, without the last word, of which a part might not be known for what it is."""
    kept = text[:size]
    end = max(kept.rfind(" ", -MARGIN), kept.rfind("\n", -MARGIN), kept.rfind("&", -MARGIN), size - MARGIN)
    return kept[: max(end, 0)] + "[cut]"
