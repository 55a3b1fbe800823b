"""Header fields as operators write them in settings."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator

from gateway.plugin.settings import expected

FRAMING: Final = frozenset(
    {"content-length", "transfer-encoding", "connection", "upgrade", "trailer", "te", "keep-alive"}
)
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def _name(text: str) -> str:
    if not text or not set(text) <= _TOKEN:
        raise expected("a header field's name (RFC 9110 §5.1)")
    if text.lower() in FRAMING:
        raise expected("a field that is not about the connection or the message's framing, which are the gateway's")
    return text


def _value(text: str) -> str:
    if any(char in text for char in "\r\n\0"):
        raise expected("a value without line breaks (RFC 9110 §5.5)")
    return text


FieldName = Annotated[str, AfterValidator(_name)]
"""A name that a plugin may write."""
FieldValue = Annotated[str, AfterValidator(_value)]
"""A value that cannot split a message."""
