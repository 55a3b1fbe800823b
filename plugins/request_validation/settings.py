"""The settings of request_validation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from gateway.plugin import Count, Document, Duration, Settings, Size
from gateway.plugin.openapi import ApiDescription

Choice = Literal["allow", "refuse"]


class RequestValidationSettings(Settings):
    """Either a description of the API, or JSON Schemas for what this one route takes."""

    document: ApiDescription = Field(
        default=None,
        description="OpenAPI 3.0 or 3.1, JSON or YAML: `{file: path}`, `{url: address}` with `refresh`, `timeout` and "
        "`max_size`, or the document itself.",
    )
    base_path: str | None = Field(
        default=None,
        max_length=512,
        pattern=r"^(/[^?#]*)?$",
        description="What precedes the document's paths in requests as clients send them. Unset: the paths of the "
        "document's `servers`.",
    )
    body: Document = Field(default=None, description="JSON Schema (2020-12) of the body, instead of `document`.")
    content_types: tuple[str, ...] = Field(
        default=("application/json",), min_length=1, description="With `body`: the media types that are taken."
    )
    body_required: bool = Field(default=True, description="With `body`: whether there must be one.")
    query: Document = Field(
        default=None, description="JSON Schema of an object whose properties are the query's parameters."
    )
    headers: Document = Field(default=None, description="The same for header fields.")
    cookies: Document = Field(default=None, description="The same for cookies.")
    path: Document = Field(default=None, description="The same for the parameters of the route's own path.")
    unknown_operations: Choice = Field(
        default="refuse", description="Paths and methods that the document does not have: 404 and 405, or let through."
    )
    unknown_query: Choice = Field(default="allow", description="Query parameters that are not described.")
    unknown_body: Choice = Field(default="allow", description="A body where none is described.")
    read_only: Choice = Field(
        default="allow", description="Properties in a body that only the service writes (`readOnly`); never required."
    )
    formats: bool = Field(default=True, description="Hold strings to `format` (email, date-time, uuid …).")
    unsupported: Literal["refuse", "skip"] = Field(
        default="refuse",
        description="A schema that cannot be compiled: refuse to load, or log it and leave that part unchecked.",
    )
    unavailable: Choice = Field(
        default="refuse", description="Requests that come before a `url` could be fetched for the first time."
    )
    status: Literal[400, 422] = Field(default=400, description="Of the answer to a request that is not valid.")
    errors: Count = Field(default=20, ge=1, le=200, description="Most failures that are listed in an answer.")
    max_body: Size = Field(
        default=1_000_000, ge=1, description="Largest body that is looked into, also when decompressed; beyond it 413."
    )
    max_depth: Count = Field(default=64, ge=1, le=500, description="Deepest nesting of a JSON body.")
    drift: bool = Field(
        default=True, description="Count where traffic and document differ; see the admin view `drift`."
    )
    drift_window: Duration = Field(
        default=3600.0, ge=60, description="The same difference is logged once in this time."
    )

    @model_validator(mode="after")
    def _either(self) -> RequestValidationSettings:
        schemas = (self.body, self.query, self.headers, self.cookies, self.path)
        if (self.document is None) == all(each is None for each in schemas):
            raise ValueError("either `document`, or some of `body`, `query`, `headers`, `cookies` and `path`")
        return self
