"""Settings of `jwt`: what loads, and what is refused before anybody relies on it."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from gateway.config import load_text
from gateway.runtime.review import findings
from gateway.testing import settings_of
from plugins.jwt import Jwt

FRAGMENT = """
upstreams: {orders: {targets: ["http://127.0.0.1:9000"]}}
routes:
  - name: orders
    upstream: orders
    plugins:
      - plugin: jwt
        with:
          issuers:
            - {issuer: https://id.example.com, audience: orders, algorithms: [RS256], jwks: {url: https://id.example.com/jwks}}
"""


def test_the_usual_form_loads_without_a_warning():
    assert load_text(FRAGMENT, {}, review=findings).problems == ()


def issuer(**changes):
    usual = {"issuer": "https://id.test", "audience": "orders", "jwks": {"url": "https://id.test/jwks"}}
    return {"issuers": [{name: value for name, value in {**usual, **changes}.items() if value is not None}]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"jwks": None}, "one of them", id="no keys"),
        pytest.param({"discovery": True}, "one of them", id="two ways to keys"),
        pytest.param({"audience": None}, "otherwise tokens", id="neither audience nor match"),
        pytest.param({"audience": ""}, "not empty", id="an empty audience"),
        pytest.param({"match": {"a": []}, "audience": None}, "at least 1", id="a match with nothing"),
        pytest.param({"algorithms": ["none"]}, "RS256", id="none"),
        pytest.param({"algorithms": []}, "at least 1", id="no algorithm"),
        pytest.param({"algorithms": ["RS256", "HS256"]}, "HS algorithms go with", id="both kinds of algorithm"),
        pytest.param({"algorithms": ["HS256"]}, "HS algorithms go with", id="HS with public keys"),
        pytest.param({"jwks": None, "secrets": ["x" * 32]}, "HS algorithms go with", id="a secret with RS256"),
        pytest.param(
            {"jwks": None, "secrets": ["x" * 31], "algorithms": ["HS256"]}, "at least 32 bytes", id="a short secret"
        ),
        pytest.param(
            {"jwks": None, "secrets": ["x" * 32], "algorithms": ["HS256", "HS512"]},
            "at least 64 bytes",
            id="a secret shorter than the longest hash",
        ),
        pytest.param({"jwks": {"url": "ftp://id.test/"}}, "http or https", id="another protocol"),
        pytest.param({"jwks": {"url": "https://a:b@id.test/"}}, "without a user", id="a password in a URL"),
        pytest.param({"jwks": {}}, "one of them", id="an empty source"),
        pytest.param({"jwks": {"keys": []}}, "no usable key", id="no key in the set"),
        pytest.param({"jwks": {"keys": [{"kty": "oct", "k": "eA"}]}}, "symmetric", id="a secret in the set"),
        pytest.param({"jwks": None, "public_keys": ["x"]}, "PEM", id="no PEM"),
        pytest.param({"jwks": None, "discovery": True, "issuer": "me"}, "http or https", id="nothing to discover at"),
        pytest.param({"leeway": "10m"}, "300", id="too much leeway"),
        pytest.param({"fetch": {"refresh": "1s"}}, "10", id="fetched all the time"),
    ],
)
def test_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        settings_of(Jwt, issuer(**changes))


def test_a_secret_is_not_in_the_message():
    with pytest.raises(ValidationError) as caught:
        settings_of(Jwt, issuer(jwks=None, secrets=["pl4nted"], algorithms=["HS256"]))
    assert "pl4nted" not in str(caught.value)


def test_two_rules_for_one_issuer_are_refused():
    one = issuer()["issuers"][0]
    with pytest.raises(ValidationError, match="differ"):
        settings_of(Jwt, {"issuers": [one, one]})


def test_public_keys_must_fit(signer):
    with pytest.raises(ValidationError, match="fit the algorithms"):
        settings_of(Jwt, issuer(jwks=None, public_keys=[signer.pem("p256")]))
    settings_of(Jwt, issuer(jwks=None, public_keys=[signer.pem("p256")], algorithms=["ES256"]))


def test_keys_from_files(signer, tmp_path):
    (tmp_path / "jwks.json").write_text(json.dumps(signer.jwks("rsa")))
    (tmp_path / "key.pem").write_text(signer.pem("rsa"))
    jwks, pem = {"file": str(tmp_path / "jwks.json")}, {"file": str(tmp_path / "key.pem")}
    for changes in ({"jwks": jwks}, {"jwks": None, "public_keys": [pem]}):
        found = settings_of(Jwt, issuer(**changes))
        assert len(found.issuers[0].static_keys().keys) == 1


@pytest.mark.parametrize("places", [{"header": "off"}, {"cookie": ""}, {"query": ""}])
def test_there_must_be_a_place(places):
    with pytest.raises(ValidationError):
        settings_of(Jwt, {**issuer(), "from": places})
