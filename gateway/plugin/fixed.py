"""An answer that an operator wrote down: status, body as text or JSON, header fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from pydantic import Field, model_validator

from gateway.http import Body, Fields, Response
from gateway.plugin.field import FieldName, FieldValue
from gateway.plugin.settings import Settings


class FixedAnswer(Settings):
    """Give `json` or `body`, or neither for an empty answer."""

    status: int = Field(default=200, ge=200, le=599, description="The answer's status.")
    body: str | None = Field(default=None, max_length=1_000_000, description="The answer's body, as text.")
    json_: Any = Field(default=None, alias="json", description="The answer's body, written as JSON.")
    content_type: FieldValue | None = Field(
        default=None,
        description="Media type of `body`. Unset: `text/plain; charset=utf-8`, for `json` `application/json`.",
    )
    headers: Mapping[FieldName, FieldValue] = Field(default={}, description="Further header fields.")

    @model_validator(mode="after")
    def _one_body(self) -> FixedAnswer:
        if self.body is not None and self.has_json:
            raise ValueError("`body` or `json`, not both")
        if self.status in (204, 304) and (self.body or self.has_json):
            raise ValueError(f"an answer of status {self.status} has no body (RFC 9110 §6.4.1)")
        return self

    @property
    def has_json(self) -> bool:
        """`json` was given; `null` is a document, too."""
        return "json_" in self.model_fields_set

    def ready(self) -> Ready:
        """Worked out once, to be given many times."""
        fields = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        body, media = b"", ""
        if self.has_json:
            body, media = msgspec.json.encode(self.json_), "application/json"
        elif self.body is not None:
            body, media = self.body.encode(), "text/plain; charset=utf-8"
        if media and not any(name.lower() == b"content-type" for name, _ in fields):
            fields.append((b"Content-Type", (self.content_type or media).encode()))
        return Ready(self.status, tuple(fields), body)


class Ready:
    """A fixed answer, made ready."""

    __slots__ = ("body", "fields", "status")

    def __init__(self, status: int, fields: Fields, body: bytes) -> None:
        self.status = status
        self.fields = fields
        self.body = body

    def response(self, *further: tuple[bytes, bytes]) -> Response:
        """A new response, with further fields."""
        fields = (*self.fields, *further) if further else self.fields
        return Response(self.status, fields=fields, body=Body(self.body))
