"""One Redis server as the store sees it: batches, one deadline, one breaker, a probe in the background.

Calls made in one turn of the event loop, or while a batch is under way, go together as one pipeline. While Redis is
slow a batch waits at most a quarter of the deadline for the one before it and then takes a connection of its own, of
at most four: so a round trip of up to three quarters of the deadline is still in time for every call.

The first batch that is not answered in time, or whose connection breaks, opens the breaker: what waits and what comes
fails at once, and a probe in the background (a small write, answered within the deadline) closes it again. A call
that may have reached Redis is never sent again, so nothing is counted twice; only calls that Redis itself turned away
(no such script, key elsewhere) are.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AskError, MovedError, NoScriptError, RedisError, ResponseError

from gateway.errors import InternalError, StoreUnavailable
from gateway.services.store.call import Call, Refusal, pipeline, refusal
from gateway.services.store.contract import Counters
from gateway.services.store.dial import Dial, ask
from gateway.services.store.script import Script
from gateway.services.store.wire import pack

BATCH: Final = 256
"""Calls in one pipeline: bounds how long Redis is busy with us at a stretch."""
WAITING: Final = 20_000
"""Calls that may wait for a server; beyond this they fail at once."""
CONNECTIONS: Final = 4
REDIRECTS: Final = 4
CONNECT_PATIENCE: Final = 2.0
"""Seconds to connect when no request waits for it."""
CLOSE_PATIENCE: Final = 0.5
STALL: Final = 0.002
GRACE: Final = 0.005
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
STEADY: Final = 10.0
"""Seconds without an outage after which the next one is probed at once again."""

Redirect = Callable[[Call, AskError], None]
"""Takes a call that this server turned away to the server that has the key (redis-py's `MovedError` is an
`AskError`).
"""


class Link:
    """The way to one Redis server. Belongs to one event loop."""

    def __init__(
        self,
        dial: Dial,
        *,
        timeout: float,
        counters: Counters,
        redirect: Redirect | None = None,
        on_outage: Callable[[], None] | None = None,
        replicas: int = 0,
    ) -> None:
        self.up = True
        self.impaired = False
        """It answers, but takes no writes for now (out of memory, or its disk fails)."""
        self.problem = ""
        """Why it is not used, or was not the last time."""
        self.probe_key = b"sg:{probe}"
        self._dial = dial
        self._timeout = timeout
        self._counters = counters
        self._redirect = redirect
        self._on_outage = on_outage
        self._replicas = replicas
        # Half of the deadline: a replica that is slow fails the calls, and does not open the breaker.
        self._wait = pack(b"WAIT", replicas, max(int(timeout * 500), 1)) if replicas else b""
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Call] = []
        self._since = 0.0
        self._flights = 0
        self._hold: asyncio.TimerHandle | None = None
        self._idle: list[AbstractConnection] = []
        self._known: set[bytes] = set()
        self._load_error = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._probing = False
        self._pause = 0.0
        self._recovered = self._loop.time()
        self._closed = False

    # --- calls ---------------------------------------------------------------------------------------------------

    def submit(
        self, command: bytes, script: Script[Any] | None = None, read: Callable[[Any], Any] | None = None
    ) -> asyncio.Future[Any]:
        """The reply to be, put through ``read``. Raises `StoreUnavailable` at once when the server is known to be
        away.
        """
        if not self.up:
            self._counters.refused += 1
            raise StoreUnavailable(reason=f"the store is away: {self.problem}")
        future: asyncio.Future[Any] = self._loop.create_future()
        self.enqueue(Call(command, future, script=script, read=read))
        return future

    def enqueue(self, call: Call) -> None:
        """Put a call in the next batch."""
        waiting = self._waiting
        if not self.up or len(waiting) >= WAITING:
            self._counters.refused += 1
            call.fail(StoreUnavailable(reason=self.problem or "too many calls wait for the store"))
            return
        if not waiting:
            self._since = self._loop.time()
        waiting.append(call)
        if not self._flights:
            self._launch()
        elif self._hold is None and self._flights < CONNECTIONS:
            self._hold = self._loop.call_later(self._timeout / 4, self._relieve)

    def _relieve(self) -> None:
        self._hold = None
        if self._waiting and self._flights < CONNECTIONS:
            self._launch()

    def _launch(self) -> None:
        self._flights += 1
        self._spawn(self._fly())

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take(self) -> list[Call]:
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None
        if len(self._waiting) <= BATCH:
            batch, self._waiting = self._waiting, []
        else:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        return batch

    async def _fly(self) -> None:
        """Send batch after batch over one connection until nothing waits."""
        try:
            while self._waiting and self.up:
                deadline = self._since + self._timeout
                await self._carry(self._take(), deadline)
        finally:
            self._flights -= 1

    async def _carry(self, batch: list[Call], deadline: float) -> None:
        scope = asyncio.timeout(None)
        timer = self._loop.call_at(deadline, self._late, scope, deadline)
        problem = ""
        connection: AbstractConnection | None = None
        try:
            async with scope:
                connection = await self._connection()
                await self._exchange(connection, batch)
        except TimeoutError:
            self._counters.timeouts += 1
            problem = f"no answer within {self._timeout * 1000:g} ms"
        except asyncio.CancelledError:
            problem = "the store was closed"
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may be left waiting for an answer
            problem = f"{type(error).__name__}: {error}"
        finally:
            timer.cancel()
            if problem:
                await self._discard(connection)
                self._fail(batch, problem)
                self.trip(problem)
            elif connection is not None:
                await self._put_back(connection)

    def _late(self, scope: asyncio.Timeout, deadline: float) -> None:
        """End the batch's time. If this comes late, it was our own process that stood still: the answer may lie in
        the socket unread, and blaming Redis for that would open the breaker for nothing.
        """
        if self._loop.time() - deadline > STALL:
            self._loop.call_later(GRACE, self._expire, scope)
        else:
            self._expire(scope)

    def _expire(self, scope: asyncio.Timeout) -> None:
        with suppress(RuntimeError):  # it has been left meanwhile
            scope.reschedule(self._loop.time())

    async def _exchange(self, connection: AbstractConnection, batch: list[Call]) -> None:
        while batch:
            again: list[Call] = []
            self._counters.round_trips += 1
            loaded = len(self._known)
            plan, parts = pipeline(batch, self._known)
            self._counters.script_loads += len(self._known) - loaded
            waits = bool(self._wait) and any(call.script is not None and call.script.durable for call in batch)
            if waits:
                parts.append(self._wait)
            await connection.send_packed_command(parts, check_health=False)
            answered: list[tuple[Call, Any]] = []
            for call in plan:
                try:
                    reply = await connection.read_response(disable_decoding=True)
                except ResponseError as error:
                    if call is None:
                        self._load_error = str(error)  # a script that does not compile: its run says NOSCRIPT next
                    elif isinstance(error, NoScriptError) and call.script and not call.reloaded:
                        call.reloaded = True
                        self._known.discard(call.script.sha)
                        again.append(call)
                    else:
                        self._turned_away(call, error)
                else:
                    if call is not None and waits:
                        answered.append((call, reply))
                    elif call is not None:
                        call.succeed(reply)
            if waits:
                self._confirm(answered, await connection.read_response(disable_decoding=True))
            batch = again

    def _confirm(self, answered: list[tuple[Call, Any]], replicas: int) -> None:
        """Durable calls fail unless enough replicas have what the batch wrote."""
        for call, reply in answered:
            if replicas >= self._replicas or call.script is None or not call.script.durable:
                call.succeed(reply)
            else:
                self._counters.errors += 1
                call.fail(StoreUnavailable(reason=f"{replicas} of {self._replicas} replicas have it"))

    def _turned_away(self, call: Call, error: ResponseError) -> None:
        """Redis answered with an error: it did not run the call, or a script stopped in the middle."""
        text = str(error) or type(error).__name__
        if isinstance(error, AskError) and self._redirect is not None and call.redirects < REDIRECTS:
            call.redirects += 1
            call.asking = not isinstance(error, MovedError)
            self._counters.redirects += 1
            self._redirect(call, error)
            return
        kind = refusal(error)
        if kind is Refusal.FAULT:
            name = f"script {call.script.name}" if call.script else "a command"
            if isinstance(error, NoScriptError):
                text = self._load_error or text
            self._counters.errors += 1
            call.fail(InternalError(reason=f"{name} failed in the store: {text}"))
            return
        self._counters.errors += 1
        call.fail(StoreUnavailable(reason=f"the store refused: {text}"))
        if kind is Refusal.AWAY:
            self.trip(text)
        elif kind is Refusal.IMPAIRED:
            self.impaired = True
            self.problem = text
            self._probe_soon()

    def _fail(self, calls: list[Call], problem: str) -> None:
        for call in calls:
            if not call.future.done():
                self._counters.errors += 1
                call.future.set_exception(StoreUnavailable(reason=f"the store is away: {problem}"))

    # --- connections ---------------------------------------------------------------------------------------------

    async def _connection(self) -> AbstractConnection:
        while self._idle:
            connection = self._idle.pop()
            # Readable while nothing was asked: the server has closed it (a restart, its idle timeout), which so costs
            # nobody a call.
            if connection.is_connected and not await connection.can_read():
                return connection
            await self._discard(connection)
        return await self._new_connection()

    async def _new_connection(self) -> AbstractConnection:
        connection = await self._dial()
        self._counters.connects += 1
        self._known.clear()  # it may be another process now; loading a script twice does no harm
        return connection

    async def apart(self) -> AbstractConnection:
        """A connection of its own to this server, for what blocks; whoever asked closes it. Raises RedisError, OSError
        or TimeoutError.
        """
        async with asyncio.timeout(CONNECT_PATIENCE):
            return await self._dial()

    async def _put_back(self, connection: AbstractConnection) -> None:
        if self._closed or not self.up or not connection.is_connected:
            await self._discard(connection)
        else:
            self._idle.append(connection)

    async def _discard(self, connection: AbstractConnection | None) -> None:
        if connection is not None:
            with suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)

    # --- the breaker ---------------------------------------------------------------------------------------------

    def trip(self, problem: str) -> None:
        """Give the server up until a probe finds it well; all that wait fail now."""
        if not self.up or self._closed:
            return
        self.up = False
        self.problem = problem
        self._counters.outages += 1
        if self._loop.time() - self._recovered > STEADY:
            self._pause = 0.0
        waiting, self._waiting = self._waiting, []
        self._fail(waiting, problem)
        self._probe_soon()
        if self._on_outage is not None:
            self._on_outage()

    def _probe_soon(self) -> None:
        if not self._probing and not self._closed:
            self._probing = True
            self._spawn(self._probe())

    async def _probe(self) -> None:
        try:
            while not self._closed and (self.impaired or not self.up):
                await asyncio.sleep(self._pause * random.uniform(0.5, 1))  # noqa: S311 - spreads replicas, no secret
                self._pause = min(max(self._pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
                for connection in self._idle if not self.up else ():
                    await self._discard(connection)
                if not self.up:
                    self._idle.clear()
                try:
                    await self.check()
                except (RedisError, OSError, TimeoutError) as error:
                    self.problem = f"{type(error).__name__}: {error}" if str(error) else self.problem
                else:
                    self.up, self.impaired = True, False
                    self._recovered = self._loop.time()
        finally:
            self._probing = False

    async def check(self) -> float:
        """Seconds that a small write takes on a fresh connection, which is kept. Raises RedisError, OSError or
        TimeoutError.
        """
        async with asyncio.timeout(CONNECT_PATIENCE):
            connection = await self._new_connection()
        started = self._loop.time()
        try:
            async with asyncio.timeout(self._timeout):
                await ask(connection, b"SET", self.probe_key, b"1", b"PX", b"1000")
        except BaseException:
            await self._discard(connection)
            raise
        taken = self._loop.time() - started
        if self._closed or len(self._idle) >= CONNECTIONS:
            await self._discard(connection)
        else:
            self._idle.append(connection)
        return taken

    async def open(self) -> None:
        """Connect. If that fails the link starts in an outage, and recovers like from any other."""
        try:
            await self.check()
        except (RedisError, OSError, TimeoutError) as error:
            self.trip(f"{type(error).__name__}: {error}")

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.up = False
        self.problem = "the store is closed"
        if self._hold is not None:
            self._hold.cancel()
        waiting, self._waiting = self._waiting, []
        self._fail(waiting, self.problem)
        mine = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not mine]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        idle, self._idle = self._idle, []
        # Let TLS say goodbye, but not to a server that does not answer.
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_PATIENCE):
                await asyncio.gather(*[connection.disconnect() for connection in idle], return_exceptions=True)
