"""Sets, adds and removes header fields of requests and of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from multidict import CIMultiDict
from pydantic import AfterValidator, Field

from gateway.http import Handler, Request, Response
from gateway.plugin import Context, Plugin, Settings, Stage
from gateway.plugin.field import FieldName, FieldValue
from gateway.plugin.template import Value, compile_template


def _template(text: str) -> str:
    compile_template(text)
    return text


Template = Annotated[FieldValue, AfterValidator(_template)]


class Changes(Settings):
    """Applied in this order: remove, set, add. Values may hold placeholders such as `{request.id}` or `{client_ip}`."""

    remove: tuple[FieldName, ...] = Field(default=(), description="Fields to take out, each with all repetitions.")
    set: Mapping[FieldName, Template] = Field(default={}, description="Fields to write, replacing what was there.")
    add: Mapping[FieldName, Template] = Field(default={}, description="Fields to write beside what was there.")


class HeadersSettings(Settings):
    """At least one side is usual; with neither the plugin does nothing."""

    request: Changes = Field(default=Changes(), description="Changes to what the target gets.")
    response: Changes = Field(default=Changes(), description="Changes to what the client gets, error answers included.")


class Headers(Plugin[HeadersSettings]):
    stage = Stage.DRESS

    def __init__(self, settings: HeadersSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._down = _Compiled(settings.request)
        self._up = _Compiled(settings.response)

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        if self._down.any:
            self._down.apply(request.edit_headers(), request)
        response = await proceed(request)
        if self._up.any:
            self._up.apply(response.edit_headers(), request)
        return response


class _Compiled:
    __slots__ = ("add", "any", "remove", "set")

    def __init__(self, changes: Changes) -> None:
        self.remove = changes.remove
        self.set: list[tuple[str, Value]] = [(name, compile_template(text)) for name, text in changes.set.items()]
        self.add: list[tuple[str, Value]] = [(name, compile_template(text)) for name, text in changes.add.items()]
        self.any = bool(self.remove or self.set or self.add)

    def apply(self, headers: CIMultiDict[str], request: Request) -> None:
        for name in self.remove:
            headers.popall(name, None)
        for name, value in self.set:
            headers[name] = value(request)
        for name, value in self.add:
            headers.add(name, value(request))
