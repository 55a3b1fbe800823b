"""Bodies by their media type, so that what has a name in them is masked by its name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Any, Final
from urllib.parse import quote_plus, unquote_plus

Mask = Callable[[str, Any], Any]
"""From a name and a value to what may be shown of it; None: nothing."""

MOST_PARTS: Final = 100
"""Of a multipart body; and lines of one of JSON lines."""
MOST_PAIRS: Final = 1000
"""Of a form."""
_TEXTUAL: Final = re.compile(
    r"text/.+|application/(?:xml|javascript|ecmascript|graphql|sql|yaml|x-yaml|toml|jwt|x-sh)|.+\+(?:xml|yaml)"
)
_LINES: Final = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-seq"})
_NAMED: Final = re.compile(r"[A-Za-z0-9_.\[\]%+-]{1,128}=")


@dataclass(frozen=True, slots=True)
class Content:
    """A body and what it was found to be."""

    kind: str
    """json, lines, form, multipart, text or opaque."""
    data: bytes
    charset: str
    note: str = ""
    """What is to be said of it: in place of what is not shown, or after what was cut."""
    boundary: str = ""

    def shown(self, mask: Mask) -> str:
        """For people. Raises what ``mask`` raises."""
        match self.kind:
            case "json":
                text = _json(self._text, mask)
            case "lines":
                text = "\n".join(_json(each, mask) for each in self._text.split("\n")[:MOST_PARTS] if each.strip())
            case "form":
                text = _form(self._text, mask)
            case "multipart":
                text = "\n".join(_parts(self.data, self.boundary, mask))
            case "text":
                text = str(mask("", self._text) or "")
            case _:
                text = ""
        return f"{text} {self.note}".strip() if self.note else text

    @property
    def _text(self) -> str:
        try:
            return self.data.decode(self.charset, "replace")
        except LookupError:
            return self.data.decode("utf-8", "replace")


def content_of(data: bytes, media_type: str, size: int) -> Content:
    """What a body is. ``data`` may be the beginning of one of ``size`` bytes."""
    kind, charset, boundary = _kind(media_type, data)
    note = ""
    if kind == "opaque" and size:
        note = f"[{size} bytes{f' of {media_type[:100]}' if media_type else ''}]"
    elif len(data) < size:
        note = f"… [{size} bytes]"
        kind = "text" if kind == "json" else kind  # what is cut is no JSON any more; names are found in text as well
    return Content(kind, data, charset, note, boundary)


def _kind(media_type: str, data: bytes) -> tuple[str, str, str]:
    header = Message()
    header["Content-Type"] = media_type.replace("\r", "").replace("\n", "") or "-"
    charset = header.get_content_charset("utf-8")
    plain = media_type.partition(";")[0].strip().lower()
    if plain in _LINES:
        return "lines", charset, ""
    if plain == "application/json" or plain.endswith("+json"):
        return "json", charset, ""
    if plain == "application/x-www-form-urlencoded":
        return "form", charset, ""
    if plain.startswith("multipart/"):
        boundary = str(header.get_param("boundary") or "")
        return ("multipart", charset, boundary) if boundary else ("opaque", charset, "")
    if _TEXTUAL.fullmatch(plain):
        return "text", charset, ""
    return (_guessed(data) if not plain else "opaque"), charset, ""


def _guessed(data: bytes) -> str:
    begins = data[:64].lstrip()
    if begins[:1] in {b"{", b"["}:
        return "json"
    try:
        text = data[:1024].decode()
    except UnicodeDecodeError as error:
        if error.start < min(len(data), 1024) - 3:  # not merely a character cut in two
            return "opaque"
        text = data[: error.start].decode()
    if not all(each.isprintable() or each in "\t\r\n" for each in text):
        return "opaque"
    return "form" if _NAMED.match(text) and " " not in text else "text"


def _document(text: str) -> Any:
    """What the JSON says; the text itself if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _json(text: str, mask: Mask) -> str:
    document = _document(text)
    return _written(mask("", document), whole=document is not text)


def _written(masked: Any, *, whole: bool) -> str:
    if masked is None:
        return ""
    return json.dumps(masked, ensure_ascii=False, separators=(",", ":"), default=str) if whole else str(masked)


def _form(text: str, mask: Mask) -> str:
    shown = []
    pairs = text.split("&", MOST_PAIRS)
    for pair in pairs[:MOST_PAIRS]:
        name, equals, value = pair.partition("=")
        plain, known = unquote_plus(value), unquote_plus(name)
        masked = mask(known, plain) if equals else mask("", known)
        if masked is None:
            continue
        if not equals:
            shown.append(pair if masked == known else quote_plus(str(masked), safe="[]<>:*@"))
            continue
        # The name may be somebody's data as well.
        seen = mask("", known)
        spelled = name if seen == known else quote_plus(str(seen or ""), safe="[]<>:*@")
        shown.append(f"{spelled}={value if masked == plain else quote_plus(str(masked), safe='[]<>:*@')}")
    return "&".join(shown) + ("&…" if len(pairs) > MOST_PAIRS else "")


def _parts(data: bytes, boundary: str, mask: Mask) -> Iterator[str]:
    pieces = data.split(b"--" + boundary.encode("latin-1", "replace"), MOST_PARTS)[1:]
    for piece in pieces[:MOST_PARTS]:
        if piece.startswith(b"--"):
            return
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        name, file, media_type = _part_head(head.decode("utf-8", "replace"))
        label = f"{mask('', name) or ''}"
        if file or (media_type and not media_type.lower().startswith(("text/plain", "application/json"))):
            yield f"{label}: [{len(content)} bytes{f' of {media_type[:100]}' if media_type else ''}]"
            continue
        text = content.decode("utf-8", "replace")
        is_json = media_type.lower().startswith("application/json")
        document = _document(text) if is_json else text
        masked = mask(name, document)
        if masked is not None:
            yield f"{label}: {_written(masked, whole=isinstance(masked, dict | list))}"


def _part_head(head: str) -> tuple[str, bool, str]:
    """A part's name, whether it is a file, and its media type (RFC 7578 §4.2)."""
    fields = Message()
    for line in head.split("\r\n")[:20]:
        field, colon, value = line.partition(":")
        if colon and field.strip():
            fields[field.strip()] = value.strip()
    name = fields.get_param("name", "", "Content-Disposition")
    file = fields.get_param("filename", None, "Content-Disposition") is not None
    return str(name or ""), file, str(fields.get("Content-Type", ""))
