"""Makes the calls that were put off, and keeps their answers."""

from __future__ import annotations

from typing import Final

from gateway.errors import PayloadTooLarge, UpstreamError
from gateway.http import Principal, Request, Response
from gateway.http.delivery import delivery_of
from gateway.plugin import Context
from gateway.plugin.delivery import Deliverer, drained
from gateway.services.queue import Item, Queue, QueueError
from gateway.services.queue.delivery import Delivered, Failed, Hopeless, Outcome, Untried
from gateway.services.queue.message import Unreadable, clean, unpack
from plugins.respond_async.job import result_of, unpack_result
from plugins.respond_async.settings import RespondAsyncSettings

IDEMPOTENT: Final = frozenset({"GET", "PUT", "DELETE"})
"""RFC 9110 §9.2.2, of those that may be put off."""
PROGRESS: Final = "Sidegate-Progress"
"""In the target's request: where it may tell how far it is, from the gateway's root. As kept, the secret for it."""
_INTERRUPTED: Final = "the gateway stopped meanwhile; the target may have acted on it"
_SHORT: Final = 3600.0


def result_name(item: str) -> str:
    """Under which an answer is kept."""
    return f"respond_async/result/{item}"


def cancelled_name(item: str) -> str:
    """Under which is kept that nobody wants it any more."""
    return f"respond_async/cancelled/{item}"


def progress_name(item: str) -> str:
    """Under which is kept how far it is."""
    return f"respond_async/progress/{item}"


def subject_of(principal: Principal | None) -> str | None:
    """Whose data a call and its answer hold."""
    return clean(principal.id) or None if principal is not None else None


def _begun_name(item: Item) -> str:
    return f"respond_async/begun/{item.id}/{item.replays}"


class Runner(Deliverer):
    """As any delivery, but the answer is what it is about, and what must not be done twice is sent once."""

    def __init__(self, context: Context, settings: RespondAsyncSettings) -> None:
        super().__init__(context, settings)
        self._async = settings
        self._queue: Queue | None = None

    def open(self, queue: Queue) -> None:
        self._queue = queue
        super().open(queue)

    async def deliver(self, item: Item) -> Outcome:
        """One try at a call."""
        queue = self._queue
        assert queue is not None
        try:
            if await self._is_over(queue, item):
                return Delivered()
            once = not _repeatable(item)
            if once and await queue.kept(_begun_name(item)) is not None:
                return Hopeless(error="interrupted", detail=_INTERRUPTED)
            if once:
                await queue.keep(_begun_name(item), b"1", self._async.retry.max_age + _SHORT)
            outcome = await super().deliver(item)
            if once and isinstance(outcome, Untried):
                await queue.forget(_begun_name(item))
        except QueueError as error:
            return Untried("queue_unavailable" if str(error) else "queue")
        if once and isinstance(outcome, Failed):
            return Hopeless(outcome.status, outcome.error, outcome.detail)
        return outcome

    async def _is_over(self, queue: Queue, item: Item) -> bool:
        """Nobody wants it, or its answer came and the one who had made it died before it could say so."""
        if await queue.kept(cancelled_name(item.id)) is not None:
            return True
        value = await queue.kept(result_name(item.id))
        result = unpack_result(value) if value is not None else None
        return result is not None and result.replays == item.replays

    def _dress(self, request: Request, item: Item, event_id: str, arrived: float) -> None:
        super()._dress(request, item, event_id, arrived)
        headers = request.edit_headers()
        headers[PROGRESS] = f"{self._async.path}?progress={item.id}.{headers.get(PROGRESS, '')}"

    async def _exchange(self, request: Request) -> Outcome:
        response = await self.context.behind(request)
        try:
            if response.tunnel is not None:
                return Hopeless(response.status, "upgraded", "the target switched protocols")
            if isinstance(response.error, UpstreamError):
                return self._refused(response, response.error)
            if response.error is None and response.status not in self._success:
                return self._judged(response, await drained(response))
            try:
                body = await response.body.read(self._async.max_result)
            except PayloadTooLarge:
                return Hopeless(response.status, "result_too_large", f"more than {self._async.max_result} bytes")
            await self._keep(request, response, body)
            return Delivered(response.status)
        finally:
            response.body.close()
            if response.tunnel is not None:
                response.tunnel.close()

    async def _keep(self, request: Request, response: Response, body: bytes) -> None:
        queue, delivery = self._queue, delivery_of(request)
        assert queue is not None
        assert delivery is not None
        item = await queue.get(delivery.item)
        if item is None or await queue.kept(cancelled_name(delivery.item)) is not None:
            return
        made = result_of(response, body, item.labels.get("job", ""), self.context.clock.time(), item.replays)
        subject = subject_of(request.principal)
        await queue.keep(result_name(item.id), made.pack(), self._async.keep_result, subject=subject)
        # It may have been cancelled, or its subject erased, while this was written.
        if await queue.get(item.id) is None or await queue.kept(cancelled_name(item.id)) is not None:
            await queue.forget(result_name(item.id))


def _repeatable(item: Item) -> bool:
    """Whether carrying it out twice is the same as once."""
    try:
        kept = unpack(item.payload or b"")
    except Unreadable:
        return False
    return kept.method in IDEMPOTENT or bool(kept.header("Idempotency-Key"))
