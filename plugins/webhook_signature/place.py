"""Reads the values that stand at a place, and writes them there for who signs."""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Final

from gateway.http.query import parameters
from plugins.webhook_signature.look import LONGEST_VALUE, MOST_VALUES, Look
from plugins.webhook_signature.scheme import Place
from plugins.webhook_signature.template import split_path

Read = Callable[[Look], list[str]]
"""The values that stand there; none if there is nothing. Raises Malformed."""
_TO_STANDARD: Final = str.maketrans("-_", "+/")


def reader(place: Place) -> Read:
    """Reads a place."""
    split, prefix, lines = place.split, place.prefix, _lines(place)

    def read(look: Look) -> list[str]:
        found = lines(look)
        if split is not None:
            found = [each.strip() for line in found for each in line[:LONGEST_VALUE].split(split)]
        if prefix:
            found = [each[len(prefix) :] for each in found if each.startswith(prefix)]
        return found[:MOST_VALUES]

    return read


def _lines(place: Place) -> Read:
    header, query = place.header, place.query
    if header is not None:
        if header.endswith("*"):
            return lambda look: _numbered(look, header[:-1])
        return lambda look: look.header(header)
    if query is not None:
        return lambda look: parameters(look.request.query, query)
    path = split_path(place.json_ or "")

    def member(look: Look) -> list[str]:
        found = look.member(path)
        return [] if found is None else [found]

    return member


def _numbered(look: Look, name: str) -> list[str]:
    found: list[str] = []
    for number in range(1, MOST_VALUES + 1):
        lines = look.header(f"{name}{number}")
        if not lines:
            break
        found += lines
    return found


def decoder(encoding: str) -> Callable[[str], bytes]:
    """From text to bytes, strictly. Raises ValueError."""
    if encoding == "hex":
        return binascii.unhexlify
    if encoding == "base64":
        return lambda text: binascii.a2b_base64(text, strict_mode=True)
    return lambda text: binascii.a2b_base64(text.translate(_TO_STANDARD) + "=" * (-len(text) % 4), strict_mode=True)


def encoder(encoding: str) -> Callable[[bytes], str]:
    """From bytes to text."""
    if encoding == "hex":
        return bytes.hex
    if encoding == "base64":
        return lambda data: binascii.b2a_base64(data, newline=False).decode()
    return lambda data: (
        binascii.b2a_base64(data, newline=False).decode().replace("+", "-").replace("/", "_").rstrip("=")
    )
