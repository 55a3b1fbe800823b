"""Answers by itself, with a fixed status, header fields and body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from pydantic import Field, model_validator

from gateway.http import Body, Handler, Request, Response
from gateway.plugin import Context, Plugin, Settings, Stage
from gateway.plugin.field import FieldName, FieldValue


class RespondSettings(Settings):
    """Give `json` or `body`, or neither for an empty answer."""

    status: int = Field(default=200, ge=200, le=599, description="The answer's status.")
    body: str | None = Field(default=None, description="The answer's body, as text.")
    json_: Any = Field(default=None, alias="json", description="The answer's body, written as JSON.")
    content_type: FieldValue | None = Field(
        default=None,
        description="Media type of `body`. Unset: `text/plain; charset=utf-8`, for `json` `application/json`.",
    )
    headers: Mapping[FieldName, FieldValue] = Field(default={}, description="Further header fields.")

    @model_validator(mode="after")
    def _one_body(self) -> RespondSettings:
        if self.body is not None and self.has_json:
            raise ValueError("`body` or `json`, not both")
        if self.status in (204, 304) and (self.body or self.has_json):
            raise ValueError(f"an answer of status {self.status} has no body (RFC 9110 §6.4.1)")
        return self

    @property
    def has_json(self) -> bool:
        """`json` was given; `null` is a document, too."""
        return "json_" in self.model_fields_set


class Respond(Plugin[RespondSettings]):
    stage = Stage.SHAPE
    ends = True

    def __init__(self, settings: RespondSettings, context: Context) -> None:
        super().__init__(settings, context)
        fields = [(name.encode(), value.encode()) for name, value in settings.headers.items()]
        media = ""
        if settings.has_json:
            self._body, media = msgspec.json.encode(settings.json_), "application/json"
        elif settings.body is not None:
            self._body, media = settings.body.encode(), "text/plain; charset=utf-8"
        else:
            self._body = b""
        if media and not any(name.lower() == b"content-type" for name, _ in fields):
            fields.append((b"Content-Type", (settings.content_type or media).encode()))
        self._fields = tuple(fields)

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        del request, proceed
        return Response(self.settings.status, fields=self._fields, body=Body(self._body))
