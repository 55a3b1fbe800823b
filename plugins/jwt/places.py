"""Where a token stands in a request: header, cookie, query; how it is found there and taken out."""

from __future__ import annotations

from urllib.parse import unquote_plus

from multidict import CIMultiDict

from gateway.errors import ClientError, Source
from gateway.http import Request
from plugins.jwt.settings import Places


class Ambiguous(ClientError):
    """Credentials that could be read in two ways, such as more than one token (RFC 6750 §3.1)."""

    code, status, title, source = "invalid_request", 400, "Invalid request", Source.POLICY


def token_of(request: Request, places: Places) -> str | None:
    """The one token; None if there is none. Raises Ambiguous."""
    found = [*_in_header(request, places.header), *_in_cookie(request, places.cookie), *_in_query(request, places)]
    if len(found) > 1:
        raise Ambiguous(reason="more than one token")
    return found[0] if found else None


def _in_header(request: Request, name: str | None) -> list[str]:
    if name is None:
        return []
    lines = request.headers.getall(name, [])
    if name.lower() != "authorization":
        return [_bare(line) for line in lines if line]
    tokens = [_credentials(line) for line in lines]
    if len(lines) > 1 and any(token is not None for token in tokens):
        # Which of them the target believes nobody knows (RFC 9110 §5.3: the field is no list).
        raise Ambiguous(reason="more than one Authorization field")
    return [token for token in tokens if token is not None]


def _credentials(line: str) -> str | None:
    scheme, _, rest = line.strip(" \t").partition(" ")
    if scheme.lower() != "bearer":
        return None
    return _one(rest.strip(" \t"))


def _bare(line: str) -> str:
    return _credentials(line) or _one(line.strip(" \t"))


def _one(token: str) -> str:
    if not token or any(char in token for char in ' \t,;"'):
        raise Ambiguous(reason="Bearer credentials that are not one token")
    return token


def _in_cookie(request: Request, name: str | None) -> list[str]:
    if name is None:
        return []
    return [value for line in request.headers.getall("Cookie", []) for value in _cookie(line, name)]


def _cookie(line: str, name: str) -> list[str]:
    pairs = (pair.strip(" \t").partition("=") for pair in line.split(";"))
    return [value.strip('"') for key, _, value in pairs if key == name and value]


def _in_query(request: Request, places: Places) -> list[str]:
    if places.query is None or not request.query:
        return []
    pairs = (pair.partition("=") for pair in request.query.split("&"))
    return [unquote_plus(value) for key, _, value in pairs if value and unquote_plus(key) == places.query]


def take_out(request: Request, places: Places) -> None:
    """Remove the token from every place it may stand in; other cookies and parameters stay as they were."""
    headers = request.edit_headers()
    if places.header is not None and (
        places.header.lower() != "authorization" or _credentials(headers.get(places.header, "")) is not None
    ):
        headers.popall(places.header, None)
    if places.cookie is not None:
        _without_cookie(headers, places.cookie)
    if places.query is not None and request.query:
        kept = [pair for pair in request.query.split("&") if unquote_plus(pair.partition("=")[0]) != places.query]
        request.query = "&".join(kept)


def _without_cookie(headers: CIMultiDict[str], name: str) -> None:
    lines = headers.popall("Cookie", [])
    for line in lines:
        kept = [pair for pair in line.split(";") if pair.strip(" \t").partition("=")[0] != name]
        if text := ";".join(kept).strip(" \t"):
            headers.add("Cookie", text)
