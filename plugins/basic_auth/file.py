"""Files of users and groups, as Apache's ``htpasswd`` and ``AuthGroupFile`` have them, and what is refused in them.

Taken are bcrypt (``htpasswd -B``) and Argon2. The rest is refused with its line, rather than skipped or taken: an
unsalted ``{SHA}``, ``$apr1$`` (MD5), ``crypt`` or a password in the open is found in no time once the file is lost, and
would make the file's other hashes worth as little, because people use a password in more than one place.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import argon2
import bcrypt

from gateway.plugin.document import read_limited

LARGEST: Final = 8 * 1024 * 1024
"""Bytes of a file, some hundred thousand users."""
DEAREST_BCRYPT: Final = 15
"""Cost that is taken: 2^15 rounds are a second or two; 2^31 are a day."""
MOST_MEMORY: Final = 256 * 1024
"""KiB that an Argon2 hash may ask for."""
MOST_PASSES: Final = 16
BCRYPT_READS: Final = 72
"""Bytes of a password; `htpasswd` lets the rest fall, and so must who checks its hashes."""

_BCRYPT: Final = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_WEAK: Final = ("$apr1$", "{SHA}", "$1$", "$5$", "$6$", "{SSHA}", "$2x$")
_ARGON2: Final = argon2.PasswordHasher()


@dataclass(frozen=True, slots=True)
class User:
    """A line of the file."""

    name: str
    hash: str
    groups: frozenset[str] = frozenset()


def read_users(path: Path, groups: Path | None = None) -> dict[str, User]:
    """Users by name. Raises ValueError with file and line; its text repeats no hash."""
    of_user = _read_groups(groups) if groups is not None else {}
    found: dict[str, User] = {}
    for number, line in _lines(path):
        name, colon, rest = line.partition(":")
        stored = rest.partition(":")[0].strip()
        name = normal(name)
        try:
            if not colon or not name:
                raise ValueError("expected name:hash")
            if name in found:
                raise ValueError(f"the user {name!r} stands twice")
            check_hash(stored)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        found[name] = User(name, stored, of_user.get(name, frozenset()))
    return found


def _read_groups(path: Path) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for number, line in _lines(path):
        group, colon, members = line.partition(":")
        if not colon or not group.strip() or " " in group.strip():
            raise ValueError(f"{path}:{number}: expected group: user user …")
        for member in members.split():
            found.setdefault(normal(member), set()).add(group.strip())
    return {name: frozenset(groups) for name, groups in found.items()}


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = read_limited(path, LARGEST, regular=True).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ValueError(f"cannot read {path}: {why}") from None
    return [
        (number, line.rstrip("\r"))
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]


def normal(text: str) -> str:
    """The one form of names and passwords (RFC 7617 §2.1, RFC 8265): what looks alike and is typed alike is one."""
    return unicodedata.normalize("NFC", text)


def check_hash(stored: str) -> None:
    """Raises ValueError for a hash that is not taken."""
    found = _BCRYPT.fullmatch(stored)
    if found is not None:
        if not 4 <= int(found[1]) <= DEAREST_BCRYPT:
            raise ValueError(f"a bcrypt cost from 4 to {DEAREST_BCRYPT} is taken")
        return
    if stored.startswith("$argon2"):
        _check_argon2(stored)
        return
    if stored.startswith(_WEAK):
        kind = next(prefix for prefix in _WEAK if stored.startswith(prefix))
        raise ValueError(f"{kind} hashes are not taken because they are soon guessed; make a new one: htpasswd -B")
    raise ValueError("neither a bcrypt nor an Argon2 hash; make one: htpasswd -B")


def _check_argon2(stored: str) -> None:
    try:
        asked = argon2.extract_parameters(stored)
    except argon2.exceptions.InvalidHashError:
        raise ValueError("an Argon2 hash that cannot be read") from None
    if asked.memory_cost > MOST_MEMORY or asked.time_cost > MOST_PASSES or asked.parallelism > MOST_PASSES:
        raise ValueError(f"Argon2 with at most {MOST_MEMORY // 1024} MiB and {MOST_PASSES} passes and lanes is taken")


def verifies(stored: str, password: bytes) -> bool:
    """Whether a hash is of this password. Takes its time, without the interpreter's lock."""
    if stored.startswith("$argon2"):
        try:
            return _ARGON2.verify(stored, password)
        except (argon2.exceptions.Argon2Error, argon2.exceptions.InvalidHashError):
            return False
    try:
        return bcrypt.checkpw(password[:BCRYPT_READS], stored.encode())
    except ValueError:  # a salt that only looks like one
        return False
