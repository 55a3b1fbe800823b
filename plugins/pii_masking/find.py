"""Where in a text something stands that has a name before it, a shape, or check digits."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Iterator
from typing import Final

from plugins.pii_masking.actions import SUBSTITUTE
from plugins.pii_masking.digits import iban_length, is_card, is_iban
from plugins.pii_masking.shapes import KEYWORD, KEYWORDS, shaped

Span = tuple[int, int, str, bool]
"""Begin, end, category, and whether a name before it said what it is."""
CategoryOf = Callable[[str, bool], str | None]
"""From a field's name, and whether it is a parameter of a URL, to the category of what it holds."""

EMAIL: Final = re.compile(
    r"(?<![A-Za-z0-9._+-])[A-Za-z0-9_+][A-Za-z0-9._+'-]{0,63}(?:@|%40)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
UNICODE_EMAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}(?:@|%40)[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_SEPARATOR: Final = re.compile(r"[=:]|%3[DdAa]")
_EMAN: Final = re.compile(r"(?:[\"']|\"\\|22%|\s){0,2}([\w.\[\]-]{1,63}[^\W\d])")
"""A name, read from its end: so each is looked at once, and not from each of its letters."""
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_ELEMENT: Final = re.compile(r"<((?:\w{1,32}:)?[^\W\d][\w.-]{1,63})(?:\s[^<>]{0,128})?>([^<>]{1,4096})(?=</)")
_BARE: Final = re.compile(r"[^\s&;,\"'<>)}\]\\]{1,8192}")
_QUOTED: Final = re.compile(r"\"((?:[^\"\\]|\\.){0,8192})\"?|'((?:[^'\\]|\\.){0,8192})'?|\\\"([^\"\\]{0,8192})")
_REST: Final = re.compile(r"[^\r\n\"']{1,8192}")
SCHEME: Final = re.compile(
    r"(?i:basic|bearer|digest|token|negotiate|apikey|api-key|dpop|hawk|aws4-hmac-sha256|sharedkey|signature)"
    r"[ +]{1,2}(?=\S)"
)
"""Of credentials (RFC 9110 §11.4): it is kept, so that lines tell how somebody came, and tokens are joinable."""
_WHOLE_LINE: Final = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
_NOTHING: Final = frozenset({"null", "true", "false", "//", "none", "None", "undefined", "nil"})
_ENDS: Final = frozenset(" \t\r\n&;,\"'<>)}")
# fmt: off
_STATES: Final = frozenset((
    "accepted", "changed", "closed", "denied", "disabled", "enabled", "ended", "expired", "failed", "false",
    "granted", "invalid", "missing", "no", "none", "not", "ok", "off", "on", "refused", "rejected", "required",
    "reset", "rotated", "started", "too", "true", "unknown", "updated", "valid", "wrong", "yes",
))
# fmt: on
"""What a sentence says of something with a name; a value it is not."""
_NUMBERED: Final = frozenset({"phone", "card", "iban", "government_id"})
_FLAG: Final = re.compile(r"(?<![\w-])--([A-Za-z][A-Za-z-]{1,40}) {1,2}([^\s\"'-][^\s\"']{0,511})")
_USER: Final = re.compile(r"(?<![\w-])(?:-u|--user|--proxy-user)[ =]{1,2}[\"']?([^\s:\"']{1,64}:[^\s\"']{1,256})")
_MYSQL: Final = re.compile(r"(?:mysql|mariadb)[^\n]{0,80}? -p([^\s\"']{1,128})")
SPOKEN: Final = ("--", "-u", " -p", "assw", "ecret", "oken", "pin ", "PIN ", "assphrase", "ennwort")
"""Parts of what `spoken` fits."""
_SAID: Final = re.compile(
    r"(?i:(?<![a-z])(?:password|passwort|passphrase|kennwort|secret|token|pin)) (?i:is|was|ist|lautet|est|es) "
    r"[\"']?([^\s\"',;]{6,256})"
)
_CARD: Final = re.compile(r"(?<![A-Za-z0-9.])[2-6][0-9](?:[ .\u00a0-]?[0-9]){10,40}(?![A-Za-z0-9])")
_GROUP: Final = re.compile(r"[0-9]{1,64}")
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,30}")
UUID: Final = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
_V4: Final = re.compile(r"(?<![0-9A-Za-z._-])[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9A-Za-z_-]|\.[0-9])")
_V6: Final = re.compile(r"(?<![0-9A-Za-z:.])[0-9A-Fa-f:]{2,39}(?![0-9A-Za-z:])")
_NAMES: Final = re.compile(r"[A-Fa-f:]{1,39}")
"""``a::b`` is more likely a name in some language than an address."""
_VERSION: Final = re.compile(r"(?:(?:^|[\s;(,])[A-Za-z][A-Za-z0-9_.+-]{0,40}/|[Vv]ersion[ :=]{1,3}|[Vv])\Z")


def named(text: str, category_of: CategoryOf) -> Iterator[Span]:
    """What stands behind a name and ``=`` or ``:``, or between the tags of one."""
    done = 0
    for match in _SEPARATOR.finditer(text):
        if match.start() < done:  # within a value already found: looked at once, or time would grow with its square
            continue
        span = _name_before(text, match.start())
        if span is None:
            continue
        name, before = text[span[0] : span[1]], span[0] - 1
        if before >= 0 and text[before] in "<[" and SUBSTITUTE.match(text, before):
            continue
        if before > 1 and text[before - 2 : before + 1] == "://":
            continue  # who a URL's password is of: found as such
        query = match[0] == "=" and before >= 0 and text[before] in "?&"
        category = category_of(name, query) or category_of(name.rpartition(".")[2], query)
        if category is None or category == "address":
            continue
        found = _value(text, match.end(), whole=name.lower() in _WHOLE_LINE and match[0] == ":")
        if found is not None and not (match[0] == ":" and _is_prose(text, match.end(), found, category)):
            done = found[1]
            yield (*found, category, True)
    if "</" in text:
        for match in _ELEMENT.finditer(text):
            category = category_of(match[1].rpartition(":")[2], False)
            if category is not None and category != "address":
                yield (*match.span(2), category, True)


def _is_prose(text: str, separator: int, found: tuple[int, int], category: str) -> bool:
    """``email: invalid`` in a sentence: behind a space, not quoted, and nothing that could be such a value."""
    if text[separator : separator + 1] != " " or text[found[0] - 1] in "\"'":
        return False
    value = text[found[0] : found[1]]
    if value.partition(" ")[0].rstrip(".,;!").lower() in _STATES:
        return True
    if category == "email":
        return "@" not in value and "%40" not in value
    return category in _NUMBERED and not any(each.isdigit() for each in value)


def spoken(text: str, category_of: CategoryOf) -> Iterator[Span]:
    """What commands and sentences say: ``--token abc``, ``-u ada:abc``, ``mysql -pabc``, ``the password is abc1``."""
    if "-" in text:
        for match in _FLAG.finditer(text):
            if category_of(match[1], False) == "credential":
                yield (*match.span(2), "credential", True)
        for pattern in (_USER, _MYSQL):
            yield from ((*match.span(1), "credential", True) for match in pattern.finditer(text))
    for match in _SAID.finditer(text):
        if not match[1].isalpha():
            yield (*match.span(1), "credential", True)


def _name_before(text: str, end: int) -> tuple[int, int] | None:
    """Where the name is that ends before ``end``, quotes and space between; percent-encoded signs before it are not
    taken for letters of it.
    """
    offset = max(0, end - 68)
    found = _EMAN.match(text[offset:end][::-1])
    if found is None:
        return None
    begin, last = end - found.end(1), end - found.start(1)
    for taken in (1, 2):
        sign = begin - 3 + taken
        if sign >= 0 and text[sign] == "%" and all(each in _HEX for each in text[sign + 1 : sign + 3]):
            begin += taken
            break
    return (begin, last) if last - begin > 1 else None


def _value(text: str, start: int, *, whole: bool) -> tuple[int, int] | None:
    """Where the value is that begins at ``start`` or little behind it; to the end of its line if ``whole``."""
    last = start + 3
    while start < len(text) and text[start] in " \t" and start < last:
        start += 1
    if not (whole and text[start : start + 1] not in {'"', "'"}) and (quoted := _QUOTED.match(text, start)) is not None:
        begin, end = quoted.span(quoted.lastindex or 1)
        scheme = SCHEME.match(text, begin, end)
        return (scheme.end() if scheme is not None else begin), end
    scheme = SCHEME.match(text, start)
    if scheme is not None:
        start = scheme.end()
    masked = SUBSTITUTE.match(text, start)
    if masked is not None and (masked.end() == len(text) or text[masked.end()] in _ENDS):
        return None
    value = (_REST if whole else _BARE).match(text, start)
    return value.span() if value is not None and value[0] not in _NOTHING else None


def cards(text: str) -> Iterator[tuple[int, int]]:
    """Payment cards."""
    for match in _CARD.finditer(text):
        yield from _cards(match[0], match.start())


def _cards(text: str, offset: int) -> Iterator[tuple[int, int]]:
    """Cards in a run of digits, which may stand beside other numbers: groups are tried together."""
    groups = [match.span() for match in _GROUP.finditer(text)]
    at = 0
    while at < len(groups):
        for last in range(min(at + 6, len(groups)), at, -1):
            digits = "".join(text[start:end] for start, end in groups[at:last])
            if 13 <= len(digits) <= 19 and is_card(digits):
                yield offset + groups[at][0], offset + groups[last - 1][1]
                at = last - 1
                break
        at += 1


def ibans(text: str) -> Iterator[tuple[int, int]]:
    """Account numbers; one may stand right behind another."""
    at = 0
    while (match := _IBAN.search(text, at)) is not None:
        start = match.start()
        end = start + _iban_end(match[0])
        if end > start and not text[end : end + 1].isalnum():
            yield start, end
            at = end
        else:
            at = start + 1


def _iban_end(text: str) -> int:
    size = iban_length(text[:2].upper())
    plain, end = [], 0
    for end, char in enumerate(text if size else "", 1):  # noqa: B007
        if char not in " -":
            plain.append(char)
            if len(plain) == size:
                break
    return end if size and len(plain) == size and is_iban("".join(plain).upper()) else 0


def secrets(text: str) -> Iterator[tuple[int, int]]:
    """Keys of a known shape, and what chance has made close to a word that speaks of secrets."""
    yield from shaped(text)
    lower = text.lower()
    if not any(word in lower for word in KEYWORDS):
        return
    for match in KEYWORD.finditer(text):
        run = match[1]
        if (
            UUID.fullmatch(run) is None
            and any(c.isdigit() for c in run)
            and not run.isdigit()
            and (entropy := _entropy(run)) > _least(run)
            and (entropy > _SURELY or _in_one(run))
        ):
            if len(run) == 40 and not run.strip("0123456789abcdef"):
                continue  # a commit
            yield match.span(1)


_SURELY: Final = 4.3
"""Bits a character that no path or list of words has."""


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


def addresses(text: str) -> Iterator[tuple[int, int]]:
    """IP addresses that may be somebody's: no host of a URL, no version."""
    for pattern in (_V4, _V6):
        for match in pattern.finditer(text):
            if pattern is _V6 and (match[0].count(":") < 2 or _NAMES.fullmatch(match[0])):
                continue
            before = text[max(0, match.start() - 48) : match.start()]
            if before.endswith(("://", "://[")) or _VERSION.search(before):
                continue
            try:
                given = ipaddress.ip_address(match[0])
            except ValueError:
                continue
            if not given.is_loopback and not given.is_unspecified:
                yield match.span()
