"""The name of an upstream in a plugin's settings: a misspelt one is found at load, not by the first request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

Place = tuple[str | int, ...]


class UpstreamName(str):
    """An upstream of the configuration; use as a field's type and with `Context.upstream` or `Request.upstream`."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        del source, handler
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
        )


def upstreams_in(value: Any) -> Iterator[tuple[Place, UpstreamName]]:
    """Every upstream that settings name, and where; keys as in YAML."""
    if isinstance(value, UpstreamName):
        yield (), value
        return
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, BaseModel):
        inner = [(field.alias or name, getattr(value, name)) for name, field in type(value).model_fields.items()]
    elif isinstance(value, Mapping):
        inner = list(value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        inner = list(enumerate(value))
    for key, each in inner:
        for place, name in upstreams_in(each):
            yield (key, *place), name
