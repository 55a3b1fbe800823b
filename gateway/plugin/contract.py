"""What a plugin is: settings on top, one call around the rest of the chain, and what it brings along."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, ClassVar, Generic, Protocol, TypeVar, get_args, get_origin

from gateway.errors import GatewayError, Unauthorized
from gateway.http import Exchange, Handler, Principal, Request, Response
from gateway.plugin.context import Context, Mode
from gateway.plugin.settings import Settings
from gateway.services.masking import LogProcessor

S = TypeVar("S", bound=Settings)


class Stage(IntEnum):
    """Where in a route's list a plugin is usually right. Advice: a list that runs against it is a warning, no more."""

    DRESS = 10
    """Must see every answer, refusals too: cors, security_headers, headers."""
    LIMIT = 20
    """Cheap refusals before anything is worked out: size_limit, ip_restriction."""
    AUTHENTICATE = 30
    AUTHORIZE = 40
    VERIFY = 50
    """Looks into the body: signatures, schemas."""
    REDUCE = 60
    """Fewer bytes for the client: compression."""
    CACHE = 70
    RECOVER = 80
    """Turns failures into answers: fallback, dead_letter."""
    SHAPE = 90
    """Changes what the target sees or is the answer itself: transform, respond."""
    ANYWHERE = 100


class Scope(StrEnum):
    """How far a plugin's state must reach to be right."""

    NONE = "none"
    WORKER = "worker"
    GATEWAY = "gateway"
    FLEET = "fleet"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path of the gateway's own that a plugin answers, such as a login callback."""

    path: str
    """Exact, in normal form."""
    handler: Handler
    methods: frozenset[str] = frozenset({"GET"})
    shared: str = ""
    """Endpoints of one path that give the same text here answer alike: one of them does, and it is no collision."""


@dataclass(frozen=True, slots=True)
class Command:
    """A sub-command that a plugin adds to ``gateway``."""

    name: str
    help: str
    run: Callable[[argparse.Namespace], int]
    """Returns the exit code."""
    arguments: Callable[[argparse.ArgumentParser], None] = lambda _parser: None


@dataclass(frozen=True, slots=True)
class AdminView:
    """A resource that a plugin adds to the admin API, under ``/plugins/<route>/<id>/<name>``."""

    name: str
    answer: Callable[[Mapping[str, str]], Awaitable[Any]]
    """From query parameters to something JSON can hold."""
    methods: frozenset[str] = field(default=frozenset({"GET"}))


class Gate(Protocol):
    """What a plugin of the attempt chain, such as a circuit breaker, says of a target before it is chosen."""

    def admits(self) -> bool:
        """Whether a request may be sent now. Asked for each choice: fast, sync and without effect."""
        ...


class Plugin(Generic[S]):
    """One policy around the rest of a chain.

    A subclass names its settings (``class SizeLimit(Plugin[SizeLimitSettings])``), refuses only through `refuse`, and
    acquires nothing before `open`.
    """

    settings_type: ClassVar[type[Settings]] = Settings
    stage: ClassVar[Stage] = Stage.ANYWHERE
    refuses: ClassVar[bool] = False
    """It can refuse a request, so ``mode: shadow`` makes sense."""
    default_mode: ClassVar[Mode] = Mode.ENFORCE
    """What holds where an entry says nothing. Shadow for what guesses, and would refuse some who mean no harm."""
    recovers: ClassVar[bool] = False
    """``proceed`` raises the errors of inner layers instead of returning them as answers."""
    on_attempt: ClassVar[bool] = False
    """It belongs into an upstream's ``attempt`` list, and only there unless `on_route` says otherwise."""
    on_route: ClassVar[bool] = False
    """With `on_attempt`: it may stand in a route's list as well. `Context.on_attempt` says where it does."""
    buffers_body: ClassVar[bool] = False
    """It may hold a whole body, under a limit of its settings."""
    ends: ClassVar[bool] = False
    """It answers by itself and never calls ``proceed``: what follows it in a list can never run."""
    preflights: ClassVar[bool] = False
    """It answers CORS preflights: those about requests of its route reach it, whatever methods the route takes."""
    scope: ClassVar[Scope] = Scope.NONE
    """How far its state must reach; with less it is flagged approximate or refuses to load."""
    exact: ClassVar[bool] = False
    """Less than its `scope` will not do: several workers or replicas without a shared store are a mistake."""
    durable: ClassVar[bool] = False
    """It keeps accepted work: without `stores.durable` it is a mistake. What stands behind it can be reached without a
    client (`Context.behind`), and what the queue holds under `Context.topic` is its to deliver."""
    audits: ClassVar[bool] = False
    """It writes to the audit trail: without one (``audit``) it is a mistake at load."""
    defers: ClassVar[bool] = False
    """It answers now, and what stands behind it runs later: a list of its own, as far as its order goes."""
    status: ClassVar[str] = "stable"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            origin = get_origin(base)
            if isinstance(origin, type) and issubclass(origin, Plugin):
                found = get_args(base)[0]
                if isinstance(found, type) and issubclass(found, Settings):
                    cls.settings_type = found

    def __init__(self, settings: S, context: Context) -> None:
        self.settings = settings
        self.context = context
        self.shadow = context.mode is Mode.SHADOW

    async def open(self) -> None:
        """Acquire what is needed. `close` is called even if this fails."""

    async def close(self) -> None:
        """Release it. Idempotent."""

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        """Handle a request; ``await proceed(request)`` runs the rest of the chain."""
        return await proceed(request)

    def done(self, exchange: Exchange) -> None:
        """After the last byte or an abort. Fast, sync, must not raise. Costs nothing where not overridden."""

    async def erase(self, subject: str) -> int:
        """Delete the bodies that this plugin keeps outside the durable queue for a person whose data must go, known by
        the id of a principal; how many. Called in every worker; what is shared by all may be gone by then.

        Raises GatewayError where what keeps them is away: whoever asked is told that it is not done.
        """
        del subject
        return 0

    def refuse(self, error: GatewayError) -> None:
        """Refuse the request: raises ``error``. In shadow it is counted and logged, and this returns."""
        if not self.shadow:
            self.context.refused(error)
            raise error
        self.context.would_refuse(error)

    def gate(self, target: str) -> Gate | None:
        """In an attempt chain: what the balancer asks before it chooses this target (a URL); None: nothing."""
        del target
        return None

    def endpoints(self) -> Sequence[Endpoint]:
        """Paths that this instance answers itself."""
        return ()

    def admin(self) -> Sequence[AdminView]:
        """Resources for the admin API."""
        return ()

    def log_processor(self) -> LogProcessor | None:
        """A step for the log pipeline: its route's access lines, those of no route, and the application log.

        It gets the line as a dictionary and may change or drop it. It must be hashable; of equal ones one runs. It may
        be called from any thread, must not log, and should not raise: the line is then withheld. What else is shown to
        people (traces, errors, audit, stored requests) goes through it as well, see `gateway.services.masking`. It is
        asked of an instance that was never opened, too.
        """
        return None

    @classmethod
    def commands(cls) -> Sequence[Command]:
        """Sub-commands for ``gateway``."""
        return ()

    @classmethod
    def scope_of(cls, settings: S) -> Scope:
        """As `scope`, for these settings: less where they switch off what keeps state."""
        del settings
        return cls.scope

    @classmethod
    def reference(cls) -> str:
        """More for its section of the generated reference, as Markdown: what it knows as data."""
        return ""

    @classmethod
    def belongs(cls) -> str:
        """Into which lists it may be written, in words for people."""
        if not cls.on_attempt:
            return "`plugins` of a route"
        return "`attempt` of an upstream" + (" or `plugins` of a route" if cls.on_route else "")

    @classmethod
    def check(cls, settings: S) -> Sequence[str]:
        """Warnings about settings that are valid and still cannot be meant."""
        del settings
        return ()


class Authenticator(Plugin[S]):
    """A plugin that finds out who the caller is; usable alone and inside ``any:``."""

    stage = Stage.AUTHENTICATE
    refuses = True
    dresses: bool = False
    """`dress` does something; set by itself."""
    cleanses: bool = False
    """`cleanse` does something; set by itself."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.dresses = cls.dress is not Authenticator.dress
        cls.cleanses = cls.cleanse is not Authenticator.cleanse

    @classmethod
    def alone(cls, settings: S) -> str:
        """The key of these settings that has no effect in ``any:``, where only `authenticate` is asked; mostly none."""
        del settings
        return ""

    async def authenticate(self, request: Request) -> Principal | None:
        """Who it is; None if there are no credentials of this kind. Raises GatewayError if they do not hold."""
        raise NotImplementedError

    def challenge(self) -> str:
        """The ``WWW-Authenticate`` value that asks for credentials of this kind (RFC 9110 §11.6.1)."""
        raise NotImplementedError

    def cleanse(self, request: Request) -> None:
        """Take out what only this plugin may say about the caller, such as its identity headers.

        Called before any `authenticate`, in ``any:`` for every member, and for requests that a ``when:`` lets past: one
        that is not asked must not leave what a client wrote for the target to believe.
        """

    def dress(self, request: Request, response: Response) -> None:
        """Add to the answer what the caller must get with it, such as a cookie that was renewed.

        Called in ``any:`` for every member, whoever knew the caller; not for answers to refusals of its own. Costs
        nothing where not overridden.
        """

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        self.cleanse(request)
        try:
            principal = await self.authenticate(request)
        except GatewayError as error:
            self.refuse(error)
        else:
            if principal is None:
                self.refuse(Unauthorized(headers=(("WWW-Authenticate", self.challenge()),), reason="no credentials"))
            else:
                request.principal = principal
        if not self.dresses:
            return await proceed(request)
        response = await proceed(request)
        self.dress(request, response)
        return response
