"""How the admin API answers: JSON, and problem documents (RFC 9457)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web

_encode: Final = msgspec.json.Encoder(enc_hook=str).encode


def as_json(value: Any, *, status: int = 200) -> web.Response:
    """A value as JSON."""
    return web.Response(status=status, body=_encode(value) + b"\n", content_type="application/json")


def problem(status: int, code: str, detail: str) -> web.Response:
    """What is wrong, with a stable code."""
    document = {"type": "about:blank", "title": code.replace("_", " ").capitalize(), "status": status}
    body = _encode({**document, "code": code, "detail": detail})
    return web.Response(status=status, body=body, content_type="application/problem+json")


def line(value: Any) -> bytes:
    """One line of JSON Lines."""
    return _encode(value) + b"\n"
