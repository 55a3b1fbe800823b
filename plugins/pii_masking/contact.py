"""Telephone numbers, as people and programs write them.

No library of numbering plans: it holds tens of megabytes and takes far more than a line may cost (`phonenumbers` 9.0 on
this line: hundreds of microseconds). A number counts as one if it is international, if it is grouped as in its country,
or if a word before it says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_INTERNATIONAL: Final = r"(?:\+|%2[Bb]|(?<![0-9.])00)[1-9][0-9]{0,2}(?:[ .()/-]{0,2}[0-9]){6,12}"
_NANP: Final = r"(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}"
_TRUNK: Final = r"\(?0[1-9][0-9]{0,4}\)?(?:[ /-][0-9]{2,8}){1,5}"
_DOTTED: Final = r"0[1-9](?:\.[0-9]{2}){4}"  # France
_BRAZIL: Final = r"\([1-9][0-9]\) ?9?[0-9]{4}-[0-9]{4}"
PHONES: Final = re.compile(
    rf"(?<![A-Za-z0-9.+_:-])(?:(?P<international>{_INTERNATIONAL})|(?P<nanp>{_NANP})|(?P<dotted>{_DOTTED})|"
    rf"(?P<brazil>{_BRAZIL})|(?P<trunk>{_TRUNK}))(?![A-Za-z0-9_]|[.-][0-9])"
)
_WORDS: Final = (
    "phone|mobile|mobil|tel|telephone|telefon|telefono|telefone|telefoon|cell|cellphone|cellular|fax|sms|whatsapp|"
    "msisdn|handy|rufnummer|celular|cellulare|portable|movil|natel|gsm|puhelin|komorka"
)
# fmt: off
_STEMS: Final = (
    "phone", "mobil", "tel", "cel", "fax", "sms", "whatsapp", "msisdn", "handy", "rufnummer", "portabl", "movil", "gsm",
    "puhelin", "komorka",
)
# fmt: on
"""One of these stands in any text that `TOLD` fits."""
TOLD: Final = re.compile(
    rf"(?:(?<![A-Za-z])(?i:{_WORDS})|(?<=[a-z])(?:Phone|Mobile|Tel|Cell|Fax))[^0-9\n(+]{{0,16}}"
    r"([(+]?[0-9][0-9 ()./-]{5,18}[0-9])(?![A-Za-z0-9_-])"
)
"""A number behind a word that says what it is: at its beginning, so that no order in German (Bestellung) is one."""
_DATE: Final = re.compile(
    r"0[1-9][ /.-][01]?[0-9][ /.-](?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}[-/.][01][0-9][-/.][0-3][0-9]"
)


def phones(text: str) -> Iterator[tuple[int, int]]:
    """Where telephone numbers stand."""
    for match in PHONES.finditer(text):
        digits = sum(char.isdigit() for char in match[0])
        if match.lastgroup == "trunk" and (not 9 <= digits <= 12 or _DATE.match(match[0])):
            continue
        if digits <= 15:
            yield match.span()
    lower = text.lower()
    if not any(stem in lower for stem in _STEMS):
        return
    for match in TOLD.finditer(text):
        if 7 <= sum(char.isdigit() for char in match[1]) <= 15 and _DATE.match(match[1]) is None:
            yield match.span(1)
