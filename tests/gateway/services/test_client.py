"""The gateway's own calls: over real sockets, within a deadline and a limit, and without telling secrets."""

import asyncio

import pytest
from aiohttp import web

from gateway.errors import ConnectFailed, ConnectTimeout, MalformedAnswer
from gateway.services.client import Client


@pytest.fixture
async def client():
    made = Client()
    yield made
    await made.close()


@pytest.fixture
async def url():
    """A service with an answer of each kind."""
    app = web.Application()

    async def echo(request):
        return web.Response(
            status=201,
            text=f"{request.method} {(await request.read()).decode()}",
            headers={"Set-Cookie": "a=b", "X": "1"},
        )

    async def cookies(request):
        return web.Response(text=request.headers.get("Cookie", "none"))

    async def moved(request):
        raise web.HTTPFound("/echo")

    async def large(request):
        return web.Response(body=b"x" * 1000)

    async def endless(request):
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    async def squeezed(request):
        response = web.Response(body=b"\0" * 1_000_000)
        response.enable_compression()
        return response

    async def silent(request):
        await asyncio.Event().wait()

    async def cut(request):
        request.transport.abort()
        return web.Response()

    handlers = (echo, cookies, moved, large, endless, squeezed, silent, cut)
    app.add_routes([web.route("*", f"/{handler.__name__}", handler) for handler in handlers])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


async def test_an_answer(client, url):
    answer = await client.request("POST", f"{url}/echo", body=b"hi", headers={"Y": "2"})
    assert (answer.status, answer.body, answer.headers["x"]) == (201, b"POST hi", "1")


async def test_cookies_are_not_kept(client, url):
    await client.request("GET", f"{url}/echo")
    assert (await client.request("GET", f"{url}/cookies")).body == b"none"


async def test_redirects_are_followed_only_if_asked(client, url):
    assert (await client.request("GET", f"{url}/moved")).status == 302
    assert (await client.request("GET", f"{url}/moved", redirects=True)).status == 201


@pytest.mark.parametrize(
    ("path", "limit", "fits"),
    [
        pytest.param("large", 1000, True, id="at the limit"),
        pytest.param("large", 999, False, id="over it"),
        pytest.param("endless", 100_000, False, id="without end"),
        pytest.param("squeezed", 999_999, False, id="small on the wire and large in memory"),
        pytest.param("squeezed", 1_000_000, True, id="unpacked at the limit"),
    ],
)
async def test_the_limit(client, url, path, limit, fits):
    if fits:
        assert len((await client.request("GET", f"{url}/{path}", limit=limit)).body) <= limit
    else:
        with pytest.raises(MalformedAnswer):
            await client.request("GET", f"{url}/{path}", limit=limit)


async def test_the_deadline_is_for_all_of_it(client, url):
    for path in ("silent", "endless"):
        with pytest.raises(ConnectTimeout):
            await client.request("GET", f"{url}/{path}", timeout=0.05, limit=10**12)


SECRETS = "http://user:hunter2@{}/path?token=hunter3"


@pytest.mark.parametrize(
    ("address", "error"),
    [
        pytest.param("127.0.0.1:1", ConnectFailed, id="nobody listens"),
        pytest.param("nowhere.invalid", ConnectFailed, id="no such name"),
        pytest.param("[::1", ConnectFailed, id="no URL"),
        pytest.param("127.0.0.1:99999", ConnectFailed, id="no port"),
    ],
)
async def test_what_fails_says_where_and_not_the_secrets(client, address, error):
    with pytest.raises(error) as caught:
        await client.request("GET", SECRETS.format(address))
    for text in (str(caught.value), caught.value.reason, repr(caught.value.__cause__)):
        assert "hunter" not in text
    assert f"GET http://{address}/path" in caught.value.reason


async def test_a_connection_that_is_cut(client, url):
    with pytest.raises(ConnectFailed):
        await client.request("GET", f"{url}/cut")


async def test_what_is_no_http_url(client):
    for url in ("ftp://127.0.0.1/?token=hunter2", "", "/path"):
        with pytest.raises(ConnectFailed) as caught:
            await client.request("GET", url)
        assert "hunter2" not in caught.value.reason


async def test_a_closed_client_opens_nothing_again(url):
    client = Client()
    await client.request("GET", f"{url}/echo")
    await client.close()
    await client.close()
    with pytest.raises(ConnectFailed) as caught:
        await client.request("GET", f"{url}/echo")
    assert "closed" in caught.value.reason


async def test_a_client_that_was_never_used_has_nothing_to_close():
    await Client().close()
