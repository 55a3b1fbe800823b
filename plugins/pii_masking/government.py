"""Numbers that states give people, by the way they are written and the rule they keep. One switch per country.

What is looked for is the shape of a text in which every digit is 0 and every letter A (or a): one pattern finds all
ways of writing of all countries, and only for what fits one a check digit is worked out. A number that is merely so
many digits could be anybody's order: it counts only near a word that says what it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from plugins.pii_masking import checks
from plugins.pii_masking.checks import Check
from plugins.pii_masking.digits import luhn

_SHAPE: Final = bytes(
    0x30 if 48 <= c <= 57 else 0x41 if 65 <= c <= 90 else 0x61 if 97 <= c <= 122 else c for c in range(256)
)
_SIGNS: Final = str.maketrans("", "", " .-/+")
NEAR: Final = 40
"""Characters before a number in which the word may stand."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of number."""

    shapes: tuple[str, ...]
    """Ways of writing it: 0 for a digit, A for a letter."""
    holds: Check
    near: re.Pattern[str] | None = None
    """Words, one of which must begin before it."""


def _kind(shapes: str, holds: Check, near: str = "") -> Kind:
    words = re.compile(rf"(?<![^\W\d_])(?:{near})") if near else None
    return Kind(tuple(shapes.split("|")), holds, words)


_TAX: Final = "tax|tin|fiscal"
COUNTRIES: Final[dict[str, tuple[Kind, ...]]] = {
    "us": (_kind("000-00-0000", checks.us), _kind("000000000|000 00 0000", checks.us, "ssn|social security|itin")),
    "gb": (
        _kind("AA000000A|AA 00 00 00 A|AA 00 00 00A", checks.gb),
        _kind("000 000 0000|000-000-0000|0000000000", checks.gb_nhs, "nhs"),
    ),
    "de": (
        _kind("00000000000|00 000 000 000", checks.de, f"steuer|idnr|{_TAX}"),
        _kind("00000000A000|00 000000 A 000", checks.de_social),
    ),
    "fr": (
        _kind(
            "000000000000000|0 00 00 00 000 000 00|0000000000000 00|00000A000000000|0 00 00 0A 000 000 00", checks.fr
        ),
    ),
    "es": (_kind("00000000A|00000000-A|A0000000A|A-0000000-A|A-0000000A", checks.es),),
    "it": (_kind("AAAAAA00A00A000A", checks.it),),
    "pl": (_kind("00000000000", checks.pl, "pesel"),),
    "nl": (_kind("000000000|0000.00.000|000 000 000", checks.nl, "bsn|burgerservice|sofi"),),
    "se": (_kind("000000-0000|00000000-0000|000000+0000", checks.se), _kind("000000000000", checks.se, "person")),
    "fi": (_kind("000000-000A|000000-0000|000000A000A|000000A0000|000000+000A", checks.fi),),
    "be": (
        _kind("00.00.00-000.00|00.00.00 000 00|00 00 00 000 00", checks.be),
        _kind("00000000000", checks.be, "rijksregister|national|niss|insz|rrn"),
    ),
    "br": (_kind("000.000.000-00", checks.br), _kind("00000000000", checks.br, "cpf")),
    "ca": (_kind("000-000-000|000 000 000|000000000", checks.ca, "sin|social insurance|nas"),),
    "ch": (_kind("000.0000.0000.00|0000000000000", checks.ch),),
    "cn": (_kind("000000000000000000|00000000000000000A", checks.cn),),
    "sg": (_kind("A0000000A", checks.sg),),
    "in": (
        _kind("AAAAA0000A", checks.in_pan),
        _kind("0000 0000 0000|0000-0000-0000|000000000000", checks.in_aadhaar, "aadhaar|aadhar|uid"),
    ),
    "at": (_kind("0000000000|0000 000000|0000-000000", checks.at, "sv|sozialversicherung|versicherung"),),
    "dk": (
        _kind("000000-0000", checks.dk_checked),
        _kind("000000-0000|000000 0000|0000000000", checks.dk, "cpr|personnummer"),
    ),
    "no": (_kind("00000000000|000000 00000", checks.no),),
    "pt": (_kind("000000000|000 000 000", checks.pt, f"nif|contribuinte|{_TAX}"),),
    "ie": (_kind("0000000A|0000000AA", checks.ie, "pps|personal public"),),
    "cz": (
        _kind("000000/0000", checks.cz),
        _kind("0000000000", checks.cz, "rodn|birth number|rč"),
    ),
    "ro": (_kind("0000000000000", checks.ro, "cnp|cod numeric|personal"),),
    "gr": (_kind("00000000000", checks.gr, "amka|αμκα"),),
    "tr": (_kind("00000000000", checks.tr, "kimlik|t\\.c\\.|tckn|tc no|tc:"),),
    "mx": (_kind("AAAA000000AAAAAA00|AAAA000000AAAAAAA0", checks.mx),),
    "ar": (_kind("00-00000000-0", checks.ar), _kind("00000000000", checks.ar, "cuit|cuil")),
    "cl": (
        _kind("00.000.000-0|0.000.000-0|00.000.000-A|0.000.000-A", checks.cl),
        _kind("00000000-0|0000000-0|00000000-A|0000000-A", checks.cl, "rut|run"),
    ),
    "za": (_kind("0000000000000|000000 0000 000", checks.za, "id number|identity|id no|idno|south africa|rsa id"),),
    "au": (
        _kind("000 000 000|000000000|000-000-000", checks.au, f"tfn|{_TAX}"),
        _kind("0000 00000 0|0000000000|0000-00000-0|0000 00000", checks.au_medicare, "medicare"),
    ),
    "nz": (_kind("000-000-000|00-000-000|000000000|00000000|000 000 000", checks.nz, "ird|inland"),),
    "jp": (
        _kind(
            "0000 0000 0000|000000000000|0000-0000-0000", checks.jp, "my number|mynumber|individual number|マイナンバー"
        ),
    ),
    "kr": (
        _kind("000000-0000000", checks.kr_checked),
        _kind("000000-0000000|0000000000000", checks.kr, "rrn|resident|주민"),
    ),
    "bg": (_kind("0000000000", checks.bg, "egn|егн"),),
    "hr": (_kind("00000000000", checks.mod_11_10, "oib"),),
    "sk": (
        _kind("000000/0000", checks.cz),
        _kind("0000000000", checks.cz, "rodn|birth number"),
    ),
    "ee": (_kind("00000000000", checks.baltic, "isikukood|personal code"),),
    "lt": (_kind("00000000000", checks.baltic, "asmens kod|personal code"),),
    "il": (_kind("000000000|0-0000000-0", luhn, "teudat|israel|mispar zehut|ת.ז|ת״ז"),),
    "th": (_kind("0-0000-00000-00-0|0 0000 00000 00 0", checks.th), _kind("0000000000000", checks.th, "thai|บัตร")),
    "tw": (_kind("A000000000", checks.tw),),
}


class Numbers:
    """Finds the numbers of some countries."""

    def __init__(self, countries: tuple[str, ...]) -> None:
        by_shape: dict[bytes, list[Kind]] = {}
        for country in countries:
            for kind in COUNTRIES[country]:
                for shape in kind.shapes:
                    by_shape.setdefault(shape.encode(), []).append(kind)
        self._by_shape = {shape: tuple(kinds) for shape, kinds in by_shape.items()}
        # The longest first: what is part of a longer number is none. Case is told apart where nothing else tells.
        shapes = b"|".join(re.escape(shape) for shape in sorted(by_shape, key=len, reverse=True))
        self._pattern = re.compile(rb"(?<![0Aa.+_/-])(?:" + shapes + rb")(?![0Aa_]|[-/.][0Aa])") if shapes else None

    def find(self, text: str) -> list[tuple[int, int]]:
        """Where such numbers stand."""
        if self._pattern is None:
            return []
        found = []
        for match in self._pattern.finditer(text.encode("latin-1", "replace").translate(_SHAPE)):
            start, end = match.span()
            number = text[start:end].translate(_SIGNS)
            for kind in self._by_shape[match[0]]:
                if kind.near is not None and not kind.near.search(text[max(0, start - NEAR) : start].lower()):
                    continue
                if kind.holds(number):
                    found.append((start, end))
                    break
        return found
