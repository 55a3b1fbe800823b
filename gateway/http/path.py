r"""The one form of a path that is matched, seen by plugins and forwarded.

A proxy is walked around when it reads a path in one way and the service behind it in another: the request takes the
route (and the plugins) of one reading and gets the answer of the other. So `normalize` either turns a path into a form
that has one reading, or refuses it with `MalformedPath` (400); the result is what every later step sees, the target
included. §6.2.2 and others are RFC 3986's; "9110" is RFC 9110.

=============================  ==========  =====================================================================
in the request                 here        why
=============================  ==========  =====================================================================
nothing at all                 ``/``       9110 §4.2.3: an empty path is the same resource
not beginning with ``/``       refused     not an origin-form (RFC 9112 §3.2.1)
``/./`` ``/../``               removed     §5.2.4, §6.2.2.3; the client that sent it gets what it asked for
``..`` above the root          refused     §5.2.4 would drop it; no honest client sends it, and targets differ
``//``                         one ``/``   §3.3 allows empty segments, but most services merge them, and a client that
                                           joins two parts carelessly is common
``%61`` ``%7E`` ``%2e``        decoded     §6.2.2.2: unreserved characters are the same when encoded. Before the dot
                                           segments go, so ``%2e%2e`` goes with them
``%3a``                        ``%3A``     §6.2.2.1: the case of the hex digits means nothing
``%20 %3A %40 %2B %C3%A9``     kept        §2.2, §2.4: encoded reserved characters and data are the service's own. For
                                           comparison only, `comparable` reads ``%3A`` as ``:`` and so on
``%2F`` ``%5C``                refused     §2.2: not a separator, but many services decode before they split. With
                                           ``encoded_slash: keep`` a byte of its segment like any other, except next to
                                           a dot segment (``..%2F``), which stays refused
``\``                          refused     not a path character (§3.3); some services read it as ``/``
``;``                          refused     §3.3: parameters of a segment. Servlet containers cut them off before they
                                           route (``/admin;x`` is ``/admin``), others do not: two readings. With
                                           ``path_parameters: keep`` data, except after a dot segment (``..;``)
``%00`` … ``%1F`` ``%7F``      refused     no honest path has them; they cut strings short and split lines
control bytes, space, ``#``    refused     not allowed in a request target (RFC 9112 §3.2); ``?`` never gets here
``%zz`` ``%4`` ``%u002f``      refused     not an encoding (§2.1)
invalid or overlong UTF-8      refused     ``%C0%AF`` is ``/`` to a careless decoder, and a cut sequence swallows the
                                           ``/`` after it (RFC 3629 §10). Latin-1 paths are refused with it
raw UTF-8                      encoded     RFC 3987 §3.1: what a client sends that forgot to encode
``" < > [ ] ^ ` { | }``        encoded     §2.4, for the same reason
``%252e`` ``%252F`` ``%2561``  refused     encoded twice: ``.``, ``/``, letters for a service that decodes twice, at any
                                           depth. What has an honest use twice (``%2520``, ``%25C3``) is kept, and
                                           ``%252F`` with ``encoded_slash: keep``
``..%20`` ``..%3B``            refused     a dot segment to Windows and to servlet containers
``/Admin`` for ``/admin``      as it is    9110 §4.2.3: case is significant. Where a service thinks otherwise (IIS,
                                           Express), the table is built with ``ignore_case``
=============================  ==========  =====================================================================

Cost: a path that is normal and has no ``%`` takes one match in C and two substring searches; a normal one with
``%`` takes a longer match. Only what has to be changed is taken apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Never
from urllib.parse import unquote_to_bytes

from gateway.errors import MalformedPath

_UNRESERVED: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"  # §2.3
_DELIMITERS: Final = "!$&'()*+,:=@"
"""What may stand raw in a segment (§3.3 pchar), without ``;``: these mean the same encoded to most services."""


@dataclass(frozen=True, slots=True)
class PathPolicy:
    """What a route lets through that is refused otherwise; see the table above."""

    encoded_slash: bool = False
    path_parameters: bool = False


STRICT: Final = PathPolicy()

_plain: Final = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,:=@/]*").fullmatch
_already: Final = re.compile(
    r"/(?:[A-Za-z0-9\-._~!$&'()*+,:=@/]++"
    r"|%(?:2[0-46-9A-C]|3[A-F]|40)"  # space and delimiters; %25 needs a look at what follows it
    # UTF-8 of two, three and four bytes (RFC 3629 §4)
    r"|%(?:C[2-9A-F]|D[0-9A-F])%[89AB][0-9A-F]"
    r"|%(?:E0%[AB]|E[1-9A-CEF]%[89AB]|ED%[89])[0-9A-F]%[89AB][0-9A-F]"
    r"|%(?:F0%[9AB]|F[1-3]%[89AB]|F4%8)[0-9A-F]%[89AB][0-9A-F]%[89AB][0-9A-F])*+"
).fullmatch
_dotted: Final = re.compile(r"/\.\.?(?:%20)*(?:/|%3B|$)").search
_forbidden: Final = re.compile(r"[\x00-\x20\x7f\\#?]|%(?![0-9A-Fa-f]{2})|%[01][0-9A-Fa-f]|%7[Ff]").search
_bare: Final = re.compile(rb"[^A-Za-z0-9\-._~!$&'()*+,:=@/;%]")
_escape: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_high: Final = re.compile(r"%[89A-F]").search
_twice: Final = re.compile(
    # ``%25`` at any depth before two digits that decode to a control, an unreserved character, a slash or a backslash.
    r"%(?:25)+(?:[01][0-9a-f]|2[def]|3[0-9]|4[1-9a-f]|5[0-9acf]|6[1-9a-f]|7[0-9aef])",
    re.IGNORECASE,
).search
_twice_but_slash: Final = re.compile(
    r"%(?:25)+(?:[01][0-9a-f]|2[de]|3[0-9]|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9aef])", re.IGNORECASE
).search
_hidden_dots: Final = re.compile(
    r"(?:/|%2F|%5C|%(?:25)+(?:2F|5C))\.\.?(?:%20)*(?=/|%2F|%5C|%(?:25)+(?:2F|5C)|;|%3B|$)",
    re.IGNORECASE,
).search
_delimiter: Final = re.compile("%(?:" + "|".join(f"{ord(c):02X}" for c in _DELIMITERS) + ")")

_NORMAL: Final = {f"%{byte:02X}": f"%{byte:02X}" for byte in range(256)} | {f"%{ord(c):02X}": c for c in _UNRESERVED}
_RAW: Final = {f"%{ord(c):02X}": c for c in _DELIMITERS}


def normalize(path: str, policy: PathPolicy = STRICT) -> str:
    """The normal form of a request target's path (without query). Raises MalformedPath.

    ``path`` is as on the wire; bytes that are not UTF-8 may be lone surrogates (surrogateescape).
    """
    if _plain(path) and "//" not in path and "/." not in path:
        return path
    return _normalize(path, policy)


def _normalize(path: str, policy: PathPolicy) -> str:
    if _already(path) and "//" not in path and not _dotted(path):
        return path
    if not path:
        return "/"
    if path[0] != "/":
        _refuse("a path begins with /")
    if _forbidden(path):
        _refuse("a character that a path cannot hold")
    if ";" in path and not policy.path_parameters:
        _refuse("; in the path")
    if not _plain(path):
        path = _encode(path, policy)
    if "//" in path or "/." in path:
        path = _flatten(path)
        if _hidden_dots(path):
            _refuse("a disguised dot segment")
    elif "%" in path and _hidden_dots(path):
        _refuse("a disguised dot segment")
    return path


def _encode(path: str, policy: PathPolicy) -> str:
    """Each character in its one spelling (§6.2.2.1, §6.2.2.2)."""
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        _refuse("bytes that are not UTF-8")
    path = _bare.sub(lambda found: b"%%%02X" % found[0][0], raw).decode("ascii")
    if "%" not in path:
        return path
    path = _escape.sub(lambda found: _NORMAL[found[0].upper()], path)
    if not policy.encoded_slash and ("%2F" in path or "%5C" in path):
        _refuse("an encoded slash or backslash")
    if "%25" in path and (_twice_but_slash if policy.encoded_slash else _twice)(path):
        _refuse("a character encoded twice")
    if _high(path):
        try:
            unquote_to_bytes(path).decode()
        except UnicodeDecodeError:
            _refuse("bytes that are not UTF-8")
    return path


def _flatten(path: str) -> str:
    """Without dot segments and empty ones (§5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            if not kept:
                _refuse("a path above the root")
            kept.pop()
        elif segment not in ("", "."):
            kept.append(segment)
    if segments[-1] in ("", ".", "..") and kept:
        kept.append("")
    return "/" + "/".join(kept)


def comparable(path: str) -> str:
    """A normal path as it is compared: encoded delimiters (``%3A``) read as themselves. Same segments.

    What is forwarded stays as it was. Routes, and whatever else compares paths with configured ones, must use this, or
    ``/v1/items%3Adelete`` walks around the route of ``/v1/items:delete``.
    """
    return _delimiter.sub(lambda found: _RAW[found[0]], path) if "%" in path else path


def allows(policy: PathPolicy, path: str) -> bool:
    """Whether a path that is normal under a laxer policy is so under this one."""
    if ";" in path and not policy.path_parameters:
        return False
    if "%" not in path or policy.encoded_slash:
        return True
    return not ("%2F" in path or "%5C" in path or _twice(path))


def _refuse(why: str) -> Never:
    raise MalformedPath(reason=why)
