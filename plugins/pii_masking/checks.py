"""Check digits of the numbers that states give people, each as its state defines it. Digits and upper case only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from plugins.pii_masking.digits import luhn, weighted

Check = Callable[[str], bool]
"""Of a number without its signs."""
_MONTHS: Final = 12
_DAYS: Final = 31


def dated(month: int, day: int) -> bool:
    """Whether there may be such a day."""
    return 1 <= month <= _MONTHS and 1 <= day <= _DAYS


def mod_11(weights: Sequence[int], *, of_ten: int = -1) -> Check:
    """All but the last digit, weighted, and the last make a multiple of 11; ``of_ten`` stands for a check of ten."""
    fixed = tuple(weights)

    def holds(number: str) -> bool:
        check = -weighted(number[:-1], fixed) % 11
        return (of_ten if check == 10 else check) == int(number[-1])

    return holds


def mod_11_10(number: str) -> bool:
    """ISO 7064 MOD 11,10."""
    product = 10
    for digit in number[:-1]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(number[-1])


def verhoeff(number: str) -> bool:
    """Verhoeff's check over the dihedral group of order ten."""
    rest = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit)
        for _ in range(place % 8):
            value = _PERMUTED[value]
        half = 5
        if rest < half:
            rest = (rest + value) % half if value < half else half + (rest + value) % half
        else:
            rest = half + (rest - value) % half if value < half else (rest - value) % half
    return rest == 0


_PERMUTED: Final = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def us(number: str) -> bool:
    """SSA: areas 000, 666 and from 900 on, group 00 and serial 0000 are never given. IRS: an ITIN has 9, and groups
    from 50 on.
    """
    if number[0] == "9":
        group = int(number[3:5])
        return 50 <= group <= 99 and group not in {66, 67, 68, 69, 89, 93}
    return number[:3] not in {"000", "666"} and number[3:5] != "00" and number[5:] != "0000"


def gb(number: str) -> bool:
    """HMRC NIM39110: prefixes that are never given."""
    prefix = number[:2]
    return (
        prefix not in {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"}
        and prefix[0] not in "DFIQUV"
        and prefix[1] not in "DFIOQUV"
        and number[8] in "ABCD"
    )


def de(number: str) -> bool:
    """Tax number (§ 139b AO): of the first ten digits one stands twice or three times; ISO 7064 MOD 11,10."""
    repeated = max(number[:10].count(digit) for digit in set(number[:10]))
    return number[0] != "0" and repeated in (2, 3) and mod_11_10(number)


def de_social(number: str) -> bool:
    """Pension insurance number (VKVV § 4): the letter counts as its place, cross sums of products."""
    digits = f"{number[:8]}{ord(number[8]) - 64:02}{number[9:11]}"
    total = sum(sum(divmod(int(d) * w, 10)) for d, w in zip(digits, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True))
    return dated(int(number[4:6]), int(number[2:4])) and total % 10 == int(number[11])


def fr(number: str) -> bool:
    """NIR: 97 minus the rest of the number by 97; months beyond 12 say that one is not known."""
    plain = number.replace("2A", "19").replace("2B", "18")
    return plain.isdigit() and plain[3:5] != "00" and 97 - int(plain[:13]) % 97 == int(plain[13:])


def es(number: str) -> bool:
    """DNI and NIE: the letter is the rest by 23."""
    plain = number[:-1].translate(_NIE)
    return plain.isdigit() and "TRWAGMYFPDXBNJZSQVHLCKE"[int(plain) % 23] == number[-1]


_NIE: Final = str.maketrans("XYZ", "012")
_VALUES: Final = "1 0 5 7 9 13 15 17 19 21 2 4 18 20 11 3 6 8 12 14 16 10 22 25 24 23"
_LETTERS: Final = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", map(int, _VALUES.split(" ")), strict=True))
_ODD: Final = _LETTERS | {str(digit): _LETTERS["ABCDEFGHIJ"[digit]] for digit in range(10)}


def it(number: str) -> bool:
    """Codice fiscale (DM 23.12.1976): the last letter."""
    total = sum(_ODD[c] if i % 2 == 0 else (int(c) if c.isdigit() else ord(c) - 65) for i, c in enumerate(number[:15]))
    return chr(65 + total % 26) == number[15]


def pl(number: str) -> bool:
    """PESEL; its month tells the century, too."""
    holds = weighted(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0
    return holds and dated(int(number[2:4]) % 20, int(number[4:6]))


def nl(number: str) -> bool:
    """BSN: the test of eleven."""
    return weighted(number, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def se(number: str) -> bool:
    """Personnummer: Luhn over ten digits, after a date; 60 is added to the day of who only stays."""
    ten = number[-10:]
    return dated(int(ten[2:4]), int(ten[4:6]) % 60) and luhn(ten)


def fi(number: str) -> bool:
    """Henkilötunnus: the rest by 31. The sign of the century may be a letter."""
    plain = number if number[6].isdigit() else number[:6] + number[7:]
    return dated(int(plain[2:4]), int(plain[:2])) and "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(plain[:9]) % 31] == plain[9]


def be(number: str) -> bool:
    """Rijksregisternummer; those born from 2000 on have a 2 before it."""
    return any(97 - int(before + number[:9]) % 97 == int(number[9:]) for before in ("", "2"))


def br(number: str) -> bool:
    """CPF: two check digits."""
    first = weighted(number, tuple(range(10, 1, -1))) * 10 % 11 % 10
    second = weighted(number, tuple(range(11, 1, -1))) * 10 % 11 % 10
    return len(set(number)) > 1 and (first, second) == (int(number[9]), int(number[10]))


def ca(number: str) -> bool:
    """SIN."""
    return number[0] not in "08" and luhn(number)


def ch(number: str) -> bool:
    """AHV number: check digit of EAN-13, after 756 for the country."""
    return number.startswith("756") and weighted(number, (1, 3) * 6 + (1,)) % 10 == 0


def cn(number: str) -> bool:
    """Resident identity number (GB 11643): ISO 7064 MOD 11-2."""
    total = weighted(number[:17], (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2))
    return dated(int(number[10:12]), int(number[12:14])) and "10X98765432"[total % 11] == number[17]


def sg(number: str) -> bool:
    """NRIC and FIN."""
    if number[0] not in "STFGM":
        return False
    total = weighted(number[1:8], (2, 7, 6, 5, 4, 3, 2)) + {"T": 4, "G": 4, "M": 3}.get(number[0], 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "M": "XWUTRQPNJLK"}.get(number[0], "XWUTRQPNMLK")
    return letters[total % 11] == number[8]


def in_pan(number: str) -> bool:
    """PAN: the fourth letter says what its holder is. It has a check letter whose rule is not public."""
    return number[3] in "ABCFGHJLPT" and number[5:9] != "0000"


def in_aadhaar(number: str) -> bool:
    """Aadhaar: does not begin with 0 or 1; Verhoeff."""
    return number[0] not in "01" and verhoeff(number)


def at(number: str) -> bool:
    """Sozialversicherungsnummer (§ 31 ASVG): the fourth digit; months 13 to 15 stand for days not known."""
    total = weighted(number[:3] + number[4:], (3, 7, 9, 5, 8, 4, 2, 1, 6))
    return number[0] != "0" and 1 <= int(number[6:8]) <= 15 and total % 11 == int(number[3])


def dk(number: str) -> bool:
    """CPR: a date; numbers given since 2007 need not keep the test of eleven, so it is not asked for."""
    return dated(int(number[2:4]), int(number[:2]) % 60)


def dk_checked(number: str) -> bool:
    """CPR that keeps the test of eleven."""
    return dk(number) and weighted(number, (4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0


def no(number: str) -> bool:
    """Fødselsnummer and D-nummer: two check digits."""
    first = weighted(number, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11 == 0
    second = weighted(number, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0
    return first and second and dated(int(number[2:4]) % 40, int(number[:2]) % 40)


def pt(number: str) -> bool:
    """NIF of a person: begins with 1, 2, 3 or 45."""
    rest = weighted(number[:8], tuple(range(9, 1, -1))) % 11
    return (number[0] in "123" or number[:2] == "45") and int(number[8]) == (0 if rest < 2 else 11 - rest)


def ie(number: str) -> bool:
    """PPSN (Social Welfare Consolidation Act, 2005): the letter is the rest by 23; a second letter counts as well."""
    second = ord(number[8]) - 64 if len(number) > 8 and number[8] != "W" else 0
    total = weighted(number[:7], tuple(range(8, 1, -1))) + 9 * second
    return "WABCDEFGHIJKLMNOPQRSTUV"[total % 23] == number[7]


def cz(number: str) -> bool:
    """Rodné číslo, of Slovakia as well: a date, 50 more in a woman's month, 20 more when a day ran out; by 11."""
    if not dated(int(number[2:4]) % 50 % 20, int(number[4:6])):
        return False
    return int(number) % 11 == 0 or (int(number[:9]) % 11 == 10 and number[9] == "0")


def ro(number: str) -> bool:
    """CNP."""
    rest = weighted(number[:12], (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    holds = int(number[12]) == (1 if rest == 10 else rest)
    return holds and number[0] != "0" and dated(int(number[3:5]), int(number[5:7]))


def gr(number: str) -> bool:
    """AMKA: a date, and Luhn."""
    return dated(int(number[2:4]), int(number[:2])) and luhn(number)


def tr(number: str) -> bool:
    """T.C. kimlik no: two check digits."""
    odd, even = sum(map(int, number[0:9:2])), sum(map(int, number[1:8:2]))
    tenth = (odd * 7 - even) % 10
    return number[0] != "0" and (tenth, (odd + even + tenth) % 10) == (int(number[9]), int(number[10]))


def mx(number: str) -> bool:
    """CURP: a date, sex, and a check digit in which Ñ has a place."""
    alphabet = "0123456789ABCDEFGHIJKLMN-OPQRSTUVWXYZ"
    total = sum(alphabet.index(each) * (18 - place) for place, each in enumerate(number[:17]))
    dates = dated(int(number[6:8]), int(number[8:10]))
    return number[10] in "HMX" and dates and number[17].isdigit() and -total % 10 == int(number[17])


def ar(number: str) -> bool:
    """CUIT and CUIL: of a person, by the prefix."""
    return number[:2] in {"20", "23", "24", "25", "26", "27"} and mod_11((5, 4, 3, 2, 7, 6, 5, 4, 3, 2))(number)


def cl(number: str) -> bool:
    """RUT: weights from 2 to 7 from the right; K for ten."""
    total = sum(int(each) * (2 + place % 6) for place, each in enumerate(reversed(number[:-1])))
    return "0123456789K"[-total % 11] == number[-1]


def za(number: str) -> bool:
    """Identity number: a date, citizenship, and Luhn."""
    return dated(int(number[2:4]), int(number[4:6])) and number[10] in "012" and luhn(number)


def au(number: str) -> bool:
    """Tax file number."""
    return weighted(number, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def au_medicare(number: str) -> bool:
    """Medicare number, whose ninth digit checks; an individual's place on the card may follow."""
    return number[0] in "23456" and weighted(number[:8], (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(number[8])


def nz(number: str) -> bool:
    """IRD number: a second set of weights where the first gives ten."""
    nine = number.rjust(9, "0")
    for weights in ((3, 2, 7, 6, 5, 4, 3, 2), (7, 4, 3, 2, 5, 2, 7, 6)):
        check = -weighted(nine[:8], weights) % 11
        if check < 10:
            return check == int(nine[8])
    return False


def jp(number: str) -> bool:
    """Individual number (My Number Act): by 11."""
    rest = weighted(number[:11], (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return int(number[11]) == (0 if rest <= 1 else 11 - rest)


def kr(number: str) -> bool:
    """Resident registration number: a date; numbers given since October 2020 have no check digit."""
    return dated(int(number[2:4]), int(number[4:6]))


def kr_checked(number: str) -> bool:
    """Resident registration number with its check digit."""
    check = (11 - weighted(number[:12], (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return kr(number) and check == int(number[12])


def baltic(number: str) -> bool:
    """Isikukood of Estonia and asmens kodas of Lithuania: other weights where the first give ten."""
    check = weighted(number[:10], (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    if check == 10:
        check = weighted(number[:10], (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11
    return dated(int(number[3:5]), int(number[5:7])) and check % 10 == int(number[10])


def bg(number: str) -> bool:
    """EGN: a date, months 20 or 40 more for other centuries."""
    rest = weighted(number[:9], (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11 % 10
    return dated(int(number[2:4]) % 20, int(number[4:6])) and rest == int(number[9])


def th(number: str) -> bool:
    """National identity number."""
    return number[0] != "0" and (11 - weighted(number[:12], tuple(range(13, 1, -1))) % 11) % 10 == int(number[12])


def tw(number: str) -> bool:
    """National identification number: the letter stands for two digits."""
    letter = "ABCDEFGHJKLMNPQRSTUVXYWZIO".find(number[0]) + 10
    digits = f"{letter}{number[1:]}"
    return number[1] in "1289" and weighted(digits, (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)) % 10 == 0


def gb_nhs(number: str) -> bool:
    """NHS number: by 11."""
    return mod_11(range(10, 1, -1))(number)
