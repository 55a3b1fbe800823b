"""A small service to stand behind the gateway: `make run`, first steps, and tests that want a real target.

    python -m gateway.demo --port 9000
    python -m gateway.demo --port 9000 --front http://127.0.0.1:8080 -- gateway run gateway.yaml

The second form also runs the command given, waits until the gateway answers, says what to try, and ends it on Ctrl-C.
The command finds `DEMO_PUBLIC_KEY` in its environment, a file whose private half makes tokens for as long as this runs.
It knows nothing of the gateway: no authentication, no limits, no metrics. That is the point of it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import errno
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

MAX_ORDERS = 1000
MAX_BODY = 16 * 1024 * 1024
MAX_SECONDS = 60.0
FILE_SIZE = 1024 * 1024
START_SECONDS = 30.0

FILE = web.AppKey("file", Path)
ORDERS = web.AppKey("orders", dict[int, object])
CALLS = web.AppKey("calls", list[int])


def build() -> web.Application:
    """The service as an application, with state of its own."""
    app = web.Application(client_max_size=MAX_BODY)
    orders: dict[int, object] = {1: {"item": "tea", "quantity": 2}, 2: {"item": "bread", "quantity": 1}}
    app[ORDERS] = orders
    app[CALLS] = [0]
    app.cleanup_ctx.append(_file)
    app.add_routes(
        [
            web.get("/", hello),
            web.get("/healthz", healthz),
            web.route("*", "/echo", echo),
            web.route("*", "/echo/{rest:.*}", echo),
            web.get("/orders", list_orders),
            web.post("/orders", add_order),
            web.get(r"/orders/{number:\d+}", one_order),
            web.get("/events", events),
            web.get("/ws", websocket),
            web.get("/download", download),
            web.route("*", "/slow", slow),
            web.route("*", r"/status/{code:[2-5]\d\d}", status),
            web.route("*", "/fail", fail),
        ]
    )
    return app


async def _file(app: web.Application) -> AsyncIterator[None]:
    """The file of /download: each line says at which byte it begins, so that a range can be checked by eye."""
    with tempfile.TemporaryDirectory(prefix="sidegate-demo-") as directory:
        app[FILE] = Path(directory, "lines.txt")
        app[FILE].write_text("".join(f"{offset:015d}\n" for offset in range(0, FILE_SIZE, 16)))
        yield


async def hello(request: web.Request) -> web.Response:
    return web.json_response({"hello": "from the service behind the gateway", "path": request.raw_path})


async def healthz(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def echo(request: web.Request) -> web.Response:
    """What arrived, as it arrived: raw path, headers in order with repeats, body as text or in base64."""
    body = await request.read()
    try:
        shown = {"body": body.decode()}
    except UnicodeDecodeError:
        shown = {"body_base64": base64.b64encode(body).decode()}
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers]
    return web.json_response({"method": request.method, "path": request.raw_path, "headers": headers, **shown})


async def list_orders(request: web.Request) -> web.Response:
    return web.json_response([{"id": number, "order": order} for number, order in request.app[ORDERS].items()])


async def one_order(request: web.Request) -> web.Response:
    number = int(request.match_info["number"])
    if number not in request.app[ORDERS]:
        return web.json_response({"error": f"no order {number}"}, status=404)
    return web.json_response({"id": number, "order": request.app[ORDERS][number]})


async def add_order(request: web.Request) -> web.Response:
    orders = request.app[ORDERS]
    try:
        order = await request.json()
    except json.JSONDecodeError:
        return web.json_response({"error": "the body is not JSON"}, status=400)
    number = max(orders, default=0) + 1
    orders[number] = order
    while len(orders) > MAX_ORDERS:
        del orders[next(iter(orders))]
    return web.json_response({"id": number}, status=201, headers={"Location": f"/orders/{number}"})


def _number(request: web.Request, name: str, default: float, most: float) -> float:
    """A number from the query, held between 0 and ``most``; what is none is a 400."""
    try:
        value = float(request.query.get(name, default))
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise web.HTTPBadRequest(text=f"{name} must be a number from 0 to {most:g}\n")
    return value


async def events(request: web.Request) -> web.StreamResponse:
    """Server-sent events: ``?count=`` of them (default 10), one each ``?every=`` seconds (default 1)."""
    count, every = int(_number(request, "count", 10, 1000)), _number(request, "every", 1, MAX_SECONDS)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    for number in range(count):
        if number:
            await asyncio.sleep(every)
        await response.write(f"id: {number}\ndata: tick {number}\n\n".encode())
    await response.write_eof()
    return response


async def websocket(request: web.Request) -> web.WebSocketResponse:
    """A WebSocket that sends each message back."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def download(request: web.Request) -> web.FileResponse:
    """A file of 1 MiB, with ranges and conditional requests (RFC 9110 §13, §14)."""
    return web.FileResponse(request.app[FILE])


async def slow(request: web.Request) -> web.Response:
    seconds = _number(request, "seconds", 1, MAX_SECONDS)
    await asyncio.sleep(seconds)
    return web.json_response({"slept": seconds})


async def status(request: web.Request) -> web.Response:
    return web.Response(status=int(request.match_info["code"]))


async def fail(request: web.Request) -> web.Response:
    """503 to each ``?every=``-th call (default 3), so that what a retry does can be seen and counted."""
    every = max(1, int(_number(request, "every", 3, 1000)))
    request.app[CALLS][0] += 1
    call = request.app[CALLS][0]
    if call % every == 0:
        return web.json_response({"error": "failed, as asked", "call": call}, status=503)
    return web.json_response({"ok": True, "call": call})


class CannotStart(Exception):
    """Said to the person at the terminal; nothing has been left running."""


@contextlib.asynccontextmanager
async def listening(host: str, port: int) -> AsyncIterator[int]:
    """The service on a listener; gives its port (another one if 0 was asked for). Raises CannotStart."""
    runner = web.AppRunner(build(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CannotStart(
                    f"port {port} on {host} is taken; end what listens there or choose another"
                ) from error
            raise CannotStart(f"cannot listen on {host}:{port}: {error.strerror}") from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _accepts(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def make_keys(directory: Path) -> Path:
    """A key pair in two files of a directory that only we can read; the private one's path."""
    key, private = Ed25519PrivateKey.generate(), directory / "key.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (directory / "public.pem").write_bytes(public)
    return private


async def run_front(command: Sequence[str], front: str, stop: asyncio.Event, key: Path) -> int:
    """Run ``command``, say what to try once ``front`` accepts connections, and end it when ``stop`` is set.

    Returns its exit code; 0 if it was ended by us and took the hint. Raises CannotStart.
    """
    parts = urlsplit(front)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    if await _accepts(host, port):
        raise CannotStart(f"port {port} on {host} is taken, and the gateway is to listen there; end what does so now")
    # A process group of its own: Ctrl-C would reach it beside our own signal, and be taken for a second, impatient one.
    try:
        environment = {**os.environ, "DEMO_PUBLIC_KEY": str(key.with_name("public.pem"))}
        child = await asyncio.create_subprocess_exec(*command, process_group=0, env=environment)
    except OSError as error:
        raise CannotStart(f"cannot run {command[0]}: {error.strerror}") from error
    ended = asyncio.ensure_future(child.wait())
    stopped = asyncio.ensure_future(stop.wait())
    try:
        for _ in range(int(START_SECONDS / 0.1)):
            if ended.done() or stopped.done() or await _accepts(host, port):
                break
            await asyncio.wait((ended, stopped), timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
        else:
            raise CannotStart(f"the gateway did not listen on {front} within {START_SECONDS:g} s")
        if not ended.done() and not stopped.done():
            print(what_to_try(front, command[0], key), flush=True)
        await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            return ended.result()
        stop.clear()
        child.terminate()
        stopped = asyncio.ensure_future(stop.wait())  # a second Ctrl-C: no more patience
        await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
        return 0 if ended.done() and ended.result() in (0, -signal.SIGTERM) else 1
    finally:
        stopped.cancel()
        if child.returncode is None:
            child.kill()
        await ended


def what_to_try(front: str, gateway: str, key: Path) -> str:
    token = f"{gateway} token --key {key} --audience demo --subject ada --scope account"
    return (
        f"\nThe gateway listens on {front}, in front of a demo service. Try, in another terminal:\n\n"
        f"  curl -i {front}/orders\n"
        f'  curl -i {front}/account -H "Authorization: Bearer $({token})"   # and without\n'
        "  curl -s http://127.0.0.1:9901/metrics | grep requests\n\n"
        "Ctrl-C ends both.\n"
    )


async def serve(host: str, port: int, front: str, command: Sequence[str]) -> int:
    """Serve until a signal, or until ``command`` ends; returns the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with listening(host, port) as bound:
        print(f"demo service on http://{host}:{bound}", flush=True)
        if command:
            with tempfile.TemporaryDirectory(prefix="sidegate-demo-") as directory:
                return await run_front(command, front, stop, make_keys(Path(directory)))
        await stop.wait()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m gateway.demo", description="A small service to stand behind the gateway."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000, help="0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--front", default="http://127.0.0.1:8080", help="where the gateway will listen (default: %(default)s)"
    )
    parser.add_argument("command", nargs="*", help="the gateway's command, after --")
    options = parser.parse_args(arguments)
    try:
        return asyncio.run(serve(options.host, options.port, options.front, options.command))
    except CannotStart as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
