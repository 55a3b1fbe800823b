"""Sessions over their life: refreshed once however many ask, kept through outages, ended everywhere."""

from __future__ import annotations

import asyncio

import pytest

from gateway.services.store import open_store
from gateway.testing import ports

PAGE = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
SCRIPT = {"Sec-Fetch-Mode": "cors", "Accept": "application/json"}
STORES = pytest.mark.parametrize("store", ["cookie", "shared"])


async def statuses(browser, count, headers=SCRIPT):
    return [each.status for each in await asyncio.gather(*(browser.ask("/", headers) for _ in range(count)))]


# -- refreshing --------------------------------------------------------------------------------------------------------


@STORES
async def test_fifty_parallel_requests_refresh_once_and_nobody_is_logged_out(shop, idp, store):
    made = await shop(session={"store": store})
    browser = made.browser()
    await browser.login()
    for round_ in range(1, 4):
        made.clock.advance(301)
        assert await statuses(browser, 50) == [200] * 50
        assert (idp.calls["/token"], idp.reuses) == (1 + round_, 0)


async def test_who_comes_late_with_the_cookie_of_before_gets_what_came_of_it(shop, idp):
    """The answer with the new cookie was lost on its way, or a request was under way with the old one."""
    made = await shop()
    browser, late = made.browser(), made.browser()
    await browser.login()
    late.jar.cookies = dict(browser.jar.cookies)
    made.clock.advance(301)
    assert (await browser.ask("/")).status == 200
    made.live.plugin._hold.thing._seen.clear()  # another worker's, which has seen nothing
    assert (await late.ask("/")).status == 200
    assert (idp.calls["/token"], idp.reuses) == (2, 0)
    assert late.jar.cookies != browser.jar.cookies
    made.clock.advance(301)
    assert (await late.ask("/")).status == (await browser.ask("/")).status == 200
    assert idp.reuses == 0


async def test_a_client_that_leaves_does_not_end_the_refresh(shop, idp):
    made = await shop()
    browser = made.browser()
    await browser.login()
    made.clock.advance(301)
    idp.hold = asyncio.Event()
    leaving, staying = (asyncio.ensure_future(browser.ask("/", SCRIPT)) for _ in range(2))
    while idp.calls["/token"] < 2:
        await asyncio.sleep(0.001)
    assert [task.get_name() for task in asyncio.all_tasks()].count("refresh a session") == 1
    leaving.cancel()
    idp.hold.set()
    assert (await staying).status == 200
    assert idp.calls["/token"] == 2


@STORES
async def test_a_provider_that_is_down_ends_no_session(shop, idp, store):
    made = await shop(session={"store": store})
    browser = made.browser()
    await browser.login()
    idp.down = True
    made.clock.advance(280)  # due, and good for another twenty seconds
    assert (await browser.ask("/")).status == 200
    made.clock.advance(21)
    refused = await browser.ask("/")
    assert (refused.status, refused.error.code) == (503, "provider_unavailable")
    assert await statuses(browser, 20) == [503] * 20
    assert idp.calls["/token"] <= 6, "it is left alone for a moment"
    idp.down = False
    made.clock.advance(2)
    assert (await browser.ask("/")).status == 200
    assert idp.reuses == 0


@STORES
async def test_a_grant_that_has_ended_ends_the_session(shop, idp, store):
    made = await shop(session={"store": store})
    browser = made.browser()
    await browser.login()
    next(iter(idp.grants.values())).revoked = True
    made.clock.advance(301)
    assert (await browser.ask("/", SCRIPT)).status == 401
    assert not browser.jar.cookies
    assert (await browser.ask("/")).status == 302


async def test_our_own_mistake_ends_no_session(shop, idp):
    made = await shop()
    browser = made.browser()
    await browser.login()
    idp.client = {**idp.client, "secret": "changed"}
    made.clock.advance(301)
    assert (await browser.ask("/")).status == 503
    assert browser.jar.cookies


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda claims: {**claims, "sub": "eve"}, id="of another subject"),
        pytest.param(lambda claims: {**claims, "aud": "other"}, id="for another client"),
        pytest.param(lambda _claims: "e30.e30.e30", id="no token"),
    ],
)
async def test_an_id_token_of_a_refresh_that_does_not_hold_ends_the_session(shop, idp, change):
    made = await shop()
    browser = made.browser()
    await browser.login()
    idp.id_token = change
    made.clock.advance(301)
    assert (await browser.ask("/", SCRIPT)).status == 401


async def test_without_a_refresh_token_a_session_lasts_as_long_as_it_may(shop, idp):
    idp.refreshes = False
    made = await shop(pass_access_token="X-Token")
    browser = made.browser()
    await browser.login()
    await browser.ask("/")
    assert "X-Token" in made.target.request.headers
    made.clock.advance(301)
    assert (await browser.ask("/", {**PAGE, "X-Token": "mine"})).status == 200
    assert "X-Token" not in made.target.request.headers, "one that has expired is not passed on"


async def test_a_provider_that_keeps_its_refresh_token(shop, idp):
    idp.rotates = False
    made = await shop()
    browser = made.browser()
    await browser.login()
    for _ in range(3):
        made.clock.advance(301)
        assert (await browser.ask("/")).status == 200


@STORES
@pytest.mark.parametrize("told", [True, False], ids=["told by the other", "by itself, before it refreshes"])
async def test_a_logout_elsewhere_is_noticed_before_the_next_look(shop, idp, store, told):
    given = ports()
    one = await shop(given, session={"store": store, "recheck": "300s"})
    beside = ports(store=given.store())
    beside.clock = given.clock
    two = await shop(beside, session={"store": store, "recheck": "300s"})
    browser, copy = one.browser(), two.browser()
    await browser.login()
    copy.jar.cookies = dict(browser.jar.cookies)
    assert (await copy.ask("/", SCRIPT)).status == 200
    if not told:
        two.live.plugin._hold.thing._subscription.close()
    await browser.ask("/oauth2/logout")
    if not told:
        assert (await copy.ask("/", SCRIPT)).status == 200
        given.clock.advance(280)
    assert (await copy.ask("/", SCRIPT)).status == 401
    assert idp.calls["/token"] == 1


# -- ages --------------------------------------------------------------------------------------------------------------


@STORES
async def test_idle_and_age(shop, store):
    made = await shop(session={"store": store, "idle": "10m", "max_age": "30m"})
    browser = made.browser()
    await browser.login()
    for _ in range(5):
        made.clock.advance(350)
        assert (await browser.ask("/")).status == 200
    made.clock.advance(60)
    assert (await browser.ask("/", SCRIPT)).status == 401, "half an hour is over"
    await browser.login()
    made.clock.advance(601)
    assert (await browser.ask("/", SCRIPT)).status == 401, "idle for ten minutes"


@STORES
async def test_an_old_cookie_of_another_worker_is_idle_too(shop, store):
    made = await shop(session={"store": store, "idle": "10m"})
    browser = made.browser()
    await browser.login()
    made.live.plugin._hold.thing._seen.clear()
    made.clock.advance(601)
    assert (await browser.ask("/", SCRIPT)).status == 401


async def test_memory_is_bounded(shop):
    made = await shop(session={"remember": 3})
    for _ in range(6):
        browser = made.browser()
        await browser.login()
        assert (await browser.ask("/")).status == 200
    assert len(made.live.plugin._hold.thing._seen) == 3
    browser = (await shop(session={"remember": 0})).browser()
    await browser.login()
    assert (await browser.ask("/")).status == 200


# -- keys --------------------------------------------------------------------------------------------------------------


@STORES
async def test_keys_rotate_without_a_logout(shop, idp, store):
    old, new = "the key that was before, long enough", "the key that comes after, long enough"
    given = ports()
    first = await shop(given, session={"keys": [old], "store": store})
    browser = first.browser()
    await browser.login()
    both = await shop(given, session={"keys": [new, old], "store": store})
    browser.shop = both
    assert (await browser.ask("/")).status == 200
    both.clock.advance(301)
    assert (await browser.ask("/")).status == 200, "refreshed, and sealed with the new one"
    alone = await shop(given, session={"keys": [new], "store": store})
    browser.shop = alone
    # In the store what the cookie holds stays sealed with the old one: it lives on until it is taken out.
    assert (await browser.ask("/", SCRIPT)).status == (200 if store == "cookie" else 401)


# -- a real Redis, which two gateways share and which dies -------------------------------------------------------------


@pytest.fixture
async def sharing():
    """Ports of a gateway with its own connection to a Redis."""
    stores = []

    async def make(url, clock=None, timeout=2.0):
        store = await open_store(url, timeout=timeout)
        stores.append(store)
        given = ports(store=store)
        if clock is not None:
            given.clock = clock
        return given

    yield make
    for store in stores:
        await store.close()


@STORES
async def test_two_gateways_refresh_a_session_once(shop, idp, redis_server, sharing, store):
    given = await sharing(redis_server.url)
    one = await shop(given, session={"store": store})
    two = await shop(await sharing(redis_server.url, given.clock), session={"store": store})
    browser = one.browser()
    await browser.login()
    other = two.browser()
    for round_ in range(1, 4):
        other.jar.cookies = dict(browser.jar.cookies)
        given.clock.advance(301)
        answers = await asyncio.gather(statuses(browser, 25), statuses(other, 25))
        assert answers == [[200] * 25] * 2
        assert (idp.calls["/token"], idp.reuses) == (1 + round_, 0)


@STORES
async def test_a_logout_at_one_gateway_is_one_at_all(shop, idp, redis_server, sharing, store):
    given = await sharing(redis_server.url)
    one = await shop(given, session={"store": store})
    two = await shop(await sharing(redis_server.url, given.clock), session={"store": store})
    browser, thief = one.browser(), two.browser()
    await browser.login()
    thief.jar.cookies = dict(browser.jar.cookies)
    assert (await thief.ask("/", SCRIPT)).status == 200
    await browser.ask("/oauth2/logout")
    given.clock.advance(5)
    assert (await thief.ask("/", SCRIPT)).status == 401


@pytest.mark.parametrize(
    ("session", "alive"),
    [
        pytest.param({"store": "shared"}, 503, id="in the store"),
        pytest.param({"store": "cookie"}, 503, id="in cookies"),
        pytest.param({"store": "cookie", "on_store_error": "allow"}, 200, id="in cookies, and not looked at"),
    ],
)
async def test_redis_is_killed_half_way(shop, idp, start_redis, sharing, session, alive):
    server = start_redis()
    given = await sharing(server.url)
    made = await shop(given, session=session)
    browser = made.browser()
    await browser.login()
    assert (await browser.ask("/")).status == 200
    server.kill()
    assert (await browser.ask("/")).status == 200, "looked at a moment ago"
    made.clock.advance(10)
    response = await browser.ask("/")
    assert response.status == alive
    if alive == 503:
        assert response.error.code == "store_unavailable"
    assert browser.jar.cookies, "nobody is logged out for it"
    # What must be refreshed cannot be, alone: somebody else may be at it.
    made.clock.advance(300)
    assert (await browser.ask("/")).status == 503
    assert idp.reuses == 0
    login = await made.browser().login()
    assert (login.status, login.error.code) == (503, "store_unavailable")
    server.start()
    async with asyncio.timeout(30):
        while (back := await browser.ask("/")).status == 503:
            await asyncio.sleep(0.05)
    # A Redis that lost everything has lost its sessions; those in cookies go on.
    assert back.status == (302 if session["store"] == "shared" else 200)
    assert idp.reuses == 0


async def test_tokens_that_redis_did_not_take_are_not_lost(shop, idp, start_redis, sharing):
    server = start_redis()
    given = await sharing(server.url, timeout=0.5)
    made = await shop(given, session={"store": "shared"})
    browser = made.browser()
    await browser.login()
    made.clock.advance(301)
    idp.hold = asyncio.Event()
    asking = asyncio.ensure_future(browser.ask("/", SCRIPT))
    while idp.calls["/token"] < 2:
        await asyncio.sleep(0.005)
    server.pause()
    idp.hold.set()
    assert (await asking).status == 200, "the provider has given new tokens, and the old are used up"
    server.resume()
    keeper = made.live.plugin._hold.thing
    async with asyncio.timeout(30):
        while keeper._unwritten:
            await asyncio.sleep(0.02)
    keeper._seen.clear()
    assert (await browser.ask("/", SCRIPT)).status == 200
    assert (idp.calls["/token"], idp.reuses) == (2, 0)
