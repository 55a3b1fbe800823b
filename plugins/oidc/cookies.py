"""The cookies: what they are called, how a large value is spread over several, and how they are written.

| cookie | holds |
|---|---|
| `__Host-<name>` | the session, or which one of the store |
| `__Host-<name>.1` … | the rest of it |
| `__Host-<name>-login-<id>` | one login that is under way; several tabs have several |

Without TLS there is no `__Host-` (browsers would refuse it), and no `Secure`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from gateway.http import Request

CHUNK: Final = 3600
"""Characters of a value: browsers keep cookies of 4096 bytes, name and attributes included (RFC 6265 §6.1)."""
MOST_CHUNKS: Final = 6
"""More would be longer than the heads that most servers, and this one, take."""
MOST_LOGINS: Final = 5
"""Logins under way in one browser: the oldest make room."""


class TooLarge(Exception):
    """A session that does not fit into cookies."""


class Given:
    """Our cookies in a request."""

    __slots__ = ("logins", "parts", "session")

    def __init__(self) -> None:
        self.session = ""
        """The value, put together again; empty if there is none, or if it is torn."""
        self.parts = 0
        """The highest number of a part, plus one; zero if there is none."""
        self.logins: dict[str, str] = {}
        """By id."""


class Cookies:
    """Names and attributes of one plugin's cookies."""

    __slots__ = ("_attributes", "_lower", "_name", "_secure_name")

    def __init__(self, name: str, same_site: str) -> None:
        self._name = name
        self._secure_name = f"__Host-{name}"
        self._lower = (name.lower(), self._secure_name.lower())
        self._attributes = f"; Path=/; HttpOnly; SameSite={same_site.capitalize()}"

    def name(self, *, secure: bool) -> str:
        """Of the session's first cookie."""
        return self._secure_name if secure else self._name

    def ours(self, name: str) -> bool:
        """Nobody else's cookie is called so, however it is spelt: what begins like ours never reaches the target."""
        return name.lower().startswith(self._lower)

    def take(self, request: Request, *, secure: bool) -> Given:
        """Read our cookies, and take them out of the request with all that look like them."""
        given = Given()
        lines = request.headers.getall("Cookie", ())
        if not lines:
            return given
        name = self.name(secure=secure)
        login, part = f"{name}-login-", f"{name}."
        parts: dict[int, str] = {}
        twice = False
        kept: list[list[str]] = []
        for line in lines:
            others = []
            for pair in line.split(";"):
                key, _, value = pair.strip(" \t").partition("=")
                key = key.rstrip(" \t")
                if not self.ours(key):
                    others.append(pair)
                    continue
                number = 0 if key == name else _number(key.removeprefix(part)) if key.startswith(part) else None
                if number is not None:
                    # Two of one name: one is not ours (RFC 6265 §8.6), and nobody can say which.
                    twice = twice or number in parts
                    parts[number] = value
                elif key.startswith(login) and len(given.logins) < 100:
                    given.logins[key.removeprefix(login)] = value
            kept.append(others)
        if parts:  # at most ten, whatever a client makes up
            given.parts = max(parts) + 1
            if not twice and len(parts) == given.parts:
                given.session = "".join(parts[number] for number in range(given.parts))
        if sum(map(len, kept)) < sum(line.count(";") + 1 for line in lines):
            headers = request.edit_headers()
            headers.popall("Cookie")
            for others in kept:
                if text := ";".join(others).strip(" \t"):
                    headers.add("Cookie", text)
        return given

    def session(self, sealed: bytes, given: Given | None, max_age: float, *, secure: bool) -> list[str]:
        """``Set-Cookie`` lines for a session; parts of a longer one before it go. Raises TooLarge."""
        text = base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
        chunks = [text[at : at + CHUNK] for at in range(0, len(text), CHUNK)]
        if len(chunks) > MOST_CHUNKS:
            raise TooLarge(f"{len(text)} characters")
        name = self.name(secure=secure)
        made = [
            self._line(f"{name}.{number}" if number else name, chunk, max_age, secure=secure)
            for number, chunk in enumerate(chunks)
        ]
        before = given.parts if given is not None else 0
        return made + [self._line(f"{name}.{each}", "", 0, secure=secure) for each in range(len(chunks), before)]

    def without_session(self, given: Given, *, secure: bool) -> list[str]:
        """Lines that take a session's cookies out of the browser."""
        name = self.name(secure=secure)
        return [self._line(f"{name}.{each}" if each else name, "", 0, secure=secure) for each in range(given.parts)]

    def login(self, login: str, sealed: bytes, max_age: float, *, secure: bool) -> str:
        """A line for a login that begins."""
        text = base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
        return self._line(f"{self.name(secure=secure)}-login-{login}", text, max_age, secure=secure, same_site="Lax")

    def without_logins(self, logins: list[str], *, secure: bool) -> list[str]:
        """Lines that take out logins that ended."""
        name = self.name(secure=secure)
        return [self._line(f"{name}-login-{each}", "", 0, secure=secure, same_site="Lax") for each in logins]

    def _line(self, name: str, value: str, max_age: float, *, secure: bool, same_site: str = "") -> str:
        attributes = f"; Path=/; HttpOnly; SameSite={same_site}" if same_site else self._attributes
        return f"{name}={value}{attributes}; Max-Age={int(max_age)}{'; Secure' if secure else ''}"


def _number(text: str) -> int | None:
    return int(text) if len(text) == 1 and text in "123456789" else None


def decoded(text: str) -> bytes | None:
    """The value of one of our cookies; None if it is none."""
    if "+" in text or "/" in text:
        return None
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
