"""csrf: whose pages may act as their visitor, and what a token must be to hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.http.cookies import cookies
from gateway.testing import answering, exchange, opened, request, settings_of
from plugins.csrf import Csrf

EXAMPLE = {}
TOKEN = {"keys": ["0123456789abcdef"], "session": "sid", "field": "csrf"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def post(headers=(), **more):
    more.setdefault("host", "app.test")
    return request("POST", "/transfer", headers=headers, **more)


@pytest.mark.parametrize(
    ("settings", "asked", "refused"),
    [
        pytest.param({}, post({"Sec-Fetch-Site": "same-origin"}), False, id="our own page"),
        pytest.param({}, post({"Sec-Fetch-Site": "none"}), False, id="the visitor's own doing"),
        pytest.param({}, post({"Sec-Fetch-Site": "cross-site"}), True, id="another site"),
        pytest.param({}, post({"Sec-Fetch-Site": "same-site"}), True, id="a subdomain"),
        pytest.param({"same_site": True}, post({"Sec-Fetch-Site": "same-site"}), False, id="a trusted subdomain"),
        pytest.param({}, post({"Sec-Fetch-Site": "same-origin, none"}), True, id="words that no browser sends"),
        pytest.param(
            {}, post({"Sec-Fetch-Site": "cross-site", "Origin": "http://app.test"}), True, id="the browser knows better"
        ),
        pytest.param(
            {"origins": ["https://admin.test"]},
            post({"Sec-Fetch-Site": "cross-site", "Origin": "https://admin.test"}),
            False,
            id="a page that is named",
        ),
        pytest.param({}, post({"Origin": "http://app.test"}), False, id="an older browser, our page"),
        pytest.param({}, post({"Origin": "http://app.test:80"}), False, id="with the default port"),
        pytest.param({}, post({"Origin": "http://evil.test"}), True, id="an older browser, another page"),
        pytest.param({}, post({"Origin": "http://app.test.evil.test"}), True, id="a name that begins alike"),
        pytest.param({}, post({"Origin": "http://app.test:8080"}), True, id="another port"),
        pytest.param({}, post({"Origin": "null"}), True, id="a sandboxed page"),
        pytest.param({}, post([("Origin", "http://app.test"), ("Origin", "http://x.test")]), True, id="two origins"),
        pytest.param(
            {}, post({"Origin": "http://app.test"}, scheme="https"), True, id="plain http, where anybody can write"
        ),
        pytest.param({}, post({"Origin": "https://app.test"}, scheme="https"), False, id="over TLS"),
        pytest.param({}, post({"Referer": "http://app.test/form?x=1"}), False, id="a Referer of ours"),
        pytest.param({}, post({"Referer": "http://evil.test/http://app.test/"}), True, id="a Referer of others"),
        pytest.param({}, post({"Referer": "nonsense"}), True, id="a Referer that is none"),
        pytest.param({}, post(), False, id="a program without cookies"),
        pytest.param({}, post({"Authorization": "Bearer x"}), False, id="a program with a token"),
        pytest.param({}, post({"Cookie": "sid=1"}), True, id="who carries cookies and says nothing"),
        pytest.param({}, post({"Authorization": "Basic eA=="}), True, id="who carries a password and says nothing"),
        pytest.param({"unknown": "refuse"}, post(), True, id="all that say nothing"),
        pytest.param({"unknown": "allow"}, post({"Cookie": "sid=1"}), False, id="or nobody"),
        pytest.param({}, request("GET", headers={"Sec-Fetch-Site": "cross-site"}), False, id="a link from elsewhere"),
    ],
)
async def test_where_it_comes_from(settings, asked, refused):
    target = answering(200)
    response = await exchange(Csrf, settings, asked, target)
    assert (response.status, target.calls) == ((403, 0) if refused else (200, 1))
    if refused:
        assert response.error.code == "cross_site_request"


async def test_shadow_counts_and_lets_pass():
    async with opened(Csrf, {}, mode="shadow") as live:
        assert (await live(post({"Sec-Fetch-Site": "cross-site"}))).status == 200
        assert live.ports.would_refuse == ["cross_site_request"]


# -- tokens ------------------------------------------------------------------------------------------------------------


async def token_of(live, session="1"):
    """As a page gets it: from the cookie of an answer."""
    response = await live(request("GET", headers={"Cookie": f"sid={session}"}))
    value, _, attributes = response.headers["Set-Cookie"].partition(";")
    assert attributes == " Path=/; SameSite=Lax; Secure; Max-Age=43200"
    assert response.headers["Cache-Control"] == "private"
    return value.removeprefix("__Host-csrf=")


def saying(said, cookie, session="1", **more):
    headers = {"Cookie": f"sid={session}; __Host-csrf={cookie}", "Sec-Fetch-Site": "same-origin"}
    return post({**headers, **({"X-CSRF-Token": said} if said is not None else {})}, **more)


def bent(token):
    return token[:-1] + ("0" if token[-1] != "0" else "1")


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        pytest.param(lambda t: saying(t, t), 200, id="the cookie's token said back"),
        pytest.param(lambda t: saying(None, t), 403, id="not said back"),
        pytest.param(lambda t: saying(t, ""), 403, id="without the cookie"),
        pytest.param(lambda t: saying("", ""), 403, id="nothing equals nothing"),
        pytest.param(lambda t: saying("1.a.b", "1.a.b"), 403, id="one that an attacker set as both"),
        pytest.param(lambda t: saying(t, t, session="2"), 403, id="of another session"),
        pytest.param(lambda t: saying(bent(t), bent(t)), 403, id="signed otherwise"),
        pytest.param(lambda t: saying("9" + t, "9" + t), 403, id="made to last"),
        pytest.param(lambda t: saying(t, f"{t}; __Host-csrf=x"), 403, id="two cookies of the name"),
    ],
)
async def test_what_a_token_must_be(ask, status):
    async with opened(Csrf, {"token": TOKEN}) as live:
        token = await token_of(live)
        response = await live(ask(token))
        assert response.status == status
        if status == 403:
            assert response.error.code == "invalid_csrf_token"


async def test_a_form_says_it_back():
    async with opened(Csrf, {"token": TOKEN}) as live:
        token = await token_of(live)
        target = answering(200)
        asked = post(
            {"Cookie": f"sid=1; __Host-csrf={token}", "Sec-Fetch-Site": "same-origin", **FORM},
            chunks=[b"amount=5&csrf=", token.encode()],
        )
        assert (await live(asked, target)).status == 200
        assert target.bodies == [b"amount=5&csrf=" + token.encode()]


async def test_it_ends_with_its_time():
    async with opened(Csrf, {"token": {**TOKEN, "max_age": "10m"}}) as live:
        response = await live(request("GET", headers={"Cookie": "sid=1"}))
        token = cookies(request(headers={"Cookie": response.headers["Set-Cookie"]}), "__Host-csrf")[0]
        live.ports.clock.advance(600)
        assert (await live(saying(token, token))).status == 200
        live.ports.clock.advance(2)
        assert (await live(saying(token, token))).status == 403


async def test_a_token_is_made_anew_after_half_its_time_and_not_before():
    async with opened(Csrf, {"token": TOKEN}) as live:
        token = await token_of(live)
        again = {"Cookie": f"sid=1; __Host-csrf={token}"}
        assert "Set-Cookie" not in (await live(request("GET", headers=again))).headers
        live.ports.clock.advance(43200 / 2 + 2)
        assert "Set-Cookie" in (await live(request("GET", headers=again))).headers


async def test_keys_rotate():
    async with opened(Csrf, {"token": TOKEN}) as live:
        token = await token_of(live)
    new = {**TOKEN, "keys": ["fedcba9876543210", *TOKEN["keys"]]}
    assert (await exchange(Csrf, {"token": new}, saying(token, token))).status == 200
    gone = {**TOKEN, "keys": ["fedcba9876543210"]}
    assert (await exchange(Csrf, {"token": gone}, saying(token, token))).status == 403


@given(st.text(max_size=60), st.text(max_size=60))
async def test_nobody_can_make_one(said, cookie):
    clean = str.maketrans("", "", "\r\n\0;")
    said, cookie = said.translate(clean), cookie.translate(clean)
    assert (await exchange(Csrf, {"token": TOKEN}, saying(said, cookie))).status == 403


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"origins": ["*"]}, id="everybody"),
        pytest.param({"origins": ["null"]}, id="everybody in a sandbox"),
        pytest.param({"unknown": "maybe"}, id="a word that is not known"),
        pytest.param({"token": {"keys": []}}, id="tokens that nobody signs"),
        pytest.param({"token": {"keys": ["k"], "cookie": "a b"}}, id="a cookie that has no name"),
    ],
)
def test_settings_that_are_refused(settings):
    with pytest.raises(ValidationError):
        settings_of(Csrf, settings)


def test_a_weak_key_is_warned_of():
    assert Csrf.check(settings_of(Csrf, {"token": {"keys": ["short"]}}))
    assert not Csrf.check(settings_of(Csrf, {"token": TOKEN}))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Origin": "http://app.test", "Sec-Fetch-Site": "same-origin"}, 200, id="our own page"),
        pytest.param({"Origin": "http://evil.test", "Sec-Fetch-Site": "cross-site"}, 403, id="another site's page"),
        pytest.param({"Origin": "http://evil.test", "Cookie": "sid=1"}, 403, id="in a browser that says less"),
        pytest.param({"Authorization": "Bearer x"}, 200, id="a program"),
    ],
)
async def test_who_may_open_a_websocket(headers, status):
    asked = request("GET", "/live", headers=headers, host="app.test")
    asked.upgrade = "websocket"
    assert (await exchange(Csrf, {"token": TOKEN}, asked)).status == status
