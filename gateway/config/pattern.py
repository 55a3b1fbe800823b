"""Checks of the small languages inside routing settings: paths with parameters, regular expressions, hosts, names.

Each takes the text as written and returns it (or its one spelling), or raises `gateway.plugin.settings.expected`.
Paths are held to what `gateway.http.path` makes a normal form of without changing its meaning.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.plugin.settings import expected

MAX_LENGTH: Final = 2048
"""Characters of a pattern."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_PARAMETER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}")
PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_IPV6: Final = re.compile(r"\[[0-9a-f:.]{2,45}\]")
_TWICE: Final = re.compile(r"%25(?:[0-9A-Fa-f]|%3[0-9]|%[46][1-6]){2}")
_GROUP: Final = re.compile(r"\((?:\?(?:P<[^>]*>|[:=!]|<[=!]|[a-z-]*:))?([^()]*)\)(?:(\*|\+|\{)(?!\+))?")
_URL: Final = re.compile(r"(https?)://([^/?#]*)(/.*)?", re.DOTALL)


def check_exact(text: str) -> str:
    """A literal path."""
    if "{" in text or "}" in text:
        raise expected("a path without {}; a path with parameters is written as plain text")
    _check_path(text)
    return text


def check_segments(text: str) -> str:
    """A path of which a ``{name}`` fills whole segments, ``{name...}`` the rest."""
    names = []
    segments = text.split("/")
    for number, segment in enumerate(segments):
        if "{" not in segment and "}" not in segment:
            continue
        found = _PARAMETER.fullmatch(segment)
        if found is None:
            raise expected("{name} as a whole segment, as in /users/{id}; for a part of one there is {regex: …}")
        if found[2] and number != len(segments) - 1:
            raise expected("{name...} at the end only")
        names.append(found[1])
    if len(set(names)) < len(names):
        raise expected("each parameter once")
    _check_path(_PARAMETER.sub("x", text))
    return text


def check_template(text: str) -> str:
    """A path with ``{name}`` anywhere in it."""
    filled = PLACEHOLDER.sub("x", text)
    if "{" in filled or "}" in filled:
        raise expected("parameters as {name}")
    _check_path(filled)
    return text


def check_location(text: str) -> str:
    """A path template, or an http(s) URL with one; a query without parameters may follow."""
    path = text
    if (url := _URL.fullmatch(text)) is not None:
        name, _, port = url[2].rpartition(":") if re.search(r":[0-9]*$", url[2]) else (url[2], "", "80")
        check_host(name)
        if name.startswith("*") or not port.isdecimal() or not 0 < int(port) < 65536:
            raise expected("a URL with a fixed host, as in https://shop.example.com/new/{id}")
        path = url[3] or "/"
    path, _, query = path.partition("?")
    if re.search(r"[^!-~]|[{}#\"<>\\]", query):
        raise expected("a query of visible ASCII characters without parameters")
    check_template(path)
    return text


def _check_path(text: str) -> None:
    if not text.startswith("/"):
        raise expected("a path that begins with /")
    if len(text) > MAX_LENGTH:
        raise expected(f"at most {MAX_LENGTH} characters")
    if "?" in text or "#" in text:
        raise expected("a path without ? and #; a query is matched under `query`")
    if "\\" in text or not text.isprintable() or " " in text:
        raise expected("a path without backslash, space or control character (a space is written %20)")
    segments = text.split("/")
    if "" in segments[1:-1]:
        raise expected("a path without //: empty segments are removed from requests")
    if {"*", "**"} & set(segments):
        raise expected("a path without *: one that ends in / is a prefix, {name} takes one segment, {name...} the rest")
    if re.search(r"%(?![0-9A-Fa-f]{2})|%[01][0-9A-Fa-f]|%7[Ff]", text):
        raise expected("% only before two hex digits that do not encode a control character")
    if _TWICE.search(text):
        raise expected("a path that is not encoded twice")
    for segment in re.split(r"/|%2f|%5c", text, flags=re.IGNORECASE):
        if _decoded(segment).partition(";")[0].rstrip(" ") in (".", ".."):
            raise expected("a path without dot segments")


def _decoded(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        raise expected("encoded bytes that are UTF-8") from None


def check_regex(text: str) -> str:
    """A regular expression over ASCII."""
    if len(text) > MAX_LENGTH:
        raise expected(f"at most {MAX_LENGTH} characters")
    if not text.isascii():
        raise expected("ASCII: in the normal form of a path other characters are percent-encoded, é is %C3%A9")
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise expected(f"a regular expression ({error})") from None
    return text


def backtracks(text: str) -> bool:
    """Whether a regular expression repeats what repeats (``(a+)+``): it may take time exponential in the length.

    A guess for a warning: a repetition that begins with ``/`` is divided by it and does no harm.
    """
    plain = re.sub(r"\[\^?\]?[^\]]*\]", "x", re.sub(r"\\.", "x", text))
    while (group := _GROUP.search(plain)) is not None:
        inside, repeated = group[1], group[2] in ("*", "+", "{")
        repeats = re.search(r"(?<![*+?}])[*+](?!\+)|\{[0-9]*,\}", inside) is not None
        if repeated and repeats and not inside.startswith("/"):
            return True
        plain = plain[: group.start()] + ("x+" if repeats or repeated else "x") + plain[group.end() :]
    return False


def placeholders(text: str) -> list[str]:
    """The parameters' names in a path pattern."""
    return [found[1] for found in _PARAMETER.finditer(text)]


def template_parameters(text: str) -> list[str]:
    """The parameters' names in a rewrite or redirect template."""
    return [found[1] for found in PLACEHOLDER.finditer(text)]


def regex_groups(text: str) -> list[str]:
    """The named groups of a regular expression."""
    return list(re.compile(text).groupindex)


def check_host(text: str) -> str:
    """A host name without port, lower case, or ``*.`` and one."""
    host = text.strip().rstrip(".")
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise expected("a host name") from None
    host = host.lower()
    if _IPV6.fullmatch(host):
        return host
    if ":" in host:
        raise expected("a host name without scheme and port: the port is not compared")
    labels = host.removeprefix("*.").split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise expected("a host name, or *. and a host name")
    return host


def check_target(text: str) -> str:
    """``target``, ``preserve`` or a host, perhaps with port."""
    if text in ("target", "preserve"):
        return text
    name, colon, port = text.rpartition(":") if re.search(r":[0-9]+$", text) else (text, "", "")
    host = check_host(name)
    if host.startswith("*") or (colon and not 0 < int(port) < 65536):
        raise expected("target, preserve, or a fixed host")
    return host + colon + port


def check_method(text: str) -> str:
    """A method; upper case, as all registered ones are (methods compare with case, RFC 9110 §9.1)."""
    if not _TOKEN.fullmatch(text):
        raise expected("a method, such as GET")
    return text.upper()


def check_header_name(text: str) -> str:
    """A field name (RFC 9110 §5.1)."""
    if not _TOKEN.fullmatch(text):
        raise expected("a header field's name")
    return text
