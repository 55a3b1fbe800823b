"""Numbers that states give people, with the rules they must keep. One switch per country."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from plugins.pii_masking.digits import luhn, weighted

_DIGITS: Final = re.compile(r"[^0-9]")
_DAYS: Final = 31
_MONTHS: Final = 12


def _only(text: str) -> str:
    return _DIGITS.sub("", text)


def _us(text: str) -> bool:
    """SSA: areas 000, 666 and from 900 on, group 00 and serial 0000 are never given."""
    number = _only(text)
    return number[:3] not in {"000", "666"} and number[0] != "9" and number[3:5] != "00" and number[5:] != "0000"


def _gb(text: str) -> bool:
    """HMRC NIM39110: prefixes that are never given."""
    prefix = text[:2].upper()
    return (
        prefix not in {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"}
        and prefix[0] not in "DFIQUV"
        and prefix[1] not in "DFIOQUV"
    )


def _de(text: str) -> bool:
    """Tax number (§ 139b AO): ISO 7064 mod 11,10."""
    number = _only(text)
    product = 10
    for digit in number[:10]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    repeated = max(number[:10].count(digit) for digit in set(number[:10]))
    return number[0] != "0" and repeated in (2, 3) and (11 - product) % 10 == int(number[10])


def _fr(text: str) -> bool:
    """NIR: 97 minus the rest of the number by 97."""
    number = text.upper().replace(" ", "").replace("2A", "19").replace("2B", "18")
    return len(number) == 15 and number.isdigit() and 97 - int(number[:13]) % 97 == int(number[13:])


def _es(text: str) -> bool:
    """DNI and NIE: the letter is the rest by 23."""
    plain = text.upper().replace("-", "").translate(str.maketrans("XYZ", "012", "")) if text[0] in "XYZxyz" else text
    digits = _only(plain[:-1])
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23] == text[-1].upper()


_VALUES: Final = "1 0 5 7 9 13 15 17 19 21 2 4 18 20 11 3 6 8 12 14 16 10 22 25 24 23"
_LETTERS: Final = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", map(int, _VALUES.split(" ")), strict=True))
_ODD: Final = _LETTERS | {str(digit): _LETTERS["ABCDEFGHIJ"[digit]] for digit in range(10)}


def _it(text: str) -> bool:
    """Codice fiscale (DM 23.12.1976): the last letter."""
    code = text.upper()
    total = sum(_ODD[c] if i % 2 == 0 else (int(c) if c.isdigit() else ord(c) - 65) for i, c in enumerate(code[:15]))
    return chr(65 + total % 26) == code[15]


def _pl(text: str) -> bool:
    """PESEL."""
    return (
        1 <= int(text[2:4]) % 20 <= _MONTHS
        and 1 <= int(text[4:6]) <= _DAYS
        and weighted(text, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0
    )


def _nl(text: str) -> bool:
    """BSN: the test of eleven."""
    return weighted(text, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def _se(text: str) -> bool:
    """Personnummer: Luhn over ten digits, after a date."""
    number = _only(text)[-10:]
    return 1 <= int(number[2:4]) <= _MONTHS and 1 <= int(number[4:6]) % 60 <= _DAYS and luhn(number)


def _fi(text: str) -> bool:
    """Henkilötunnus: the rest by 31."""
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(text[:6] + text[7:10]) % 31] == text[10].upper()


def _be(text: str) -> bool:
    """Rijksregisternummer; those born from 2000 on have a 2 before it."""
    number = _only(text)
    return any(97 - int(before + number[:9]) % 97 == int(number[9:]) for before in ("", "2"))


def _br(text: str) -> bool:
    """CPF: two check digits."""
    number = _only(text)
    first = weighted(number, tuple(range(10, 1, -1))) * 10 % 11 % 10
    second = weighted(number, tuple(range(11, 1, -1))) * 10 % 11 % 10
    return len(set(number)) > 1 and (first, second) == (int(number[9]), int(number[10]))


def _ca(text: str) -> bool:
    """SIN."""
    return text[0] not in "08" and luhn(_only(text))


def _ch(text: str) -> bool:
    """AHV number: check digit of EAN-13."""
    return weighted(_only(text), (1, 3) * 6 + (1,)) % 10 == 0


def _cn(text: str) -> bool:
    """Resident identity number (GB 11643): ISO 7064 mod 11-2."""
    return (
        "10X98765432"[weighted(text[:17], (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)) % 11]
        == text[17].upper()
    )


def _sg(text: str) -> bool:
    """NRIC and FIN."""
    total = weighted(text[1:8], (2, 7, 6, 5, 4, 3, 2)) + (4 if text[0].upper() in "TG" else 0)
    return ("JZIHGFEDCBA" if text[0].upper() in "ST" else "XWUTRQPNMLK")[total % 11] == text[8].upper()


def _always(text: str) -> bool:
    return bool(text)


@dataclass(frozen=True, slots=True)
class Kind:
    """How a country writes its number, and the check."""

    pattern: str
    holds: Callable[[str], bool]
    near: str = ""
    """Words one of which must stand before a number that says too little by itself."""


COUNTRIES: Final = {
    "us": Kind(r"[0-9]{3}-[0-9]{2}-[0-9]{4}", _us),
    "gb": Kind(r"[A-Za-z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-Da-d]", _gb),
    "de": Kind(r"[1-9][0-9] ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}", _de, "steuer|idnr|tin|tax"),
    "fr": Kind(r"[12] ?[0-9]{2} ?[0-9]{2} ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}", _fr),
    "es": Kind(r"(?:[0-9]{8}|[XYZxyz]-?[0-9]{7})-?[A-Za-z]", _es),
    "it": Kind(r"[A-Za-z]{6}[0-9]{2}[A-Za-z][0-9]{2}[A-Za-z][0-9]{3}[A-Za-z]", _it),
    "pl": Kind(r"[0-9]{11}", _pl, "pesel"),
    "nl": Kind(r"[0-9]{9}", _nl, "bsn|burgerservice|sofi"),
    "se": Kind(r"(?:[0-9]{2})?[0-9]{6}[-+][0-9]{4}", _se),
    "fi": Kind(r"[0-9]{6}[-+A][0-9]{3}[0-9A-Ya-y]", _fi),
    "be": Kind(r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}", _be),
    "br": Kind(r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", _br),
    "ca": Kind(r"[0-9]{3}[ -][0-9]{3}[ -][0-9]{3}", _ca),
    "ch": Kind(r"756\.?[0-9]{4}\.?[0-9]{4}\.?[0-9]{2}", _ch),
    "cn": Kind(r"[1-9][0-9]{5}(?:19|20)[0-9]{2}[01][0-9][0-3][0-9]{4}[0-9Xx]", _cn),
    "sg": Kind(r"[STFGstfg][0-9]{7}[A-Za-z]", _sg),
    "in": Kind(r"[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]", _always),
}


class Numbers:
    """Finds the numbers of some countries."""

    def __init__(self, countries: tuple[str, ...]) -> None:
        self._kinds = {name: COUNTRIES[name] for name in countries}
        parts = [rf"(?P<{name}>{kind.pattern})" for name, kind in self._kinds.items()]
        self._patterns = [re.compile(rf"(?<![A-Za-z0-9.+_-]){part}(?![A-Za-z0-9_-])") for part in parts]

    def find(self, text: str) -> list[tuple[int, int]]:
        """Where such numbers stand."""
        found = []
        for pattern in self._patterns:
            for match in pattern.finditer(text):
                kind = self._kinds[match.lastgroup or ""]
                before = text[max(0, match.start() - 32) : match.start()].lower()
                if kind.near and not any(word in before for word in kind.near.split("|")):
                    continue
                if kind.holds(match[0]):
                    found.append(match.span())
        return found
