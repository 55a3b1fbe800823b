"""Content codings (RFC 9110 §8.4.1): what makes them, what undoes them, and which one a client prefers.

The libraries are loaded when a configuration names their coding.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, Protocol

from gateway.errors import ClientError

Coding = Literal["zstd", "br", "gzip"]
WINDOW: Final = 23
"""Log₂ of the largest zstd window that is accepted and made: 8 MiB, what RFC 9659 §3 lets a sender use for `zstd`."""
STEP: Final = 65_536
"""Bytes that a decoder gives out at once: a bomb is found before it is unpacked."""
_GZIP: Final = 16 + zlib.MAX_WBITS


class Undecodable(ClientError):
    """The body is not in the coding that it says it is in, or ends too early."""

    code, status, title = "undecodable_body", 400, "Body not decodable"


class Encoder(Protocol):
    """Makes a stream in a coding."""

    def feed(self, data: bytes) -> bytes:
        """What comes out so far; may be empty."""
        ...

    def flush(self) -> bytes:
        """Everything fed so far, so that the other side can read it now."""
        ...

    def finish(self) -> bytes:
        """The rest."""
        ...


class _Zlib:
    def __init__(self, level: int) -> None:
        from zlib_ng import zlib_ng  # noqa: PLC0415

        self._made = zlib_ng.compressobj(level, zlib_ng.DEFLATED, _GZIP)
        self._sync = zlib_ng.Z_SYNC_FLUSH

    def feed(self, data: bytes) -> bytes:
        return bytes(self._made.compress(data))

    def flush(self) -> bytes:
        return bytes(self._made.flush(self._sync))

    def finish(self) -> bytes:
        return bytes(self._made.flush())


class _Brotli:
    def __init__(self, level: int) -> None:
        import brotli  # noqa: PLC0415

        self._made: Any = brotli.Compressor(quality=level)

    def feed(self, data: bytes) -> bytes:
        return bytes(self._made.process(data))

    def flush(self) -> bytes:
        return bytes(self._made.flush())

    def finish(self) -> bytes:
        return bytes(self._made.finish())


class _Zstd:
    def __init__(self, level: int) -> None:
        zstd = _zstd()
        options = {zstd.CompressionParameter.compression_level: level}
        if level > 18:  # whose windows are larger than others have to accept
            options[zstd.CompressionParameter.window_log] = WINDOW
        self._made: Any = zstd.ZstdCompressor(options=options)

    def feed(self, data: bytes) -> bytes:
        return bytes(self._made.compress(data))

    def flush(self) -> bytes:
        return bytes(self._made.flush(self._made.FLUSH_BLOCK))

    def finish(self) -> bytes:
        return bytes(self._made.flush())


_ENCODERS: Final[dict[str, Callable[[int], Encoder]]] = {"gzip": _Zlib, "br": _Brotli, "zstd": _Zstd}


def encoder(coding: str, level: int) -> Encoder:
    """A new stream in ``gzip``, ``br`` or ``zstd``."""
    return _ENCODERS[coding](level)


# -- undoing -----------------------------------------------------------------------------------------------------------


class Decoder(Protocol):
    """Undoes a coding, at most `STEP` bytes at a time."""

    def feed(self, data: bytes) -> bytes:
        """The next bytes; with ``b""`` those that are still to come of what was fed, until nothing comes.

        Raises Undecodable.
        """
        ...

    @property
    def more(self) -> bool:
        """Bytes were fed that belong to another member of the stream."""
        ...

    @property
    def ended(self) -> bool:
        """The stream is complete."""
        ...


class _Inflate:
    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._made = zlib.decompressobj(bits)

    def feed(self, data: bytes) -> bytes:
        try:
            if not self._made.eof:
                return self._made.decompress(self._made.unconsumed_tail + data, STEP)
            rest = self._made.unused_data + data
            if not rest:
                return b""
            if self._bits != _GZIP:
                raise Undecodable(reason="bytes after the end of the stream")
            self._made = zlib.decompressobj(self._bits)  # another member (RFC 1952 §2.2)
            return self._made.decompress(rest, STEP)
        except zlib.error as error:
            raise Undecodable(reason=str(error)) from None

    @property
    def more(self) -> bool:
        return self._made.eof and bool(self._made.unused_data)

    @property
    def ended(self) -> bool:
        return self._made.eof


class _Unbrotli:
    def __init__(self) -> None:
        import brotli  # noqa: PLC0415

        self._made: Any = brotli.Decompressor()
        self._error = brotli.error

    def feed(self, data: bytes) -> bytes:
        try:
            if self._made.is_finished():
                if data:
                    raise Undecodable(reason="bytes after the end of the stream")
                return b""
            return bytes(self._made.process(data, output_buffer_limit=STEP))
        except self._error as error:
            raise Undecodable(reason=str(error)) from None

    @property
    def more(self) -> bool:
        return False

    @property
    def ended(self) -> bool:
        return bool(self._made.is_finished())


class _Unzstd:
    def __init__(self) -> None:
        self._zstd = _zstd()
        self._options = {self._zstd.DecompressionParameter.window_log_max: WINDOW}
        self._made: Any = self._zstd.ZstdDecompressor(options=self._options)

    def feed(self, data: bytes) -> bytes:
        try:
            if self._made.eof:
                data = self._made.unused_data + data
                if not data:
                    return b""
                self._made = self._zstd.ZstdDecompressor(options=self._options)  # another frame (RFC 8878 §3)
            if not data and self._made.needs_input:
                return b""
            return bytes(self._made.decompress(data, STEP))
        except self._zstd.ZstdError as error:
            raise Undecodable(reason=str(error)) from None

    @property
    def more(self) -> bool:
        return bool(self._made.eof and self._made.unused_data)

    @property
    def ended(self) -> bool:
        return bool(self._made.eof)


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415
    else:
        from backports import zstd  # noqa: PLC0415
    return zstd


def decoder(coding: str) -> Decoder | None:
    """What undoes a coding, by its name in any case; None for one that is not known."""
    match coding.lower():
        case "gzip" | "x-gzip":  # RFC 9110 §8.4.1.3
            return _Inflate(_GZIP)
        case "deflate":
            return _Inflate(zlib.MAX_WBITS)
        case "br":
            return _Unbrotli()
        case "zstd":
            return _Unzstd()
    return None


# -- choosing ----------------------------------------------------------------------------------------------------------


def chosen(accepted: str, ours: Sequence[str]) -> str | None:
    """The coding for a client with this `Accept-Encoding` (RFC 9110 §12.5.3); None: as it is.

    The client's weight decides, among equals the order of ``ours``. Nothing is coded for who prefers it as it is.
    """
    weights: dict[str, float] = {}
    for item in accepted.split(","):
        name, *parameters = item.split(";")
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "q":
                weight = _weight(value.strip())
        name = name.strip().lower()
        if name:
            weights["gzip" if name == "x-gzip" else name] = weight
    rest = weights.get("*", 0.0)
    best, most = None, 0.0
    for coding in ours:
        weight = weights.get(coding, rest)
        if weight > most:
            best, most = coding, weight
    return best if best is not None and most >= weights.get("identity", 0.0) else None


def _weight(text: str) -> float:
    """A weight (RFC 9110 §12.4.2); what is none counts as no wish for it."""
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
