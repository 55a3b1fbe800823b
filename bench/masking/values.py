"""Values of public formats, made up from a seed: nothing here belongs to anybody.

Telephone numbers are from the ranges that regulators keep free for drama where they publish one. Keys are put together
when asked for, so that no scanner of repositories takes this file for a leak.
"""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable, Sequence
from typing import Final

DIGITS: Final = string.digits
LETTERS: Final = string.ascii_letters
ALNUM: Final = LETTERS + DIGITS
UPPER: Final = string.ascii_uppercase
LOWER: Final = string.ascii_lowercase
HEX: Final = "0123456789abcdef"
URLSAFE: Final = ALNUM + "-_"
BASE32: Final = UPPER + "234567"

Maker = Callable[[random.Random], str]


def run(rng: random.Random, alphabet: str, length: int) -> str:
    """So many characters of an alphabet, at least one digit among them where it has some."""
    made = [rng.choice(alphabet) for _ in range(length)]
    if "7" in alphabet and length > 3:
        made[length // 2] = rng.choice("23467")
    return "".join(made)


# -- check digits, each from its standard ------------------------------------------------------------------------------


def luhn(digits: str) -> str:
    """ISO/IEC 7812-1 annex B."""
    total = 0
    for place, each in enumerate(reversed(digits)):
        value = int(each) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of digits times weights."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def mod_11_10(digits: str) -> str:
    """ISO 7064 MOD 11,10."""
    product = 10
    for each in digits:
        total = (int(each) + product) % 10 or 10
        product = total * 2 % 11
    return str((11 - product) % 10)


def verhoeff(digits: str) -> str:
    """Verhoeff's digit, from the dihedral group D5."""

    def times(a: int, b: int) -> int:
        if a < 5:
            return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
        return 5 + (a - b) % 5 if b < 5 else (a - b) % 5

    permuted = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
    check = 0
    for place, each in enumerate(reversed(digits), 1):
        value = int(each)
        for _ in range(place % 8):
            value = permuted[value]
        check = times(check, value)
    return str(next(digit for digit in range(10) if times(check, digit) == 0))


def iban_check(country: str, bban: str) -> str:
    """ISO 13616: two digits that make the whole 1 modulo 97."""
    number = "".join(str(int(each, 36)) for each in bban + country + "00")
    return f"{98 - int(number) % 97:02}"


# -- payment -----------------------------------------------------------------------------------------------------------

CARDS: Final = {
    "visa": ("4", 16),
    "mastercard": ("52", 16),
    "mastercard 2": ("2320", 16),
    "amex": ("37", 15),
    "discover": ("6011", 16),
    "diners": ("3600", 14),
    "jcb": ("3530", 16),
    "unionpay": ("6221", 16),
    "maestro": ("6759", 16),
}
IBANS: Final = {
    "DE": "00000000" + "0000000000",
    "FR": "0000000000" + "AAAAAAAAAAA" + "00",
    "ES": "0" * 20,
    "IT": "A" + "0" * 10 + "000000000000",
    "PL": "0" * 24,
    "GB": "UUUU" + "0" * 14,
    "NL": "UUUU" + "0" * 10,
    "AT": "0" * 16,
    "CH": "0" * 5 + "000000000000",
    "BE": "0" * 12,
    "SE": "0" * 20,
    "PT": "0" * 21,
    "IE": "UUUU" + "0" * 14,
    "DK": "0" * 14,
    "NO": "0" * 11,
    "CZ": "0" * 20,
}


def card(rng: random.Random, brand: str = "visa", sign: str = "") -> str:
    """A card's number, in groups of four (Amex 4-6-5) if there is a sign between them."""
    prefix, length = CARDS[brand]
    digits = prefix + "".join(rng.choice(DIGITS) for _ in range(length - len(prefix) - 1))
    digits += luhn(digits)
    if not sign:
        return digits
    if length == 15:
        return sign.join((digits[:4], digits[4:10], digits[10:]))
    return sign.join(digits[at : at + 4] for at in range(0, length, 4))


def iban(rng: random.Random, country: str = "DE", sign: str = "") -> str:
    """An IBAN, in groups of four if there is a sign between them."""
    kinds = {"0": DIGITS, "A": UPPER + DIGITS, "U": UPPER}
    bban = "".join(rng.choice(kinds[each]) for each in IBANS[country])
    whole = country + iban_check(country, bban) + bban
    return sign.join(whole[at : at + 4] for at in range(0, len(whole), 4)) if sign else whole


# -- persons -----------------------------------------------------------------------------------------------------------

_FIRST: Final = "anna ben clara david emma felix greta hugo ines jonas karin luca marta nils olga paul".split()
_LAST: Final = (
    "albers brandt castillo dupont eriksen fischer garcia huber ivanov jansen kowalski lindner moreau".split()
)
_DOMAINS: Final = [
    "example.com",
    "example.org",
    "mail.example.net",
    "shop.example",
    "firma.example.de",
    "correo.example.es",
]


def email(rng: random.Random) -> str:
    """An address of RFC 5322 as people have them."""
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    local = rng.choice([f"{first}.{last}", f"{first[0]}{last}", f"{first}_{last}{rng.randint(1, 99)}", f"{first}+news"])
    return f"{local}@{rng.choice(_DOMAINS)}"


def _n(rng: random.Random, length: int) -> str:
    return "".join(rng.choice(DIGITS) for _ in range(length))


PHONES: Final[dict[str, list[Maker]]] = {
    "us": [
        lambda r: f"({r.choice(['212', '415', '312'])}) 555-01{_n(r, 2)}",
        lambda r: f"{r.choice(['212', '415', '312'])}-555-01{_n(r, 2)}",
        lambda r: f"+1 415 555 01{_n(r, 2)}",
        lambda r: f"+1415555{'01'}{_n(r, 2)}",
        lambda r: f"+1 (415) 555-01{_n(r, 2)}",
        lambda r: f"415.555.01{_n(r, 2)}",
    ],
    "gb": [
        lambda r: f"020 7946 0{_n(r, 3)}",
        lambda r: f"07700 900{_n(r, 3)}",
        lambda r: f"+44 20 7946 0{_n(r, 3)}",
        lambda r: f"+447700900{_n(r, 3)}",
        lambda r: f"01632 960{_n(r, 3)}",
        lambda r: f"(0161) 496 0{_n(r, 3)}",
    ],
    "de": [
        lambda r: f"030 23125{_n(r, 3)}",
        lambda r: f"030/23125{_n(r, 3)}",
        lambda r: f"+49 30 23125{_n(r, 3)}",
        lambda r: f"0171 39200{_n(r, 2)}",
        lambda r: f"+4917139200{_n(r, 2)}",
        lambda r: f"0049 89 99998{_n(r, 3)}",
        lambda r: f"(0221) 4710{_n(r, 3)}",
        lambda r: f"+49 (0)40 66969{_n(r, 3)}",
    ],
    "fr": [
        lambda r: f"01 99 00 {_n(r, 2)} {_n(r, 2)}",
        lambda r: f"06 39 98 {_n(r, 2)} {_n(r, 2)}",
        lambda r: f"+33 6 39 98 {_n(r, 2)} {_n(r, 2)}",
        lambda r: f"06.39.98.{_n(r, 2)}.{_n(r, 2)}",
        lambda r: f"+3363998{_n(r, 4)}",
    ],
    "es": [
        lambda r: f"+34 612 34 {_n(r, 2)} {_n(r, 2)}",
        lambda r: f"612 345 {_n(r, 3)}",
        lambda r: f"91 123 {_n(r, 2)} {_n(r, 2)}",
        lambda r: f"+346123{_n(r, 5)}",
    ],
    "pl": [
        lambda r: f"+48 512 34{_n(r, 1)} {_n(r, 3)}",
        lambda r: f"512 345 {_n(r, 3)}",
        lambda r: f"22 123 {_n(r, 2)} {_n(r, 2)}",
        lambda r: f"+485123{_n(r, 5)}",
    ],
    "it": [
        lambda r: f"+39 06 698{_n(r, 5)}",
        lambda r: f"347 123 {_n(r, 4)}",
        lambda r: f"+39 347 12{_n(r, 5)}",
    ],
    "nl": [lambda r: f"+31 6 1234{_n(r, 4)}", lambda r: f"06-1234{_n(r, 4)}", lambda r: f"020 123 {_n(r, 4)}"],
    "at": [lambda r: f"+43 664 12345{_n(r, 2)}", lambda r: f"0664 12345{_n(r, 2)}"],
    "ch": [lambda r: f"+41 79 123 {_n(r, 2)} {_n(r, 2)}", lambda r: f"079 123 {_n(r, 2)} {_n(r, 2)}"],
    "se": [lambda r: f"+46 70 174 06{_n(r, 2)}", lambda r: f"070-174 06 {_n(r, 2)}"],
    "in": [lambda r: f"+91 98765 {_n(r, 5)}", lambda r: f"+9198765{_n(r, 5)}"],
    "br": [lambda r: f"+55 11 91234-{_n(r, 4)}", lambda r: f"(11) 91234-{_n(r, 4)}"],
    "au": [lambda r: f"+61 491 570 {_n(r, 3)}", lambda r: f"0491 570 {_n(r, 3)}"],
    "jp": [lambda r: f"+81 90-1234-{_n(r, 4)}", lambda r: f"090-1234-{_n(r, 4)}"],
}


def phone(rng: random.Random, country: str, form: int = -1) -> str:
    """A telephone number of a country, in one of the ways that people write it."""
    made = rng.choice(PHONES[country]) if form < 0 else PHONES[country][form]
    return made(rng)


def _born(rng: random.Random) -> tuple[int, int, int]:
    return rng.randint(1950, 1999), rng.randint(1, 12), rng.randint(1, 28)


def _until(rng: random.Random, make: Callable[[random.Random], str | None]) -> str:
    """The first that has a check digit at all: some remainders have none."""
    while True:
        made = make(rng)
        if made is not None:
            return made


def _tail(digits: str, check: int) -> str | None:
    return f"{digits}{check}" if check < 10 else None


def us_ssn(rng: random.Random) -> str:
    return f"{rng.choice([*range(1, 666), *range(667, 900)]):03}-{rng.randint(1, 99):02}-{rng.randint(1, 9999):04}"


def gb_nino(rng: random.Random) -> str:
    prefix = rng.choice("ABCEHJLMPRSTWXY") + rng.choice("ABCEHJKLMPRSTWXYZ")
    return f"{prefix} {_n(rng, 2)} {_n(rng, 2)} {_n(rng, 2)} {rng.choice('ABCD')}"


def gb_nhs(rng: random.Random) -> str:
    def make(r: random.Random) -> str | None:
        digits = "9" + _n(r, 8)
        found = _tail(digits, -weighted(digits, range(10, 1, -1)) % 11)
        return found and f"{found[:3]} {found[3:6]} {found[6:]}"

    return _until(rng, make)


def de_tax(rng: random.Random) -> str:
    """Of the first ten digits exactly one stands twice, and the first is no 0."""
    digits = rng.sample(DIGITS, 9)
    while digits[0] == "0":
        digits = rng.sample(DIGITS, 9)
    digits.insert(rng.choice([4, 6, 8]), digits[1])
    plain = "".join(digits)
    return plain + mod_11_10(plain)


def de_social(rng: random.Random) -> str:
    year, month, day = _born(rng)
    letter = rng.choice(UPPER)
    plain = f"{rng.choice(['12', '15', '53', '65'])}{day:02}{month:02}{year % 100:02}{letter}{rng.randint(1, 49):02}"
    number = plain[:8] + f"{ord(letter) - 64:02}" + plain[9:]
    weights = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)
    total = sum(sum(divmod(int(digit) * weight, 10)) for digit, weight in zip(number, weights, strict=True))
    return f"{plain}{total % 10}"


def fr_nir(rng: random.Random) -> str:
    year, month, _ = _born(rng)
    plain = f"{rng.choice('12')}{year % 100:02}{month:02}"
    plain += f"{rng.randint(1, 95):02}{rng.randint(1, 899):03}{rng.randint(1, 999):03}"
    return f"{plain}{97 - int(plain) % 97:02}"


def es_dni(rng: random.Random) -> str:
    number = rng.randint(10_000_000, 99_999_999)
    return f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


def es_nie(rng: random.Random) -> str:
    first, rest = rng.choice("XYZ"), _n(rng, 7)
    return f"{first}{rest}{'TRWAGMYFPDXBNJZSQVHLCKE'[int('XYZ'.index(first).__str__() + rest) % 23]}"


def it_fiscal(rng: random.Random) -> str:
    year, _, day = _born(rng)
    consonants = "BCDFGLMNPRSTVZ"
    plain = "".join(rng.choice(consonants) for _ in range(6))
    plain += f"{year % 100:02}{rng.choice('ABCDEHLMPRST')}{day:02}{rng.choice('ABCDEFGHIL')}{rng.randint(1, 999):03}"
    odd = dict(
        zip(
            DIGITS + UPPER,
            [
                1,
                0,
                5,
                7,
                9,
                13,
                15,
                17,
                19,
                21,
                1,
                0,
                5,
                7,
                9,
                13,
                15,
                17,
                19,
                21,
                2,
                4,
                18,
                20,
                11,
                3,
                6,
                8,
                12,
                14,
                16,
                10,
                22,
                25,
                24,
                23,
            ],
            strict=True,
        )
    )
    even = {each: (int(each) if each in DIGITS else ord(each) - 65) for each in DIGITS + UPPER}
    total = sum(odd[each] if place % 2 == 0 else even[each] for place, each in enumerate(plain))
    return plain + chr(65 + total % 26)


def pl_pesel(rng: random.Random) -> str:
    year, month, day = _born(rng)
    plain = f"{year % 100:02}{month:02}{day:02}{_n(rng, 4)}"
    return f"{plain}{-weighted(plain, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10}"


def nl_bsn(rng: random.Random) -> str:
    def make(r: random.Random) -> str | None:
        plain = f"{r.randint(1, 8)}{_n(r, 7)}"
        return _tail(plain, weighted(plain, range(9, 1, -1)) % 11)

    return _until(rng, make)


def se_person(rng: random.Random) -> str:
    year, month, day = _born(rng)
    plain = f"{year % 100:02}{month:02}{day:02}{_n(rng, 3)}"
    return f"{rng.choice(['', str(year // 100)])}{plain[:6]}-{plain[6:]}{luhn(plain)}"


def fi_hetu(rng: random.Random) -> str:
    year, month, day = _born(rng)
    date, number = f"{day:02}{month:02}{year % 100:02}", f"{rng.randint(2, 899):03}"
    return f"{date}-{number}{'0123456789ABCDEFHJKLMNPRSTUVWXY'[int(date + number) % 31]}"


def be_national(rng: random.Random) -> str:
    year, month, day = _born(rng)
    plain = f"{year % 100:02}{month:02}{day:02}{rng.randint(1, 997):03}"
    return f"{plain[:2]}.{plain[2:4]}.{plain[4:6]}-{plain[6:]}.{97 - int(plain) % 97:02}"


def _cpf_digit(digits: str) -> str:
    rest = weighted(digits, range(len(digits) + 1, 1, -1)) % 11
    return str(0 if rest < 2 else 11 - rest)


def br_cpf(rng: random.Random) -> str:
    plain = _n(rng, 9)
    plain += _cpf_digit(plain)
    plain += _cpf_digit(plain)
    return f"{plain[:3]}.{plain[3:6]}.{plain[6:9]}-{plain[9:]}"


def ca_sin(rng: random.Random) -> str:
    plain = f"{rng.randint(1, 7)}{_n(rng, 7)}"
    plain += luhn(plain)
    return f"{plain[:3]} {plain[3:6]} {plain[6:]}"


def ch_ahv(rng: random.Random) -> str:
    plain = "756" + _n(rng, 9)
    check = -weighted(plain, (1, 3) * 6) % 10
    return f"756.{plain[3:7]}.{plain[7:11]}.{plain[11:]}{check}"


def cn_resident(rng: random.Random) -> str:
    year, month, day = _born(rng)
    plain = f"{rng.choice(['110101', '310104', '440305'])}{year}{month:02}{day:02}{_n(rng, 3)}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return plain + "10X98765432"[weighted(plain, weights) % 11]


def sg_nric(rng: random.Random) -> str:
    first, plain = rng.choice("ST"), _n(rng, 7)
    total = weighted(plain, (2, 7, 6, 5, 4, 3, 2)) + (4 if first == "T" else 0)
    return f"{first}{plain}{'JZIHGFEDCBA'[total % 11]}"


def in_aadhaar(rng: random.Random) -> str:
    plain = f"{rng.randint(2, 9)}{_n(rng, 10)}"
    plain += verhoeff(plain)
    return f"{plain[:4]} {plain[4:8]} {plain[8:]}"


def in_pan(rng: random.Random) -> str:
    return f"{run(rng, UPPER, 3)}P{rng.choice(UPPER)}{_n(rng, 4)}{rng.choice(UPPER)}"


def at_social(rng: random.Random) -> str:
    def make(r: random.Random) -> str | None:
        year, month, day = _born(r)
        serial, date = f"{r.randint(100, 999)}", f"{day:02}{month:02}{year % 100:02}"
        check = (weighted(serial, (3, 7, 9)) + weighted(date, (5, 8, 4, 2, 1, 6))) % 11
        return f"{serial}{check} {date}" if check < 10 else None

    return _until(rng, make)


def dk_cpr(rng: random.Random) -> str:
    def make(r: random.Random) -> str | None:
        year, month, day = _born(r)
        plain = f"{day:02}{month:02}{year % 100:02}{r.randint(0, 3)}{_n(r, 2)}"
        found = _tail(plain, -weighted(plain, (4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11)
        return found and f"{found[:6]}-{found[6:]}"

    return _until(rng, make)


def no_birth(rng: random.Random) -> str:
    def make(r: random.Random) -> str | None:
        year, month, day = _born(r)
        plain = f"{day:02}{month:02}{year % 100:02}{r.randint(0, 499):03}"
        first = -weighted(plain, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
        second = -weighted(f"{plain}{first}", (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11 if first < 10 else 10
        return f"{plain}{first}{second}" if second < 10 else None

    return _until(rng, make)


def pt_nif(rng: random.Random) -> str:
    plain = f"{rng.choice('123')}{_n(rng, 7)}"
    rest = weighted(plain, range(9, 1, -1)) % 11
    return f"{plain}{0 if rest < 2 else 11 - rest}"


def ie_pps(rng: random.Random) -> str:
    plain = _n(rng, 7)
    second = rng.choice(["", "A", "B"])
    total = weighted(plain, range(8, 1, -1)) + (9 * (ord(second) - 64) if second else 0)
    return f"{plain}{'WABCDEFGHIJKLMNOPQRSTUV'[total % 23]}{second}"


def cz_birth(rng: random.Random) -> str:
    def make(r: random.Random) -> str | None:
        year, month, day = _born(r)
        year = max(year, 1954)
        plain = f"{year % 100:02}{month + r.choice([0, 50]):02}{day:02}{_n(r, 3)}"
        found = _tail(plain, int(plain) % 11)
        return found and f"{found[:6]}/{found[6:]}"

    return _until(rng, make)


def ro_cnp(rng: random.Random) -> str:
    year, month, day = _born(rng)
    plain = f"{rng.choice('12')}{year % 100:02}{month:02}{day:02}{rng.randint(1, 46):02}{rng.randint(1, 999):03}"
    rest = weighted(plain, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return f"{plain}{1 if rest == 10 else rest}"


def gr_amka(rng: random.Random) -> str:
    year, month, day = _born(rng)
    plain = f"{day:02}{month:02}{year % 100:02}{_n(rng, 4)}"
    return plain + luhn(plain)


def tr_identity(rng: random.Random) -> str:
    plain = f"{rng.randint(1, 9)}{_n(rng, 8)}"
    odd, even = (sum(int(each) for each in plain[start::2]) for start in (0, 1))
    tenth = (odd * 7 - even) % 10
    return f"{plain}{tenth}{(odd + even + tenth) % 10}"


def mx_curp(rng: random.Random) -> str:
    year, month, day = _born(rng)
    plain = f"{run(rng, 'BCDFGHJKLMNPQRSTVWXYZ', 1)}{rng.choice('AEIOU')}{run(rng, 'BCDFGHJKLMNPQRSTVWXYZ', 2)}"
    plain += f"{year % 100:02}{month:02}{day:02}{rng.choice('HM')}{rng.choice(['DF', 'JC', 'NL'])}"
    plain += f"{''.join(rng.choice('BCDFGHJKLMNPQRSTVWXYZ') for _ in range(3))}{rng.choice(DIGITS)}"
    alphabet = "0123456789ABCDEFGHIJKLMN\N{LATIN CAPITAL LETTER N WITH TILDE}OPQRSTUVWXYZ"
    total = sum(alphabet.index(each) * (18 - place) for place, each in enumerate(plain))
    return f"{plain}{-total % 10}"


def ar_cuit(rng: random.Random) -> str:
    def make(r: random.Random) -> str | None:
        plain = f"{r.choice(['20', '27'])}{r.randint(10_000_000, 45_000_000)}"
        check = -weighted(plain, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
        return f"{plain[:2]}-{plain[2:]}-{check}" if check < 10 else None

    return _until(rng, make)


def cl_rut(rng: random.Random) -> str:
    plain = str(rng.randint(5_000_000, 25_000_000))
    total = sum(int(each) * (2 + place % 6) for place, each in enumerate(reversed(plain)))
    check = "0123456789K"[-total % 11]
    return f"{int(plain):,}".replace(",", ".") + f"-{check}"


def za_identity(rng: random.Random) -> str:
    year, month, day = _born(rng)
    plain = f"{year % 100:02}{month:02}{day:02}{_n(rng, 4)}{rng.choice('01')}8"
    return plain + luhn(plain)


def au_tfn(rng: random.Random) -> str:
    def make(r: random.Random) -> str | None:
        plain = f"{r.randint(1, 8)}{_n(r, 7)}"
        total = weighted(plain, (1, 4, 3, 7, 5, 8, 6, 9))
        return next(
            (f"{plain[:3]} {plain[3:6]} {plain[6:]}{last}" for last in range(10) if (total + last * 10) % 11 == 0), None
        )

    return _until(rng, make)


def au_medicare(rng: random.Random) -> str:
    plain = f"{rng.randint(2, 6)}{_n(rng, 7)}"
    check = weighted(plain, (1, 3, 7, 9, 1, 3, 7, 9)) % 10
    return f"{plain[:4]} {plain[4:]}{check} {rng.randint(1, 9)}"


def nz_ird(rng: random.Random) -> str:
    def make(r: random.Random) -> str | None:
        plain = str(r.randint(10_000_000, 14_999_999))
        check = -weighted(plain, (3, 2, 7, 6, 5, 4, 3, 2)) % 11
        if check == 10:
            check = -weighted(plain, (7, 4, 3, 2, 5, 2, 7, 6)) % 11
        return f"{plain[:3]}-{plain[3:6]}-{plain[6:]}{check}" if check < 10 else None

    return _until(rng, make)


def jp_number(rng: random.Random) -> str:
    plain = f"{rng.randint(1, 9)}{_n(rng, 10)}"
    total = weighted(plain, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2))
    rest = total % 11
    whole = f"{plain}{0 if rest <= 1 else 11 - rest}"
    return f"{whole[:4]} {whole[4:8]} {whole[8:]}"


def kr_resident(rng: random.Random) -> str:
    year, month, day = _born(rng)
    plain = f"{year % 100:02}{month:02}{day:02}{rng.choice('12')}{_n(rng, 5)}"
    check = (11 - weighted(plain, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return f"{plain[:6]}-{plain[6:]}{check}"


GOVERNMENT: Final[dict[str, Maker]] = {
    each.__name__: each
    for each in (
        ar_cuit,
        at_social,
        au_medicare,
        au_tfn,
        be_national,
        br_cpf,
        ca_sin,
        ch_ahv,
        cl_rut,
        cn_resident,
        cz_birth,
        de_social,
        de_tax,
        dk_cpr,
        es_dni,
        es_nie,
        fi_hetu,
        fr_nir,
        gb_nhs,
        gb_nino,
        gr_amka,
        ie_pps,
        in_aadhaar,
        in_pan,
        it_fiscal,
        jp_number,
        kr_resident,
        mx_curp,
        nl_bsn,
        no_birth,
        nz_ird,
        pl_pesel,
        pt_nif,
        ro_cnp,
        se_person,
        sg_nric,
        tr_identity,
        us_ssn,
        za_identity,
    )
}


# -- what opens doors --------------------------------------------------------------------------------------------------


def _b64(data: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def jwt(rng: random.Random) -> str:
    head = _b64({"alg": rng.choice(["RS256", "ES256", "HS256"]), "typ": "JWT"})
    return f"{head}.{_b64({'sub': _n(rng, 6), 'iat': 1700000000, 'jti': run(rng, ALNUM, 12)})}.{run(rng, URLSAFE, 43)}"


def pem(rng: random.Random, kind: str = "RSA PRIVATE KEY", line: str = "\n") -> str:
    rows = [run(rng, ALNUM + "+/", 64) for _ in range(3)] + [run(rng, ALNUM, 30) + "=="]
    return line.join([f"-----BEGIN {kind}-----", *rows, f"-----END {kind}-----"])


def _key(prefix: str, *parts: tuple[str, int] | str) -> Maker:
    return lambda rng: prefix + "".join(part if isinstance(part, str) else run(rng, *part) for part in parts)


KEYS: Final[dict[str, Maker]] = {
    "aws access key": _key("AK" + "IA", (BASE32, 16)),
    "aws temporary key": _key("AS" + "IA", (BASE32, 16)),
    "github token": _key("gh" + "p_", (ALNUM, 36)),
    "github app token": _key("gh" + "s_", (ALNUM, 36)),
    "github oauth token": _key("gh" + "o_", (ALNUM, 36)),
    "github fine grained": _key("github" + "_pat_", (ALNUM, 22), "_", (ALNUM, 59)),
    "gitlab token": _key("gl" + "pat-", (URLSAFE, 20)),
    "gitlab runner token": _key("gl" + "rt-", (URLSAFE, 20)),
    "gitlab trigger token": _key("gl" + "ptt-", (HEX, 40)),
    "slack bot token": _key("xo" + "xb-", (DIGITS, 12), "-", (DIGITS, 12), "-", (ALNUM, 24)),
    "slack user token": _key("xo" + "xp-", (DIGITS, 12), "-", (DIGITS, 12), "-", (DIGITS, 12), "-", (HEX, 32)),
    "slack app token": _key("xa" + "pp-1-A", (UPPER, 10), "-", (DIGITS, 13), "-", (HEX, 64)),
    "slack webhook": _key("https://hooks.slack.com/ser" + "vices/T", (UPPER, 8), "/B", (UPPER, 8), "/", (ALNUM, 24)),
    "stripe secret": _key("sk" + "_live_", (ALNUM, 24)),
    "stripe long secret": _key("sk" + "_live_51", (ALNUM, 97)),
    "stripe restricted": _key("rk" + "_test_", (ALNUM, 24)),
    "stripe webhook secret": _key("wh" + "sec_", (ALNUM, 32)),
    "twilio api key": _key("S" + "K", (HEX, 32)),
    "sendgrid": _key("S" + "G.", (URLSAFE, 22), ".", (URLSAFE, 43)),
    "google api key": _key("AI" + "za", (URLSAFE, 35)),
    "google oauth token": _key("ya" + "29.", (URLSAFE, 120)),
    "google client secret": _key("GOC" + "SPX-", (URLSAFE, 28)),
    "openai key": _key("s" + "k-", (ALNUM, 20), "T3Blbk" + "FJ", (ALNUM, 20)),
    "openai project key": _key("s" + "k-proj-", (URLSAFE, 74), "T3Blbk" + "FJ", (URLSAFE, 74)),
    "openai service key": _key("s" + "k-svcacct-", (URLSAFE, 58), "T3Blbk" + "FJ", (URLSAFE, 58)),
    "anthropic key": _key("s" + "k-ant-api03-", (URLSAFE, 93), "AA"),
    "npm token": _key("np" + "m_", (ALNUM, 36)),
    "pypi token": _key("py" + "pi-AgEIcHlwaS5vcmc", (URLSAFE, 150)),
    "hugging face": _key("h" + "f_", (LETTERS, 34)),
    "docker hub": _key("dckr" + "_pat_", (URLSAFE, 27)),
    "digitalocean": _key("dop" + "_v1_", (HEX, 64)),
    "shopify": _key("shp" + "at_", (HEX, 32)),
    "vault": _key("hv" + "s.", (URLSAFE, 90)),
    "telegram bot": _key("", (DIGITS, 10), ":A" + "A", (URLSAFE, 33)),
    "mailchimp": _key("", (HEX, 32), "-us" + "14"),
    "mailgun": _key("ke" + "y-", (HEX, 32)),
    "databricks": _key("da" + "pi", (HEX, 32)),
    "grafana": _key("gl" + "sa_", (ALNUM, 32), "_", (HEX, 8)),
    "new relic": _key("NR" + "AK-", (UPPER + DIGITS, 27)),
    "linear": _key("lin" + "_api_", (ALNUM, 40)),
    "postman": _key("PM" + "AK-", (HEX, 24), "-", (HEX, 34)),
    "square": _key("sq0" + "csp-", (URLSAFE, 43)),
    "atlassian": _key("ATATT3xFfGF0", (URLSAFE, 180), "=", (HEX.upper(), 8)),
    "rubygems": _key("ruby" + "gems_", (HEX, 48)),
}


def secret(rng: random.Random, length: int = 32, alphabet: str = ALNUM) -> str:
    """A random word of no known shape."""
    return run(rng, alphabet, length)
