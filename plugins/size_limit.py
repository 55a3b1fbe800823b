"""Refuses requests that are larger than they need to be: body by media type, URL, header section.

A declared length is judged before a byte is read; a chunked body is counted as it streams and never held.
"""

from __future__ import annotations

from pydantic import Field

from gateway.errors import HeadersTooLarge, PayloadTooLarge, UriTooLong
from gateway.http import Handler, Request, Response
from gateway.plugin import Plugin, Settings, Size, Stage


class SizeLimitSettings(Settings):
    """Unset limits of the head are the listener's."""

    json_: Size = Field(
        default=100_000,
        alias="json",
        description="Largest body of `/json` and `+json` types; more is a 413. 100KB because an API's "
        "documents seldom are larger and a parser's work grows with them.",
    )
    form: Size = Field(default=1_000_000, description="Largest `application/x-www-form-urlencoded` body.")
    multipart: Size = Field(default=10_000_000, description="Largest `multipart/*` body: room for a few photos.")
    other: Size = Field(default=10_000_000, description="Largest body of any other type, or of none.")
    url: Size | None = Field(default=None, description="Longest path and query; more is a 414.")
    headers: Size | None = Field(default=None, description="Largest header section; more is a 431.")
    header_count: int | None = Field(default=None, ge=1, description="Most header fields; more is a 431.")


class SizeLimit(Plugin[SizeLimitSettings]):
    stage = Stage.LIMIT
    refuses = True

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        settings = self.settings
        if settings.url is not None and len(request.path) + len(request.query) > settings.url:
            self.refuse(UriTooLong(f"The URL may have {settings.url} bytes."))
        if settings.headers is not None or settings.header_count is not None:
            self._check_head(request)
        body = request.body
        length = body.length
        if length != 0:
            # A sender who names several types gets the least room: nobody knows which one the target believes.
            types = request.headers.getall("Content-Type", [""])
            limit = min(self._limit(each) for line in types for each in line.split(","))
            if length is None:
                body.filter(_Counted(self, limit), changes=False)
            elif length > limit:
                self.refuse(_too_large(limit))
        return await proceed(request)

    def _check_head(self, request: Request) -> None:
        fields, settings = request.fields, self.settings
        if settings.header_count is not None and len(fields) > settings.header_count:
            self.refuse(HeadersTooLarge(f"A request may have {settings.header_count} header fields."))
        if settings.headers is not None:
            size = sum(len(name) + len(value) + 4 for name, value in fields)  # ": " and CRLF
            if size > settings.headers:
                self.refuse(HeadersTooLarge(f"The header section may have {settings.headers} bytes."))

    def _limit(self, media_type: str) -> int:
        kind = media_type.partition(";")[0].strip().lower()
        if kind.endswith(("/json", "+json")):
            return self.settings.json_
        if kind == "application/x-www-form-urlencoded":
            return self.settings.form
        if kind.startswith("multipart/"):
            return self.settings.multipart
        return self.settings.other


class _Counted:
    """Counts a stream and refuses it once."""

    __slots__ = ("_limit", "_plugin", "_seen")

    def __init__(self, plugin: SizeLimit, limit: int) -> None:
        self._plugin = plugin
        self._limit = limit
        self._seen = 0

    def feed(self, chunk: bytes) -> bytes:
        before, self._seen = self._seen, self._seen + len(chunk)
        if before <= self._limit < self._seen:  # once: in shadow the rest passes
            self._plugin.refuse(_too_large(self._limit))
        return chunk

    def finish(self) -> bytes:
        return b""


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"A body of this type may have {limit} bytes.", extensions={"limit": limit})
