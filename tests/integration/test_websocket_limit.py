"""websocket_limit between a real WebSocket client and a real server."""

import asyncio
import contextlib
import time

import jwt
import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from gateway.testing import running

CONFIG = """
upstreams: {chat: {targets: ["${TARGET}"]}}
listeners: [{bind: 127.0.0.1:0}]
routes:
  - name: chat
    match: {path: /}
    upstream: chat
    plugins:
      - plugin: websocket_limit
        mode: ${MODE:-enforce}
        with:
          max_message: 100KB
          max_target_message: 200KB
          messages: {rate: 20, period: 1h}
          max_connections: 2
          idle: ${IDLE:-5m}
          origins: [https://app.example.com]
          subprotocols: [chat]
"""


@contextlib.asynccontextmanager
async def gateway(config=CONFIG, **variables):
    """A gateway in front of a server that echoes; `/large` makes it send more than it may, `closed` notes its ends."""
    closed = []

    async def echo(connection):
        try:
            async for message in connection:
                await connection.send("y" * 250_000 if message == "/large" else message)
        except websockets.ConnectionClosed:
            pass
        await connection.wait_closed()
        closed.append(connection.close_code)

    def choose(_connection, offered):
        return offered[0] if offered else None

    async with serve(echo, "127.0.0.1", 0, select_subprotocol=choose, max_size=None, max_queue=None) as server:
        port = server.sockets[0].getsockname()[1]
        async with running(config, TARGET=f"http://127.0.0.1:{port}", **variables) as made:
            yield made, made.url.replace("http", "ws"), closed
            server.close()


async def ends(connection):
    """The Close code that the client gets."""
    async with asyncio.timeout(60):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await connection.recv()
        await connection.wait_closed()
    return connection.close_code


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_messages_of_every_shape_pass(compression):
    async with gateway() as (_, url, closed):
        async with connect(url, compression=compression, subprotocols=["other", "chat"]) as client:
            assert client.subprotocol == "chat"
            for message in ("hi", b"\0" * 90_000, "", ["in ", "fragments"]):
                await client.send(message)
                sent = "".join(message) if isinstance(message, list) else message
                assert await client.recv() == sent
            await (await client.ping())
        while not closed:
            await asyncio.sleep(0.01)
        assert closed == [1000]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(["x" * 100_001], 1009, id="a message too large"),
        pytest.param(["ok", "x" * 3_000_000], 1009, id="far too large, still being sent"),
        pytest.param([["x" * 60_000, "x" * 60_000]], 1009, id="its second fragment is too much"),
        pytest.param(["/large"], 1009, id="the target's is too large"),
        pytest.param(["x"] * 21, 1008, id="too many"),
    ],
)
async def test_what_is_too_much_ends_both_sides_with_its_code(sent, code):
    async with gateway() as (made, url, closed):
        async with connect(url, compression=None) as client:
            with contextlib.suppress(websockets.ConnectionClosed):
                for message in sent:
                    await client.send(message)
            assert await ends(client) == code
        (ended,) = await made.ended(1)
        assert (ended.status, ended.error.code) == (101, "websocket_ended")
        while not closed:
            await asyncio.sleep(0.01)
        assert closed == [code]


async def test_silence_ends_in_1001():
    async with gateway(IDLE="50ms") as (_, url, closed):
        async with connect(url) as client:
            assert await ends(client) == 1001
        while not closed:
            await asyncio.sleep(0.01)
        assert closed == [1001]


async def test_handshakes_that_are_refused_and_one_connection_too_many():
    async with gateway() as (made, url, _):
        for how, status in [
            ({"origin": "https://evil.example"}, 403),
            ({"subprotocols": ["other"]}, 403),
        ]:
            with pytest.raises(websockets.InvalidStatus) as refused:
                await connect(url, **how)
            assert refused.value.response.status_code == status
            assert refused.value.response.headers["Content-Type"] == "application/problem+json"
        async with connect(url, origin="https://app.example.com"), connect(url) as second:
            with pytest.raises(websockets.InvalidStatus) as refused:
                await connect(url)
            assert refused.value.response.status_code == 429
            await second.close()
            await made.ended(4)
            async with connect(url):
                pass


async def test_a_changed_limit_knows_of_the_connections_there_are():
    async with gateway() as (made, url, _):
        async with connect(url), connect(url) as second:
            target = made.runtime.config.upstreams["chat"].targets[0].url
            changed = CONFIG.replace("max_connections: 2", "max_connections: 1")
            await made.reload(changed, TARGET=str(target))
            await second.close()
            await made.ended(1)
            with pytest.raises(websockets.InvalidStatus) as refused:
                await connect(url)
            assert refused.value.response.status_code == 429
        await made.ended(3)
        async with connect(url):
            pass


async def test_shadow_mode_lets_everything_pass():
    async with (
        gateway(MODE="shadow") as (_, url, _),
        connect(url, origin="https://evil.example", max_size=None) as client,
    ):
        for message in ("x" * 200_000, "/large", *["x"] * 25):
            await client.send(message)
            await client.recv()


async def test_when_the_gateway_leaves_both_sides_are_told_through_it():
    async with gateway() as (made, url, closed):
        async with connect(url) as client:
            await client.send("hi")
            assert await client.recv() == "hi"
            made.edges[0].drain()
            assert await ends(client) == 1001
        while not closed:
            await asyncio.sleep(0.01)
        assert closed == [1001]


async def test_it_ends_with_the_token_that_opened_it():
    secret = "a secret of thirty-two bytes or more"
    authenticated = CONFIG.replace(
        "      - plugin: websocket_limit",
        f"""      - plugin: jwt
        with:
          issuers: [{{issuer: me, audience: chat, algorithms: [HS256], secrets: ["{secret}"]}}]
      - plugin: websocket_limit""",
    )
    claims = {"iss": "me", "aud": "chat", "sub": "ada", "iat": int(time.time()), "exp": int(time.time()) + 2}
    headers = {"Authorization": "Bearer " + jwt.encode(claims, secret, "HS256")}
    async with gateway(authenticated) as (made, url, closed):
        async with connect(url, additional_headers=headers) as client:
            assert await ends(client) == 1008
            assert client.close_reason == "credentials expired"
        (ended,) = await made.ended(1)
        assert ended.request.principal.id == "ada"
        while not closed:
            await asyncio.sleep(0.01)
        assert closed == [1008]
