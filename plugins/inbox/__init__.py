"""Answers as soon as a request is on disk, and delivers it afterwards: the target may be down, slow or deploying.

What it accepts is committed to the queue (`stores.durable`) before the sender is told so; while the queue is full or
fails the answer is 503 with `Retry-After`, so that the sender keeps it. What was accepted goes through the plugins
below this one, and the route's way to its upstream, until the target takes it, at least once: `Sidegate-Event-Id` is
the same in each try, `Sidegate-Attempt` counts them, `Sidegate-Received-At` says when it came and
`Sidegate-Delivery-Id` by what to find it. What cannot be delivered is a dead letter: it is kept, and can be replayed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from gateway.errors import GatewayError, Source
from gateway.http import Body, Handler, Request, Response
from gateway.http.delivery import delivery_of
from gateway.http.event import event_of
from gateway.plugin import Context, Plugin, Stage
from gateway.plugin.delivery import DELIVERY_ID, RESERVED, Deliverer
from gateway.services.queue import Draft, Queue, QueueError, QueueFull, QueueUnavailable, Receipt
from gateway.services.queue.message import clean, kept_of
from plugins.inbox.key import Look, compile_key
from plugins.inbox.settings import InboxSettings, doubts

__all__ = ["Inbox", "InboxSettings"]

LABEL: Final = 200
"""Characters of what people find an item by."""
RECOVERY: Final = 1.0
"""Seconds between two looks at a queue that failed."""
COMMITS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Bucket bounds in seconds, from a fast disk to one that is about to fail."""


class InboxFull(GatewayError):
    """As much is waiting as may: the sender has to keep it, and come again."""

    code, status, title, source = "inbox_full", 503, "Inbox full", Source.POLICY


class InboxUnavailable(GatewayError):
    """What comes in could not be written to disk, so it was not accepted: the sender has to come again."""

    code, status, title, source = "inbox_unavailable", 503, "Inbox unavailable", Source.INTERNAL


class Inbox(Plugin[InboxSettings]):
    stage = Stage.RECOVER
    buffers_body = True
    durable = True
    defers = True

    def __init__(self, settings: InboxSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._methods = frozenset(settings.methods)
        self._without = frozenset([name.lower() for name in settings.drop])
        self._keys = [compile_key(text) for text in settings.dedup.by] if settings.dedup is not None else []
        self._window = settings.dedup.window if settings.dedup is not None else 0.0
        self._order = compile_key(settings.order_by) if settings.order_by is not None else None
        self._subject = compile_key(settings.subject) if settings.subject is not None else None
        answer = settings.answer
        self._body = answer.body.encode()
        self._headers = [("Content-Type", answer.type)] if answer.body else []
        self._later = (("Retry-After", str(int(settings.retry_after))),)
        self._queue: Queue | None = None
        self._deliverer = Deliverer(context, settings)
        self._trouble = ""
        """Why the queue took nothing the last time; empty: it did."""
        self._tending = False
        self._count()

    def _count(self) -> None:
        metrics, place, labels = self.context.metrics, (self.context.route, self.context.id), ("route", "plugin")
        text = "Requests that were accepted: on disk, and answered."
        self._accepted = metrics.counter("inbox_accepted_total", text, labels).child(*place)
        text = "Requests that were acknowledged and not kept, as the same event had been accepted before."
        self._duplicates = metrics.counter("inbox_duplicates_total", text, labels).child(*place)
        text = "Requests that were refused: the queue was full, or could not be written."
        refused = metrics.counter("inbox_refused_total", text, (*labels, "reason"))
        self._refused = {why: refused.child(*place, why) for why in ("full", "unavailable")}
        text = "From a whole request to its being on disk."
        self._commit = metrics.histogram("inbox_commit_seconds", text, labels, bounds=COMMITS).child(*place)
        text = "Bytes of accepted requests' bodies."
        self._bytes = metrics.counter("inbox_accepted_bytes_total", text, labels).child(*place)

    @classmethod
    def check(cls, settings: InboxSettings) -> Sequence[str]:
        return doubts(settings)

    async def open(self) -> None:
        self._queue = await self.context.queue()
        self._deliverer.open(self._queue)
        self.context.report("inbox", self._report)

    async def close(self) -> None:
        await self._deliverer.close()

    def _report(self) -> dict[str, Any]:
        trouble = {"error": self._trouble} if self._trouble else {}
        return {"ok": not self._trouble, "critical": True, **trouble, **self._deliverer.snapshot()}

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        if delivery_of(request) is not None:  # what is kept by another that stands above is kept
            return await proceed(request)
        RESERVED.take_out(request)  # whoever reads them must be able to believe them
        if request.method not in self._methods or request.upgrade:
            return await proceed(request)
        body = await request.body.read(self.settings.max_body)
        began = time.perf_counter()
        receipt = await self._keep(self._draft(request, body))
        self._commit.observe(time.perf_counter() - began)
        if receipt.duplicate:
            self._duplicates.value += 1
        else:
            self._accepted.value += 1
            self._bytes.value += len(body)
        headers = [*self._headers, (DELIVERY_ID, receipt.id)]
        return Response(self.settings.answer.status, headers=headers, body=Body(self._body))

    # -- keeping -----------------------------------------------------------------------------------------------

    def _draft(self, request: Request, body: bytes) -> Draft:
        look = Look(request, body)
        kept = kept_of(request, body, self.context.clock.time(), without=self._without)
        dedup = next((found for key in self._keys if (found := key(look))), None)
        event = event_of(request)
        # What the target knows it again by: as the sender names it, if it does.
        kept.event_id = _sendable((event.id if event is not None else None) or dedup or "")
        return Draft(
            self.context.topic,
            kept.pack(),
            labels=self._labels(request, kept.event_id, event.provider if event is not None else ""),
            subject=clean(self._whose_data(look)) or None,
            dedup=_whose(request, dedup) if dedup is not None else None,
            window=self._window,
            order=clean(self._order(look)) or None if self._order is not None else None,
        )

    def _whose_data(self, look: Look) -> str:
        if self._subject is not None:
            return self._subject(look)
        principal = look.request.principal
        return principal.id if principal is not None else ""

    def _labels(self, request: Request, event_id: str, provider: str) -> dict[str, str]:
        labels = {
            "route": self.context.route,
            "method": request.method,
            "host": request.host,
            "path": request.path,
            "request_id": request.id,
            "event": event_id,
            "provider": provider,
        }
        text = "".join(labels.values())
        if text.isascii() and len(text) <= LABEL:  # nearly always, and then one look is enough
            return {name: value for name, value in labels.items() if value}
        return {name: clean(value[:LABEL]) for name, value in labels.items() if value}

    async def _keep(self, draft: Draft) -> Receipt:
        queue = self._queue
        if queue is None:
            raise InboxUnavailable(reason="the queue is not open", headers=self._later)
        try:
            receipt = await queue.put(draft)
        except QueueFull as error:
            self._refused["full"].value += 1
            raise InboxFull(reason=str(error), headers=self._later) from None
        except QueueError as error:
            self._refused["unavailable"].value += 1
            self._fails(queue, str(error) or type(error).__name__)
            raise InboxUnavailable(reason=str(error), headers=self._later) from None
        self._trouble = ""
        return receipt

    def _fails(self, queue: Queue, why: str) -> None:
        if not self._trouble:
            self.context.log.error("inbox on %s cannot accept anything: %s", self.context.route, why)
        self._trouble = why
        if not self._tending:
            self._tending = True
            _ = self.context.spawn(self._recover(queue), f"inbox: queue of {self.context.route}")

    async def _recover(self, queue: Queue) -> None:
        """Until the queue can be written again: nobody may come to find out."""
        try:
            while self._trouble:
                await self.context.clock.sleep(RECOVERY)
                try:
                    await queue.ping()
                except QueueUnavailable:
                    continue
                if self._trouble:
                    self.context.log.info("inbox on %s accepts again", self.context.route)
                self._trouble = ""
        finally:
            self._tending = False


def _whose(request: Request, key: str) -> str:
    """The key of one principal: another's of the same name is another event."""
    principal = request.principal
    return clean(f"{principal.id}|{key}" if principal is not None else f"|{key}")


def _sendable(text: str) -> str:
    """As it can stand in a header field; nothing if it cannot."""
    return text.encode("ascii", "backslashreplace").decode() if text.isprintable() else ""
