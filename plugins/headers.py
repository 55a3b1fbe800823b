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
    """Applied in this order: remove, set, add. Values may hold placeholders such as `{request.id}` or `{client_ip}`.

    What `remove` and `set` name goes in each spelling that CGI and WSGI cannot tell from it, too: `X_User` as `X-User`.
    """

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
    __slots__ = ("add", "any", "exact", "remove", "set", "written")

    def __init__(self, changes: Changes) -> None:
        self.remove = changes.remove
        self.set: list[tuple[str, Value]] = [(name, compile_template(text)) for name, text in changes.set.items()]
        self.add: list[tuple[str, Value]] = [(name, compile_template(text)) for name, text in changes.add.items()]
        self.written = frozenset(_folded(name) for name in (*changes.remove, *changes.set))
        self.exact = frozenset(name.lower() for name in changes.set)
        """These are replaced, perhaps by what they held."""
        self.any = bool(self.remove or self.set or self.add)

    def apply(self, headers: CIMultiDict[str], request: Request) -> None:
        for name in self.remove:
            headers.popall(name, None)
        for name in [each for each in headers if "_" in each and _folded(each) in self.written]:
            if name.lower() not in self.exact:
                headers.popall(name, None)
        for name, value in self.set:
            headers[name] = value(request)
        for name, value in self.add:
            headers.add(name, value(request))


def _folded(name: str) -> str:
    return name.lower().replace("_", "-")
