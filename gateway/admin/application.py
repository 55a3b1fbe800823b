"""The admin API, an aiohttp application on its own listener.

It asks the gateway, whichever number of workers that has, through `Gateway`, and holds no state of its own.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web

from gateway.admin.answers import as_json, problem
from gateway.admin.desk import Desk, Keeping
from gateway.admin.readiness import readiness
from gateway.admin.visitor import Visitors
from gateway.admin.witness import Witness
from gateway.config.dump import dump_masked
from gateway.config.listener import Admin
from gateway.config.load import Loaded
from gateway.services.audit import Audit
from gateway.services.metrics import Snapshot, merge, render

log = logging.getLogger("gateway.admin")


class Gateway(Keeping, Protocol):
    """What the admin API needs of the gateway."""

    @property
    def loaded(self) -> Loaded:
        """The configuration in force."""
        ...

    @property
    def stopping(self) -> bool:
        """SIGTERM came."""
        ...

    @property
    def audit(self) -> Audit:
        """Where is recorded who did what here."""
        ...

    @property
    def checks(self) -> dict[str, dict[str, Any]]:
        """Results of ``health.checks``."""
        ...

    async def snapshots(self) -> list[Snapshot]:
        """Every worker's counters, and the supervisor's."""
        ...

    async def statuses(self) -> list[dict[str, Any]]:
        """Every worker's state; one that does not answer is left out."""
        ...

    async def errors(self) -> list[dict[str, Any]]:
        """Errors that nobody has handled, by group, the latest first; masked."""
        ...

    def chains(self) -> list[dict[str, Any]]:
        """Routes with their effective chains, by precedence."""
        ...

    def reload_outcome(self) -> dict[str, Any]:
        """How reloads went."""
        ...

    async def reload(self) -> bool:
        """Read the configuration again."""
        ...

    async def plugin_view(self, route: str, id: str, name: str, method: str, query: dict[str, str]) -> list[Any]:  # noqa: A002
        """What every worker's instance of a plugin answers. Raises LookupError."""
        ...


class AdminServer:
    """The admin listener."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._runner: web.AppRunner | None = None
        self.name = ""
        """Address and port really bound."""

    async def start(
        self, settings: Admin, tls: ssl.SSLContext | None = None, sock: socket.socket | None = None
    ) -> None:
        """Listen. Raises OSError."""
        witness = Witness(self._gateway.audit, settings)
        application = web.Application(middlewares=[witness.recording, _guarded(settings), witness.holding])
        self._routes(application)
        if settings.cors is not None:
            _allow_origins(application, settings.cors.origins)
        runner = self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=2.0)
        await runner.setup()
        address = settings.address
        site: web.BaseSite
        if sock is not None:
            site = web.SockSite(runner, sock, ssl_context=tls)
        elif address.path:
            site = web.UnixSite(runner, address.path, ssl_context=tls)
        else:
            site = web.TCPSite(runner, address.host or None, address.port, ssl_context=tls, reuse_address=True)
        await site.start()
        bound = runner.addresses[0]
        self.name = f"{bound[0]}:{bound[1]}" if isinstance(bound, tuple) else f"unix:{bound}"

    async def close(self) -> None:
        """Idempotent."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _routes(self, application: web.Application) -> None:
        router = application.router
        router.add_get("/metrics", self._metrics)
        router.add_get("/healthz", self._healthz)
        router.add_get("/readyz", self._readyz)
        router.add_get("/routes", self._show_routes)
        router.add_get("/upstreams", self._show_upstreams)
        router.add_get("/config", self._show_config)
        router.add_get("/workers", self._show_workers)
        router.add_get("/errors", self._show_errors)
        router.add_post("/reload", self._reload)
        Desk(self._gateway).add_routes(router)
        router.add_route("*", "/plugins/{route}/{id}/{name}", self._plugin)

    async def _metrics(self, request: web.Request) -> web.Response:
        body, media_type = render(merge(await self._gateway.snapshots()), request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": media_type})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return as_json({"status": "ok"})

    async def _readyz(self, _request: web.Request) -> web.Response:
        gateway = self._gateway
        statuses = await gateway.statuses()
        outcome, trail = gateway.reload_outcome(), gateway.audit.state()
        report = readiness(gateway.loaded.config, statuses, gateway.checks, outcome, gateway.stopping, trail)
        return as_json(report, status=200 if report["ready"] else 503)

    async def _show_routes(self, _request: web.Request) -> web.Response:
        return as_json({"routes": self._gateway.chains()})

    async def _show_upstreams(self, _request: web.Request) -> web.Response:
        statuses = await self._gateway.statuses()
        return as_json({"workers": [{key: each[key] for key in ("worker", "upstreams")} for each in statuses]})

    async def _show_config(self, _request: web.Request) -> web.Response:
        loaded = self._gateway.loaded
        return as_json({"digest": loaded.digest, "files": loaded.files, "config": dump_masked(loaded.config)})

    async def _show_workers(self, _request: web.Request) -> web.Response:
        return as_json({"workers": await self._gateway.statuses()})

    async def _show_errors(self, _request: web.Request) -> web.Response:
        return as_json({"errors": await self._gateway.errors()})

    async def _reload(self, _request: web.Request) -> web.Response:
        ok = await self._gateway.reload()
        return as_json(self._gateway.reload_outcome(), status=200 if ok else 409)

    async def _plugin(self, request: web.Request) -> web.Response:
        match = request.match_info
        try:
            answers = await self._gateway.plugin_view(
                match["route"], match["id"], match["name"], request.method, dict(request.query)
            )
        except LookupError:
            return problem(404, "not_found", "No plugin has a view of this name for this method.")
        except ValueError as error:
            return problem(400, "bad_request", str(error))
        return as_json({"workers": answers})


def _guarded(settings: Admin) -> Any:
    """A middleware that turns away who may not ask, and answers errors as problem documents."""
    visitors = Visitors(settings)

    @web.middleware
    async def guard(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
        refusal = visitors.refusal(request.method, request.path, request.scheme, request.headers)
        if refusal is not None:
            answer = problem(refusal.status, refusal.code, refusal.detail)
            if refusal.status == 401:
                answer.headers["WWW-Authenticate"] = 'Bearer realm="sidegate admin"'
            return answer
        try:
            return await handler(request)
        except web.HTTPException as error:
            answer = problem(error.status, error.reason.lower().replace(" ", "_"), error.reason)
            if "Allow" in error.headers:
                answer.headers["Allow"] = error.headers["Allow"]
            return answer
        except Exception:
            log.exception("unhandled error in the admin API")
            return problem(500, "internal_error", "The log says more.")

    return guard


def _allow_origins(application: web.Application, origins: tuple[str, ...]) -> None:
    import aiohttp_cors  # noqa: PLC0415 - only where browsers call

    options = aiohttp_cors.ResourceOptions(  # type: ignore[no-untyped-call]
        allow_credentials=False,
        allow_headers=("Authorization", "Content-Type"),
        allow_methods=("GET", "POST", "DELETE"),
    )
    cors = aiohttp_cors.setup(application, defaults=dict.fromkeys(origins, options))
    for route in list(application.router.routes()):
        if route.method != "*":
            cors.add(route)
