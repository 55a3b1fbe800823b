"""The gateway's own token: one call for all who wait, renewed while the old one serves, and what failures do."""

import asyncio
import json

import pytest

from gateway.errors import ConnectFailed
from gateway.plugin import Context
from gateway.testing import ports
from plugins.upstream_auth.settings import OAuth2
from plugins.upstream_auth.token import Token, TokenUnavailable

URL = "https://id.test/token"


@pytest.fixture
async def made():
    held = ports()
    settings = OAuth2.model_validate(
        {
            "token_url": URL,
            "client": {"id": "gate:way", "secret": "s&cret"},
            "scopes": ["a", "b"],
            "parameters": {"audience": "api"},
        }
    )
    token = Token(settings, Context(held, route="upstream:api", plugin="upstream_auth", id="upstream_auth"))
    yield held, token
    await token.close()
    await held.close()


def says(held, value="t1", **more):
    held.calls.answer(URL, 200, json.dumps({"access_token": value, "token_type": "bearer", "expires_in": 600, **more}))


async def settled():
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_call(made):
    held, token = made
    says(held)
    assert await token.value() == "t1"
    (call,) = held.calls.calls
    assert call.method == "POST"
    assert call.headers["Authorization"] == "Basic Z2F0ZSUzQXdheTpzJTI2Y3JldA=="
    assert call.body == b"grant_type=client_credentials&audience=api&scope=a+b"


async def test_one_call_for_all_who_wait(made):
    held, token = made
    says(held)
    assert await asyncio.gather(*(token.value() for _ in range(50))) == ["t1"] * 50
    assert len(held.calls.calls) == 1


async def test_who_leaves_does_not_take_it_from_the_others(made):
    held, token = made
    says(held)
    first, second = asyncio.create_task(token.value()), asyncio.create_task(token.value())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "t1"


async def test_it_is_renewed_while_the_old_one_serves(made):
    held, token = made
    says(held)
    await token.value()
    says(held, "t2")
    held.clock.advance(541)
    assert await token.value() == "t1"
    await settled()
    assert await token.value() == "t2"
    assert len(held.calls.calls) == 2


async def test_an_old_one_serves_to_its_end_while_the_server_is_down(made):
    held, token = made
    says(held)
    await token.value()
    held.calls.answer(URL, error=ConnectFailed(reason="down"))
    held.clock.advance(590)
    assert await token.value() == "t1"
    await settled()
    assert token.state() == {"ok": True, "expires_in": 10, "error": "down"}
    held.clock.advance(11)
    with pytest.raises(TokenUnavailable):
        await token.value()
    assert token.state()["ok"] is False


async def test_a_server_that_fails_is_not_asked_by_each_request(made):
    held, token = made
    held.calls.answer(URL, 500, "")
    for _ in range(5):
        with pytest.raises(TokenUnavailable):
            await token.value()
    assert len(held.calls.calls) == 1
    held.clock.advance(1.1)
    says(held)
    assert await token.value() == "t1"


@pytest.mark.parametrize(
    ("status", "document"),
    [
        pytest.param(401, {"error": "invalid_client"}, id="refused"),
        pytest.param(200, {}, id="no token"),
        pytest.param(200, {"access_token": ""}, id="an empty token"),
        pytest.param(200, {"access_token": "a\r\nb"}, id="one that would split a message"),
        pytest.param(200, {"access_token": 5}, id="one that is no text"),
        pytest.param(200, {"access_token": "t", "token_type": "DPoP"}, id="one of another kind"),
        pytest.param(200, [1], id="no object"),
    ],
)
async def test_answers_that_are_no_token(made, status, document):
    held, token = made
    held.calls.answer(URL, status, json.dumps(document))
    with pytest.raises(TokenUnavailable) as caught:
        await token.value()
    assert "s&cret" not in caught.value.reason


@pytest.mark.parametrize(
    ("lifetime", "holds"),
    [
        pytest.param(10, 10, id="shorter than the margin"),
        pytest.param(None, 300, id="not said"),
        pytest.param("soon", 300, id="said badly"),
        pytest.param(-5, 300, id="in the past"),
        pytest.param(True, 300, id="a yes"),
    ],
)
async def test_how_long_it_holds(made, lifetime, holds):
    held, token = made
    says(held, expires_in=lifetime)
    await token.value()
    await token.value()
    assert token.state()["expires_in"] == holds
    assert len(held.calls.calls) == 1


async def test_one_that_the_target_did_not_take(made):
    held, token = made
    says(held)
    await token.value()
    assert not token.rejected("t1"), "a target that takes none must not have one fetched for each request"
    held.clock.advance(10)
    assert token.rejected("t1")
    says(held, "t2")
    assert await token.value() == "t2"
    assert token.rejected("t1"), "another has come meanwhile"
