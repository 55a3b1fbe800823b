"""Logouts: the user's, the provider's, and those that others try."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from gateway.testing.provider import EVENT

PAGE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
SCRIPT = {"Sec-Fetch-Mode": "cors", "Accept": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
STORES = pytest.mark.parametrize("store", ["cookie", "shared"])


@STORES
async def test_a_user_logs_out_here_and_at_the_provider(shop, idp, store):
    made = await shop(session={"store": store}, logout={"return_to": "/bye"})
    browser, copy = made.browser(), made.browser()
    await browser.login()
    copy.jar.cookies = dict(browser.jar.cookies)
    gone = await browser.ask("/oauth2/logout", PAGE)
    assert gone.status == 303
    assert not browser.jar.cookies
    target = urlsplit(gone.headers["Location"])
    asked = parse_qs(target.query)
    assert target.path == "/end_session"
    assert asked["post_logout_redirect_uri"] == ["https://app.test/bye"]
    assert asked["client_id"] == ["shop"]
    assert asked["id_token_hint"][0].count(".") == 2
    await made.ports.settled()
    assert len(idp.revocations) == 1
    assert (await copy.ask("/", SCRIPT)).status == 401, "a copy of the cookie is worth nothing"


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("", "/"),
        ("?return=/shop", "/shop"),
        pytest.param("?return=//evil.test", "/", id="another host"),
        pytest.param("?return=https://evil.test", "/", id="another URL"),
    ],
)
async def test_where_a_logout_leads_to(shop, query, target):
    made = await shop(logout={"provider": False, "revoke": False})
    browser = made.browser()
    await browser.login()
    assert (await browser.ask(f"/oauth2/logout{query}", PAGE)).headers["Location"] == target
    assert not made.idp.revocations


async def test_a_provider_without_logout(shop, idp):
    idp.metadata = {"end_session_endpoint": None, "revocation_endpoint": None}
    made = await shop()
    browser = made.browser()
    await browser.login()
    assert (await browser.ask("/oauth2/logout", PAGE)).headers["Location"] == "/"
    await made.ports.settled()


async def test_a_script_is_told_where_its_page_must_go(shop):
    made = await shop()
    browser = made.browser()
    await browser.login()
    answer = await browser.ask("/oauth2/logout", {**SCRIPT, "Sec-Fetch-Site": "same-origin"}, method="POST")
    assert answer.status == 200
    assert "/end_session?" in json.loads(answer.body.whole)["location"]


async def test_who_is_not_logged_in_can_log_out(shop):
    made = await shop()
    assert (await made.browser().ask("/oauth2/logout", PAGE)).status == 303


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({**PAGE, "Sec-Fetch-Site": "cross-site"}, id="a link or an image on another site"),
        pytest.param({"Origin": "https://evil.test"}, id="an older browser's form"),
        pytest.param({"Origin": "null"}, id="a page that hides where it is from"),
    ],
)
async def test_another_site_logs_nobody_out(shop, headers):
    made = await shop()
    browser = made.browser()
    await browser.login()
    refused = await browser.ask("/oauth2/logout", headers, method="POST")
    assert (refused.status, refused.error.code) == (403, "cross_site_logout")
    assert (await browser.ask("/")).status == 200


async def test_a_refresh_under_way_does_not_bring_a_session_back(shop, idp):
    import asyncio

    made = await shop(session={"store": "shared"})
    browser, copy = made.browser(), made.browser()
    await browser.login()
    copy.jar.cookies = dict(browser.jar.cookies)
    made.clock.advance(301)
    idp.hold = asyncio.Event()
    asking = asyncio.ensure_future(copy.ask("/", SCRIPT))
    while idp.calls["/token"] < 2:
        await asyncio.sleep(0.001)
    await browser.ask("/oauth2/logout", PAGE)
    idp.hold.set()
    assert (await asking).status == 401
    assert (await copy.ask("/", SCRIPT)).status == 401


# -- the provider tells us ---------------------------------------------------------------------------------------------


async def told(browser, token, **form):
    body = urlencode({"logout_token": token, **form} if token is not None else form)
    return await browser.shop.browser().ask("/oauth2/backchannel-logout", FORM, method="POST", body=body)


def sid_of(idp):
    return next(iter(idp.grants.values())).sid


@STORES
@pytest.mark.parametrize(
    "who",
    [
        pytest.param(lambda idp: {"sid": sid_of(idp)}, id="by its session"),
        pytest.param(lambda _: {"sub": "ada"}, id="by the user"),
        pytest.param(lambda idp: {"sub": "ada", "sid": sid_of(idp)}, id="by both"),
    ],
)
async def test_a_logout_at_the_provider_is_one_here(shop, idp, store, who):
    made = await shop(session={"store": store})
    browser = made.browser()
    await browser.login()
    assert (await browser.ask("/")).status == 200
    answer = await told(browser, idp.logout_token(**who(idp)))
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert (await browser.ask("/", SCRIPT)).status == 401


async def test_others_stay_logged_in(shop, idp):
    made = await shop()
    ada, eve = made.browser(), made.browser()
    await ada.login()
    sid = sid_of(idp)
    idp.user = {"sub": "eve"}
    await eve.login()
    await told(ada, idp.logout_token(sub="ada", sid=sid))
    assert (await ada.ask("/", SCRIPT)).status == 401
    assert (await eve.ask("/", SCRIPT)).status == 200


async def test_of_one_users_sessions_only_the_one_that_is_meant(shop, idp):
    made = await shop()
    first, second = made.browser(), made.browser()
    await first.login()
    sid = sid_of(idp)
    await second.login()
    await told(first, idp.logout_token(sub="ada", sid=sid))
    assert [(await each.ask("/", SCRIPT)).status for each in (first, second)] == [401, 200]


async def test_a_provider_whose_id_tokens_name_no_session(shop, idp):
    idp.id_token = lambda claims: {key: value for key, value in claims.items() if key != "sid"}
    made = await shop()
    browser = made.browser()
    await browser.login()
    await told(browser, idp.logout_token(sub="ada", sid="whatever"))
    assert (await browser.ask("/", SCRIPT)).status == 401


async def test_a_logout_token_sent_again_ends_no_later_session(shop, idp):
    made = await shop()
    browser = made.browser()
    await browser.login()
    token = idp.logout_token(sub="ada")
    await told(browser, token)
    made.clock.advance(30)
    await browser.login()
    assert (await told(browser, token)).status == 200
    assert (await browser.ask("/", SCRIPT)).status == 200


async def test_logouts_that_come_out_of_order(shop, idp):
    made = await shop()
    early = idp.logout_token(sub="ada")
    made.clock.advance(30)
    browser = made.browser()
    await browser.login()
    made.clock.advance(10)
    late = idp.logout_token(sub="ada")
    await told(browser, late)
    await told(browser, early)
    assert (await browser.ask("/", SCRIPT)).status == 401


MISUSES = {
    "an ID token": lambda idp, now: idp.sign(
        {"iss": idp.url, "aud": "shop", "sub": "ada", "iat": now, "exp": now + 60}
    ),
    "a nonce": lambda idp, _: idp.logout_token(sub="ada", nonce="n"),
    "nobody is meant": lambda idp, _: idp.logout_token(),
    "sub is a list": lambda idp, _: idp.logout_token(sub=["ada"]),
    "another client's": lambda idp, _: idp.logout_token(sub="ada", aud="other"),
    "another issuer's": lambda idp, _: idp.logout_token(sub="ada", iss="https://evil.test"),
    "no event": lambda idp, _: idp.logout_token(sub="ada", events=None),
    "another event": lambda idp, _: idp.logout_token(sub="ada", events={"urn:other": {}}),
    "an event that is no object": lambda idp, _: idp.logout_token(sub="ada", events={EVENT: True}),
    "events is a list": lambda idp, _: idp.logout_token(sub="ada", events=[EVENT]),
    "expired": lambda idp, now: idp.logout_token(sub="ada", exp=now - 31),
    "old, and does not say until when": lambda idp, now: idp.logout_token(sub="ada", exp=None, iat=now - 331),
    "no iat": lambda idp, _: idp.logout_token(sub="ada", iat=None),
    "from the future: it would end what comes": lambda idp, now: idp.logout_token(sub="ada", iat=now + 31),
    "of another type": lambda idp, _: idp.logout_token("at+jwt", sub="ada"),
    "unsigned": lambda idp, _: idp.logout_token(sub="ada").rpartition(".")[0] + ".",
    "alg none": lambda _, __: "eyJhbGciOiJub25lIn0.e30.",
    "signed by nobody we know": lambda idp, now: idp.sign(
        {"iss": idp.url, "aud": "shop", "sub": "ada", "iat": now, "events": {EVENT: {}}}, kid="stolen"
    ),
    "no token": lambda _, __: None,
    "an endless one": lambda _, __: "x" * 66_000,
}


@pytest.mark.parametrize("name", MISUSES)
async def test_logout_tokens_that_end_nothing(shop, idp, name):
    made = await shop()
    browser = made.browser()
    await browser.login()
    answer = await told(browser, MISUSES[name](idp, int(made.clock.time())))
    assert (answer.status, answer.error.code) == (400, "invalid_logout_token"), answer.error.reason
    assert (await browser.ask("/", SCRIPT)).status == 200


async def test_two_tokens_in_one_form_are_none(shop, idp):
    made = await shop()
    browser = made.browser()
    body = urlencode([("logout_token", idp.logout_token(sub="ada")), ("logout_token", "x")])
    answer = await browser.ask("/oauth2/backchannel-logout", FORM, method="POST", body=body)
    assert answer.status == 400


@STORES
async def test_an_operator_ends_a_users_sessions(shop, idp, store):
    made = await shop(session={"store": store})
    ada, eve = made.browser(), made.browser()
    await ada.login()
    idp.user = {"sub": "eve"}
    await eve.login()
    (view,) = made.live.plugin.admin()
    assert (view.name, view.methods) == ("end-sessions", {"POST"})
    assert await view.answer({"sub": "ada"}) == {"ended": True, "sub": "ada"}
    assert [(await each.ask("/", SCRIPT)).status for each in (ada, eve)] == [401, 200]
    assert (await view.answer({}))["ended"] is False
    made.clock.advance(31)
    idp.user = {"sub": "ada"}
    await ada.login()
    assert (await ada.ask("/", SCRIPT)).status == 200
