"""A whole gateway for tests: real connections, no fixed port, and nothing left when it ends."""

import asyncio

import aiohttp
import pytest

from gateway.config import ConfigurationError
from gateway.testing import origin, running

CONFIG = """
listeners: [{bind: 127.0.0.1:8080}, {bind: 127.0.0.1:8081}]
upstreams: {service: {targets: ["${TARGET}"]}}
routes:
  - name: all
    upstream: service
    plugins: [{plugin: headers, with: {response: {set: {X-Version: "${VERSION:-1}"}}}}]
"""


async def test_a_request_goes_through():
    async with origin(201, {"X": "1"}, "hi") as service, running(CONFIG, TARGET=service.url) as gateway:
        answer = await gateway.fetch("POST", "/a/b?c=d", headers={"Y": "2"}, body="data")
        assert (answer.status, answer.body, answer.headers["X"]) == (201, b"hi", "1")
        assert service.bodies == [b"data"]
        assert service.requests[0].path_qs == "/a/b?c=d"
        assert service.requests[0].headers["Y"] == "2"
        (ended,) = await gateway.ended(1)
        assert (ended.status, ended.request.route.name, ended.received_bytes) == (201, "all", 4)


async def test_a_stream_goes_through():
    chunks = [b"x" * 100_000, b"y" * 100_000]
    async with origin(chunks=chunks) as service, running(CONFIG, TARGET=service.url) as gateway:
        answer = await gateway.fetch("GET", "/")
        assert answer.body == b"".join(chunks)


async def test_every_listener_has_a_port_of_its_own_whatever_the_text_says():
    async with (
        origin() as service,
        running(CONFIG, TARGET=service.url) as one,
        running(CONFIG, TARGET=service.url) as two,
    ):
        urls = [*one.urls, *two.urls]
        assert len(set(urls)) == 4
        assert "http://127.0.0.1:8080" not in urls


async def test_a_reload_is_taken_up():
    async with origin() as service, running(CONFIG, TARGET=service.url) as gateway:
        assert (await gateway.fetch("GET", "/")).headers["X-Version"] == "1"
        await gateway.reload(CONFIG, TARGET=service.url, VERSION="2")
        assert (await gateway.fetch("GET", "/")).headers["X-Version"] == "2"


async def test_a_mistake_is_raised():
    with pytest.raises(ConfigurationError, match="upstream"):
        async with running("routes: [{name: a, upstream: b}]"):
            pass


async def test_nothing_listens_afterwards():
    async with origin() as service, running(CONFIG, TARGET=service.url) as gateway:
        url = gateway.url
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url)
    assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()
