"""The ports of a plugin under test: everything that a gateway offers, none of it over a socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from gateway.chain import compose
from gateway.errors import ConnectFailed, GatewayError, InternalError
from gateway.http import Body, Exchange, Handler, Request, Response
from gateway.http.problem import Problems
from gateway.plugin import Context, Destination
from gateway.services.audit import Audit, Event
from gateway.services.client import Answer, Client
from gateway.services.clock import ManualClock
from gateway.services.masking import Masking
from gateway.services.metrics import Metrics
from gateway.services.queue import Queue
from gateway.services.relay import Relay
from gateway.services.shared import Shared
from gateway.services.store import MemoryStore, Store
from gateway.services.tracing import Tracing
from gateway.testing.message import answering, data_of
from gateway.testing.queue import MemoryQueue


@dataclass(frozen=True, slots=True)
class Refusal:
    """One call of `gateway.plugin.Plugin.refuse`."""

    plugin: str
    """The instance's id."""
    error: GatewayError
    enforced: bool
    """False in shadow mode: the request went on."""

    @property
    def code(self) -> str:
        return self.error.code


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call that a plugin made of its own."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class CannedClient(Client):
    """`gateway.services.client.Client` that is answered from a table instead of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._answers: dict[str, Answer | Exception] = {}

    def answer(
        self,
        url: str,
        status: int = 200,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
        *,
        error: GatewayError | None = None,
    ) -> None:
        """What a call of ``url`` gets from now on; calls of any other URL fail to connect."""
        fields = CIMultiDictProxy(CIMultiDict(headers or {}))
        self._answers[url] = error if error is not None else Answer(status, fields, data_of(body))

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = 5.0,  # noqa: ASYNC109
        limit: int = 1_000_000,
        redirects: bool = False,
    ) -> Answer:
        del timeout, limit, redirects
        self.calls.append(Call(method, url, dict(headers or {}), body or b""))
        await asyncio.sleep(0)  # as with a real call, others run meanwhile
        found = self._answers.get(url, ConnectFailed(reason=f"{url} is not in the table of the test"))
        if isinstance(found, Exception):
            raise found
        return found


@dataclass
class TestDestination:
    """`gateway.plugin.Destination` that says what a test wants."""

    __test__ = False

    upstream: str = "test"
    why: str = ""
    """What `hindrance` says."""

    def hindrance(self) -> str:
        return self.why


class HeldAudit(Audit):
    """`gateway.services.audit.Audit` that keeps events in memory."""

    def __init__(self, metrics: Metrics, masking: Masking) -> None:
        super().__init__(metrics, masking)
        self.events: list[Event] = []
        self.broken = ""
        """Set it, and nothing can be recorded any more."""

    @property
    def enabled(self) -> bool:
        return True

    @property
    def refusing(self) -> str:
        return self.broken

    def record(self, event: Event) -> None:
        if not self.broken:
            self.events.append(event)

    async def record_and_wait(self, event: Event, patience: float = 5.0) -> bool:
        del patience
        await asyncio.sleep(0)
        self.record(event)
        return not self.broken


class TestPorts:
    """`gateway.plugin.Ports` for tests. Set what the plugin is to find, look at what it left."""

    __test__ = False  # not a test, whatever pytest thinks of its name

    def __init__(self, *, workers: int = 1, owner: bool = True, replicas: int = 1, store: Store | None = None) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.relay = Relay()
        """Its ``send`` is None: there are no other workers, unless a test sets it."""
        self.masking = Masking()
        """Has its floor only, unless a test refills it."""
        self.tracing = Tracing(self.metrics, self.masking)
        """Off."""
        self.audit = HeldAudit(self.metrics, self.masking)
        """Its ``events`` are what was recorded."""
        self.shared = Shared()
        self.workers = workers
        self.owner = owner
        self.replicas = replicas
        self.upstreams: dict[str, Handler] = {}
        """Name → its forwarder, most likely an `answering`."""
        self.routes: Handler = answering(404)
        """Who answers what a plugin dispatches."""
        self.work: Queue = MemoryQueue(self.clock)
        """The durable queue."""
        self.rest: Handler | None = answering(200)
        """What stands behind the plugin when it delivers; None: its route is gone."""
        self.leads_to: Destination | None = TestDestination()
        """Where the plugin's route leads; None: the plugin is not in force."""
        self.calls = CannedClient()
        """The plugin's own HTTP calls, and their answers."""
        self.refusals: list[Refusal] = []
        self.records: list[logging.LogRecord] = []
        """What was logged by the gateway and its plugins, all levels."""
        self.reports: dict[str, Callable[[], dict[str, Any]]] = {}
        self._store = store
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failures: list[BaseException] = []
        """What spawned work failed with. What is left here when the plugin is closed fails the test."""

    @property
    def refused(self) -> list[str]:
        """The codes of what was refused, in order."""
        return [each.code for each in self.refusals if each.enforced]

    @property
    def would_refuse(self) -> list[str]:
        """The codes of what shadow mode let pass."""
        return [each.code for each in self.refusals if not each.enforced]

    @property
    def lines(self) -> list[str]:
        """What was logged: ``level logger: message``."""
        return [f"{each.levelname.lower()} {each.name}: {each.getMessage()}" for each in self.records]

    def value(self, name: str, *labels: str) -> float:
        """What a counter or gauge stands at, or a histogram has counted; 0 if there is none with these labels."""
        for family in self.metrics.snapshot():
            if family["name"] == name:
                for values, value in family["samples"]:
                    if tuple(values) == labels:
                        return float(value[0] if isinstance(value, list) else value)
        return 0.0

    # -- gateway.plugin.Ports ----------------------------------------------------------------------------------

    def store(self) -> Store:
        """The shared store: in memory and on the manual clock, unless another was given."""
        if self._store is None:
            self._store = MemoryStore(now=lambda: int(self.clock.time() * 1_000_000))
        return self._store

    async def queue(self) -> Queue:
        """In memory and on the manual clock, unless a test gives another."""
        return self.work

    async def behind(self, context: Context, request: Request) -> Response:
        """As the runtime does it, without counting."""
        if self.rest is None:
            raise LookupError(f"{context.route}/{context.id}")
        handler = compose((), self.rest, Problems())
        request.received = self.clock.now()
        response = await handler(request)
        response.body.at_end(
            lambda: request.finish(
                Exchange(request, response, response.status, self.clock.now() - request.received, error=response.error)
            )
        )
        return response

    def destination(self, context: Context) -> Destination | None:
        """What the test says."""
        del context
        return self.leads_to

    def client(self) -> Client:
        return self.calls

    def upstream(self, name: str) -> Handler:
        return self.upstreams[name]

    def onward(self, route: str, upstream: str) -> Handler:
        del route
        return self.upstreams[upstream]

    async def dispatch(self, request: Request) -> Response:
        """As the runtime does it: no principal, and no dispatch within."""
        if request.extras is not None and self in request.extras:
            raise InternalError(reason="a dispatched request dispatched another")
        if request.body.whole is None:
            raise InternalError(reason="a dispatched request whose body streams")
        inner = request.fork(body=Body(request.body.whole))
        inner.principal = inner.tenant = inner.upstream = inner.path_params = None
        inner.extras = {self: True}
        return await self.routes(inner)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.failures.append(failure)

    async def settled(self) -> None:
        """Wait until everything spawned has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)
            await asyncio.sleep(0)  # for the callbacks that take them out

    def count_refusal(self, context: Context, error: GatewayError, *, enforced: bool) -> None:
        self.refusals.append(Refusal(context.id, error, enforced))

    def report(self, context: Context, name: str, state: Callable[[], dict[str, Any]]) -> None:
        del context
        self.reports[name] = state

    # -- around a plugin's life --------------------------------------------------------------------------------

    async def close(self) -> None:
        """Cancel what was spawned and wait for it. Raises what any of it failed with."""
        for task in list(self._tasks):
            task.cancel()
        await self.settled()
        if self.failures:
            failures, self.failures = self.failures, []
            raise BaseExceptionGroup("spawned work failed", failures)

    @contextlib.contextmanager
    def capturing(self) -> Iterator[None]:
        """Keep in ``records`` what the gateway and its plugins log meanwhile."""
        logger, handler = logging.getLogger("gateway"), _Keeping(self.records)
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)


class _Keeping(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)


def ports(*, workers: int = 1, owner: bool = True, replicas: int = 1, store: Store | None = None) -> TestPorts:
    """Ports to give to `exchange` or `opened`, and to look at afterwards."""
    return TestPorts(workers=workers, owner=owner, replicas=replicas, store=store)
