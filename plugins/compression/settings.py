"""Settings of `compression`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from gateway.plugin import Count, Off, Settings, Size
from gateway.plugin.settings import expected
from plugins.compression.coding import Coding

TYPES = (
    "text/*",
    "application/json",
    "application/*+json",
    "application/x-ndjson",
    "application/xml",
    "application/*+xml",
    "application/javascript",
    "application/wasm",
    "application/x-www-form-urlencoded",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
)
"""What gets smaller; pictures, sound, films and archives are compressed already."""


class Levels(Settings):
    """More takes longer and makes smaller. The defaults cost about the same time for a page of JSON."""

    gzip: Count = Field(default=6, ge=1, le=9, description="As nginx and others count, who start at 1.")
    br: Count = Field(default=4, ge=0, le=11, description="From 9 on it is meant for files that are coded once.")
    zstd: Count = Field(default=3, ge=1, le=19, description="Fast up to 3; windows stay within 8 MiB (RFC 9659).")


class Decompress(Settings):
    """Limits of what a compressed request may become."""

    max_size: Size = Field(default=10_000_000, gt=0, description="Largest body after decompression; beyond: 413.")
    max_ratio: Count = Field(
        default=100, ge=2, le=10_000, description="How many times its size a body may become, once it is over 256KB."
    )


class CompressionSettings(Settings):
    """Never coded again: what is coded, ranges, `no-transform`, event streams, what is small."""

    encodings: tuple[Coding, ...] = Field(
        default=("zstd", "br", "gzip"),
        min_length=1,
        description="Codings in order of preference; the client's weights in `Accept-Encoding` come first.",
    )
    level: Levels = Field(default=Levels(), description="How much effort, by coding.")
    min_size: Size = Field(default=1024, ge=0, description="Smallest body that is coded; smaller ones would grow.")
    types: tuple[str, ...] = Field(
        default=TYPES, description="Media types that are coded; `*` stands for anything within a part."
    )
    decompress: Annotated[Decompress | None, Off] = Field(
        default=None,
        description="Undo the coding of requests (gzip, deflate, br, zstd) for targets that cannot. Unset: it stays.",
    )

    @field_validator("types")
    @classmethod
    def _media_types(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        for each in types:
            kind, slash, name = each.partition("/")
            if not (kind and slash and name) or each != each.strip() or "/" in name:
                raise expected("media types such as text/*, application/json or application/*+json")
        return tuple(each.lower() for each in types)

    @field_validator("encodings")
    @classmethod
    def _once(cls, encodings: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(encodings)) != len(encodings):
            raise expected("each coding once")
        return encodings
