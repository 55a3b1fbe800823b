"""Codes answers in zstd, br or gzip as the client prefers, and undoes the coding of requests within limits.

Of a page that says back what it was sent and holds a secret, the size tells an observer about the secret (BREACH):
leave such routes out with `without: [compression]` or `when:`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.errors import ClientError
from gateway.http import Body, Handler, Request, Response
from gateway.plugin import Context, Plugin, Stage
from plugins.compression.aside import Threads, inline_below
from plugins.compression.coding import Undecodable, chosen, decoder, encoder
from plugins.compression.settings import CompressionSettings, Decompress
from plugins.compression.streams import Coded, Tally, Uncoded, code, unpack
from plugins.compression.unpacking import Excess, Unpacking

if TYPE_CHECKING:
    from gateway.services.shared import Hold

__all__ = ["Compression", "CompressionSettings"]

SMALL: Final = 4096
"""Bytes of a compressed request that are unpacked on the loop: they become a few hundred KB at most."""
RATIOS: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 50.0)
"""Bucket bounds: how many times smaller answers get. Text is between 3 and 8."""
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
        ratio = context.metrics.histogram(
            "compression_ratio",
            "How many times smaller answers became, each when it was coded to its end.",
            ("route", "plugin", "coding"),
            bounds=RATIOS,
        )
        place = (context.route, context.id)
        self._tallies = {
            coding: Tally(
                bytes_.child(*place, coding, "in"), bytes_.child(*place, coding, "out"), ratio.child(*place, coding)
            )
            for coding in map(str, settings.encodings)
        }
        self._inline = {coding: inline_below(coding, self._levels[coding]) for coding in self._tallies}
        self._hold: Hold[Threads] | None = None

    async def open(self) -> None:
        self._hold = self.context.shared.hold(("compression", "threads"), Threads)

    async def close(self) -> None:
        hold, self._hold = self._hold, None
        if hold is not None:
            await hold.release()

    @property
    def _threads(self) -> Threads:
        assert self._hold is not None
        return self._hold.thing

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        if self.settings.decompress is not None and "Content-Encoding" in request.headers:
            await self._undo(request, self.settings.decompress)
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
        if status == 304 and "Content-Type" not in headers and not _was_coded(request, headers.get("ETag", "")):
            return  # of what is never coded, or the client has it as it is
        _vary(response)
        # The length of an answer to HEAD is what its GET would have.
        told = headers.get("Content-Length") if request.method == "HEAD" else None
        length = body.length if request.method != "HEAD" else int(told) if told is not None and told.isdigit() else None
        if coding is None or (length is not None and length < self.settings.min_size and status != 304):
            return
        if request.method == "HEAD" or status == 304:
            _dress(response, coding if status != 304 else None)
            return
        tally, inline = self._tallies[coding], self._inline[coding]
        data = body.whole
        if data is None:
            # Without a length it may be made while it is sent, and whoever reads along must not wait for a full block.
            flush = body.length is None
            # One whose tables are large is made where they do not hold up the loop.
            level = self._levels[coding]
            made = encoder(coding, level) if inline else await self._threads.run(encoder, coding, level)
            response.body = Body(None, Coded(body, made, tally, self._threads, inline=inline, flush=flush))
            _dress(response, coding)
            return
        if len(data) < inline:
            coded = code(coding, self._levels[coding], data)
        else:
            coded = await self._threads.run(code, coding, self._levels[coding], data)
        if len(coded) < len(data):
            tally.count(len(data), len(coded))
            tally.ended(len(data), len(coded))
            body.replace(coded)
            _dress(response, coding)

    # -- requests ------------------------------------------------------------------------------------------------------

    async def _undo(self, request: Request, limits: Decompress) -> None:
        names = [name.strip() for name in ",".join(request.headers.getall("Content-Encoding")).split(",")]
        names = [name for name in names if name and name.lower() != "identity"]
        found = decoder(names[0]) if len(names) == 1 else None
        if names and found is None:
            told = (("Accept-Encoding", "gzip, deflate, br, zstd"),)  # RFC 9110 §12.5.3
            self.refuse(UnsupportedCoding("This coding is not known here.", headers=told))
            return
        if found is not None:
            unpacking, data = Unpacking(found, limits.max_size, limits.max_ratio), request.body.whole
            if data is None:
                request.body = Body(None, Uncoded(request.body, unpacking, self.refuse))
            else:
                try:
                    small = len(data) < SMALL
                    plain = unpack(unpacking, data) if small else await self._threads.run(unpack, unpacking, data)
                except (Excess, Undecodable) as error:
                    self.refuse(error.bomb() if isinstance(error, Excess) else error)
                    return  # in shadow it goes on as it came: nothing of that size is held
                request.body.replace(plain)
        headers = request.edit_headers()
        headers.popall("Content-Encoding")
        for name in _OF_BYTES:
            headers.popall(name, None)

    @staticmethod
    def _strengthen(request: Request) -> None:
        """Take our own mark off: `If-Match` compares strongly (RFC 9110 §13.1.1), and the target's tag was strong."""
        headers = request.edit_headers()
        headers["If-Match"] = _WEAK.sub(r"\1\2", ", ".join(headers.popall("If-Match")))


def _vary(response: Response) -> None:
    """Answers differ by what the client accepts (RFC 9110 §12.5.5), also where this one was not coded."""
    named = {name.strip() for name in ",".join(response.headers.getall("Vary", ())).lower().split(",")}
    if named.isdisjoint(("*", "accept-encoding")):
        response.edit_headers().add("Vary", "Accept-Encoding")


def _was_coded(request: Request, etag: str) -> bool:
    """Whether the client that a 304 goes to may have what we coded.

    It then asked by the tag that we weakened. By its strong form it has the answer as it is; by none, who knows.
    """
    asked = ",".join(request.headers.getall("If-None-Match", ()))
    return not asked or not etag.startswith('"') or f"W/{etag}" in asked


def _dress(response: Response, coding: str | None) -> None:
    headers = response.edit_headers()
    if coding is not None:
        headers["Content-Encoding"] = coding
        for name in _OF_BYTES:
            headers.popall(name, None)
    etag = headers.get("ETag", "")
    if etag.startswith('"'):
        headers["ETag"] = f"W/{etag}"  # of the same meaning, no longer of the same bytes (RFC 9110 §8.8.1)
