"""What the admin API tells of the durable queue, and does to it: the same as ``gateway inbox`` at the command line.

    GET  /queue                    how each topic stands
    GET  /queue/items?state=dead   a part of a listing; ``after`` and ``limit`` beside what items are chosen by
    GET  /queue/items/ID           one item, its request and its attempts, masked
    POST /queue/replay?…           deliver again; ``rate`` a second, ``dry_run=1`` counts only
    POST /queue/purge?…            delete; ``dry_run=1`` counts only
    POST /queue/erase              {"subject": …}: delete all here that holds its data
    POST /erase                    the same, and what plugins keep of it elsewhere: kept answers, caches
    GET  /queue/export?…           JSON Lines with the original bytes

What items are chosen by stands in `gateway.plugin.queued.PARAMETERS`. What changes something wants to know what is
meant: ids or parameters, or ``all=1``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from aiohttp import web

from gateway.admin.answers import as_json, line, problem
from gateway.plugin.queued import (
    attempt_shown,
    is_everything,
    item_exported,
    item_shown,
    request_shown,
    selection,
    tally_shown,
)
from gateway.services.masking import Masking
from gateway.services.queue import Query, Queue, QueueError, QueueUnavailable, QueueUrlError, State

log = logging.getLogger("gateway.admin")

_PAGE: Final = 100
_LARGEST_PAGE: Final = 1000
_AGAIN: Final = frozenset({State.DEAD, State.DONE})
_LONGEST_BODY: Final = 4096

Answering = Callable[[Queue, web.Request], Awaitable[web.StreamResponse]]


class Keeping(Protocol):
    """What this part needs of the gateway."""

    @property
    def masking(self) -> Masking:
        """What data goes through before operators see it."""
        ...

    async def queue(self) -> Queue:
        """The durable queue. Raises RuntimeError without one, QueueUnavailable or QueueUrlError if it cannot open."""
        ...

    async def erase(self, subject: str) -> list[dict[str, Any]]:
        """Of every worker: how much its plugins have ``erased`` of a subject's data, and which have ``failed``."""
        ...


class Desk:
    """The part of the admin API that is about kept work."""

    def __init__(self, gateway: Keeping) -> None:
        self._gateway = gateway

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add what this answers."""
        router.add_get("/queue", self._with_queue(self._tally))
        router.add_get("/queue/items", self._with_queue(self._list))
        router.add_get("/queue/items/{id}", self._with_queue(self._show))
        router.add_get("/queue/export", self._with_queue(self._export), allow_head=False)
        router.add_post("/queue/replay", self._with_queue(self._replay))
        router.add_post("/queue/purge", self._with_queue(self._purge))
        router.add_post("/queue/erase", self._with_queue(self._erase))
        router.add_post("/erase", self._erase_everywhere)

    def _with_queue(self, answer: Answering) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answered(request: web.Request) -> web.StreamResponse:
            try:
                queue = await self._gateway.queue()
            except RuntimeError:
                return problem(404, "no_queue", "The configuration names no `stores.durable`.")
            except (QueueError, QueueUrlError) as error:
                return problem(503, "queue_unavailable", str(error))
            try:
                return await answer(queue, request)
            except ValueError as error:
                return problem(400, "bad_request", str(error))
            except QueueError as error:
                return problem(503, "queue_unavailable", str(error))

        return answered

    async def _tally(self, queue: Queue, _request: web.Request) -> web.Response:
        now = time.time()
        return as_json({"topics": [tally_shown(each, now) for each in await queue.tally()]})

    async def _list(self, queue: Queue, request: web.Request) -> web.Response:
        query = _selection(request, "after", "limit")
        limit = _number(request, "limit", _PAGE, 1, _LARGEST_PAGE)
        try:
            page = await queue.find(query, after=request.query.get("after"), limit=int(limit or _PAGE))
        except QueueUnavailable:
            raise
        except QueueError as error:  # a place in the listing that is none
            raise ValueError(str(error)) from None
        shown = [item_shown(item, self._gateway.masking) for item in page.items]
        return as_json({"items": shown, "after": page.after})

    async def _show(self, queue: Queue, request: web.Request) -> web.Response:
        item = await queue.get(request.match_info["id"])
        if item is None:
            return problem(404, "not_found", "There is no such item.")
        masking, route = self._gateway.masking, item.labels.get("route")
        history = [attempt_shown(each, masking, route) for each in await queue.attempts(item.id)]
        shown = {**item_shown(item, masking), "request": request_shown(item, masking), "history": history}
        return as_json(shown)

    async def _export(self, queue: Queue, request: web.Request) -> web.StreamResponse:
        query = _selection(request)
        answer = web.StreamResponse(headers={"Content-Type": "application/jsonl", "Cache-Control": "no-store"})
        await answer.prepare(request)
        try:
            async for item in queue.export(query):
                await answer.write(line(item_exported(item, await queue.attempts(item.id), self._gateway.masking)))
        except ConnectionResetError:  # whoever read it has left
            return answer
        except Exception as error:
            # The head is out: whoever reads must not take a part for the whole.
            if isinstance(error, QueueError):
                log.error("an export of the queue was cut: %s", error)
            else:
                log.exception("an export of the queue was cut")
            if request.transport is not None:
                request.transport.abort()
            raise asyncio.CancelledError from error
        await answer.write_eof()
        return answer

    async def _replay(self, queue: Queue, request: web.Request) -> web.Response:
        query = _meant(request, "rate")
        if not query.states:
            query = dataclasses.replace(query, states=_AGAIN if query.ids else frozenset({State.DEAD}))
        if not query.states <= _AGAIN:
            raise ValueError("only dead and done items can be delivered again; others still wait to be")
        rate = _number(request, "rate", None, 0.001, 1e6)
        if _dry(request):
            return as_json({"items": await queue.count(query), "dry_run": True})
        return as_json({"items": await queue.replay(query, rate=rate)})

    async def _purge(self, queue: Queue, request: web.Request) -> web.Response:
        query = _meant(request)
        if _dry(request):
            return as_json({"items": await queue.count(query), "dry_run": True})
        return as_json({"items": await queue.purge(query)})

    async def _erase(self, queue: Queue, request: web.Request) -> web.Response:
        return as_json({"items": await queue.erase(await _subject(request))})

    async def _erase_everywhere(self, request: web.Request) -> web.Response:
        """Whatever cannot be reached is named and the others go on; 503 then, so that it is asked for again."""
        try:
            subject = await _subject(request)
        except ValueError as error:
            return problem(400, "bad_request", str(error))
        items, failed = 0, []
        try:
            items = await (await self._gateway.queue()).erase(subject)
        except RuntimeError:  # there is none
            pass
        except (QueueError, QueueUrlError) as error:
            failed.append(f"queue: {error}")
        except ValueError as error:
            return problem(400, "bad_request", str(error))
        told = await self._gateway.erase(subject)
        failed += [each for worker in told for each in worker["failed"]]
        kept = sum(worker["erased"] for worker in told)
        return as_json({"items": items, "answers": kept, "failed": failed}, status=503 if failed else 200)


def _selection(request: web.Request, *others: str) -> Query:
    """What the parameters mean; ``others`` are for the action itself."""
    given: dict[str, list[str]] = {}
    for name, value in request.query.items():
        if name not in others:
            given.setdefault(name, []).append(value)
    return selection(given, time.time())


def _meant(request: web.Request, *others: str) -> Query:
    query = _selection(request, "all", "dry_run", *others)
    if is_everything(query) and request.query.get("all") != "1":
        raise ValueError("say which items: ids, or parameters such as route; all=1 for everything")
    return query


def _dry(request: web.Request) -> bool:
    given = request.query.get("dry_run", "")
    if given not in ("", "0", "1"):
        raise ValueError("dry_run is 1 or 0")
    return given == "1"


def _number(request: web.Request, name: str, otherwise: float | None, least: float, most: float) -> float | None:
    text = request.query.get(name)
    if text is None:
        return otherwise
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise ValueError(f"{name} is a number from {least:g} to {most:g}")
    return number


async def _subject(request: web.Request) -> str:
    """Not in the URL, which stands in logs. Raises ValueError."""
    if request.content_length is not None and request.content_length > _LONGEST_BODY:
        raise ValueError("a longer body than this needs")
    try:
        given: Any = json.loads(await request.read())
    except (ValueError, RecursionError):
        given = None
    subject = given.get("subject") if isinstance(given, dict) else None
    if not isinstance(subject, str) or not subject:
        raise ValueError('expected a JSON body: {"subject": "…"}')
    return subject
