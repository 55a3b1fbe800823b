"""Keys: fetched ahead, kept fresh, kept while the issuer is down, dropped when it withdraws them."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.testing import opened, ports, request
from plugins.jwt import Jwt

URL = "https://id.test/jwks"
FETCHED = {"issuers": [{"issuer": "https://id.test", "audience": "orders", "jwks": {"url": URL}}]}
DISCOVERED = {"issuers": [{"issuer": "https://id.test", "audience": "orders", "discovery": True}]}
WELL_KNOWN = "https://id.test/.well-known/openid-configuration"


def bearer(token):
    return request(headers={"Authorization": f"Bearer {token}"})


def serving(jwks, **headers):
    given = ports()
    given.calls.answer(URL, body=json.dumps(jwks), headers=headers)
    return given


def keys_of(live):
    return live.plugin._issuers["https://id.test"][1]


async def outcome(live, token):
    response = await live(bearer(token))
    return response.status, response.error.code if response.error else None


async def test_keys_are_there_when_the_first_request_comes(signer):
    given = serving(signer.jwks("rsa"))
    async with opened(Jwt, FETCHED, ports=given) as live:
        assert [call.url for call in given.calls.calls] == [URL]
        assert await outcome(live, signer.token()) == (200, None)
        assert len(given.calls.calls) == 1
        assert given.reports["jwt https://id.test"]() == {
            "issuer": "https://id.test",
            "ok": True,
            "keys": ["rsa"],
            "age": 0.0,
        }
        assert given.value("jwt_keys", "test", "jwt", "https://id.test") == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param({"status": 500}, "the issuer answered 500", id="an error"),
        pytest.param({"body": "<html>"}, "not JSON", id="a page"),
        pytest.param({"body": '{"keys": []}'}, "no usable key", id="no keys"),
        pytest.param({"body": "[]"}, "not a JWK set: it has no list of `keys`", id="another document"),
    ],
)
async def test_a_start_without_keys_answers_503_and_says_so(signer, answer, error):
    given = ports()
    given.calls.answer(URL, **answer)
    async with opened(Jwt, FETCHED, ports=given) as live:
        response = await live(bearer(signer.token()))
        assert (response.status, response.error.code) == (503, "keys_unavailable")
        assert response.headers["Retry-After"] == "5"
        state = given.reports["jwt https://id.test"]()
        assert (state["ok"], state["error"], state["age"]) == (False, error, None)
        assert [line for line in given.lines if error in line], given.lines
        # Of others' tokens nothing needs to be known to refuse them.
        assert await outcome(live, signer.token(iss="https://evil.test")) == (401, "invalid_token")
        assert (await live(request())).status == 401


async def test_a_new_key_is_fetched_at_once_and_seldom(signer):
    given = serving(signer.jwks("rsa"))
    async with opened(Jwt, FETCHED, ports=given) as live:
        given.calls.answer(URL, body=json.dumps(signer.jwks("rsa", "rsa2")))
        fresh = signer.token(kid="rsa2")
        assert await outcome(live, fresh) == (401, "invalid_token")  # the start's fetch was a moment ago
        live.ports.clock.advance(10)
        assert await outcome(live, fresh) == (200, None)
        unknown = [signer.token(kid=None, key=signer.private["rsa"], header={"kid": f"{each}"}) for each in range(20)]
        assert {await outcome(live, token) for token in unknown} == {(401, "invalid_token")}
        assert len(given.calls.calls) == 2
        live.ports.clock.advance(10)
        await outcome(live, signer.token(kid=None, key=signer.private["rsa"], header={"kid": "none"}))
        assert len(given.calls.calls) == 3


async def test_many_requests_with_a_new_key_share_one_fetch(signer):
    given = serving(signer.jwks("rsa"))
    async with opened(Jwt, FETCHED, ports=given) as live:
        given.calls.answer(URL, body=json.dumps(signer.jwks("rsa2")))
        live.ports.clock.advance(10)
        token = signer.token(kid="rsa2")
        answers = await asyncio.gather(*(outcome(live, token) for _ in range(50)))
        assert set(answers) == {(200, None)}
        assert len(given.calls.calls) == 2


async def test_a_client_that_leaves_does_not_stop_the_fetch_for_others(signer):
    given = serving(signer.jwks("rsa"))
    async with opened(Jwt, FETCHED, ports=given) as live:
        given.calls.answer(URL, body=json.dumps(signer.jwks("rsa2")))
        live.ports.clock.advance(10)
        token = signer.token(kid="rsa2")
        leaving, staying = (asyncio.ensure_future(outcome(live, token)) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == (200, None)


async def test_old_keys_serve_while_the_issuer_is_down_but_not_for_ever(signer):
    given = serving(signer.jwks("rsa"))
    async with opened(Jwt, FETCHED, ports=given) as live:
        given.calls.answer(URL, status=500)
        await keys_of(live).source.fetch()
        assert await outcome(live, signer.token()) == (200, None)
        state = given.reports["jwt https://id.test"]()
        assert (state["ok"], state["keys"]) == (False, ["rsa"])
        live.ports.clock.advance(86400 + 1)
        late = 1_800_000_000 + 86400 + 1
        assert await outcome(live, signer.token(iat=late, exp=late + 60)) == (503, "keys_unavailable")
        given.calls.answer(URL, body=json.dumps(signer.jwks("rsa")))
        live.ports.clock.advance(10)
        assert await outcome(live, signer.token(iat=late, exp=late + 60)) == (200, None)


async def test_an_empty_set_does_not_lock_everybody_out(signer):
    given = serving(signer.jwks("rsa"))
    async with opened(Jwt, FETCHED, ports=given) as live:
        given.calls.answer(URL, body='{"keys": []}')
        await keys_of(live).source.fetch()
        assert await outcome(live, signer.token(jti="new")) == (200, None)


async def test_a_withdrawn_key_takes_its_remembered_tokens_along(signer):
    given = serving(signer.jwks("rsa", "rsa2"))
    async with opened(Jwt, FETCHED, ports=given) as live:
        ours, theirs = signer.token(kid="rsa"), signer.token(kid="rsa2")
        assert [await outcome(live, each) for each in (ours, theirs)] == [(200, None)] * 2
        given.calls.answer(URL, body=json.dumps(signer.jwks("rsa")))
        await keys_of(live).source.fetch()
        assert await outcome(live, ours) == (200, None)
        assert await outcome(live, theirs) == (401, "invalid_token")
        assert given.value("jwt_tokens_total", "test", "jwt", "remembered") == 1


async def test_another_key_under_the_same_name_is_another_key(signer):
    given = serving(signer.jwks("rsa"))
    async with opened(Jwt, FETCHED, ports=given) as live:
        assert await outcome(live, signer.token()) == (200, None)
        given.calls.answer(URL, body=json.dumps({"keys": [{**signer.jwk("rsa2"), "kid": "rsa"}]}))
        await keys_of(live).source.fetch()
        assert await outcome(live, signer.token()) == (401, "invalid_token")


async def test_an_unforeseen_failure_does_not_stop_the_fetching(signer):
    given = serving(signer.jwks("rsa"))
    async with opened(Jwt, FETCHED, ports=given) as live:
        given.calls.answer(URL, error=ZeroDivisionError())
        await keys_of(live).source.fetch()
        assert keys_of(live).source.error == "ZeroDivisionError"
        assert not keys_of(live).source._running.done()


async def test_keys_are_fetched_again_by_themselves(signer):
    given = serving(signer.jwks("rsa"))
    async with opened(Jwt, FETCHED, ports=given) as live:
        keys = keys_of(live)
        await keys.close()
        keys.fetch = keys.fetch.model_copy(update={"refresh": 0.01})
        await keys.open(1)
        async with asyncio.timeout(30):
            while len(given.calls.calls) < 5:
                await asyncio.sleep(0.005)


# -- discovery ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "status"),
    [
        pytest.param({"issuer": "https://id.test", "jwks_uri": URL}, 200, id="as it should be"),
        pytest.param({"issuer": "https://evil.test", "jwks_uri": URL}, 503, id="of another issuer"),
        pytest.param({"jwks_uri": URL}, 503, id="of nobody"),
        pytest.param({"issuer": "https://id.test"}, 503, id="without keys"),
        pytest.param({"issuer": "https://id.test", "jwks_uri": "http://id.test/jwks"}, 503, id="keys in the open"),
        pytest.param({"issuer": "https://id.test", "jwks_uri": "file:///etc/passwd"}, 503, id="keys in a file"),
        pytest.param([], 503, id="no object"),
    ],
)
async def test_discovery(signer, document, status):
    given = serving(signer.jwks("rsa"))
    given.calls.answer(WELL_KNOWN, body=json.dumps(document))
    async with opened(Jwt, DISCOVERED, ports=given) as live:
        assert (await outcome(live, signer.token()))[0] == status


async def test_keys_that_moved_are_found_again(signer):
    given = serving(signer.jwks("rsa"))
    given.calls.answer(WELL_KNOWN, body=json.dumps({"issuer": "https://id.test", "jwks_uri": URL}))
    async with opened(Jwt, DISCOVERED, ports=given) as live:
        given.calls.answer(URL, status=404)
        given.calls.answer(WELL_KNOWN, body=json.dumps({"issuer": "https://id.test", "jwks_uri": f"{URL}2"}))
        given.calls.answer(f"{URL}2", body=json.dumps(signer.jwks("rsa2")))
        await keys_of(live).source.fetch()
        await keys_of(live).source.fetch()
        assert await outcome(live, signer.token(kid="rsa2")) == (200, None)


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        ("", 600),
        ("public, max-age=300", 300),
        ("max-age=1", 60),
        ("max-age=99999999", 600),
        ("max-age=x", 600),
        ("s-maxage=5", 600),
    ],
)
async def test_an_answers_age_shortens_the_interval(signer, cache_control, seconds):
    given = serving(signer.jwks("rsa"), **{"Cache-Control": cache_control})
    async with opened(Jwt, FETCHED, ports=given) as live:
        assert keys_of(live).source.interval == seconds


async def test_closing_ends_what_was_begun(signer):
    given = serving(signer.jwks("rsa"))
    async with opened(Jwt, FETCHED, ports=given) as live:
        source = keys_of(live).source
    assert source._running is None
    assert not len(given.shared)
    assert not given._tasks
