"""oidc: who gets in and how, what the target learns, and what browsers and programs are told."""

from __future__ import annotations

import json

import pytest

from gateway.chain import AnyOf
from gateway.plugin import Settings
from gateway.testing import request
from plugins.oidc import Oidc

EXAMPLE = {
    "issuer": "https://id.test",
    "client": {"id": "shop", "secret": "s3cret"},
    "session": {"keys": ["a key of thirty-two bytes or more"]},
}
PAGE = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html,*/*;q=0.8"}
SCRIPT = {"Sec-Fetch-Mode": "cors", "Accept": "application/json"}
STORES = pytest.mark.parametrize("store", ["cookie", "shared"])


# -- in and out --------------------------------------------------------------------------------------------------------


@STORES
async def test_a_user_comes_in_and_the_target_learns_who_it_is(shop, idp, store):
    idp.user = {"sub": "ada", "groups": ["staff"], "email": "ada@example.com"}
    made = await shop(
        session={"store": store}, claims_to_headers={"X-User": "email"}, pass_access_token="Authorization"
    )
    browser = made.browser()
    back = await browser.login("/orders?page=2")
    assert (back.status, back.headers["Location"]) == (303, "/orders?page=2")
    assert back.headers["Cache-Control"] == "no-store"
    browser.jar.cookies |= {"theirs": "1", "__Host-sidegate-invented": "x", "sidegate": "x"}
    answer = await browser.ask("/orders?page=2", {**PAGE, "X-User": "root", "x_user": "root"})
    assert answer.status == 200
    seen = made.target.request
    assert (seen.principal.id, seen.principal.roles) == ("ada", {"staff"})
    assert seen.principal.expires == made.clock.time() + 43200
    assert seen.headers.getall("X-User") == ["ada@example.com"]
    assert "x_user" not in seen.headers
    assert seen.headers.getall("Cookie") == ["theirs=1"]
    assert seen.headers["Authorization"].startswith("Bearer ") and seen.headers["Authorization"][7:] in idp.grants
    assert idp.calls["/token"] == 1


@STORES
async def test_what_the_browser_is_given(shop, store):
    made = await shop(session={"store": store})
    browser = made.browser()
    begun = await browser.ask("/")
    (login,) = begun.headers.getall("Set-Cookie")
    assert login.startswith("__Host-sidegate-login-")
    assert login.endswith("; Path=/; HttpOnly; SameSite=Lax; Max-Age=600; Secure")
    back = await browser.ask(await browser.consent(begun.headers["Location"]))
    session, gone = back.headers.getall("Set-Cookie")
    assert session.startswith("__Host-sidegate=")
    assert session.endswith("; Path=/; HttpOnly; SameSite=Lax; Max-Age=43200; Secure")
    assert "Max-Age=0" in gone
    assert list(browser.jar.cookies) == ["__Host-sidegate"]
    value = browser.jar.cookies["__Host-sidegate"]
    assert "ada" not in value and (len(value) < 400) is (store == "shared")


async def test_two_tabs_can_log_in_at_once(shop):
    made = await shop()
    browser = made.browser()
    first, second = await browser.ask("/one"), await browser.ask("/two")
    ends = [await browser.ask(await browser.consent(each.headers["Location"])) for each in (second, first)]
    assert [end.headers["Location"] for end in ends] == ["/two", "/one"]
    assert (await browser.ask("/")).status == 200


async def test_many_tabs_do_not_fill_the_browser(shop):
    made = await shop()
    browser = made.browser()
    for _ in range(12):
        made.clock.advance(1)
        last = await browser.ask("/")
    assert len(browser.jar.cookies) == 5
    assert (await browser.ask(await browser.consent(last.headers["Location"]))).status == 303


@pytest.mark.parametrize(
    ("headers", "method", "status"),
    [
        pytest.param(PAGE, "GET", 302, id="a page"),
        pytest.param(PAGE, "POST", 303, id="a form: it is lost, and the browser must come back with GET"),
        pytest.param({"Accept": "text/html"}, "GET", 302, id="an older browser"),
        pytest.param(SCRIPT, "GET", 401, id="a script"),
        pytest.param({**SCRIPT, "Accept": "text/html"}, "GET", 401, id="a script that asks for HTML"),
        pytest.param({"Accept": "text/html", "X-Requested-With": "XMLHttpRequest"}, "GET", 401, id="an older script"),
        pytest.param({"Accept": "*/*"}, "GET", 401, id="curl"),
        pytest.param({}, "GET", 401, id="who says nothing"),
        pytest.param(PAGE, "DELETE", 401, id="what no page asks for"),
    ],
)
async def test_browsers_are_sent_to_log_in_and_programs_are_told(shop, headers, method, status):
    made = await shop()
    response = await made.browser().ask("/", headers, method=method)
    assert (response.status, response.error.code, made.target.calls) == (status, "login_required", 0)
    if status == 401:
        assert response.headers["WWW-Authenticate"] == 'Cookie realm="test", form-action="/oauth2/login"'
        if response.headers["Content-Type"] == "application/problem+json":
            assert json.loads(response.body.whole)["login"] == "/oauth2/login"
        assert "Set-Cookie" not in response.headers
    else:
        assert response.headers["Location"].startswith(f"{made.idp.url}/authorize?")


async def test_a_script_can_have_its_page_log_in(shop):
    made = await shop()
    browser = made.browser()
    begun = await browser.ask("/oauth2/login?return=%2Fcart%3Fa%3D1")
    assert begun.status == 302
    back = await browser.ask(await browser.consent(begun.headers["Location"]))
    assert back.headers["Location"] == "/cart?a=1"


@pytest.mark.parametrize(("choice", "status", "calls"), [("deny", 401, 0), ("pass", 200, 1)])
async def test_without_a_session(shop, choice, status, calls):
    made = await shop(unauthenticated=choice)
    browser = made.browser()
    browser.jar.cookies = {"__Host-sidegate": "old", "theirs": "1"}
    response = await browser.ask("/", {**PAGE, "X-User": "root"})
    assert (response.status, made.target.calls) == (status, calls)
    assert list(browser.jar.cookies) == ["theirs"]
    if calls:
        assert made.target.request.principal is None
        assert made.target.request.headers["Cookie"] == "theirs=1"


async def test_shadow_lets_pass_what_it_would_send_away(idp):
    from gateway.testing import answering, opened

    async with opened(Oidc, EXAMPLE, mode="shadow") as live:
        target = answering(200)
        response = await live(request(headers={**PAGE, "Cookie": "sidegate=x; theirs=1"}), target)
        assert (response.status, target.request.headers["Cookie"]) == (200, "theirs=1")
        assert live.ports.would_refuse == ["provider_unavailable"], "its discovery document is not in the test's table"


# -- who may come in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "claims", "status"),
    [
        pytest.param({"groups": ["staff"]}, {"groups": ["x", "staff"]}, 303, id="in a group"),
        pytest.param({"groups": ["staff"]}, {"roles": "staff"}, 303, id="a role counts, too"),
        pytest.param({"groups": ["staff"]}, {"groups": ["staffing"]}, 403, id="in none"),
        pytest.param({"groups": ["staff"]}, {}, 403, id="no groups at all"),
        pytest.param({"match": {"email_verified": True}}, {"email_verified": True}, 303, id="a claim fits"),
        pytest.param(
            {"match": {"email_verified": True}}, {"email_verified": "true"}, 403, id="a claim of another type"
        ),
        pytest.param({"match": {"hd": ["a.test"]}, "groups": ["g"]}, {"groups": ["g"]}, 403, id="both are asked for"),
    ],
)
async def test_who_may_come_in(shop, idp, changes, claims, status):
    idp.user = {"sub": "ada", **claims}
    made = await shop(**changes)
    browser = made.browser()
    response = await browser.login("/")
    assert response.status == status
    assert bool(browser.jar.cookies) is (status == 303), "and nothing is left of a login that was refused"
    if status == 403:
        assert (response.error.code, response.headers["Content-Type"]) == ("not_allowed", "text/html; charset=utf-8")
        assert "staff" not in response.body.whole.decode()


async def test_who_is_out_of_the_group_at_a_refresh_is_out(shop, idp):
    idp.user = {"sub": "ada", "groups": ["staff"]}
    made = await shop(groups=["staff"])
    browser = made.browser()
    await browser.login()
    next(iter(idp.grants.values())).user["groups"] = []
    assert (await browser.ask("/")).status == 200
    made.clock.advance(301)
    assert (await browser.ask("/")).status == 403


async def test_userinfo_says_more(shop):
    made = await shop(userinfo=True, claims_to_headers={"X-Email": "email"})
    browser = made.browser()
    await browser.login()
    await browser.ask("/")
    assert made.target.request.headers["X-Email"] == "ada@example.com"


# -- with others -------------------------------------------------------------------------------------------------------


async def test_within_any_of(shop, signer):
    from gateway.plugin import Context
    from gateway.testing import answering, opened, settings_of
    from plugins.jwt import Jwt

    made = await shop()
    browser = made.browser()
    await browser.login()
    made.clock.advance(299)
    issuers = {"issuers": [{"issuer": "https://id.test", "audience": "orders", "jwks": signer.jwks("rsa")}]}

    class Both(AnyOf):
        settings_type = Settings

        def __init__(self, settings, context):
            jwt = Jwt(settings_of(Jwt, issuers), Context(made.ports, route="test", plugin="jwt", id="jwt"))
            super().__init__([jwt, made.live.plugin], context)

    target = answering(200)
    async with opened(Both, {}, ports=made.ports) as both:
        cookie = {"Cookie": browser.jar.header + "; theirs=1"}
        by_session = await both(request(headers={**SCRIPT, **cookie}, scheme="https"), target)
        assert (by_session.status, target.request.principal.id) == (200, "ada")
        assert by_session.headers["Set-Cookie"].startswith("__Host-sidegate="), "it was refreshed"
        bearer = {"Authorization": f"Bearer {signer.token(exp=1_800_000_900)}"}
        by_token = await both(request(headers={**bearer, **cookie}, scheme="https"), target)
        assert (by_token.status, target.request.headers["Cookie"]) == (200, "theirs=1")
        assert (await both(request(headers=PAGE, scheme="https"), target)).status == 302
        refused = await both(request(headers=SCRIPT, scheme="https"), target)
        assert refused.status == 401
        assert refused.headers["WWW-Authenticate"] == (
            'Bearer realm="test", Cookie realm="test", form-action="/oauth2/login"'
        )


async def test_routes_of_one_client_share_its_sessions(shop, idp):
    from gateway.plugin import Context
    from gateway.testing import settings_of

    made = await shop()
    browser = made.browser()
    await browser.login()
    settings = made.live.plugin.settings.model_copy(update={"groups": ("admin",)})
    other = Oidc(settings_of(Oidc, settings), Context(made.ports, route="admin", plugin="oidc", id="oidc"))
    await other.open()
    assert other._hold.thing is made.live.plugin._hold.thing
    assert idp.calls["/jwks"] == 1
    await other.close()
    assert (await browser.ask("/")).status == 200


async def test_a_provider_that_is_down_is_said_to_be(shop, idp):
    idp.down = True
    made = await shop()
    response = await made.browser().ask("/")
    assert (response.status, response.error.code, made.target.calls) == (503, "provider_unavailable", 0)
    assert response.headers["Retry-After"] == "5"
    assert made.ports.reports[f"oidc {idp.url}"]()["ok"] is False
    asked = idp.calls["/.well-known/openid-configuration"]
    idp.down = False
    assert [(await made.browser().ask("/")).status for _ in range(5)] == [503] * 5
    assert idp.calls["/.well-known/openid-configuration"] == asked, "it was asked a moment ago"
    made.clock.advance(10)
    assert (await made.browser().login()).status == 303


async def test_a_long_session_is_spread_over_cookies_and_put_together(shop, idp):
    idp.user = {"sub": "ada", "groups": [f"group-{number:04}" for number in range(400)]}
    made = await shop()
    browser = made.browser()
    back = await browser.login()
    names = [name for name in browser.jar.cookies if "login" not in name]
    assert len(names) > 2
    assert all(len(line) <= 4096 for line in back.headers.getall("Set-Cookie"))
    assert (await browser.ask("/")).status == 200
    assert len(made.target.request.principal.roles) == 400
    # A shorter one later leaves no part of it behind.
    next(iter(idp.grants.values())).user["groups"] = []
    made.clock.advance(301)
    assert (await browser.ask("/")).status == 200
    assert list(browser.jar.cookies) == ["__Host-sidegate"]
    del browser.jar.cookies["__Host-sidegate"]
    assert (await browser.ask("/")).status == 302


async def test_one_that_does_not_fit_says_what_to_do(shop, idp):
    idp.user = {"sub": "ada", "groups": [f"group-{number:06}" for number in range(3000)]}
    made = await shop()
    response = await made.browser().login()
    assert (response.status, response.error.code) == (400, "login_failed")
    assert [line for line in made.ports.lines if "`store: shared`" in line]


async def test_an_answer_with_a_renewed_cookie_is_no_shared_caches(shop):
    made = await shop()
    browser = made.browser()
    await browser.login()
    assert "Cache-Control" not in (await browser.ask("/")).headers
    made.clock.advance(301)
    renewed = await browser.ask("/")
    assert "Set-Cookie" in renewed.headers
    assert renewed.headers["Cache-Control"] == "private, no-cache"


def test_what_is_warned_of():
    from gateway.testing import settings_of

    assert Oidc.check(settings_of(Oidc, EXAMPLE)) == []
    changed = {**EXAMPLE, "issuer": "http://id.test", "public_url": "http://app.test"}
    assert len(Oidc.check(settings_of(Oidc, changed))) == 2
