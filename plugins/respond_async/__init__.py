"""Answers calls that take long with 202 and a place to ask, makes them in its own time, and keeps the answer.

A client that sends `Prefer: respond-async` (RFC 7240 §4.1) gets a `Location`: there it learns how the call goes, how
far it is if the target tells (`Sidegate-Progress` in its request says where), and at the end, by 303, the answer.
`Prefer: wait=5` waits that long for the answer itself first. Calls are kept on disk until they are made, so a restart
loses none; the plugins below this one and the route's way to its upstream are passed when a call is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from gateway.errors import PayloadTooLarge
from gateway.http import Body, Handler, Request, Response
from gateway.http.delivery import delivery_of
from gateway.http.reserved import ReservedFields
from gateway.plugin import Context, Endpoint, Plugin, Stage
from gateway.plugin.delivery import ATTEMPT, DELIVERY_ID, EVENT_ID, RECEIVED_AT
from gateway.services.queue import Draft, Queue, QueueError
from gateway.services.queue.message import clean, kept_of
from plugins.respond_async.desk import METHODS, Desk, as_json
from plugins.respond_async.job import Ticket, digest, new_secret, progress_secret
from plugins.respond_async.prefer import Preference, preference_of
from plugins.respond_async.runner import PROGRESS, Runner, subject_of
from plugins.respond_async.settings import RespondAsyncSettings, doubts

__all__ = ["RespondAsync", "RespondAsyncSettings"]

RESERVED: Final = ReservedFields([PROGRESS, EVENT_ID, DELIVERY_ID, ATTEMPT, RECEIVED_AT])
"""A target that believes them of a delivery must not get a client's own where it is asked at once."""
LABEL: Final = 200
LOOK: Final = 0.1
"""Seconds until the first look whether an answer that is waited for is there; then ever longer, up to `SELDOM`."""
SELDOM: Final = 1.0
"""Thousands may wait, and each look reads the queue."""


class RespondAsync(Plugin[RespondAsyncSettings]):
    stage = Stage.RECOVER
    buffers_body = True
    durable = True

    def __init__(self, settings: RespondAsyncSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._methods = frozenset(settings.methods)
        self._without = frozenset([name.lower() for name in settings.drop])
        self._held: Queue | None = None
        self._runner = Runner(context, settings)
        self._desk = Desk(context, settings, self._queue)
        family = context.metrics.counter(
            "respond_async_requests_total",
            "Calls that could be put off: accepted, answered at once after all, or not put off as the queue failed.",
            ("route", "plugin", "outcome"),
        )
        names = ("accepted", "answered", "unavailable")
        self._counts = {name: family.child(context.route, context.id, name) for name in names}

    @classmethod
    def check(cls, settings: RespondAsyncSettings) -> Sequence[str]:
        return doubts(settings)

    def endpoints(self) -> Sequence[Endpoint]:
        path = self.settings.path
        return (Endpoint(path, self._desk, METHODS, shared=f"respond_async:{path}"),)

    async def open(self) -> None:
        self._held = await self.context.queue()
        self._runner.open(self._held)
        self.context.report("respond_async", self._runner.snapshot)

    async def close(self) -> None:
        await self._runner.close()

    def _queue(self) -> Queue:
        if self._held is None:
            raise QueueError("the queue is not open")
        return self._held

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        if delivery_of(request) is not None:  # who made it a delivery waits for the answer, and told the client already
            return await proceed(request)
        RESERVED.take_out(request)
        if request.method not in self._methods or request.upgrade:
            return await proceed(request)
        preference = preference_of(request.headers.getall("Prefer", ()))
        if not preference.respond_async and not self.settings.always:
            return self._dressed(await proceed(request))
        try:
            body = await request.body.read(self.settings.max_body)
            ticket = await self._accept(request, body, preference)
        except PayloadTooLarge:
            return self._dressed(await proceed(request))
        except QueueError as error:
            # It is a wish (RFC 7240 §2), and can be met as well as before by answering at once.
            self._counts["unavailable"].value += 1
            self.context.log.warning("a call on %s was not put off: %s", self.context.route, error)
            return self._dressed(await proceed(request))
        self._counts["accepted"].value += 1
        answered = await self._waited(ticket, preference)
        return answered if answered is not None else self._accepted(ticket)

    async def _accept(self, request: Request, body: bytes, preference: Preference) -> Ticket:
        """Keep the call. Raises QueueError."""
        secret = new_secret()
        kept_request = request.fork(body=Body(body))
        headers = kept_request.edit_headers()
        headers.popall("Prefer", None)
        if preference.others:
            headers["Prefer"] = preference.others
        told = headers[PROGRESS] = progress_secret(secret)
        labels: dict[str, str] = {
            "route": self.context.route,
            "method": request.method,
            "path": clean(request.path[:LABEL]),
            "request_id": request.id,
            "job": digest(secret),
            "progress": digest(told),
        }
        kept = kept_of(kept_request, body, self.context.clock.time(), without=self._without)
        receipt = await self._queue().put(
            Draft(self.context.topic, kept.pack(), labels=labels, subject=subject_of(request.principal))
        )
        return Ticket(receipt.id, secret)

    async def _waited(self, ticket: Ticket, preference: Preference) -> Response | None:
        """The answer, if it comes within the time that the client would wait."""
        clock = self.context.clock
        until = clock.now() + min(preference.wait or 0.0, self.settings.max_wait)
        pause = LOOK
        while clock.now() < until:
            await clock.sleep(min(pause, until - clock.now()))
            pause = min(pause * 1.25, SELDOM)
            try:
                result = await self._desk.result(ticket)
            except QueueError:
                return None
            if result is not None:
                self._counts["answered"].value += 1
                return self._dressed(result.response())
        return None

    def _accepted(self, ticket: Ticket) -> Response:
        url = self._desk.url(ticket)
        shown: dict[str, Any] = {"id": str(ticket), "status": "waiting", "location": url}
        headers = (("Location", url), ("Preference-Applied", "respond-async"), ("Retry-After", str(self.settings.poll)))
        return self._dressed(as_json(202, shown, *headers))

    def _dressed(self, response: Response) -> Response:
        """Caches must know that the answer depends on what was preferred (RFC 7240 §2)."""
        if not self.settings.always and response.tunnel is None:
            response.edit_headers().add("Vary", "Prefer")
        return response
