"""Bodies as the values that schemas speak of: JSON, forms, and the text parts of multipart forms."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote_plus, unquote_plus

from gateway.errors import PayloadTooLarge
from gateway.plugin.openapi import Misspelt, decode_pairs, pairs_of
from plugins.request_validation.compiled import CheckedMedia, is_json
from plugins.request_validation.strict import Unreadable, read_json

FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
MOST_PARTS: Final = 1000
LARGEST_HEAD: Final = 8192
"""Bytes of one part's head."""
CODINGS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 47}
"""Content codings that are undone to look inside, with the window that zlib wants (47: zlib's own or gzip's)."""


@lru_cache(maxsize=256)
def media_type(value: str) -> tuple[str, Mapping[str, str]]:
    """A ``Content-Type`` apart: the type in lower case, and its parameters (RFC 9110 §8.3.1)."""
    kind, _, rest = value.partition(";")
    return kind.strip().lower(), _parameters(rest)


_PARAMETER: Final = re.compile(r';?[ \t]*([A-Za-z0-9!#$%&\'*+.^_`|~-]+)=(?:"((?:[^"\\]|\\.)*)"|([^";,\s]*))')


def _parameters(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, quoted, token in _PARAMETER.findall(text[:2048]):
        found.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) if quoted else token)
    return found


def looked_into(kind: str) -> bool:
    """Whether there is a reader for bodies of this type; others are only known to be there."""
    return kind in (FORM, MULTIPART) or is_json(kind)


def inflate(data: bytes, coding: str, limit: int) -> bytes:
    """A body without its content coding. Raises Unreadable; PayloadTooLarge beyond ``limit`` bytes."""
    try:
        work = zlib.decompressobj(CODINGS[coding])
        plain = work.decompress(data, limit + 1)
        if len(plain) > limit:
            raise PayloadTooLarge
        if not work.eof or work.unused_data:
            raise Unreadable(f"not one whole {coding} stream")
    except zlib.error:
        raise Unreadable(f"not {coding}") from None
    return plain


def decode(data: bytes, kind: str, parameters: Mapping[str, str], media: CheckedMedia, deepest: int) -> Any:
    """The value of a body. Raises Unreadable."""
    if is_json(kind):
        if parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
            raise Unreadable("JSON is UTF-8 (RFC 8259 §8.1)")
        return read_json(data, deepest)
    try:
        if kind == FORM:
            return _form(pairs_of(_text(data).strip("\r\n")), media)
        return _multipart(data, parameters.get("boundary", ""), media, deepest)
    except Misspelt as error:
        raise Unreadable(str(error)) from None


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8 text") from None


def _form(pairs: Sequence[tuple[str, str]], media: CheckedMedia) -> dict[str, Any]:
    found: dict[str, Any] = {}
    prefixes = []
    for name, parameter in media.parameters.items():
        try:
            candidates = decode_pairs(parameter, media.shape.within(name), pairs)
        except Misspelt as error:
            raise Unreadable(f"{name}: {error}") from None
        if parameter.style == "deepObject":
            prefixes.append(name + "[")
        if candidates:
            found[name] = _best(media, name, candidates)
    for name, value in pairs:
        known = name in media.parameters or name.removesuffix("[]") in media.parameters
        if not known and not name.startswith(tuple(prefixes)):
            found[name] = media.shape.within(name).read(unquote_plus(value))
    return found


def _best(media: CheckedMedia, name: str, candidates: Sequence[Any]) -> Any:
    """The likeliest reading; where a text is one of them and the others are wrong, the validator says so of the whole,
    so the first that fits alone is taken.
    """
    if len(candidates) == 1 or media.validator is None:
        return candidates[0]
    for candidate in candidates:
        errors = media.validator.failures({name: candidate})
        if errors is not None and not any(list(error.instance_path)[:1] == [name] for error in errors):
            return candidate
    return candidates[0]


def _multipart(data: bytes, boundary: str, media: CheckedMedia, deepest: int) -> dict[str, Any]:
    """The form in a multipart body (RFC 7578). A file is there, and is not looked into: it reads as an empty text."""
    pairs: list[tuple[str, str]] = []
    found: dict[str, Any] = {}
    for name, kind, is_file, content in parts_of(data, boundary):
        if is_file or not (kind.startswith("text/") or is_json(kind)):
            _add(
                found, name, "", listed="array" in media.shape.within(name).types - {"string"} and _is_list(media, name)
            )
        elif is_json(kind) or media.shape.within(name).types == {"object"}:
            _add(found, name, read_json(content, deepest), listed=_is_list(media, name))
        else:
            # Undecoded text goes the way of a form's, where it is decoded.
            pairs.append((name, quote_plus(_text(content))))
    return {**_form(pairs, media), **found}


def _is_list(media: CheckedMedia, name: str) -> bool:
    types = media.shape.within(name).types
    return "array" in types and "string" not in types


def _add(found: dict[str, Any], name: str, value: Any, *, listed: bool) -> None:
    if listed:
        found.setdefault(name, []).extend(value if isinstance(value, list) else [value])
    elif name in found:
        raise Misspelt(f"{name[:100]}: given more than once")
    else:
        found[name] = value


def parts_of(data: bytes, boundary: str) -> list[tuple[str, str, bool, bytes]]:
    """Name, media type, whether it is a file, and content of each part (RFC 2046 §5.1). Raises Unreadable."""
    if not 1 <= len(boundary) <= 70:
        raise Unreadable("no boundary")
    delimiter = b"\r\n--" + boundary.encode("utf-8", "surrogateescape")
    pieces = (b"\r\n" + data).split(delimiter, MOST_PARTS + 2)
    if len(pieces) > MOST_PARTS + 2:
        raise Unreadable(f"more than {MOST_PARTS} parts")
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise Unreadable("not a whole multipart body")
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece: bytes) -> tuple[str, str, bool, bytes]:
    line, separator, rest = piece.partition(b"\r\n")
    if line.strip(b" \t") or not separator:
        raise Unreadable("a malformed boundary")
    head, separator, content = (b"\r\n" + rest).partition(b"\r\n\r\n")
    if not separator or len(head) > LARGEST_HEAD:
        raise Unreadable("a part without an end to its head, or with a large one")
    disposition, kind = "", "text/plain"
    for field in head.decode("utf-8", "surrogateescape").split("\r\n"):
        name, _, value = field.partition(":")
        if name.strip().lower() == "content-disposition":
            disposition = value
        elif name.strip().lower() == "content-type":
            kind = media_type(value)[0]
    way, _, rest_of = disposition.partition(";")
    parameters = _parameters(rest_of)
    if way.strip().lower() != "form-data" or "name" not in parameters:
        raise Unreadable("a part without a name")
    return parameters["name"], kind, "filename" in parameters or "filename*" in parameters, content
