"""The second look at a sample of lines: slower, at what texts say when all that is encoded in them is decoded."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_plus

_BASE64: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,4096}={0,2}(?![A-Za-z0-9+/_-])")
_STANDARD: Final = str.maketrans("-_", "+/", "=")


def decoded(text: str) -> Iterator[str]:
    """What a text says once percent signs, backslashes and base64 in it are decoded; nothing where there are none."""
    plain = text
    if "%" in text:  # twice, as a URL in a parameter of a URL is
        plain = unquote_plus(unquote_plus(text, errors="replace"), errors="replace")
    if "\\" in plain:
        plain = plain.replace("\\/", "/").replace('\\"', '"').replace("\\u0040", "@")
    if plain != text:
        yield plain
    for match in _BASE64.finditer(text):
        run = match[0].translate(_STANDARD)
        with contextlib.suppress(ValueError):
            inner = base64.b64decode(run + "=" * (-len(run) % 4), validate=True).decode()
            if inner.isprintable():
                yield inner
