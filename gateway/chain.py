"""How plugins become one handler: composed once at load, in the order of the list, the first outermost.

Requests go down the list, responses come up. Nothing is sorted. A refusal is a response to the layers outside it, so
that whatever dresses answers dresses refusals too: the binder around each plugin turns a `GatewayError` into a rendered
`Response` whose ``error`` is set. Only what fails after the head is an exception.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.errors import GatewayError, InternalError, Unauthorized
from gateway.http import Handler, Request, Response
from gateway.plugin import Authenticator, Plugin, Settings, Stage

log = logging.getLogger("gateway.chain")

Render = Callable[[GatewayError, Request], Response]
Condition = Callable[[Request], bool]


@dataclass(frozen=True, slots=True)
class Link:
    """One entry of a list, made live."""

    plugin: Plugin[Any]
    when: Condition | None = None


Observe = Callable[[Plugin[Any], Handler], Handler]
"""Puts something around one plugin's handler that sees its requests and answers pass."""


def compose(links: Sequence[Link], last: Handler, render: Render, observe: Observe | None = None) -> Handler:
    """One handler out of a list and what stands at its end. It raises nothing but cancellation."""
    handler = guard(last, render)
    for link in reversed([each for each in links if acts(type(each.plugin))]):
        handler = _bind(link, handler, render, observe)
    return handler


def acts(kind: type[Plugin[Any]]) -> bool:
    """Whether plugins of this class do anything to an exchange. One that only brings something else, such as a step of
    the log pipeline, has no place in a chain, so that it costs no request anything.
    """
    return kind.__call__ is not Plugin.__call__ or kind.done is not Plugin.done


def guard(last: Handler, render: Render) -> Handler:
    """What `last` raises, as a response."""

    async def guarded(request: Request) -> Response:
        before = request.answer
        try:
            response = request.answer = await last(request)
        except GatewayError as error:
            return render(error, request)
        except Exception as bug:  # noqa: BLE001 - whatever it is, the client gets an answer and the log the traceback
            return render(crashed(bug, request), request)
        else:
            if before is not None:  # asked for a second time
                _replaced(request, before, response)
            return response

    return guarded


def _bind(link: Link, inner: Handler, render: Render, observe: Observe | None) -> Handler:
    plugin, condition = link.plugin, link.when
    call = plugin.__call__
    proceed = _raising(inner) if plugin.recovers else inner

    # Only what has a `done` pays for it; a plugin that fails after `proceed` must not leave a target's body open.
    done = plugin.done if type(plugin).done is not Plugin.done else None

    async def bound(request: Request) -> Response:
        if done is not None:
            request.when_done(done)
        try:
            response = await call(request, proceed)
            if response is None:
                raise TypeError(f"{type(plugin).__qualname__} returned None instead of a response")
            before = request.answer
            if before is not response:
                if before is not None:
                    _replaced(request, before, response)
                request.answer = response
        except GatewayError as error:
            request.abandon()
            return render(error, request)
        except Exception as bug:  # noqa: BLE001 - a plugin's bug ends one exchange, not the connection or the worker
            request.abandon()
            return render(crashed(bug, request), request)
        except BaseException:  # the client has left
            request.abandon()
            raise
        else:
            return response

    handler: Handler = bound if observe is None else observe(plugin, bound)
    if condition is not None:
        return _conditional(condition, handler, _cleansing(plugin, inner, render), render)
    return handler


def _replaced(request: Request, before: Response, response: Response) -> None:
    """A plugin answers with another response than it was given, whose body it may have forgotten.

    A stream may feed the new one's body, so it is closed with the exchange, or at once if there is nothing to feed.
    """
    left = before.body
    if left.whole is None and left is not response.body:
        if response.body.whole is not None:
            left.close()
        else:
            request.when_done(lambda _exchange: left.close())
    if before.tunnel is not None and before.tunnel is not response.tunnel:
        before.tunnel.close()


def crashed(bug: Exception, request: Request) -> InternalError:
    """What a bug ends an exchange with; logged here, with its traceback."""
    route = request.route.name
    extra = {"request_id": request.id, "route": route}
    log.error("unhandled error in exchange %s on route %s", request.id, route, exc_info=bug, extra=extra)
    return InternalError(reason=type(bug).__name__)


def _raising(inner: Handler) -> Handler:
    async def raising(request: Request) -> Response:
        response = await inner(request)
        if response.error is not None:
            response.body.close()
            raise response.error
        return response

    return raising


def _cleansing(plugin: Plugin[Any], inner: Handler, render: Render) -> Handler:
    """The way past an authenticator that a request is not asked to meet.

    What only it may say of the caller, and what is for it alone, does not go by it either: the target is the same.
    """
    if not isinstance(plugin, Authenticator) or not plugin.cleanses:
        return inner
    cleanse = plugin.cleanse

    async def past(request: Request) -> Response:
        cleanse(request)
        return await inner(request)

    return guard(past, render)


def _conditional(condition: Condition, handler: Handler, otherwise: Handler, render: Render) -> Handler:
    async def chosen(request: Request) -> Response:
        try:
            holds = condition(request)
        except GatewayError as error:
            return render(error, request)
        except Exception as bug:  # noqa: BLE001 - must neither end the connection nor be a way past the plugin
            return render(crashed(bug, request), request)
        return await (handler if holds else otherwise)(request)

    return chosen


class AnyOf(Authenticator[Settings]):
    """``any:`` — the first authenticator that knows the caller decides.

    Each is asked in the order of the list. Credentials that do not hold are remembered and the next one is asked; when
    nobody knows the caller, the answer is the first of these errors, with the challenges of all (RFC 9110 §11.6.1).
    """

    def __init__(self, members: Sequence[Authenticator[Any]], context: Any) -> None:
        super().__init__(Settings(), context)
        self.members = tuple(members)
        self.dresses = any(member.dresses for member in members)
        self.cleanses = any(member.cleanses for member in members)

    def cleanse(self, request: Request) -> None:
        """All members' turn, the ones included that will not be asked."""
        for member in self.members:
            member.cleanse(request)

    def dress(self, request: Request, response: Response) -> None:
        """All members' turn: one that did not know the caller may have to say so."""
        for member in self.members:
            if member.dresses:
                member.dress(request, response)

    async def authenticate(self, request: Request) -> Any:
        """The principal that the first knowing member found. Raises the first error of those that did not hold."""
        refused: GatewayError | None = None
        for member in self.members:
            try:
                principal = await member.authenticate(request)
            except GatewayError as error:
                refused = refused or error
            else:
                if principal is not None:
                    return principal
        if refused is not None and isinstance(refused, Unauthorized):
            others = tuple(pair for pair in refused.headers if pair[0].lower() != "www-authenticate")
            refused.headers = (*others, ("WWW-Authenticate", self.challenge()))
        if refused is not None:
            raise refused
        return None

    def challenge(self) -> str:
        """All members' challenges, once each, in order."""
        return ", ".join(dict.fromkeys(member.challenge() for member in self.members))


@dataclass(frozen=True, slots=True)
class Disorder:
    """An order that cannot work (``fatal``) or that is seldom meant."""

    index: int
    """Of the entry in its list that stands wrong."""
    message: str
    fatal: bool


def disorders(plugins: Sequence[tuple[str, type[Plugin[Any]]]]) -> list[Disorder]:
    """What is wrong with the order of a list of ``(id, class)``, outermost first."""
    found = []
    highest: tuple[Stage, str] = (Stage.DRESS, "")
    later = ""
    for index, (name, plugin) in enumerate(plugins):
        if plugin.ends and index + 1 < len(plugins):
            after = ", ".join(each for each, _ in plugins[index + 1 :])
            found.append(Disorder(index, f"{name} answers by itself, so what follows it can never run: {after}", True))
        if plugin.stage is not Stage.ANYWHERE and later and Stage.LIMIT <= plugin.stage <= Stage.VERIFY:
            why = f"{name} ({plugin.stage.name.lower()}) stands inside {later}, which has answered before it runs"
            found.append(Disorder(index, why, False))
            continue
        if plugin.defers:
            later, highest = name, (Stage.DRESS, "")
            continue
        if plugin.stage is Stage.ANYWHERE:
            continue
        if plugin.stage < highest[0]:
            found.append(
                Disorder(
                    index,
                    f"{name} ({plugin.stage.name.lower()}) stands inside {highest[1]} ({highest[0].name.lower()});"
                    " usually it is the other way round",
                    False,
                )
            )
        else:
            highest = (plugin.stage, name)
    return found
