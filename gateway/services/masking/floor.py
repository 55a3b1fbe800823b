"""Secrets by name: what is never shown of stored requests, traces and audit records, whatever is configured.

Where `pii_masking` (or a processor of somebody's own) masks secrets, it decides; this is for where nobody does.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

REPLACED: Final = "[secret]"
MOST_LEVELS: Final = 32
"""Levels of nested values that are looked into; what lies deeper is not shown."""

_USUAL: Final = 64
"""Characters of a name that is remembered once it was judged: the same few stand in every record."""

# fmt: off
WORDS: Final = (
    "authorization", "cookie", "cookies", "password", "passwd", "passphrase", "passwort", "kennwort", "pwd", "pass",
    "secret", "secrets", "token", "jwt", "bearer", "credential", "credentials", "apikey", "accesskey",
    "accesskeyid", "secretkey", "privatekey", "signingkey", "encryptionkey", "masterkey", "authkey", "accountkey",
    "sharedkey", "sessionid", "sessid", "sid", "session", "otp", "totp", "pin", "cvv", "cvc", "csc", "cardnumber",
    "pan", "auth", "xsrf", "csrf", "signature", "assertion", "samlresponse", "clientsecret", "codeverifier",
    "connectionstring",
)
# fmt: on
"""Names without letter case and signs."""
_NAMES: Final = frozenset(WORDS)
_WHOLE_ONLY: Final = frozenset({"pass", "sid", "pin", "pan", "csc", "session", "auth", "cookies"})
"""These end too many other words: `compass`, `Japan`."""
_ENDS: Final = tuple(each for each in WORDS if each not in _WHOLE_ONLY)
_SIGNS: Final = str.maketrans("", "", "-_. []$:")
_IN_TEXT: Final = re.compile(
    # A name in a text, what parts it from its value, and the value: quoted, after an authentication scheme, or a word.
    r"""(?ix)
    (?P<name> [a-z0-9_.$-]{2,64} )
    (?P<between> ["']? \s{0,4} (?: = | : ) \s{0,4} )
    (?P<value> "(?:[^"\\]|\\.){0,4096}"? | '(?:[^'\\]|\\.){0,4096}'?
      | (?:basic|bearer|digest|token|negotiate|apikey|aws4-hmac-sha256) [ ]+ [^"'\r\n]{1,4096}
      | [^\s"'&;,<>{}()]{1,4096} )
    """
)
_HEADER_LINE: Final = re.compile(r"(?im)^(?:set-)?cookie2?: *(.{1,8192})$")
_IN_URL: Final = re.compile(r"(?i)(?<=://)[^\s/?#@:\"'<>]{0,256}:[^\s/?#@\"'<>]{1,512}(?=@)")
_ELEMENT: Final = re.compile(r"(?i)<(?P<name>[a-z0-9_.:-]{2,64})(?:\s[^<>]{0,256})?>(?P<value>[^<>]{1,4096})(?=</)")


def is_secret(name: str) -> bool:
    """Whether what stands under this name opens doors: a header, parameter, form or JSON field, in any spelling."""
    return _is_secret(name) if len(name) <= _USUAL else _is_secret.__wrapped__(name)


@lru_cache(maxsize=2048)
def _is_secret(name: str) -> bool:
    plain = name.lower().translate(_SIGNS).rstrip("0123456789")
    return plain in _NAMES or plain.endswith(_ENDS)


def floor_value(name: str, value: Any, depth: int = 0) -> Any:
    """A value, and those inside it, without secrets."""
    if is_secret(name) and value is not None and not isinstance(value, bool):
        return REPLACED
    if isinstance(value, str):
        return floor_text(value)
    if depth >= MOST_LEVELS:
        return REPLACED if isinstance(value, dict | list | tuple) else value
    if isinstance(value, dict):
        return {key: floor_value(str(key), each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [floor_value("", each, depth + 1) for each in value]
    return value


def floor_text(text: str) -> str:
    """A text without what names itself a secret in it: ``password=…``, ``"token": "…"``, ``https://u:p@host``."""
    if ":" not in text and "=" not in text and "<" not in text:
        return text  # nothing in it can name anything: most texts, and the patterns cost microseconds
    text = _HEADER_LINE.sub(lambda found: found[0][: found.start(1) - found.start()] + REPLACED, text)
    text = _IN_URL.sub(REPLACED, text)
    text = _ELEMENT.sub(_element, text)
    return _IN_TEXT.sub(_named, text)


def _named(found: re.Match[str]) -> str:
    return f"{found['name']}{found['between']}{_in_place_of(found['value'])}" if is_secret(found["name"]) else found[0]


def _in_place_of(value: str) -> str:
    mark = value[0] if value[0] in "\"'" else ""
    return f"{mark}{REPLACED}{mark}"


def _element(found: re.Match[str]) -> str:
    if not is_secret(found["name"].rpartition(":")[2]):
        return found[0]
    return found[0][: found.start("value") - found.start()] + REPLACED
