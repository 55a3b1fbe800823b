"""Cookies in requests (RFC 6265 §5.4): read by name, and taken out without touching the others."""

from __future__ import annotations

from collections.abc import Callable

from gateway.http.message import Message


def cookies(message: Message, name: str) -> list[str]:
    """The values of a cookie, in the order sent. More than one: another site of the domain may have set the rest."""
    return [
        value.strip(" \t")
        for line in message.headers.getall("Cookie", ())
        for key, _, value in (pair.partition("=") for pair in line.split(";"))
        if key.strip(" \t") == name
    ]


def drop_cookies(message: Message, ours: Callable[[str], bool]) -> None:
    """Take out every cookie whose name is ``ours``. Header fields are copied only if there is one."""
    lines = message.headers.getall("Cookie", ())
    if not any(ours(pair.partition("=")[0].strip(" \t")) for line in lines for pair in line.split(";")):
        return
    headers = message.edit_headers()
    headers.popall("Cookie")
    for line in lines:
        kept = [pair for pair in line.split(";") if not ours(pair.partition("=")[0].strip(" \t"))]
        if text := ";".join(kept).strip(" \t"):
            headers.add("Cookie", text)
