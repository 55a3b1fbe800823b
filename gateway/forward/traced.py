"""A span around each attempt at a target. Stands in for `gateway.transport.exchange.send` where traces are wanted."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import Any

from gateway.errors import GatewayError
from gateway.http import Exchange, Request, Response
from gateway.services.tracing import Kind, Span, Trace, current
from gateway.services.tracing.attributes import METHODS, method_of
from gateway.services.tracing.carrier import write_b3
from gateway.transport.exchange import Timing, send
from gateway.transport.pool import Pool


class TracedSend:
    """An upstream's `send`."""

    __slots__ = ("_upstream",)

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream

    def __call__(
        self, pool: Pool, request: Request, target: str, host: bytes, timing: Timing, *, fresh: bool = False
    ) -> Coroutine[Any, Any, Response]:
        """As `send`, whose coroutine it hands on where nothing is noted."""
        trace = current.get()
        before = request.trace
        if trace is None or before is None or before[3:35] != trace.id:
            return send(pool, request, target, host, timing, fresh=fresh)
        span = self._begin(trace, pool, request, target) if trace.recording else None
        if propagate := trace.tracer.options.propagate:
            told = request.trace or before
            above = (span.parent if span is not None else trace.parent).decode()
            for kind in propagate:
                write_b3(request.edit_headers(), told, above, several=kind == "b3multi")
        sending = send(pool, request, target, host, timing, fresh=fresh)
        return sending if span is None else self._noted(trace, span, sending, request, before)

    async def _noted(
        self, trace: Trace, span: Span, sending: Coroutine[Any, Any, Response], request: Request, before: bytes
    ) -> Response:
        try:
            response = await sending
        except GatewayError as error:
            trace.end(span, error.code)
            raise
        except BaseException as error:
            trace.end(span, "client_closed_request" if not isinstance(error, Exception) else type(error).__name__)
            raise
        finally:
            request.trace = before
        span.attributes["http.response.status_code"] = response.status
        if response.tunnel is not None:
            request.when_done(partial(_ended, trace, span))
        elif response.body.whole is None:
            response.body.at_end(partial(_streamed, trace, span, response))
        else:
            trace.end(span, str(response.status) if response.status >= 400 else "")
        return response

    def _begin(self, trace: Trace, pool: Pool, request: Request, target: str) -> Span | None:
        method = request.method if request.method in METHODS else "HTTP"
        span = trace.open(request, method, Kind.CLIENT)
        if span is None:
            return None
        endpoint = pool.endpoint
        said: dict[str, Any] = method_of(request)
        path = target.partition("?")[0]
        said["sidegate.upstream"] = self._upstream
        said["network.protocol.version"] = "1.1"
        if endpoint.scheme == "unix":
            said |= {
                "server.address": endpoint.path,
                "network.transport": "unix",
                "url.full": f"http://localhost{path}",
            }
        else:
            said |= {"server.address": endpoint.host, "server.port": endpoint.port}
            said["url.full"] = f"{endpoint.scheme}://{endpoint.authority.decode()}{path}"
        if request.attempts > 1:
            said["http.request.resend_count"] = request.attempts - 1
        span.attributes = said
        return span


def _streamed(trace: Trace, span: Span, response: Response) -> None:
    failure = response.body.failure
    if failure is not None:
        trace.end(span, failure.code)
    else:
        trace.end(span, str(response.status) if response.status >= 400 else "")


def _ended(trace: Trace, span: Span, _exchange: Exchange) -> None:
    trace.end(span)
