"""Where a plugin's settings say that the description of an API is: in a file, at a URL, or right there."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any
from weakref import WeakValueDictionary

from pydantic import Field, PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from gateway.plugin.document import FileReference, Reading, read_bytes
from gateway.plugin.issuer import Url
from gateway.plugin.openapi.document import ApiDocument
from gateway.plugin.openapi.error import OpenApiError
from gateway.plugin.settings import Duration, Settings, Size, expected


class GivenDocument:
    """A description that was there when the configuration was read. Its text is a digest, by which settings compare."""

    __slots__ = ("__weakref__", "digest", "document")

    def __init__(self, document: ApiDocument, digest: str) -> None:
        self.document = document
        self.digest = digest

    def __repr__(self) -> str:
        return f"<OpenAPI document {self.digest[:16]}>"

    __str__ = __repr__


class FetchedDocument(Settings):
    """A description that the gateway fetches, and looks at again from time to time."""

    url: Url = Field(description="Where it is; most likely at the service behind this route.")
    refresh: Duration = Field(default=3600.0, ge=10, description="It is fetched again after this.")
    timeout: Duration = Field(default=10.0, gt=0, le=120, description="For one fetch, whole.")
    max_size: Size = Field(default=32_000_000, ge=1000, description="Largest document that is taken.")


_READ: WeakValueDictionary[str, GivenDocument] = WeakValueDictionary()
"""By digest: routes that name one document share it, and a reload does not read it again."""


def _given(content: bytes) -> GivenDocument:
    digest = hashlib.sha256(content).hexdigest()
    known = _READ.get(digest)
    if known is None:
        known = _READ[digest] = GivenDocument(ApiDocument.read(content), digest)
    return known


def _read(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, GivenDocument | FetchedDocument):
        return value
    if not isinstance(value, dict):
        raise expected("{file: path}, {url: address} or an OpenAPI document")
    if "url" in value:
        return FetchedDocument.model_validate(value, context=info.context)
    try:
        if set(value) == {"file"} and isinstance(value["file"], str | Path):
            reference = value if isinstance(value, FileReference) else FileReference(value)
            reading = info.context if isinstance(info.context, Reading) else None
            return _given(read_bytes(reference, reading))
        document = ApiDocument(value)
    except OpenApiError as error:
        raise PydanticCustomError("openapi", "{what}", {"what": str(error)}) from None
    return GivenDocument(document, hashlib.sha256(repr(value).encode()).hexdigest())


def _shown(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, FetchedDocument) else str(value)


ApiDescription = Annotated[
    Any,
    PlainValidator(_read),
    PlainSerializer(_shown, when_used="json"),
    WithJsonSchema(
        {
            "title": "OpenAPI document",
            "anyOf": [
                {
                    "type": "object",
                    "properties": {"file": {"type": "string"}},
                    "required": ["file"],
                    "additionalProperties": False,
                },
                {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]},
                {"type": "object", "required": ["openapi"]},
            ],
        }
    ),
]
"""A `GivenDocument` or `FetchedDocument`: ``{file: path}`` (JSON or YAML), ``{url: address}``, or the document."""

__all__ = ["ApiDescription", "FetchedDocument", "GivenDocument"]
