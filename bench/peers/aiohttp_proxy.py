"""The plain aiohttp proxy: what a competent engineer writes with `web.Application` and `ClientSession` in an afternoon.

uvloop, one session with a keep-alive pool, timeouts, no cookie jar, no decompression, small answers in one piece, large
ones as a stream, hop-by-hop fields dropped, request id, forwarding headers, Prometheus counters bound beforehand.
"""

import argparse
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import uvloop
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from multidict import CIMultiDict, CIMultiDictProxy
from prometheus_client import Counter, Histogram, generate_latest
from yarl import URL

HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
     "transfer-encoding", "upgrade"}
)  # fmt: skip
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
WHOLE = 64 * 1024
CHUNK = 64 * 1024

REQUESTS = Counter("requests", "Requests by status.", ["status"])
SECONDS = Histogram("request_seconds", "Time to the end of the answer.")


def end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    drop = HOP_BY_HOP
    if named := headers.get("Connection"):
        drop = HOP_BY_HOP | {name.strip().lower() for name in named.split(",")}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in drop)


class Proxy:
    def __init__(self, target: str) -> None:
        self._target = target
        self._session: ClientSession | None = None

    async def session(self, _: web.Application) -> AsyncIterator[None]:
        async with ClientSession(
            connector=TCPConnector(limit=0, keepalive_timeout=60),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            timeout=ClientTimeout(total=None, sock_connect=2, sock_read=15),
        ) as self._session:
            yield

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        began = time.perf_counter()
        headers = end_to_end(request.headers)
        peer = request.remote or ""
        earlier = headers.get("X-Forwarded-For")
        headers["X-Forwarded-For"] = f"{earlier}, {peer}" if earlier else peer
        headers["X-Forwarded-Proto"] = request.scheme
        headers["X-Forwarded-Host"] = request.host
        headers["Via"] = "1.1 aiohttp"
        headers.setdefault("X-Request-Id", str(uuid.uuid4()))
        try:
            async with self._session.request(
                request.method,
                URL(self._target + request.raw_path, encoded=True),
                headers=headers,
                data=request.content if request.body_exists else None,
                allow_redirects=False,
            ) as upstream:
                answer = await self._answer(request, upstream)
        except TimeoutError:
            answer = web.Response(status=504)
        except ClientError:
            answer = web.Response(status=502)
        REQUESTS.labels(answer.status).inc()
        SECONDS.observe(time.perf_counter() - began)
        return answer

    async def _answer(self, request: web.Request, upstream: ClientResponse) -> web.StreamResponse:
        headers = end_to_end(upstream.headers)
        length = upstream.content_length
        if length is not None and length <= WHOLE:
            return web.Response(status=upstream.status, headers=headers, body=await upstream.read())
        answer = web.StreamResponse(status=upstream.status, headers=headers)
        await answer.prepare(request)
        async for chunk in upstream.content.iter_chunked(CHUNK):
            await answer.write(chunk)
        await answer.write_eof()
        return answer


def json_lines(path: Path) -> Callable[..., Awaitable[web.StreamResponse]]:
    file = path.open("a", buffering=64 * 1024)

    @web.middleware
    async def log(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.time()
        answer = await handler(request)
        line = {
            "time": began, "client": request.remote, "method": request.method, "path": request.path,
            "status": answer.status, "bytes": answer.body_length, "seconds": time.time() - began,
            "agent": request.headers.get("User-Agent"),
        }  # fmt: skip
        file.write(json.dumps(line) + "\n")
        return answer

    return log


async def metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), content_type="text/plain")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--access-log", type=Path)
    asked = parser.parse_args()
    proxy = Proxy(asked.target)
    app = web.Application(middlewares=[json_lines(asked.access_log)] if asked.access_log else [])
    app.cleanup_ctx.append(proxy.session)
    app.router.add_get("/-/metrics", metrics)
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    web.run_app(
        app, host="127.0.0.1", port=asked.port, access_log=None, backlog=16384, keepalive_timeout=75,
        print=None, loop=uvloop.new_event_loop(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
