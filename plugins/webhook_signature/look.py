"""One request as signatures see it: its raw bytes, and the values that stand in its fields, query and body."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from gateway.http import Request
from gateway.http.query import parameters
from plugins.webhook_signature.members import Members
from plugins.webhook_signature.template import Absent

MOST_VALUES: Final = 32
"""Signatures that are looked at."""
LONGEST_VALUE: Final = 16_384
"""Characters of a field that is looked into: more than any provider's signature has."""
MOST_FIELDS: Final = 1_000
"""Names in a form."""
_PORTS: Final = {"https": 443, "http": 80}
_UNESCAPED: Final = {f"%{ord(char):02X}": char for char in ":/?@!$'()*,;"}
"""What HubSpot decodes in a URL before it signs."""


class Malformed(ValueError):
    """It cannot be judged; the text says why and repeats nothing of it."""


def unescaped(url: str) -> str:
    """With `%3A` and its like as plain characters."""
    if "%" not in url:
        return url
    for code, char in _UNESCAPED.items():
        url = url.replace(code, char).replace(code.lower(), char)
    return url


def other_port(url: str) -> str:
    """Without the port if it names one, else with the scheme's default."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    host, colon, port = authority.rpartition(":")
    if colon and port.isdigit():
        return f"{scheme}://{host}{slash}{path}"
    return f"{scheme}://{authority}:{_PORTS.get(scheme, 443)}{slash}{path}"


def called_url(request: Request, public: str | None) -> str:
    """The URL that the sender called. ``public``: what it called instead of what reached us: an origin, or all of it
    but the query.
    """
    query = f"?{request.query}" if request.query else ""
    if public is None:
        return f"{request.scheme}://{request.host}{request.path}{query}"
    if urlsplit(public).path or "?" in public:
        return public if "?" in public else public + query
    return f"{public}{request.path}{query}"


class Look:
    """What templates and places are filled from. Raises Absent for what is not there, Malformed for a broken body."""

    __slots__ = (
        "_found",
        "_members",
        "_public",
        "_values",
        "body",
        "document",
        "id",
        "request",
        "secret",
        "timestamp",
        "url",
        "with_form",
    )

    def __init__(
        self,
        request: Request,
        body: bytes,
        members: Members,
        *,
        public: str | None = None,
        values: Mapping[str, str] | None = None,
        document: bytes | msgspec.Raw | None = None,
    ) -> None:
        self.request = request
        self.body = body
        self.document = body if document is None else document
        self.id: bytes | None = None
        self.timestamp: bytes = b""
        self.secret = b""
        self.url = ""
        """The spelling that is being tried."""
        self.with_form = True
        """Its form is signed; not where a digest of the body stands in for it."""
        self._members = members
        self._found: dict[tuple[str, ...], str] | None = None
        self._public = public
        self._values = values

    def called(self) -> str:
        """The URL as the sender called it."""
        return called_url(self.request, self._public)

    def member(self, path: tuple[str, ...]) -> str | None:
        """A member of the JSON body, or of the element of it that is looked at."""
        found = self._found
        if found is None:
            try:
                found = self._found = self._members.find(self.document)
            except (ValueError, msgspec.DecodeError):
                raise Malformed("the body is not the JSON object that its provider sends") from None
        return found.get(path)

    def header(self, name: str) -> list[str]:
        """The lines of a field."""
        return self.request.headers.getall(name, [])

    def form_sorted(self) -> bytes:
        """Names and values of a form, sorted, one after the other. A body of any other kind is not covered by it."""
        if not self.body or not self.with_form:
            return b""
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise Malformed("the body is no form, and the signature covers nothing else")
        try:
            pairs = parse_qsl(
                self.body.decode("utf-8"), keep_blank_values=True, strict_parsing=False, max_num_fields=MOST_FIELDS
            )
        except (ValueError, UnicodeDecodeError):
            raise Malformed("the form cannot be read") from None
        return "".join([name + value for name, value in sorted(set(pairs))]).encode("utf-8", "surrogateescape")

    def strictly(self, kind: str, name: str) -> bytes:
        """As `fill`, for an id: a member that is not there is missing, too, and nothing is no id."""
        if not (found := self.fill(kind, name)):
            raise Absent(name or kind)
        return found

    def fill(self, kind: str, name: str) -> bytes:
        """What a placeholder stands for."""
        match kind:
            case "body":
                return self.body
            case "timestamp":
                return self.timestamp
            case "id":
                if self.id is None:
                    raise Absent("the event's id")
                return self.id
            case "header":
                lines = self.header(name)
                if len(lines) != 1:
                    raise Absent(f"one {name}" if lines else name)
                return lines[0].encode("utf-8", "surrogateescape")
            case "json":
                return (self.member(tuple(name.split("."))) or "").encode("utf-8", "surrogatepass")
            case "query" if name:
                found = parameters(self.request.query, name)
                if len(found) != 1:
                    raise Absent(f"the parameter {name}")
                return found[0].encode("utf-8", "surrogateescape")
            case "value":
                return (self._values or {})[name].encode()
            case "url":
                return (self.url or self.called()).encode("utf-8", "surrogateescape")
            case "form_sorted":
                return self.form_sorted()
        return self._plain(kind)

    def _plain(self, kind: str) -> bytes:
        match kind:
            case "method":
                return self.request.method.encode()
            case "path":
                return self.request.path.encode()
            case "query":
                return self.request.query.encode("utf-8", "surrogateescape")
            case "body_sha256":
                return hashlib.sha256(self.body).hexdigest().encode()
            case "body_crc32":
                return b"%d" % zlib.crc32(self.body)
            case "secret":
                return self.secret
        raise KeyError(kind)
