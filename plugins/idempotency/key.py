"""The key of a request, whose it is, and what the request is told apart by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Final

import http_sf

from gateway.http import Request
from gateway.plugin.template import compile_template, tenant_of
from plugins.idempotency.settings import PRINCIPAL

_DIGEST: Final = 20
_CREDENTIALS: Final = ("Authorization", "X-API-Key")
_BARE: Final = frozenset(map(chr, range(0x21, 0x7F))) - frozenset('",;')


def parse_key(lines: Sequence[str], *, bare: bool, longest: int) -> str:
    """The key in a field: a Structured Field Item that is a String (RFC 9651 §3.3.3), or as it stands if ``bare``.

    Raises ValueError, with a sentence for the client. Parameters are let pass and mean nothing.
    """
    if len(lines) != 1:
        raise ValueError("There must be one key.")
    text = lines[0].strip()
    if len(text) > 2 * longest + 1000:
        raise ValueError(f"A key may have {longest} characters.")
    if bare and not text.startswith('"'):
        if not set(text) <= _BARE:
            raise ValueError("A key without quotation marks is printable ASCII without blanks, commas, semicolons.")
        key = text
    else:
        try:
            item: Any = http_sf.parse(text.encode("ascii"), tltype="item")
        except (ValueError, UnicodeEncodeError):
            raise ValueError('The key must be a string in quotation marks, such as "8e03978e-40d5".') from None
        key = item[0]
        if type(key) is not str:  # a token, and a display string, are kinds of str
            raise ValueError('The key must be a string in quotation marks, such as "8e03978e-40d5".')
    if not key:
        raise ValueError("The key must not be empty.")
    if len(key) > longest:
        raise ValueError(f"A key may have {longest} characters.")
    return key


def caller_of(setting: str) -> Callable[[Request], tuple[str, ...]]:
    """Reads whom a key belongs to."""
    if setting != PRINCIPAL:
        read = compile_template(setting)
        return lambda request: ("t", read(request))
    return _principal


def _principal(request: Request) -> tuple[str, ...]:
    principal = request.principal
    if principal is not None:
        return ("p", tenant_of(request) or "", principal.id)
    # The target authenticates by itself: two callers who think of the same key must not see each other's answers.
    # Cookies are no part of it: they change between two tries, and a repetition must not look like somebody else's.
    given = [f"{name}:{value}" for name in _CREDENTIALS for value in request.headers.getall(name, ())]
    return ("a", tenant_of(request) or "", *given)


def whose(principal: str) -> str:
    """How what is kept of a principal begins: a digest by which it is found to be erased, and not read."""
    return blake2b(principal.encode("utf-8", "surrogateescape"), digest_size=10, person=b"principal").hexdigest() + "."


def subject(caller: Sequence[str], key: str) -> str:
    """What the key of this caller is kept under: a digest, for keys may be guessed and callers are private."""
    return _digest([part.encode("utf-8", "surrogateescape") for part in (*caller, key)]).hex()


def fingerprint(request: Request, body: bytes, fields: Sequence[str], owner: str) -> bytes:
    """What must be the same when a key comes again. ``owner`` (the `subject`) is mixed in, so that nobody who reads the
    store can try out short bodies without knowing the key.
    """
    parts = [owner, request.method, request.path, request.query]
    for name in fields:
        values = request.headers.getall(name, ())
        parts += [str(len(values)), *values]
    return _digest([*[part.encode("utf-8", "surrogateescape") for part in parts], body])


def _digest(parts: Sequence[bytes]) -> bytes:
    made = blake2b(digest_size=_DIGEST)
    for part in parts:  # each with its length, so that no two lists make the same text
        made.update(b"%d:" % len(part))
        made.update(part)
    return made.digest()
