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
    content_type: str | None = Field(
        default=None,
        description="Media type of `body`. Unset: `text/plain; charset=utf-8`, for `json` `application/json`.",
    )
    headers: Mapping[FieldName, FieldValue] = Field(default={}, description="Further header fields.")

    @model_validator(mode="after")
    def _one_body(self) -> RespondSettings:
        if self.body is not None and self.json_ is not None:
            raise ValueError("`body` or `json`, not both")
        return self


class Respond(Plugin[RespondSettings]):
    stage = Stage.SHAPE
    ends = True

    def __init__(self, settings: RespondSettings, context: Context) -> None:
        super().__init__(settings, context)
        fields = dict(settings.headers)
        if settings.json_ is not None:
            self._body = msgspec.json.encode(settings.json_)
            fields.setdefault("Content-Type", settings.content_type or "application/json")
        elif settings.body is not None:
            self._body = settings.body.encode()
            fields.setdefault("Content-Type", settings.content_type or "text/plain; charset=utf-8")
        else:
            self._body = b""
        self._fields = tuple((name.encode(), value.encode()) for name, value in fields.items())

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        del request, proceed
        return Response(self.settings.status, fields=self._fields, body=Body(self._body))
