"""Who asked what of the admin API: whatever changes something is in the audit trail, and whoever was turned away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from gateway.admin.caller import caller_of
from gateway.config.listener import Admin
from gateway.services.audit import Audit, Event, Kind, Result

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_TURNED_AWAY: Final = frozenset({401, 403, 421})
_REPAIRS: Final = "/reload"
"""Goes through although nothing can be recorded: it is how the trail gets another place."""
_TAKES_OUT: Final = "/queue/export"
"""Changes nothing, and carries what senders sent out of the gateway, unmasked."""
_MOST: Final = 20
_LONGEST: Final = 500

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Witness:
    """Two layers: one around everything, one behind the door."""

    def __init__(self, audit: Audit, settings: Admin) -> None:
        self._audit = audit
        self._by_token = settings.token is not None

        @web.middleware
        async def recording(request: web.Request, handler: Answering) -> web.StreamResponse:
            return await self._recording(request, handler)

        @web.middleware
        async def holding(request: web.Request, handler: Answering) -> web.StreamResponse:
            return await self._holding(request, handler)

        self.recording, self.holding = recording, holding

    async def _recording(self, request: web.Request, handler: Answering) -> web.StreamResponse:
        """Record what changed something, and who was turned away; those who changed something wait for the record."""
        if not self._audit.enabled:
            return await handler(request)
        response = await handler(request)
        changes, turned_away = request.method not in _SAFE, response.status in _TURNED_AWAY
        if not changes and not turned_away:
            return response
        event = self._event(request, response.status, "" if turned_away else await self._actor(request))
        if turned_away or (request.path == _REPAIRS and self._audit.refusing):
            self._audit.record(event)  # strangers must not have the disk work for each of their requests
        elif not await self._audit.record_and_wait(event) and self._audit.refusing and request.path != _REPAIRS:
            return _unrecorded("It was done, and there is no record of it yet.")
        return response

    async def _holding(self, request: web.Request, handler: Answering) -> web.StreamResponse:
        """Nothing is changed while it cannot be recorded."""
        if request.method not in _SAFE and request.path != _REPAIRS and self._audit.refusing:
            return _unrecorded("The audit trail cannot be written, so nothing may be changed.")
        # Before it begins: a record must not be missing because whoever took it left in between.
        if request.path == _TAKES_OUT and request.method == "GET" and not await self._is_recorded(request):
            return _unrecorded("The audit trail cannot be written, so nothing may be taken out.")
        return await handler(request)

    async def _is_recorded(self, request: web.Request) -> bool:
        """Whether this request may go on, recorded or as nothing has to be."""
        if not self._audit.enabled:
            return True
        event = self._event(request, 200, await self._actor(request))
        return await self._audit.record_and_wait(event) or not self._audit.refusing

    def _event(self, request: web.Request, status: int, actor: str) -> Event:
        details: dict[str, Any] = {"client": request.remote or ""}
        if request.query:
            pairs = list(request.query.items())[:_MOST]
            details["query"] = {name[:_LONGEST]: value[:_LONGEST] for name, value in pairs}
        if agent := request.headers.get("User-Agent"):
            details["agent"] = agent[:_LONGEST]
        refused = status in _TURNED_AWAY
        result = Result.REFUSED if refused else Result.SUCCESS if status < 400 else Result.FAILED
        return Event(
            Kind.ADMIN,
            _action_of(request),
            request.path,
            result,
            actor=actor,
            facts={"method": request.method, "status": status},
            details=details,
        )

    async def _actor(self, request: web.Request) -> str:
        """By what right, and who that is as far as this machine knows."""
        connection = request.transport.get_extra_info("socket") if request.transport is not None else None
        caller = await asyncio.to_thread(caller_of, connection)
        return f"token {caller}".rstrip() if self._by_token else caller


def _action_of(request: web.Request) -> str:
    """``reload``, ``plugin.purge``; of a path that does not exist the method."""
    name = request.match_info.get("name")
    if name:
        return f"plugin.{name}"
    if request.match_info.http_exception is not None:
        return request.method
    return request.path.strip("/").replace("/", ".") or request.method


def _unrecorded(detail: str) -> web.Response:
    document = {"type": "about:blank", "title": "Audit unavailable", "status": 503, "code": "audit_unavailable"}
    return web.json_response({**document, "detail": detail}, status=503, content_type="application/problem+json")
