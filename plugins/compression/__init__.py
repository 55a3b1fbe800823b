"""Codes answers in zstd, br or gzip as the client prefers, and undoes the coding of requests within limits.

Of a page that says back what it was sent and holds a secret, the size tells an observer about the secret (BREACH):
leave such routes out with `without: [compression]` or `when:`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final

from gateway.errors import ClientError, GatewayError, PayloadTooLarge
from gateway.http import Handler, Request, Response
from gateway.plugin import Context, Plugin, Stage
from gateway.services.metrics import Counter
from plugins.compression.coding import Decoder, Encoder, Undecodable, chosen, decoder, encoder
from plugins.compression.settings import CompressionSettings, Decompress

__all__ = ["Compression", "CompressionSettings"]

ASIDE: Final = 65_536
"""Bytes from which a whole body is coded in a thread: on the loop it would hold others up for a millisecond."""
GRACE: Final = 262_144
"""Bytes up to which a body may be of any ratio."""
MOST_EMPTY: Final = 100
"""Members of a compressed request that hold nothing: each costs a new decoder, and an honest sender makes none."""
REMEMBERED: Final = 1024
"""Media types and `Accept-Encoding` values whose meaning is kept; clients send few."""
LONGEST_WISH: Final = 1024
"""Characters of an `Accept-Encoding` that is remembered."""
_EVENTS: Final = "text/event-stream"
_OF_BYTES: Final = ("Content-Length", "Accept-Ranges", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest")
"""What is about bytes that nobody gets."""
_WEAK: Final = re.compile(r'(^|,)([ \t]*)W/(?=")')


class UnsupportedCoding(ClientError):
    """The request's body is in a coding that is not known here (RFC 9110 §15.5.16)."""

    code, status, title = "unsupported_content_coding", 415, "Unsupported content coding"


class Bomb(PayloadTooLarge):
    """The request's body becomes too large, or far larger than it came."""

    code, title = "decompression_bomb", "Content too large when decompressed"


class Compression(Plugin[CompressionSettings]):
    stage = Stage.REDUCE
    refuses = True

    def __init__(self, settings: CompressionSettings, context: Context) -> None:
        super().__init__(settings, context)
        shapes = [re.escape(each).replace(r"\*", "[^/]*") for each in settings.types]
        self._types = re.compile("|".join(shapes))
        self._levels: dict[str, int] = settings.level.model_dump()
        self._known_types: dict[str, bool] = {}
        self._known_wishes: dict[str, str | None] = {}
        bytes_ = context.metrics.counter(
            "compression_bytes_total",
            "Bytes of answers before and after coding.",
            ("route", "plugin", "coding", "side"),
        )
        self._counts = {
            coding: tuple(bytes_.child(context.route, context.id, coding, side) for side in ("in", "out"))
            for coding in map(str, settings.encodings)
        }

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        if self.settings.decompress is not None and "Content-Encoding" in request.headers:
            self._undo(request, self.settings.decompress)
        if "If-Match" in request.headers:
            self._strengthen(request)
        coding = self._wish(request)  # now: plugins further in change what the target is asked for
        response = await proceed(request)
        if response.error is None and response.tunnel is None and self._compressible(response):
            await self._code(request, response, coding)
        return response

    # -- answers -------------------------------------------------------------------------------------------------------

    def _compressible(self, response: Response) -> bool:
        media = response.headers.get("Content-Type", "")
        known = self._known_types.get(media)
        if known is None:
            plain = media.partition(";")[0].strip().lower()
            known = plain != _EVENTS and self._types.fullmatch(plain) is not None
            if len(self._known_types) >= REMEMBERED:
                self._known_types.clear()
            self._known_types[media] = known
        return known or (response.status == 304 and not media)

    def _wish(self, request: Request) -> str | None:
        accepted = ",".join(request.headers.getall("Accept-Encoding", ()))
        try:
            return self._known_wishes[accepted]
        except KeyError:
            made = chosen(accepted, self.settings.encodings)
            if len(self._known_wishes) >= REMEMBERED:
                self._known_wishes.clear()
            if len(accepted) <= LONGEST_WISH:
                self._known_wishes[accepted] = made
            return made

    async def _code(self, request: Request, response: Response, coding: str | None) -> None:
        headers = response.headers
        status, body = response.status, response.body
        whole = "Content-Encoding" not in headers and "Content-Range" not in headers and status not in (204, 205, 206)
        asked = request.headers.getall("Cache-Control", ())  # either side may forbid it (RFC 9111 §5.2.1.6, §5.2.2.6)
        if not whole or "no-transform" in ",".join([*headers.getall("Cache-Control", ()), *asked]).lower():
            return
        _vary(response)
        # The length of an answer to HEAD is what its GET would have.
        length = int(headers.get("Content-Length", "0") or 0) if request.method == "HEAD" else body.length
        if coding is None or (length is not None and length < self.settings.min_size and status != 304):
            return
        if request.method == "HEAD" or status == 304:
            _dress(response, coding if status != 304 else None)
            return
        counts = self._counts[coding]
        made = encoder(coding, self._levels[coding])
        data = body.whole
        if data is None:
            # Without a length it may be made while it is sent, and whoever reads along must not wait for a full block.
            body.filter(_Coding(made, counts, flush=body.length is None))
            _dress(response, coding)
            return
        coded = await asyncio.to_thread(_once, made, data) if len(data) >= ASIDE else _once(made, data)
        if len(coded) < len(data):
            counts[0].value += len(data)
            counts[1].value += len(coded)
            body.replace(coded)
            _dress(response, coding)

    # -- requests ------------------------------------------------------------------------------------------------------

    def _undo(self, request: Request, limits: Decompress) -> None:
        names = [name.strip() for name in ",".join(request.headers.getall("Content-Encoding")).split(",")]
        names = [name for name in names if name and name.lower() != "identity"]
        found = decoder(names[0]) if len(names) == 1 else None
        if names and found is None:
            told = (("Accept-Encoding", "gzip, deflate, br, zstd"),)  # RFC 9110 §12.5.3
            self.refuse(UnsupportedCoding("This coding is not known here.", headers=told))
            return
        headers = request.edit_headers()
        headers.popall("Content-Encoding")
        for name in _OF_BYTES:
            headers.popall(name, None)
        if found is not None:
            request.body.filter(_Uncoding(found, limits, self.refuse))

    @staticmethod
    def _strengthen(request: Request) -> None:
        """Take our own mark off: `If-Match` compares strongly (RFC 9110 §13.1.1), and the target's tag was strong."""
        headers = request.edit_headers()
        headers["If-Match"] = _WEAK.sub(r"\1\2", ", ".join(headers.popall("If-Match")))


class _Coding:
    """A filter that codes what passes."""

    __slots__ = ("_counts", "_flush", "_made")

    def __init__(self, made: Encoder, counts: tuple[Counter, Counter], *, flush: bool) -> None:
        self._made = made
        self._counts = counts
        self._flush = flush

    def feed(self, chunk: bytes) -> bytes:
        out = self._made.feed(chunk)
        if self._flush:
            out += self._made.flush()
        self._counts[0].value += len(chunk)
        self._counts[1].value += len(out)
        return out

    def finish(self) -> bytes:
        out = self._made.finish()
        self._counts[1].value += len(out)
        return out


class _Uncoding:
    """A filter that undoes a coding and keeps to its limits."""

    __slots__ = ("_came", "_empty", "_limits", "_made", "_refuse", "_told", "_went")

    def __init__(self, made: Decoder, limits: Decompress, refuse: Callable[[GatewayError], None]) -> None:
        self._made = made
        self._limits = limits
        self._refuse = refuse
        self._came = self._went = self._empty = 0
        self._told = False

    def feed(self, chunk: bytes) -> bytes:
        self._came += len(chunk)
        parts: list[bytes] = []
        while True:
            part = self._made.feed(chunk)
            if not part and not self._made.more:
                return b"".join(parts)
            if not part:
                self._empty += 1
                if self._empty > MOST_EMPTY:
                    raise Undecodable("The body is not usable.", reason="a compressed body of empty members")
            parts.append(part)
            self._went += len(part)
            self._check()
            chunk = b""

    def finish(self) -> bytes:
        if self._came and not self._made.ended:
            raise Undecodable("The body ends too early.", reason="a compressed body ends too early")
        return b""

    def _check(self) -> None:
        limits = self._limits
        large = self._went > limits.max_size
        if not large and (self._went <= GRACE or self._went <= self._came * limits.max_ratio):
            return
        if not self._told:
            self._told = True  # in shadow once is enough
            why = "larger than max_size" if large else f"{self._went // max(1, self._came)} times its size"
            self._refuse(Bomb(reason=f"a compressed body becomes {why}"))


def _once(made: Encoder, data: bytes) -> bytes:
    return made.feed(data) + made.finish()


def _vary(response: Response) -> None:
    """Answers differ by what the client accepts (RFC 9110 §12.5.5), also where this one was not coded."""
    named = ",".join(response.headers.getall("Vary", ())).lower()
    if "*" not in named and "accept-encoding" not in named:
        response.edit_headers().add("Vary", "Accept-Encoding")


def _dress(response: Response, coding: str | None) -> None:
    headers = response.edit_headers()
    if coding is not None:
        headers["Content-Encoding"] = coding
        for name in _OF_BYTES:
            headers.popall(name, None)
    etag = headers.get("ETag", "")
    if etag.startswith('"'):
        headers["ETag"] = f"W/{etag}"  # of the same meaning, no longer of the same bytes (RFC 9110 §8.8.1)
