"""Logins: each row is an attack, or a mishap, and what comes of it."""

from __future__ import annotations

from urllib.parse import parse_qs, quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.testing import ports
from gateway.testing.provider import provider

PAGE = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
SCRIPT = {"Sec-Fetch-Mode": "cors", "Accept": "application/json"}
SESSION = "__Host-sidegate"


async def begun(browser, path="/"):
    """The location of a login, and the callback that the provider sends back to."""
    response = await browser.ask(path)
    return response.headers["Location"], await browser.consent(response.headers["Location"])


def altered(callback, **changes):
    """The callback with other parameters; None takes one out, a list gives it several times."""
    path, _, query = callback.partition("?")
    found = {**parse_qs(query), **changes}
    pairs = [
        f"{name}={quote(value, safe='')}"
        for name, values in found.items()
        if values is not None
        for value in (values if isinstance(values, list) else [values])
    ]
    return f"{path}?{'&'.join(pairs)}"


async def state_of_another(browser, callback):
    other = browser.shop.browser()
    _, theirs = await begun(other)
    return altered(callback, state=parse_qs(urlsplit(theirs).query)["state"][0])


async def code_of_another(browser, callback):
    """A code that was meant for an attacker's own login, put into the victim's (code injection)."""
    other = browser.shop.browser()
    _, theirs = await begun(other)
    return altered(callback, code=parse_qs(urlsplit(theirs).query)["code"][0])


async def two_tabs_mixed_up(browser, callback):
    _, second = await begun(browser)
    return altered(callback, code=parse_qs(urlsplit(second).query)["code"][0])


async def cookie_of_another_login(browser, callback):
    """The victim's cookie holds another login than the state names."""
    login = next(name for name in browser.jar.cookies if "-login-" in name)
    other = browser.shop.browser()
    await begun(other)
    browser.jar.cookies[login] = next(iter(other.jar.cookies.values()))
    return callback


async def cookie_changed(browser, callback):
    login = next(name for name in browser.jar.cookies if "-login-" in name)
    value = browser.jar.cookies[login]
    browser.jar.cookies[login] = value[:40] + ("A" if value[40] != "A" else "B") + value[41:]
    return callback


async def no_cookie(browser, callback):
    browser.jar.cookies.clear()
    return callback


async def too_late(browser, callback):
    browser.shop.clock.advance(601)
    return callback


def parameters(**changes):
    async def change(_browser, callback):
        return altered(callback, **changes)

    return change


ATTACKS = {
    "a callback without its cookie, as one that was sent in a link": no_cookie,
    "the state of another browser's login": state_of_another,
    "the code of another login": code_of_another,
    "codes of two tabs mixed up": two_tabs_mixed_up,
    "the cookie of another login": cookie_of_another_login,
    "a cookie that was changed": cookie_changed,
    "a login that took too long": too_late,
    "no state": parameters(state=None),
    "an empty state": parameters(state=""),
    "a state that was made up": parameters(state="65f.x"),
    "a state with something behind": lambda b, c: parameters(state=parse_qs(urlsplit(c).query)["state"][0] + "x")(b, c),
    "two states": lambda b, c: parameters(state=parse_qs(urlsplit(c).query)["state"] * 2)(b, c),
    "no code": parameters(code=None),
    "two codes": lambda b, c: parameters(code=parse_qs(urlsplit(c).query)["code"] * 2)(b, c),
    "a code that was made up": parameters(code="x"),
    "an endless code": parameters(code="x" * 5000),
    "an answer of another issuer (mix-up)": parameters(iss="https://evil.test"),
    "an answer that does not say whose it is": parameters(iss=None),
    "the provider refuses": parameters(error="login_required"),
}


@pytest.mark.parametrize("name", ATTACKS)
async def test_logins_that_come_to_nothing(shop, name):
    made = await shop()
    browser = made.browser()
    _, callback = await begun(browser)
    response = await browser.ask(await ATTACKS[name](browser, callback))
    assert (response.status, response.error.code) == (400, "login_failed"), response.error.reason
    assert SESSION not in browser.jar.cookies
    assert "Location" not in response.headers
    page = response.body.whole.decode()
    assert "start again" in page
    assert "evil" not in page


async def test_a_user_who_says_no(shop):
    made = await shop()
    browser = made.browser()
    _, callback = await begun(browser)
    response = await browser.ask(altered(callback, error="access_denied", code=None))
    assert (response.status, response.error.code) == (403, "not_allowed")
    assert not browser.jar.cookies


async def test_a_callback_is_good_once(shop):
    """A code replayed, by the back button or by who read it in a log."""
    made = await shop()
    browser, thief = made.browser(), made.browser()
    _, callback = await begun(browser)
    thief.jar.cookies = dict(browser.jar.cookies)
    assert (await browser.ask(callback)).status == 303
    for who in (browser, thief):
        again = await who.ask(callback)
        assert (again.status, again.error.code) == (400, "login_failed")
    assert made.idp.calls["/token"] == 1
    assert (await browser.ask("/")).status == 200, "and the session that it began lives on"


async def test_a_session_is_never_one_that_the_browser_came_with(shop):
    """Session fixation: an attacker's own session, put into the victim's browser before the login."""
    made = await shop()
    attacker, victim = made.browser(), made.browser()
    made.idp.user = {"sub": "eve"}
    await attacker.login()
    made.idp.user = {"sub": "ada"}
    _, callback = await begun(victim)
    victim.jar.cookies[SESSION] = attacker.jar.cookies[SESSION]
    assert (await victim.ask(callback)).status == 303
    assert victim.jar.cookies[SESSION] != attacker.jar.cookies[SESSION]
    await victim.ask("/")
    assert made.target.request.principal.id == "ada"
    assert (await attacker.ask("/", SCRIPT)).status == 401, "what was planted is worth nothing to anybody any more"


@pytest.mark.parametrize(("user", "status"), [("eve", 401), ("ada", 200)])
async def test_what_becomes_of_the_session_before(shop, user, status):
    made = await shop()
    browser, copy = made.browser(), made.browser()
    await browser.login()
    copy.jar.cookies = dict(browser.jar.cookies)
    made.idp.user = {"sub": user}
    await browser.login("/oauth2/login")
    assert (await copy.ask("/", SCRIPT)).status == status


TOKENS = {
    "another nonce": lambda c: {**c, "nonce": "another"},
    "no nonce": lambda c: {key: value for key, value in c.items() if key != "nonce"},
    "nonce is a list": lambda c: {**c, "nonce": [c["nonce"]]},
    "a foreign issuer": lambda c: {**c, "iss": "https://evil.test"},
    "another client's": lambda c: {**c, "aud": "other"},
    "several audiences and no azp": lambda c: {**c, "aud": ["shop", "other"]},
    "azp is another": lambda c: {**c, "azp": "other"},
    "expired": lambda c: {**c, "exp": c["iat"] - 31},
    "no exp": lambda c: {key: value for key, value in c.items() if key != "exp"},
    "no iat": lambda c: {key: value for key, value in c.items() if key != "iat"},
    "issued in the future": lambda c: {**c, "iat": c["iat"] + 31},
    "no sub": lambda c: {**c, "sub": ""},
    "sub is a number": lambda c: {**c, "sub": 7},
    "of another access token": lambda c: {**c, "at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    "alg none": lambda _: "eyJhbGciOiJub25lIn0.e30.",
    "no token": lambda _: "x",
    "a name that would split the log": lambda c: {**c, "sub": "a\nb"},
}


@pytest.mark.parametrize("name", TOKENS)
async def test_id_tokens_that_let_nobody_in(shop, name):
    made = await shop()
    browser = made.browser()
    made.idp.id_token = TOKENS[name]
    response = await browser.login()
    assert (response.status, response.error.code) == (400, "login_failed")
    assert not browser.jar.cookies


async def test_an_id_token_of_a_key_that_is_not_the_providers(shop):
    made = await shop()
    browser = made.browser()
    _, callback = await begun(browser)
    made.idp.kids = ["stolen"]
    response = await browser.ask(callback)
    assert (response.status, response.error.code) == (400, "login_failed")
    assert "no key of this kid" in response.error.reason


async def test_userinfo_of_another_subject(shop, idp):
    made = await shop(userinfo=True)
    idp.id_token = lambda claims: {**claims, "sub": "eve"}
    assert (await made.browser().login()).status == 400


@pytest.mark.parametrize(
    ("path", "back"),
    [
        pytest.param("/a/b?c=d%2Fe&f", "/a/b?c=d%2Fe&f", id="as it was"),
        pytest.param("//evil.test/x", "/", id="a host without a scheme"),
        pytest.param("/\\evil.test", "/", id="the same with a backslash"),
        pytest.param("/%5Cevil.test", "/%5Cevil.test", id="encoded it is a path"),
        pytest.param("/oauth2/callback", "/", id="our own, which would go round and round"),
        pytest.param("/?" + "x" * 3000, "/", id="longer than is kept"),
    ],
)
async def test_where_a_login_leads_back_to(shop, path, back):
    made = await shop()
    browser = made.browser()
    if path.startswith("/oauth2/"):
        path = f"/oauth2/login?return={quote(path, safe='')}"
    assert (await browser.login(path)).headers["Location"] == back


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.test/",
        "//evil.test",
        "/\\evil.test",
        "\\/evil.test",
        "/\t/evil.test",
        "javascript:alert(1)",
        "",
        "evil.test",
        "/a\r\nSet-Cookie: x=1",
        "/é",
    ],
)
async def test_an_open_redirect_is_not_to_be_had(shop, target):
    made = await shop()
    browser = made.browser()
    assert (await browser.login(f"/oauth2/login?return={quote(target)}")).headers["Location"] == "/"


async def test_two_return_paths_are_none(shop):
    made = await shop()
    browser = made.browser()
    assert (await browser.login("/oauth2/login?return=/a&return=/b")).headers["Location"] == "/"


async def test_what_the_provider_is_asked(shop):
    made = await shop(parameters={"prompt": "select_account", "acr_values": "mfa"}, scopes=["openid", "offline_access"])
    first, _ = await begun(made.browser())
    second, _ = await begun(made.browser())
    asked, other = (parse_qs(urlsplit(each).query) for each in (first, second))
    for name in ("state", "nonce", "code_challenge"):
        assert asked[name] != other[name]
        assert len(asked[name][0]) >= 32
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["response_type"] == ["code"]
    assert asked["scope"] == ["openid offline_access"]
    assert asked["prompt"] == ["select_account"]
    assert asked["redirect_uri"] == ["https://app.test/oauth2/callback"]
    assert "code_verifier" not in asked


async def test_behind_a_public_url_the_host_of_a_request_means_nothing(shop):
    made = await shop(public_url="https://shop.example.com")
    browser = made.browser()
    response = await browser.ask("/", host="evil.test")
    asked = parse_qs(urlsplit(response.headers["Location"]).query)
    assert asked["redirect_uri"] == ["https://shop.example.com/oauth2/callback"]


async def test_a_login_begun_on_one_host_is_not_finished_on_another(shop):
    made = await shop()
    browser = made.browser()
    _, callback = await begun(browser)
    response = await browser.ask(callback, host="other.test")
    assert (response.status, response.error.reason) == (400, "begun on another host")


@pytest.mark.parametrize("forged", ["", "x", "A" * 100, "AQAAAA", "%00", "é", '"', "A" * 9000])
async def test_a_forged_session_is_none(shop, forged):
    made = await shop()
    browser = made.browser()
    browser.jar.cookies = {SESSION: forged}
    assert (await browser.ask("/", SCRIPT)).status == 401
    assert not browser.jar.cookies, "and goes"


async def test_a_login_is_no_session_and_a_session_of_another_client_is_none(shop, idp):
    given = ports()
    made = await shop(given)
    browser = made.browser()
    await browser.ask("/")
    browser.jar.cookies = {SESSION: next(iter(browser.jar.cookies.values()))}
    assert (await browser.ask("/", SCRIPT)).status == 401
    await browser.login()
    async with provider() as other:
        other.client = idp.client
        theirs = await shop(given, issuer=other.url)
        browser.shop = theirs
        assert (await browser.ask("/", SCRIPT)).status == 401


async def test_two_cookies_of_one_name_are_none(shop):
    """One of them another site of the domain has set; a browser sends the longer path first."""
    made = await shop()
    browser = made.browser()
    await browser.login()
    cookie = browser.jar.cookies.pop(SESSION)
    response = await browser.ask("/", {**SCRIPT, "Cookie": f"{SESSION}=x; {SESSION}={cookie}"})
    assert response.status == 401


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(alphabet='ab;=._- "%', max_size=60), st.text(alphabet="state=code&iss%.x", max_size=60))
async def test_no_cookie_and_no_callback_is_a_fault_of_ours(idp, cookie, query):
    import importlib.util
    from pathlib import Path

    spec = importlib.util.spec_from_file_location("oidc_conftest", Path(__file__).parents[1] / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    async with module.opening(idp) as made:
        names = f"{SESSION}{cookie}; {SESSION}.1={cookie}; {SESSION}-login-{cookie}"
        browser = made.browser()
        assert (await browser.ask("/", {**SCRIPT, "Cookie": names})).status == 401
        assert (await browser.ask(f"/oauth2/callback?{query}", {**PAGE, "Cookie": names})).status == 400
