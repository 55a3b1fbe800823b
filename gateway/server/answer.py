"""An answer's head as it goes to the client: one pass over its fields, one join."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from gateway.http import Fields, Request, Response
from gateway.http.fields import KINDS, Kind

if TYPE_CHECKING:
    from gateway.server.edge import Edge

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in HTTPStatus}
_DATE: Final = int(Kind.DATE)
_LENGTH: Final = int(Kind.CONTENT_LENGTH)
_OURS: Final = frozenset(
    {int(Kind.HOP), int(Kind.CONNECTION), int(Kind.TRANSFER_ENCODING), int(Kind.REQUEST_ID), _LENGTH}
)


def without_body(status: int) -> bool:
    """Whether an answer of this status ends at its head, whatever its fields say (RFC 9112 §6.3)."""
    return status == 204 or status == 304 or status < 200  # noqa: PLR1714


def encode_answer(request: Request, response: Response, edge: Edge, closing: bool, bodiless: bool) -> bytes:
    """The head, up to and including the empty line. Raises InternalError for a field that cannot be sent."""
    status, reason = response.status, response.reason
    line = _LINES.get(status) or b"HTTP/1.1 %d " % status
    if reason and not line.endswith(reason):
        line = b"HTTP/1.1 %d %b" % (status, reason)
    out = [line]
    dated = response.dated
    if response.edited:
        dated = _edited(response, out, bodiless=bodiless)
    elif response.lines is not None:
        out += response.lines
    else:
        out += [name + b": " + value for name, value in response.fields]
    if not dated:
        out.append(edge.date())
    length = response.body.length
    if length is not None and not (bodiless or closing) and request.version != 10:  # nearly all of them
        out.append(b"X-Request-Id: %b\r\nContent-Length: %d\r\n\r\n" % (request.id.encode(), length))
        return b"\r\n".join(out)
    out.append(b"X-Request-Id: " + request.id.encode())
    if bodiless:
        if status == 101:
            out.append(b"Connection: Upgrade")
        elif length and request.method == "HEAD" and not _has_length(response.fields):
            out.append(b"Content-Length: %d" % length)
    elif length is not None:
        out.append(b"Content-Length: %d" % length)
    elif request.version == 10:
        closing = True
    else:
        out.append(b"Transfer-Encoding: chunked")
    if closing:
        out.append(b"Connection: close")
    elif request.version == 10:
        out.append(b"Connection: keep-alive")
    out.append(b"\r\n")
    return b"\r\n".join(out)


def _edited(response: Response, out: list[bytes], *, bodiless: bool) -> bool:
    """Fields that a plugin touched: framing is not the plugin's to write. Whether there is a Date among them."""
    dated = False
    for name, value in response.fields:
        kind = KINDS[name]
        if kind in _OURS and not (kind == _LENGTH and bodiless and response.status != 204):
            continue
        dated = dated or kind == _DATE
        out.append(name + b": " + value)
    return dated


def _has_length(fields: Fields) -> bool:
    return any(KINDS[name] == _LENGTH for name, _ in fields)


def encode_interim(status: int, fields: Fields) -> bytes:
    """An interim answer other than 100."""
    lines = [_LINES.get(status) or b"HTTP/1.1 %d " % status]
    lines += [name + b": " + value for name, value in fields if KINDS[name] not in _OURS]
    return b"\r\n".join(lines) + b"\r\n\r\n"
