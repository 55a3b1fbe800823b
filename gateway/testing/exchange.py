"""A plugin in a real chain, from ``open`` to ``close``, without a socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from gateway.chain import Condition, Link, compose
from gateway.errors import ClientClosed, GatewayError
from gateway.http import Attempt, Exchange, Handler, Request, Response
from gateway.http.problem import Problems
from gateway.plugin import Context, Mode, Plugin, Settings
from gateway.plugin.document import Reading
from gateway.testing.message import answering, read, request
from gateway.testing.ports import TestPorts

P = TypeVar("P", bound=Plugin[Any])
Given = Mapping[str, Any] | Settings | None
"""Settings as under ``with:`` in YAML, or made already."""


class Opened(Generic[P]):
    """A plugin that is open, at the head of a chain. Made by `opened`; calling it runs a whole exchange."""

    def __init__(self, plugin: P, ports: TestPorts, when: Condition | None = None) -> None:
        self.plugin = plugin
        self.ports = ports
        self.exchanges: list[Exchange] = []
        """Those that have ended."""
        self._link = Link(plugin, when)
        self._render = Problems()

    async def __call__(self, given: Request | None = None, proceed: Handler | None = None) -> Response:
        """A whole exchange: the answer's body is read to its end and ``done`` has fired.

        Raises the GatewayError that cuts the body short, as the client would see the connection cut.
        """
        asked = given if given is not None else request()
        response = await self.head(asked, proceed)
        try:
            await read(response)
        except GatewayError as error:
            self._end(asked, response, error, aborted=True)
            raise
        except BaseException:
            self.leave(asked, response)
            raise
        self._end(asked, response, response.error)
        return response

    async def head(self, given: Request | None = None, proceed: Handler | None = None) -> Response:
        """The answer with its body not yet pulled. Go on with `read`, or `leave`.

        A plugin of the attempt chain finds itself in the first attempt at ``http://target.test``, a minute to go,
        unless the request says otherwise.
        """
        asked = given if given is not None else request()
        asked.received = self.ports.clock.now()
        around = self.plugin.on_attempt and (self.plugin.context.on_attempt or not self.plugin.on_route)
        if around and asked.attempt is None:
            asked.attempt = Attempt("test", "http://target.test", 1, asked.received + 60.0)
        handler = compose([self._link], proceed if proceed is not None else answering(), self._render)
        try:
            return await handler(asked)
        except asyncio.CancelledError:
            self._end(asked, None, ClientClosed(), aborted=True)
            raise

    def leave(self, asked: Request, response: Response) -> None:
        """The client goes away before the answer's end."""
        self._end(asked, response, ClientClosed(), aborted=True)

    def _end(
        self, asked: Request, response: Response | None, error: GatewayError | None, *, aborted: bool = False
    ) -> None:
        sent = 0
        if response is not None:
            sent = len(response.body.whole or b"")
            response.body.close()
        ended = Exchange(
            asked,
            response,
            status=499 if response is None else response.status,
            duration=self.ports.clock.now() - asked.received,
            sent_bytes=sent,
            received_bytes=len(asked.body.whole or b""),
            aborted=aborted,
            error=error,
        )
        asked.finish(ended)
        self.exchanges.append(ended)


@contextlib.asynccontextmanager
async def opened(
    plugin: type[P],
    settings: Given = None,
    *,
    mode: Mode | str = Mode.ENFORCE,
    ports: TestPorts | None = None,
    when: Condition | None = None,
    id: str | None = None,  # noqa: A002 - as in YAML
    route: str = "test",
) -> AsyncIterator[Opened[P]]:
    """A plugin, open for several exchanges, and closed afterwards even if ``open`` failed.

    ``settings`` are checked as ``with:`` is: sizes and durations carry units, and a mistake is pydantic's
    ValidationError. Raises what ``open`` raises.
    """
    given = ports if ports is not None else TestPorts()
    mode = Mode(mode)
    if mode is Mode.SHADOW and not plugin.refuses:
        raise ValueError(f"{plugin.__name__} never refuses, so it cannot be loaded in shadow mode")
    name = _name_of(plugin)
    context = Context(given, route=route, plugin=name, id=id or name, mode=mode)
    made = plugin(settings_of(plugin, settings), context)
    with given.capturing():
        try:
            await made.open()
            yield Opened(made, given, when)
        finally:
            try:
                await made.close()
            finally:
                await given.close()


async def exchange(
    plugin: type[Plugin[Any]],
    settings: Given = None,
    given: Request | None = None,
    proceed: Handler | None = None,
    *,
    mode: Mode | str = Mode.ENFORCE,
    ports: TestPorts | None = None,
) -> Response:
    """One exchange through a plugin: opened, called, ``done``, closed. The answer's body is whole.

    ``proceed`` stands for the rest of the chain; left out, it answers 200. Raises what `opened` and `Opened` raise.
    """
    async with opened(plugin, settings, mode=mode, ports=ports) as live:
        return await live(given, proceed)


def settings_of(plugin: type[Plugin[Any]], given: Given) -> Settings:
    """The plugin's settings. Raises pydantic's ValidationError."""
    if isinstance(given, Settings):
        return given
    return plugin.settings_type.model_validate(dict(given or {}), context=Reading(Path()))


def _name_of(plugin: type[Plugin[Any]]) -> str:
    """As in YAML: a bundled plugin is named by its module."""
    module = plugin.__module__.split(".")
    return module[1] if module[0] == "plugins" and len(module) > 1 else plugin.__name__.lower()
