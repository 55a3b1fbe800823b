"""Limits WebSockets: who may open one, how many, how large and how frequent messages are, for how long.

Frames are followed as they pass, in both directions, and never held. What is too much ends the connection with a Close
frame of its own code: 1009 for size, 1008 for rate, for credentials that ended and for too many fragments, 1002 for
what is no WebSocket, 1001 for silence. Compressed messages are counted by their size on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Final

from pydantic import Field, model_validator

from gateway.errors import Forbidden, GatewayError, MalformedAnswer, Source, TooManyRequests
from gateway.http import Exchange, Handler, Request, Response
from gateway.plugin import Context, Count, Duration, Off, Plugin, Scope, Settings, Size, Stage
from gateway.plugin.origin import Origin, origin_matcher
from gateway.plugin.settings import expected
from gateway.plugin.subject import client
from gateway.services.shared import Hold
from plugins.websocket_limit.frames import FRAGMENTS, PROTOCOL, RATE, SIZE, Direction, Rate
from plugins.websocket_limit.tunnel import WatchedTunnel

__all__ = ["Messages", "WebsocketLimit", "WebsocketLimitSettings"]


class WebSocketEnded(GatewayError):
    """An open WebSocket went over a limit and was closed; the Close frame's code says which one."""

    code, status, title, source = "websocket_ended", 403, "WebSocket ended", Source.POLICY


class OriginRefused(Forbidden):
    """A page of this origin may not open WebSockets here (RFC 6455 §10.2)."""

    code, title = "origin_refused", "Origin refused"


class SubprotocolRefused(Forbidden):
    """None of the subprotocols that the client offers is spoken here."""

    code, title = "subprotocol_refused", "Subprotocol refused"


class TooManyWebSockets(TooManyRequests):
    """The caller has as many WebSockets open as it may."""

    code, title = "too_many_websockets", "Too many WebSockets"


class Messages(Settings):
    """How often a client may send."""

    rate: Annotated[Count, Field(ge=1, le=1_000_000)] = Field(
        description="Messages, pings and pongs let through in each `period`, sustained."
    )
    period: Duration = Field(default=1.0, ge=0.001, description="What `rate` is counted over.")
    burst: Annotated[Count, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="How many may come at once after a rest. Unset: as many as `rate`."
    )


def _token(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and not set(text) & set(' "(),/:;<=>?@[\\]{}')


class WebsocketLimitSettings(Settings):
    """Requests that ask for no WebSocket pass untouched. A connection over a limit is closed, not slowed down."""

    max_message: Annotated[Size | None, Off] = Field(
        default=1_000_000,
        description="Largest message of a client, its fragments together, by its size on the wire; more ends in 1009. "
        "`off`: any size.",
    )
    max_target_message: Annotated[Size | None, Off] = Field(
        default=None, description="The same for messages of the target. Unset: any size, as it is trusted."
    )
    max_fragments: Annotated[Count, Field(ge=1)] = Field(
        default=1000, description="Most fragments of a message; more ends in 1008. Empty ones cost work and no bytes."
    )
    messages: Messages | None = Field(
        default=None, description="How often a client may send; more ends in 1008. Unset: as often as it likes."
    )
    max_connections: Annotated[Count, Field(ge=1)] | None = Field(
        default=None,
        description="WebSockets that a caller may have open on this route; more is a 429. The principal, or without "
        "one the address, IPv6 by its /64. Counted in each worker, each with its share. Unset: any number.",
    )
    idle: Annotated[Duration | None, Off] = Field(
        default=None,
        description="Longest silence of both sides, pings included; longer ends in 1001. Unset or `off`: the "
        "upstream's `stream_idle` alone, which cuts the connection without a word.",
    )
    close_on_expiry: bool = Field(
        default=True,
        description="Whether it ends (1008) when the credentials that opened it do. Needs an authenticator before it.",
    )
    origins: tuple[Origin, ...] = Field(
        default=(),
        description="Origins of pages that may open one, as `cors` has them; others get 403. Browsers let any page "
        "open a WebSocket anywhere, with cookies. Empty: any origin.",
    )
    allow_no_origin: bool = Field(
        default=True,
        description="Whether clients that send no `Origin`, which no browser does, get past `origins`.",
    )
    subprotocols: tuple[str, ...] | None = Field(
        default=None,
        description="Subprotocols that may be spoken; others are taken out of what the client offers, and if none is "
        "left it gets 403. Unset: any.",
    )
    extensions: bool = Field(
        default=True,
        description="Whether extensions such as compression may be agreed on. `false` takes the offer out, so that "
        "`max_message` is what the target has to deal with.",
    )

    @model_validator(mode="after")
    def _whole(self) -> WebsocketLimitSettings:
        if self.subprotocols is not None and not all(map(_token, self.subprotocols)):
            raise expected("`subprotocols` that are tokens, such as graphql-transport-ws")
        return self


_ENDS: Final[dict[str, tuple[int, str]]] = {
    SIZE: (1009, "message too big"),
    FRAGMENTS: (1008, "too many fragments"),
    RATE: (1008, "too many messages"),
    "expired": (1008, "credentials expired"),
    "idle": (1001, "idle"),
    PROTOCOL: (1002, "protocol error"),
}
"""What is wrong → the Close code (RFC 6455 §7.4.1) and what the other side is told."""


class Callers:
    """Who has how many WebSockets open on a route. Outlives reloads, as the WebSockets do."""

    __slots__ = ("open",)

    def __init__(self) -> None:
        self.open: dict[str, int] = {}
        """As many entries as there are connections at most."""

    def enter(self, caller: str) -> None:
        """One more."""
        self.open[caller] = self.open.get(caller, 0) + 1

    def leave(self, caller: str) -> None:
        """One less."""
        left = self.open[caller] - 1
        if left:
            self.open[caller] = left
        else:
            del self.open[caller]

    async def close(self) -> None:
        """No plugin uses it any more; WebSockets that are still open leave it yet."""


class WebsocketLimit(Plugin[WebsocketLimitSettings]):
    stage = Stage.ANYWHERE  # behind authentication if it counts by principal; before it the origin alone is cheap
    refuses = True
    scope = Scope.WORKER

    def __init__(self, settings: WebsocketLimitSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._is_allowed = (
            origin_matcher(settings.origins) if settings.origins and "*" not in settings.origins else None
        )
        self._subprotocols = frozenset(settings.subprotocols) if settings.subprotocols is not None else None
        self._address = client(64)
        self._hold: Hold[Callers] | None = None
        place = (context.route, context.id)
        ended = context.metrics.counter(
            "websocket_limit_ended_total",
            "Open WebSockets that went over a limit, by which.",
            ("route", "plugin", "reason"),
        )
        self._ended = {what: ended.child(*place, what) for what in _ENDS}
        messages = context.metrics.counter(
            "websocket_messages_total", "Messages, by who sent them.", ("route", "plugin", "sender")
        )
        self._messages = [messages.child(*place, sender) for sender in ("client", "target")]
        self._connections = context.metrics.gauge(
            "websocket_connections", "WebSockets that are open.", ("route", "plugin")
        ).child(*place)

    @classmethod
    def check(cls, settings: WebsocketLimitSettings) -> Sequence[str]:
        if settings.max_message is None and settings.messages is None and settings.max_connections is None:
            return ("neither size nor rate nor number of WebSockets is limited",)
        return ()

    async def open(self) -> None:
        self._hold = self.context.shared.hold(("websocket_limit", self.context.route, self.context.id), Callers)

    async def close(self) -> None:
        if self._hold is not None:
            await self._hold.release()

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        if request.upgrade != "websocket":
            return await proceed(request)
        self._check_origin(request)
        offered = self._offer(request)
        if not self.settings.extensions:
            request.drop("sec-websocket-extensions")
        self._enter(request)
        response = await proceed(request)
        if response.tunnel is not None:
            self._check_choice(response, offered)
            self._watch(request, response)
        return response

    # -- the handshake -----------------------------------------------------------------------------------------

    def _check_origin(self, request: Request) -> None:
        if self._is_allowed is None:
            return
        given = request.headers.getall("Origin", ())
        if not given:
            if not self.settings.allow_no_origin:
                self.refuse(OriginRefused("Only pages may open a WebSocket here.", reason="no Origin"))
        elif len(given) > 1 or not self._is_allowed(given[0]):
            self.refuse(
                OriginRefused("This page may not open a WebSocket here.", reason="an origin that is not listed")
            )

    def _offer(self, request: Request) -> frozenset[str] | None:
        """Leave what may be spoken of the client's offer. What the target may choose from; None: anything."""
        allowed = self._subprotocols
        if allowed is None:
            return None
        lines = request.headers.getall("Sec-WebSocket-Protocol", ())
        offered = [name.strip() for line in lines for name in line.split(",") if name.strip()]
        kept = [name for name in offered if name in allowed]
        if offered and not kept:
            self.refuse(SubprotocolRefused("None of the subprotocols offered is spoken here."))
            return None  # in shadow mode
        if len(kept) < len(offered):
            if self.shadow:
                return None
            request.edit_headers()["Sec-WebSocket-Protocol"] = ", ".join(kept)
        return frozenset(kept)

    def _check_choice(self, response: Response, offered: frozenset[str] | None) -> None:
        chosen = response.headers.get("Sec-WebSocket-Protocol")
        if offered is not None and chosen is not None and chosen.strip() not in offered:
            self.refuse(MalformedAnswer(reason="the target chose a subprotocol that was not offered to it"))

    # -- how many ----------------------------------------------------------------------------------------------

    def _enter(self, request: Request) -> None:
        most = self.settings.max_connections
        if most is None:
            return
        principal = request.principal
        caller = "p" + principal.id if principal is not None else "a" + self._address(request)
        share = max(1, -(-most // self.context.ports.workers))
        assert self._hold is not None, "it was opened"
        callers = self._hold.thing
        if callers.open.get(caller, 0) >= share:
            self.refuse(TooManyWebSockets(f"{most} may be open at once.", reason="too many WebSockets of one caller"))
        callers.enter(caller)
        request.when_done(lambda _exchange: callers.leave(caller))

    # -- what goes through -------------------------------------------------------------------------------------

    def _watch(self, request: Request, response: Response) -> None:
        inner, settings, context = response.tunnel, self.settings, self.context
        assert inner is not None
        extended = "Sec-WebSocket-Extensions" in response.headers
        messages = settings.messages
        rate = (
            Rate(messages.rate, messages.period, messages.burst or messages.rate, context.clock.now)
            if messages is not None
            else None
        )
        principal = request.principal if settings.close_on_expiry else None

        def up(object_to: Callable[[str], bool]) -> Direction:
            return Direction(
                object_to,
                masked=True,
                extended=extended,
                max_message=settings.max_message,
                max_fragments=settings.max_fragments,
                rate=rate,
                messages=self._messages[0],
            )

        def down(object_to: Callable[[str], bool]) -> Direction:
            return Direction(
                object_to,
                masked=False,
                extended=extended,
                max_message=settings.max_target_message,
                max_fragments=settings.max_fragments,
                messages=self._messages[1],
            )

        tunnel = WatchedTunnel(
            inner,
            context.clock,
            self._objector(request),
            up=up,
            down=down,
            idle=settings.idle,
            expires=principal.expires if principal is not None else None,
        )
        response.tunnel = tunnel
        self._connections.value += 1

        def over(_exchange: Exchange) -> None:
            tunnel.close()
            self._connections.value -= 1

        request.when_done(over)

    def _objector(self, request: Request) -> Callable[[str], tuple[int, str] | None]:
        """Decides what becomes of one WebSocket that is over a limit. In shadow mode each limit is told once."""
        told: set[str] = set()

        def object_to(what: str) -> tuple[int, str] | None:
            if what in told:
                return None
            told.add(what)
            self._ended[what].value += 1
            code, reason = _ENDS[what]
            error = WebSocketEnded(reason=f"{code} {reason}")
            try:
                self.refuse(error)
            except WebSocketEnded:
                request.error = error  # it is too late for an answer; the log says why it ended
                return code, reason
            return None

        return object_to
