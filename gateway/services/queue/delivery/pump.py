"""Takes from one topic of a queue, has the work done, and says what became of it.

One loop takes a little ahead of what may be begun, so that a commit's time is not waited for between two items; another
begins them, each as a task; what has ended is settled in batches, one commit for all that ended while the commit before
was made. Nothing here knows what the work is.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.services.clock import Clock
from gateway.services.queue.contract import (
    Attempt,
    Buried,
    Done,
    Item,
    Later,
    Queue,
    QueueError,
    Returned,
    Settlement,
)
from gateway.services.queue.delivery.outcome import Delivered, Failed, Hopeless, Outcome, Untried
from gateway.services.queue.delivery.schedule import Schedule
from gateway.services.queue.delivery.throttle import Throttle
from gateway.services.queue.delivery.watch import Watch

log = logging.getLogger("gateway.queue")

AHEAD: Final = 2
"""Items taken ahead, as a multiple of those that may be under way."""
BATCH: Final = 100
"""Most items taken, and most settlements made, in one commit."""
MOST_UNSETTLED: Final = 1000
HINDERED: Final = 0.5
"""Seconds between two looks whether something may be sent again."""
BROKEN: Final = 1.0
"""Seconds between two tries of a queue that fails."""
LONGEST_REST: Final = 30.0
"""Seconds after which an empty queue is asked again, whatever it says."""
LAST: Final = 5.0
"""Seconds that the last settlements may take."""
_DETAIL: Final = 1000

Work = Callable[[Item], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Terms:
    """How the work of a topic is done."""

    schedule: Schedule = field(default_factory=Schedule)
    lease: float = 30.0
    """Seconds; renewed while an attempt goes on. So long it takes until the work of one who died is done by another."""
    keep: float = 0.0
    """Seconds that what is done is kept."""
    hold: bool = False
    """Whether a dead letter keeps what has the same order waiting."""
    gateway: str = ""
    """This replica's name, for the attempts."""


class Pump:
    """One topic's."""

    def __init__(
        self,
        queue: Queue,
        topic: str,
        work: Work,
        *,
        terms: Terms,
        throttle: Callable[[], Throttle],
        hindrance: Callable[[], str],
        clock: Clock,
        watch: Watch,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """``throttle`` is asked at each turn; ``hindrance`` says why nothing should be sent now, or nothing."""
        self.topic = topic
        self.terms = terms
        self.why = ""
        """Why delivery stands still; empty: it does not."""
        self._queue = queue
        self._work = work
        self._throttle = throttle
        self._hindrance = hindrance
        self._clock = clock
        self._watch = watch
        self._draw = draw
        self._ahead: deque[Item] = deque()
        """Taken, and not begun yet."""
        self._held: dict[str, Item] = {}
        """Taken and not settled yet, by id."""
        self._wanted = asyncio.Event()
        """More should be taken."""
        self._there = asyncio.Event()
        """Something was."""
        self._attempts: set[asyncio.Task[None]] = set()
        self._unsettled: list[tuple[Settlement, Outcome | None]] = []
        self._loops: tuple[asyncio.Task[None], ...] = ()
        self._settling: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._stopping: asyncio.Future[None] | None = None
        self._cutting = False

    # -- life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to take."""
        if not self._loops:
            loop = asyncio.get_running_loop()
            self._stopping = loop.create_future()
            self._wanted.set()
            self._loops = (
                loop.create_task(self._run(self._take), name=f"delivery of {self.topic}: taking"),
                loop.create_task(self._run(self._begin_some), name=f"delivery of {self.topic}"),
            )

    async def close(self, patience: float = 0.0) -> None:
        """Take no more; what is under way has so many seconds to end, and is given back then. Idempotent."""
        loops, self._loops = self._loops, ()
        if not loops:
            return
        if self._stopping is not None and not self._stopping.done():
            self._stopping.set_result(None)
        await asyncio.gather(*loops, return_exceptions=True)
        self._give_back()
        if self._attempts and patience > 0:
            await asyncio.wait(set(self._attempts), timeout=patience)
        self._cutting = True
        left = list(self._attempts)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if self._settling is not None:
            await asyncio.wait({self._settling}, timeout=LAST)
        rest = [task for task in (self._renewing, self._settling) if task is not None]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        self._pause("")

    @property
    def in_flight(self) -> int:
        """Attempts under way."""
        return len(self._attempts)

    def _stopped(self) -> bool:
        return self._stopping is None or self._stopping.done()

    # -- taking ------------------------------------------------------------------------------------------------

    async def _run(self, turn: Callable[[], Awaitable[None]]) -> None:
        while not self._stopped():
            try:
                await turn()
            except QueueError as error:
                if self.why != "queue":
                    log.warning("delivery of %s waits for the queue: %s", self.topic, error)
                self._pause("queue")
                await self._rest(self._clock.sleep(BROKEN))
            except Exception:
                log.exception("delivery of %s failed, and is tried again", self.topic)
                await self._rest(self._clock.sleep(BROKEN))

    async def _take(self) -> None:
        """Have something at hand."""
        if self._hindrance():
            self._there.set()  # the other one notices when it is over
            self._wanted.clear()
            await self._rest(self._wanted.wait())
            return
        ahead = min(BATCH, AHEAD * self._throttle().concurrency)
        if len(self._ahead) > ahead // 2 or len(self._unsettled) >= MOST_UNSETTLED:
            self._wanted.clear()
            await self._rest(self._wanted.wait())
            return
        items = await self._queue.take(self.topic, ahead - len(self._ahead), self.terms.lease)
        if self.why == "queue":
            self._pause("")
        if not items:
            await self._rest(self._queue.wait(self.topic, LONGEST_REST))
            return
        self._held.update({item.id: item for item in items})
        self._ahead.extend(items)
        self._there.set()
        if self._renewing is None:
            self._renewing = asyncio.get_running_loop().create_task(self._renew())

    # -- beginning ---------------------------------------------------------------------------------------------

    async def _begin_some(self) -> None:
        """Begin what is at hand, as far as may be."""
        if why := self._hindrance():
            self._give_back()
            self._pause(why)
            await self._rest(self._clock.sleep(HINDERED))
            return
        self._wanted.set()
        if not self._ahead:
            self._say("")
            self._there.clear()
            await self._rest(self._there.wait())
            return
        throttle = self._throttle()
        places = throttle.reserve(len(self._ahead))
        self._say("upstream_ill" if throttle.paused else "")
        for _ in range(places):
            self._begin(self._ahead.popleft(), throttle)
        if self._ahead:
            await self._rest(self._room(throttle.change(), throttle.wait()))

    def _give_back(self) -> None:
        now = self._clock.time()
        while self._ahead:
            self._settled(Returned(self._ahead.popleft(), now), None)

    async def _room(self, changed: asyncio.Future[None], seconds: float) -> None:
        """Until a place is free, or so much time has passed."""
        if seconds == math.inf:
            await asyncio.wait({changed})
            return
        slept = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({changed, slept}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            slept.cancel()

    async def _rest(self, until: Coroutine[Any, Any, Any]) -> None:
        """Wait for this, or for the end."""
        if self._stopping is None or self._stopping.done():
            until.close()
            return
        waiting = asyncio.ensure_future(until)
        try:
            await asyncio.wait({waiting, self._stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not waiting.done():
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
        if not waiting.cancelled() and (failure := waiting.exception()) is not None:
            raise failure

    def _say(self, why: str) -> None:
        """As `_pause`, but a queue in trouble goes before: it says itself when that is over."""
        if self.why != "queue":
            self._pause(why)

    def _pause(self, why: str) -> None:
        if why != self.why:
            before, self.why = self.why, why
            self._watch.paused(before, why)

    # -- an item -----------------------------------------------------------------------------------------------

    def _begin(self, item: Item, throttle: Throttle) -> None:
        self._watch.began(item)
        task = asyncio.get_running_loop().create_task(self._attempt(item, throttle), name=f"{self.topic} {item.id}")
        self._attempts.add(task)
        task.add_done_callback(self._attempts.discard)

    async def _attempt(self, item: Item, throttle: Throttle) -> None:
        began, started = self._clock.time(), self._clock.now()
        outcome: Outcome
        try:
            outcome = await self._work(item)
        except asyncio.CancelledError:
            if not self._cutting:
                raise
            outcome = Untried("shutdown")
        except Exception as bug:
            log.exception("delivering %s of %s failed", item.id, self.topic)
            outcome = Failed(error="internal_error", detail=type(bug).__name__)
        self._judge(throttle, outcome)
        now = self._clock.time()
        self._watch.ended(item, outcome, now)
        settlement = self._settlement(item, outcome, began, self._clock.now() - started, now)
        self._settled(settlement, outcome)
        throttle.release()

    def _settled(self, settlement: Settlement, outcome: Outcome | None) -> None:
        self._unsettled.append((settlement, outcome))
        if self._settling is None:
            self._settling = asyncio.get_running_loop().create_task(self._settle())

    def _judge(self, throttle: Throttle, outcome: Outcome) -> None:
        if isinstance(outcome, Failed):
            throttle.failed(ill=outcome.ill, after=outcome.after)
        elif isinstance(outcome, Untried):
            if outcome.after:
                throttle.pause(outcome.after)
        else:  # whoever says that it is hopeless is well
            throttle.succeeded()

    def _settlement(self, item: Item, outcome: Outcome, began: float, seconds: float, now: float) -> Settlement:
        if isinstance(outcome, Untried):
            return Returned(item, now + (outcome.after or (HINDERED if not self._cutting else 0.0)))
        terms = self.terms
        error = detail = ""
        if isinstance(outcome, Failed | Hopeless):
            error, detail = outcome.error, outcome.detail[:_DETAIL]
        attempt = Attempt(item.attempts + 1, began, round(seconds, 6), outcome.status, error, detail, terms.gateway)
        if isinstance(outcome, Delivered):
            return Done(item, attempt, terms.keep)
        if isinstance(outcome, Failed):
            due = terms.schedule.due(
                item.round + 1, item.accepted, now, self._draw, after=outcome.after, replayed=item.replays > 0
            )
            if due is not None:
                return Later(item, attempt, due)
        return Buried(item, attempt, terms.hold)

    # -- leases ------------------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Until nothing is left to settle."""
        try:
            while self._unsettled:
                batch = self._unsettled[:BATCH]
                try:
                    ended = await self._queue.settle([settlement for settlement, _ in batch])
                except QueueError as error:
                    if self.why != "queue":
                        log.warning("what became of %d items of %s is not written: %s", len(batch), self.topic, error)
                    self._pause("queue")
                    await self._clock.sleep(BROKEN)
                    continue
                if self.why == "queue":
                    self._pause("")
                del self._unsettled[: len(batch)]
                self._wanted.set()
                for (settlement, outcome), held in zip(batch, ended, strict=True):
                    self._held.pop(settlement.item.id, None)
                    if not held:
                        self._watch.lost()
                    elif isinstance(settlement, Buried) and outcome is not None:
                        self._watch.buried(outcome)
        finally:
            self._settling = None

    async def _renew(self) -> None:
        """While something is held."""
        try:
            while True:
                await self._clock.sleep(self.terms.lease / 3)
                if not self._held:
                    return
                try:
                    renewed = await self._queue.renew(list(self._held.values()), self.terms.lease)
                except QueueError as error:
                    log.warning("leases of %s could not be renewed: %s", self.topic, error)
                    continue
                for item in renewed:
                    if item.id in self._held:
                        self._held[item.id] = item
        finally:
            self._renewing = None
