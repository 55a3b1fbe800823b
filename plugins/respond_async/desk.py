"""Where clients ask how their calls go, and targets tell how far they are.

GET    <path>?id=…            how it goes, as JSON; 303 to the answer once there is one
GET    <path>?id=…&result=1   the answer itself
DELETE <path>?id=…            nobody wants it any more
POST   <path>?progress=…      {"percent": 40, "message": "…"}, from the target
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from gateway.errors import BadRequest, GatewayError, Source
from gateway.http import Request, Response
from gateway.http.query import parameters
from gateway.plugin import Context
from gateway.plugin.queued import when
from gateway.services.queue import Item, Query, Queue, QueueError, State
from gateway.services.queue.message import Unreadable, unpack
from plugins.respond_async.job import Result, Ticket, matches, read_ticket, unpack_result
from plugins.respond_async.runner import cancelled_name, progress_name, result_name, subject_of
from plugins.respond_async.settings import RespondAsyncSettings

METHODS: Final = frozenset({"GET", "DELETE", "POST"})
_WORDS: Final = {State.READY: "waiting", State.WAITING: "waiting", State.LEASED: "running", State.DEAD: "failed"}
_MESSAGE: Final = 200
"""Characters of what a target says of its progress."""
_REPORT: Final = 4096
"""Bytes of such a report."""
_PRIVATE: Final = (("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer"))
"""The URL is a secret."""


class JobUnknown(GatewayError):
    """There is no such call, or its time is over, or this is not who may ask."""

    code, status, title, source = "job_unknown", 404, "No such job", Source.CLIENT


class JobsUnavailable(GatewayError):
    """How a call goes cannot be looked up now."""

    code, status, title, source = "jobs_unavailable", 503, "Jobs unavailable", Source.INTERNAL


class Desk:
    """Answers for all calls that were put off, whichever route they came on."""

    def __init__(self, context: Context, settings: RespondAsyncSettings, queue: Callable[[], Queue]) -> None:
        self._context = context
        self._path = settings.path
        self._poll = settings.poll
        self._keep = settings.keep_result
        # Until it is not tried again, whatever becomes of the try that is under way.
        self._remembered = settings.keep_result + settings.retry.max_age + settings.deadline
        self._queue = queue

    def url(self, ticket: Ticket) -> str:
        """Where a client asks."""
        return f"{self._path}?id={ticket}"

    async def __call__(self, request: Request) -> Response:
        """Answer a client or a target. Raises JobUnknown, JobsUnavailable or BadRequest."""
        try:
            if request.method == "POST":
                return await self._report(request)
            ticket = _ticket(request, "id")
            if request.method == "DELETE":
                return await self._cancel(ticket)
            return await self._show(ticket, whole=parameters(request.query, "result") == ["1"])
        except QueueError as error:
            raise JobsUnavailable(reason=str(error), headers=(("Retry-After", str(self._poll)),)) from None

    async def _show(self, ticket: Ticket, *, whole: bool) -> Response:
        result = await self.result(ticket)
        if result is not None and whole:
            return result.response()
        if result is not None:
            where = f"{self.url(ticket)}&result=1"
            shown = {"id": str(ticket), "status": "done", "finished": when(result.finished), "result": where}
            return as_json(303, shown, ("Location", where))
        try:
            item = await self._item(ticket, "job")
        except JobUnknown:
            if await self.result(ticket) is None:
                raise
            return await self._show(ticket, whole=whole)  # it ended between the two looks
        if whole:
            raise JobUnknown(reason="no result yet")
        return as_json(200, await self._state(ticket, item), *self._again(item))

    def _again(self, item: Item) -> list[tuple[str, str]]:
        return [] if item.state is State.DEAD else [("Retry-After", str(self._poll))]

    async def _state(self, ticket: Ticket, item: Item) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": str(ticket),
            "status": _WORDS.get(item.state, "done"),
            "accepted": when(item.accepted),
            "attempts": item.attempts,
        }
        if item.state is State.DEAD and item.last is not None:
            shown["error"] = item.last.error or f"status_{item.last.status}"
        told = await self._queue().kept(progress_name(item.id))
        if told is not None:
            shown["progress"] = json.loads(told)
        return shown

    async def result(self, ticket: Ticket) -> Result | None:
        """The answer, if there is one and this is who may have it. Raises JobUnknown or QueueError."""
        value = await self._queue().kept(result_name(ticket.item))
        result = unpack_result(value) if value is not None else None
        if result is not None and not matches(ticket.secret, result.owner):
            raise JobUnknown(reason="not this client's")
        return result

    async def _item(self, ticket: Ticket, label: str) -> Item:
        found = (await self._queue().find(Query(ids=[ticket.item]), limit=1)).items  # its payload may be large
        item = found[0] if found else None
        if item is None or not item.topic.startswith("respond_async/"):
            raise JobUnknown(reason="none of this id")
        if not matches(ticket.secret, item.labels.get(label, "")):
            raise JobUnknown(reason="not this client's")
        return item

    async def _cancel(self, ticket: Ticket) -> Response:
        """What waits is not done any more; of what is under way the answer is not kept."""
        queue = self._queue()
        if await self.result(ticket) is None:
            item = await self._item(ticket, "job")
            await queue.keep(cancelled_name(item.id), b"1", self._remembered)
            await queue.purge(Query(ids=[item.id]))
        await queue.forget(result_name(ticket.item))
        await queue.forget(progress_name(ticket.item))
        return Response(204, headers=_PRIVATE)

    async def _report(self, request: Request) -> Response:
        ticket = _ticket(request, "progress")
        item = await self._item(ticket, "progress")
        told = _progress(await request.body.read(_REPORT))
        route = item.labels.get("route")
        if "message" in told:
            told["message"] = self._context.masking.text(told["message"], route)
        whole = await self._queue().get(item.id)
        if whole is None:
            raise JobUnknown(reason="none of this id")
        await self._queue().keep(
            progress_name(item.id), json.dumps(told).encode(), self._keep, subject=_subject(whole.payload)
        )
        return Response(204)


def _ticket(request: Request, name: str) -> Ticket:
    given = parameters(request.query, name)
    ticket = read_ticket(given[0]) if len(given) == 1 else None
    if ticket is None:
        raise JobUnknown(reason="no ticket, or one that is none")
    return ticket


def _subject(payload: bytes | None) -> str | None:
    """Whose call it is: what a target tells of it goes with it."""
    try:
        return subject_of(unpack(payload or b"").request().principal)
    except Unreadable:
        return None


def _progress(body: bytes) -> dict[str, Any]:
    """What a target may say. Raises BadRequest."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    told: dict[str, Any] = {}
    if isinstance(given, dict):
        percent, message = given.get("percent"), given.get("message")
        if isinstance(percent, int | float) and not isinstance(percent, bool) and 0 <= percent <= 100:
            told["percent"] = percent
        if isinstance(message, str):
            told["message"] = message[:_MESSAGE]
    if not told:
        raise BadRequest('Expected {"percent": 0 to 100, "message": "…"}, at least one of them.')
    return told


def as_json(status: int, value: Any, *headers: tuple[str, str]) -> Response:
    """An answer of the gateway's own."""
    fields = [("Content-Type", "application/json"), *_PRIVATE, *headers]
    return Response(status, headers=fields, body=json.dumps(value).encode() + b"\n")
