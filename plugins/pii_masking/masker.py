"""One pass over a line: cheap looks first, patterns only for what those leave open."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from plugins.pii_masking.actions import MASKED, Substitute
from plugins.pii_masking.contact import phones
from plugins.pii_masking.digits import iban_length, is_card, is_iban
from plugins.pii_masking.government import Numbers
from plugins.pii_masking.names import category_of
from plugins.pii_masking.shapes import KEYWORD, LITERALS, PRIVATE_KEY, SCHEMES, SHAPED, URL_CREDENTIALS

Span = tuple[int, int, str]
_CLASSES: Final = bytes(0x30 if 48 <= c <= 57 else 0x41 if chr(c).isalpha() and c < 128 else 0x20 for c in range(256))
_RUNS: Final = bytes(0x61 if (chr(c).isalnum() and c < 128) or c in b"_-" else 0x20 for c in range(256))
_LONG: Final = b"a" * 16
_HEX: Final = b"0123456789abcdefABCDEF"
_EMAIL: Final = re.compile(
    r"(?<![A-Za-z0-9._+'-])[A-Za-z0-9._+'-]{1,64}(?:@|%40)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
_UNICODE_EMAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_SEPARATOR: Final = re.compile(r"[=:]|%3[DdAa]")
_NAME: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_.\[\]-]{1,63})(?:[\"']|\\\"|%22|\s){0,2}\Z")
_BARE: Final = re.compile(r"[^\s&;,\"'<>)}\]\\]{1,8192}")
_QUOTED: Final = re.compile(r"\"((?:[^\"\\]|\\.){0,8192})\"?|'((?:[^'\\]|\\.){0,8192})'?|\\\"([^\"\\]{0,8192})")
_REST: Final = re.compile(r"[^\r\n\"']{1,8192}")
_WHOLE_LINE: Final = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
_CARD: Final = re.compile(r"(?<![A-Za-z0-9.])[2-6][0-9](?:[ .\u00a0-]?[0-9]){10,40}(?![A-Za-z0-9])")
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
_V4: Final = re.compile(r"(?<![0-9A-Za-z._-])[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9A-Za-z_-]|\.[0-9])")
_V6: Final = re.compile(r"(?<![0-9A-Za-z:.])[0-9A-Fa-f:]{2,39}(?![0-9A-Za-z:])")
_VERSION: Final = re.compile(r"(?:(?:^|[\s;(,])[A-Za-z][A-Za-z0-9_.+-]{0,40}/|[Vv]ersion[ :=]{1,3}|[Vv])\Z")
OWN: Final = frozenset(
    {"ts", "level", "logger", "status", "duration_ms", "bytes_in", "bytes_out", "attempts", "aborted"}
)
"""Fields that the gateway writes by itself from numbers and words of its own."""
PLACES: Final = frozenset({"target", "host", "upstream", "bind", "listener"})
"""Fields whose addresses are machines of the operator's."""
ACCESS: Final = frozenset(
    {
        "request_id",
        "method",
        "host",
        "path",
        "route",
        "target",
        "principal",
        "tenant",
        "error",
        "reason",
        "agent",
        "trace",
    }
)
"""Fields of an access line whose name says nothing of what is in them."""
UNIQUE: Final = frozenset({"request_id", "trace", "path"})
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}")
REMEMBERED: Final = 4096
REMEMBERED_LENGTH: Final = 256
"""Values and their characters that are remembered as clean: the same few agents, hosts and targets come again."""
KINDS: Final = {
    **dict.fromkeys(ACCESS, "text"),
    **dict.fromkeys(ACCESS & PLACES, "place"),
    **dict.fromkeys(OWN, "own"),
    **dict.fromkeys(("request_id", "trace"), "id"),
    "client": "client",
}
"""How the fields of an access line are gone about: one look-up for each of them."""
DEPTH: Final = 8
MARGIN: Final = 128


class Masker:
    """Masks lines. Equal to another with the same settings."""

    __slots__ = (
        "_active",
        "_budget",
        "_clean",
        "_clean_places",
        "_clients",
        "_count",
        "_identity",
        "_numbers",
        "_substitute",
    )

    def __init__(
        self,
        identity: str,
        substitute: Substitute,
        active: frozenset[str],
        numbers: Numbers,
        budget: int,
        count: dict[str, Callable[[], None]],
    ) -> None:
        self._identity = identity
        self._substitute = substitute
        self._active = active
        self._numbers = numbers
        self._budget = budget
        self._count = count
        self._clean: set[str] = set()
        self._clean_places: set[str] = set()
        self._clients: dict[str, str] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Masker) and other._identity == self._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __call__(self, line: dict[str, Any]) -> dict[str, Any]:
        """The line without what must not be in it; changed in place."""
        changed: dict[str, Any] | None = None
        left = self._budget
        clean, places = self._clean, self._clean_places
        for key, value in line.items():
            kind = KINDS.get(key)
            if kind == "own":
                continue
            if type(value) is not str:
                made = self._value(key, value, DEPTH)
            elif kind == "client":
                made = self._address(value)
            elif (
                (kind == "text" and value in clean)
                or (kind == "place" and value in places)
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
            self._put(line, changed)
        return line

    def _remembered(self, key: str, value: str) -> str:
        """As `_field`; what was found clean in an access line is not looked at again while it is remembered."""
        if key not in ACCESS:
            return self._field(key, value)
        made = self.text(value, addresses=key not in PLACES)
        if made == value and key not in UNIQUE and len(value) <= REMEMBERED_LENGTH:
            known = self._clean_places if key in PLACES else self._clean
            if len(known) >= REMEMBERED:
                known.clear()
            known.add(value)
        return made

    @staticmethod
    def _put(line: dict[str, Any], changed: dict[str, Any]) -> None:
        for key, value in changed.items():
            if value == "" and line[key] != "":
                del line[key]
            else:
                line[key] = value

    def _value(self, key: str, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            text = str(value)
            named = category_of(key)
            if not (named in self._active or len(text) > 8):
                return value
            made = self._field(key, text)
            return value if made == text else made
        if isinstance(value, dict) and depth:
            return {self.text(str(name)): self._value(str(name), each, depth - 1) for name, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset) and depth:
            return [self._value(key, each, depth - 1) for each in value]
        text = value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else str(value)
        return self._field(key, text if len(text) <= self._budget else _cut(text, self._budget))

    def _field(self, key: str, value: str) -> str:
        if key == "client":
            return self._address(value)
        named = category_of(key)
        if named is not None and named in self._active and value:
            if named == "address" and (made := self.text(value)) != value:
                return made
            if MASKED.fullmatch(value) is None and named != "address":
                self._count[named]()
                return self._substitute(named, value)
        return self.text(value, addresses=key not in PLACES)

    def _address(self, value: str) -> str:
        if "address" not in self._active or not value or value.startswith("127.") or value == "::1":
            return value
        made = self._clients.get(value)
        if made is None:
            if len(self._clients) >= REMEMBERED:
                self._clients.clear()
            made = self._clients[value] = self._substitute("address", value)
        if made != value:
            self._count["address"]()
        return made

    def text(self, text: str, *, addresses: bool = True) -> str:
        """A text with substitutes for all that was found in it."""
        data = text.encode("utf-8", "surrogatepass")
        spans = list(self._find(text, data, addresses=addresses))
        if not spans:
            return text
        spans.sort(key=lambda span: (span[0], -span[1]))
        parts, at = [], 0
        for start, end, category in spans:
            if end <= at or category not in self._active:
                continue
            begin = max(start, at)
            if MASKED.fullmatch(text, begin, end) is None:
                made = self._substitute(category, text[begin:end])
                if made != text[begin:end]:
                    self._count[category]()
                parts += [text[at:begin], made]
                at = end
        return "".join([*parts, text[at:]]) if parts else text

    def _find(self, text: str, data: bytes, *, addresses: bool) -> Iterator[Span]:
        compact = data.translate(_CLASSES, b" .-()\xc2\xa0")
        long = _LONG in data.translate(_RUNS)
        if "=" in text or ":" in text or "%3" in text:
            yield from _named(text)
        if b"0000000" in compact or b"AA000000A" in compact or b"AAAAA0000A" in compact or (long and b"00" in compact):
            yield from self._numbered(text)
        if "@" in text or "%40" in text:
            found = _EMAIL if text.isascii() else _UNICODE_EMAIL
            yield from ((*match.span(), "email") for match in found.finditer(text))
            yield from ((*match.span(), "credential") for match in URL_CREDENTIALS.finditer(text))
        if "earer" in text or "asic" in text or "BEARER" in text or "BASIC" in text:
            yield from (
                (*match.span(1), "credential")
                for match in SCHEMES.finditer(text)
                if not match[1].islower() or not match[1].isalpha()  # "basic authentication"
            )
        if long:
            yield from _secrets(text)
        if "-----BEGIN" in text:
            yield from ((*match.span(), "secret") for match in PRIVATE_KEY.finditer(text))
        if addresses:
            rest = data.translate(None, _HEX)
            if b"..." in rest or b"::" in rest:
                yield from _addresses(text)

    def _numbered(self, text: str) -> Iterator[Span]:
        uuids = [match.span() for match in _UUID.finditer(text)] if text.count("-") > 3 else []
        for span in self._number_spans(text):
            if not any(start < span[1] and span[0] < end for start, end in uuids):
                yield span

    def _number_spans(self, text: str) -> Iterator[Span]:
        for match in _CARD.finditer(text):
            yield from _cards(match[0], match.start())
        for match in _IBAN.finditer(text):
            if (end := _iban_end(match[0])) and not text[match.start() + end : match.start() + end + 1].isalnum():
                yield match.start(), match.start() + end, "iban"
        yield from ((start, end, "government_id") for start, end in self._numbers.find(text))
        yield from ((start, end, "phone") for start, end in phones(text))


def _cut(text: str, size: int) -> str:
    """The beginning, without the last word, of which a part might not be known for what it is."""
    kept = text[:size]
    end = max(kept.rfind(" ", -MARGIN), kept.rfind("\n", -MARGIN), kept.rfind("&", -MARGIN), size - MARGIN)
    return kept[: max(end, 0)] + "[cut]"


def _named(text: str) -> Iterator[Span]:
    done = 0
    for match in _SEPARATOR.finditer(text):
        if match.start() < done:  # within a value already found: looked at once, or time would grow with its square
            continue
        name = _NAME.search(text[max(0, match.start() - 68) : match.start()])
        if name is None:
            continue
        before = match.start() - 69 + name.start() if match.start() > 68 else name.start() - 1
        query = match[0] == "=" and before >= 0 and text[before] in "?&"
        category = category_of(name[1], query=query) or category_of(name[1].rpartition(".")[2], query=query)
        if category is None or category == "address":
            continue
        start = match.end()
        while start < len(text) and text[start] in " \t" and start < match.end() + 3:
            start += 1
        if name[1].lower() in _WHOLE_LINE and match[0] == ":" and text[start : start + 1] not in {'"', "'"}:
            value = _REST.match(text, start)
        elif (value := _QUOTED.match(text, start)) is not None:
            group = value.lastindex or 1
            done = value.end()
            yield (*value.span(group), category)
            continue
        else:
            value = _BARE.match(text, start)
        if value is not None and value[0] not in {"null", "true", "false", "//", "none", "None"}:
            done = value.end()
            yield (*value.span(), category)


def _cards(text: str, offset: int) -> Iterator[Span]:
    """Cards in a run of digits, which may stand beside other numbers: groups are tried together."""
    groups = [match.span() for match in re.finditer(r"[0-9]+", text)]
    at = 0
    while at < len(groups):
        for last in range(min(at + 6, len(groups)), at, -1):
            digits = "".join(text[start:end] for start, end in groups[at:last])
            if 13 <= len(digits) <= 19 and is_card(digits):
                yield offset + groups[at][0], offset + groups[last - 1][1], "card"
                at = last - 1
                break
        at += 1


def _iban_end(text: str) -> int:
    size = iban_length(text[:2].upper())
    plain, end = [], 0
    for end, char in enumerate(text, 1):  # noqa: B007
        if char not in " -":
            plain.append(char)
            if len(plain) == size:
                break
    return end if size and len(plain) == size and is_iban("".join(plain).upper()) else 0


def _secrets(text: str) -> Iterator[Span]:
    if any(literal in text for literal in LITERALS):
        yield from ((*match.span(), "secret") for match in SHAPED.finditer(text))
    for match in KEYWORD.finditer(text):
        run = match[1]
        if (
            _UUID.fullmatch(run) is None
            and any(c.isdigit() for c in run)
            and not run.isdigit()
            and _entropy(run) > _least(run)
            and _in_one(run)
        ):
            if len(run) == 40 and not run.strip("0123456789abcdef"):
                continue
            yield (*match.span(1), "secret")


def _in_one(run: str) -> bool:
    """It is no chain of words, such as the name of a file or a rule."""
    return max(map(len, re.split("[-_/]", run))) >= 16


def _least(run: str) -> float:
    """Bits a character from which chance, and no word, has made it: of hexadecimal digits four are the most."""
    return 3.0 if not run.strip("0123456789abcdefABCDEF") else 3.5


def _entropy(text: str) -> float:
    """Bits a character."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in map(text.count, set(text)))


def _addresses(text: str) -> Iterator[Span]:
    for pattern in (_V4, _V6):
        for match in pattern.finditer(text):
            if pattern is _V6 and match[0].count(":") < 2:
                continue
            before = text[max(0, match.start() - 48) : match.start()]
            if before.endswith(("://", "://[")) or _VERSION.search(before):  # a URL's host is a machine, not a person
                continue
            try:
                given = ipaddress.ip_address(match[0])
            except ValueError:
                continue
            if not given.is_loopback and not given.is_unspecified:
                yield (*match.span(), "address")
