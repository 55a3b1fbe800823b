"""An issuer's keys in a worker: one fetch for all readers. What a reader makes of them is in `test_jwt_keys.py`."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from gateway.errors import KeysUnavailable
from gateway.plugin import Context
from gateway.services.jose.source import IssuerKeys, Unverified
from gateway.services.jose.token import Token
from gateway.testing import ports

ISSUER = "https://id.test"
URL = f"{ISSUER}/jwks"
WELL_KNOWN = f"{ISSUER}/.well-known/openid-configuration"
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
JWKS = {
    "keys": [
        {**RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": "r"},
        {**ECAlgorithm.to_jwk(EC.public_key(), as_dict=True), "kid": "e"},
    ]
}
USUAL = {"refresh": 600.0, "cooldown": 10.0, "keep": 86400.0, "timeout": 5.0}


@pytest.fixture
async def given():
    made = ports()
    made.calls.answer(URL, body=json.dumps(JWKS))
    made.calls.answer(WELL_KNOWN, body=json.dumps({"issuer": ISSUER, "jwks_uri": URL, "token_endpoint": "https://t/"}))
    yield made
    await made.close()


def reading(given, *algorithms, route="test", jwks=URL, **fetch):
    context = Context(given, route=route, plugin="test", id="test")
    freshness = SimpleNamespace(**{**USUAL, **fetch})
    return IssuerKeys(context, ISSUER, algorithms or ("RS256",), freshness, jwks=jwks)


def token(alg="RS256", kid="r", signature=b"x"):
    return Token(alg, kid, "jwt", {}, b"signed", signature)


async def test_all_readers_of_an_address_share_one_fetch(given):
    readers = [reading(given, route=f"r{number}") for number in range(5)]
    await asyncio.gather(*(each.open(1) for each in readers))
    assert len(given.calls.calls) == 1
    assert {each.source for each in readers} == {readers[0].source}
    for each in readers:
        assert await each.find("r", "RS256")
    later = reading(given)
    await later.open(1)
    assert await later.find("r", "RS256")
    assert len(given.calls.calls) == 1
    for each in (*readers, later):
        await each.close()
        await each.close()
    await given.settled()
    assert len(given.shared) == 0


async def test_a_reload_goes_on_with_the_keys_at_hand(given):
    old = reading(given)
    await old.open(1)
    given.calls.answer(URL, status=500)
    new = reading(given)
    await new.open(1)
    await old.close()
    assert await new.find("r", "RS256")
    assert len(given.calls.calls) == 1
    await new.close()


async def test_each_reader_takes_its_own_algorithms(given):
    rs, es = reading(given, "RS256"), reading(given, "ES256")
    await asyncio.gather(rs.open(1), es.open(1))
    assert (rs.state()["keys"], es.state()["keys"]) == (["r"], ["e"])
    with pytest.raises(Unverified, match="not one that the issuer uses"):
        await rs.verify(token("ES256", "e"))
    with pytest.raises(Unverified, match="nor is it known"):
        await rs.verify(token("XX1"))
    with pytest.raises(Unverified, match="does not hold"):
        await rs.verify(token())
    await rs.close()
    await es.close()


async def test_a_set_that_serves_one_reader_only_still_reaches_it(given):
    given.calls.answer(URL, body=json.dumps({"keys": JWKS["keys"][:1]}))
    rs, es = reading(given, "RS256"), reading(given, "ES256")
    await asyncio.gather(rs.open(1), es.open(1))
    assert await rs.find("r", "RS256")
    with pytest.raises(KeysUnavailable):
        await es.find("e", "ES256")
    assert "no usable key" in es.state()["error"]
    await rs.close()
    await es.close()


async def test_the_most_impatient_reader_sets_the_pace(given):
    slow, fast = reading(given), reading(given, refresh=0.01)
    await slow.open(1)
    assert slow.source.interval == 600
    await fast.open(1)
    async with asyncio.timeout(30):
        while len(given.calls.calls) < 5:
            await asyncio.sleep(0.005)
    await fast.close()
    await slow.close()


async def test_the_discovery_document_is_at_hand(given):
    keys = reading(given, jwks=None)
    await keys.open(1)
    assert keys.source.metadata["token_endpoint"] == "https://t/"
    assert [call.url for call in given.calls.calls] == [WELL_KNOWN, URL]
    await keys.close()


async def test_a_discovery_document_is_looked_at_again_now_and_then(given):
    keys = reading(given, jwks=None)
    await keys.open(1)
    await keys.source.fetch()
    assert len(given.calls.calls) == 3, "keys are fetched more often than that"
    given.calls.answer(WELL_KNOWN, body=json.dumps({"issuer": ISSUER, "jwks_uri": URL, "token_endpoint": "https://u/"}))
    given.clock.advance(3600)
    await keys.source.fetch()
    assert keys.source.metadata["token_endpoint"] == "https://u/"
    given.calls.answer(WELL_KNOWN, body=json.dumps({"issuer": "https://evil.test", "jwks_uri": "https://evil.test/"}))
    given.clock.advance(3600)
    await keys.source.fetch()
    assert (keys.source.error, keys.source.metadata["token_endpoint"]) == ("", "https://u/")
    assert given.calls.calls[-1].url == URL
    await keys.close()
