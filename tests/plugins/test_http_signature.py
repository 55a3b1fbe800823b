"""http_signature: the RFC's own examples, an attack table, and what leaves the gateway."""

import base64
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import http_sf
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from multidict import CIMultiDict
from pydantic import ValidationError

from gateway.errors import StoreUnavailable
from gateway.http import Attempt
from gateway.services.store import MemoryStore
from gateway.testing import answering, exchange, opened, ports, request, settings_of
from plugins.http_signature import HttpSignature, view_of
from plugins.http_signature.component import View, parse_component
from plugins.http_signature.signing import Signer
from plugins.http_signature.verifying import Rules, signatures_of, verify

_path = Path(__file__).parent / "http_signature" / "vectors.py"
_spec = importlib.util.spec_from_file_location("rfc9421_vectors", _path)
rfc = importlib.util.module_from_spec(_spec)
sys.modules["rfc9421_vectors"] = rfc
_spec.loader.exec_module(rfc)

SHARED = "0123456789abcdef0123456789abcdef"
HMAC = {"id": "partner", "algorithm": "hmac-sha256", "secret": SHARED}
VERIFY = {"verify": {"keys": [HMAC]}}
EXAMPLE = VERIFY

KEYS = [
    {"id": "test-key-rsa-pss", "algorithm": "rsa-pss-sha512", "public_key": rfc.RSA_PSS},
    {"id": "test-key-ecc-p256", "algorithm": "ecdsa-p256-sha256", "public_key": rfc.ECC_P256},
    {"id": "test-key-ed25519", "algorithm": "ed25519", "public_key": rfc.ED25519},
    {"id": "test-shared-secret", "algorithm": "hmac-sha256", "secret": rfc.SECRET, "encoding": "base64"},
]


def rfc_request(vector, **changed):
    text, value = vector
    headers = {**rfc.FIELDS, "Signature-Input": f"sig={text}", "Signature": f"sig=:{value}:", **changed}
    return request(
        "POST", "/foo?param=Value&Pet=dog", headers=headers, body=rfc.BODY, host="example.com", scheme="https"
    )


def at(made, moment):
    made.clock.advance(moment - made.clock.time())
    return made


# -- the RFC's own examples (appendix B.2) -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vector", "components"),
    [
        pytest.param(rfc.B21, [], id="B.2.1 minimal"),
        pytest.param(rfc.B22, ["@authority", "content-digest", '@query-param;name="Pet"'], id="B.2.2 selective"),
        pytest.param(rfc.B23, ["@method", "@path", "@query", "@authority", "content-digest"], id="B.2.3 full"),
        pytest.param(rfc.B25, ["date", "@authority"], id="B.2.5 hmac-sha256"),
        pytest.param(rfc.B26, ["@method", "@path", "content-length"], id="B.2.6 ed25519"),
    ],
)
async def test_requests_of_the_rfc(vector, components):
    verifying = {"verify": {"keys": KEYS, "components": components, "body": "if_present"}}
    asked = rfc_request(vector)
    response = await exchange(HttpSignature, verifying, asked, ports=at(ports(), rfc.CREATED + 1))
    assert response.status == 200, response.error.reason
    assert asked.principal.id.startswith("test-")
    for change in (
        {"Signature": f"sig=:{base64.b64encode(b'x' * 64).decode()}:"},
        {"Content-Digest": "sha-256=:AAAA:"},
    ):
        refused = await exchange(
            HttpSignature, verifying, rfc_request(vector, **change), ports=at(ports(), rfc.CREATED + 1)
        )
        assert refused.status in (400, 401)


def rules(**changed):
    keys = settings_of(HttpSignature, {"verify": {"keys": KEYS}}).verify.by_id()
    return replace(Rules(keys, [], 300, 5, None, False, False), **changed)


def test_the_answer_of_the_rfc():
    text, value = rfc.B24
    headers = CIMultiDict({**rfc.ANSWER_FIELDS, "Signature-Input": f"sig={text}", "Signature": f"sig=:{value}:"})
    view = View(headers, status=200)
    assert verify(signatures_of(headers, 4, None)[0], view, rules(), rfc.CREATED, {}).id == "test-key-ecc-p256"


@pytest.mark.parametrize("key", ["test-shared-secret", "test-key-ed25519"])
def test_what_is_deterministic_is_signed_as_in_the_rfc(key, monkeypatch):
    text, value = rfc.B25 if key == "test-shared-secret" else rfc.B26
    member = http_sf.parse(f"sig={text}".encode(), tltype="dictionary")["sig"]
    given = (
        {"algorithm": "hmac-sha256", "secret": rfc.SECRET, "encoding": "base64"}
        if key == "test-shared-secret"
        else {"algorithm": "ed25519", "private_key": rfc.ED25519_PRIVATE}
    )
    made = settings_of(HttpSignature, {"sign": {"id": key, **given}}).sign.key()
    from plugins.http_signature.component import component_of, signature_base

    components = [component_of(name, parameters) for name, parameters in member[0]]
    base = signature_base(components, text, view_of(rfc_request((text, value))), {})
    assert base64.b64encode(made.sign(base)).decode() == value


# -- attacks -----------------------------------------------------------------------------------------------------------

SIGN = {"id": "partner", "algorithm": "hmac-sha256", "secret": SHARED, "expires": "5m", "label": "sig1"}
COMPONENTS = ["@method", "@authority", "@path", "@query", "content-type", "content-digest"]


def signed(body=b"{}", *, path="/pay", query="to=bob", now=0.0, fields=(), **sign):
    """A request as an honest partner signs it."""
    from plugins.http_signature.digest import make_digest

    made = Signer(settings_of(HttpSignature, {"sign": {"components": COMPONENTS, **SIGN, **sign}}).sign, (), {})
    headers = CIMultiDict({"Content-Type": "application/json", **dict(fields)})
    if body:
        headers["Content-Digest"] = make_digest(body)
    view = View(headers, "POST", "http", "api.test", path, query)
    made.sign(view, headers, now)
    return headers, path, query, body


def asked(made, **changed):
    headers, path, query, body = made
    headers = changed.get("headers", headers)
    target = f"{changed.get('path', path)}?{changed.get('query', query)}"
    return request(
        changed.get("method", "POST"), target, headers=list(headers.items()), body=changed.get("body", body),
        host=changed.get("host", "api.test"),
    )  # fmt: skip


def with_fields(**changed):
    def change(made):
        headers = CIMultiDict(made[0])
        for name, value in changed.items():
            name = name.replace("_", "-")
            if value is None:
                headers.popall(name, None)
            else:
                headers[name] = value(headers.get(name, "")) if callable(value) else value
        return asked(made, headers=headers)

    return change


def added(name, value):
    def change(made):
        headers = CIMultiDict(made[0])
        headers.add(name, value)
        return asked(made, headers=headers)

    return change


def resigned(**more):
    return lambda _made: asked(signed(**more))


EC = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
).decode()  # fmt: skip


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        pytest.param(asked, 200, "", id="an honest request"),
        pytest.param(with_fields(Signature=None, Signature_Input=None), 401, "no signature", id="no signature"),
        pytest.param(with_fields(Signature=None), 401, "without its signature", id="input without signature"),
        pytest.param(with_fields(Signature_Input=None), 401, "meant for us", id="signature without input"),
        pytest.param(lambda m: asked(m, method="PUT"), 401, "not that of this", id="another method"),
        pytest.param(lambda m: asked(m, host="evil.test"), 401, "not that of this", id="another host"),
        pytest.param(lambda m: asked(m, path="/pay2"), 401, "not that of this", id="another path"),
        pytest.param(lambda m: asked(m, query="to=eve"), 401, "not that of this", id="another query"),
        pytest.param(lambda m: asked(m, query="to=bob&to=eve"), 401, "not that of this", id="a parameter more"),
        pytest.param(lambda m: asked(m, body=b"[]"), 400, "Content-Digest", id="another body"),
        pytest.param(lambda m: asked(m, body=b""), 400, "Content-Digest", id="no body"),
        pytest.param(with_fields(Content_Digest=None), 401, "is not there", id="the digest taken out"),
        pytest.param(
            with_fields(Content_Digest="sha-256=:T1PDKbB3ZpLGHWpFjaxYEXBJAMnQcTVLwvDDUqM9YhI=:"),
            400,
            "",
            id="another digest",
        ),
        pytest.param(with_fields(Content_Digest="md5=:AAAA:"), 401, "algorithm that is taken", id="a weak digest"),
        pytest.param(with_fields(Content_Type="text/html"), 401, "not that of this", id="an altered field"),
        pytest.param(added("Content-Type", "text/html"), 401, "not that of this", id="a field twice"),
        pytest.param(with_fields(Content_Type=None), 401, "is not there", id="a covered field taken out"),
        pytest.param(
            with_fields(Signature_Input=lambda v: v.replace('"@method" ', "")),
            401,
            "not covered",
            id="a component left out",
        ),
        pytest.param(
            with_fields(Signature_Input=lambda v: v.replace('"@method" "@authority"', '"@authority" "@method"')),
            401,
            "not that of this",
            id="components in another order",
        ),
        pytest.param(
            with_fields(Signature_Input=lambda v: v.replace("sig1", "sig2")), 401, "without its", id="another label"
        ),
        pytest.param(
            with_fields(Signature_Input=lambda v: v + ", " + v), 401, "twice", id="a label twice in the input"
        ),
        pytest.param(with_fields(Signature=lambda v: v + ", " + v), 401, "twice", id="a label twice"),
        pytest.param(added("Signature", "sig1=:AAAA:"), 401, "twice", id="a second signature field of that label"),
        pytest.param(
            with_fields(Signature_Input=lambda v: v.replace('("@method"', '("@method" "@method"')),
            401,
            "named twice",
            id="a component twice",
        ),
        pytest.param(
            with_fields(Signature_Input=lambda v: v.replace('"hmac-sha256"', '"ed25519"')),
            401,
            "key's algorithm",
            id="another algorithm",
        ),
        pytest.param(
            with_fields(Signature_Input=lambda v: v.replace('keyid="partner"', 'keyid="root"')),
            401,
            "not known",
            id="a key that is not known",
        ),
        pytest.param(
            with_fields(Signature_Input=lambda v: v.replace(';keyid="partner"', "")), 401, "no `keyid`", id="no key"
        ),
        pytest.param(
            with_fields(Signature_Input=lambda v: v.replace(";expires=300", "")),
            401,
            "not that of this",
            id="the end taken out",
        ),
        pytest.param(
            with_fields(Signature_Input=lambda v: v.replace("created=0", "created=60")), 401, "future", id="made later"
        ),
        pytest.param(
            with_fields(Signature_Input=lambda v: v.replace("created=0", 'created="0"')),
            401,
            "not what it must be",
            id="a time that is text",
        ),
        pytest.param(
            with_fields(Signature_Input=lambda v: v.replace("created=0;", "")), 401, "no `created`", id="no time"
        ),
        pytest.param(
            with_fields(Signature_Input=lambda v: v.replace('"@path"', '"@nonsense"')),
            401,
            "not known",
            id="a derived component that nobody knows",
        ),
        pytest.param(
            with_fields(Signature_Input=lambda v: v.replace('"@path"', '"@signature-params"')),
            401,
            "not known",
            id="the parameters cover themselves",
        ),
        pytest.param(
            with_fields(Signature_Input=lambda v: v.replace('"@path"', '"@path";req')),
            401,
            "not covered",
            id="the path of another message",
        ),
        pytest.param(
            with_fields(Signature_Input=lambda v: v.replace('"content-type"', '"Content-Type"')),
            401,
            "lower case",
            id="a name in upper case",
        ),
        pytest.param(
            with_fields(Signature_Input=lambda v: v.replace('"content-type"', '"content-type";sf;bs')),
            401,
            "as bytes",
            id="parameters that contradict",
        ),
        pytest.param(
            with_fields(Signature_Input=lambda v: v.replace('"content-type"', '"content-type";tr')),
            401,
            "not there",
            id="a trailer that is a header",
        ),
        pytest.param(
            with_fields(Signature_Input="sig1=?1", Signature="sig1=:AA==:"), 401, "no list", id="no components"
        ),
        pytest.param(
            with_fields(Signature_Input="sig1=(", Signature="sig1=:AA==:"), 401, "cannot be read", id="nonsense"
        ),
        pytest.param(with_fields(Signature_Input="x" * 20_000), 401, "characters", id="very long"),
        pytest.param(
            with_fields(Signature_Input='sig1=();created=0;keyid="partner"', Signature="sig1=:AA==:"),
            401,
            "not covered",
            id="over nothing",
        ),
        pytest.param(resigned(secret="f" * 32), 401, "not that of this", id="another secret"),
        pytest.param(resigned(components=["@method"]), 401, "not covered", id="too little"),
        pytest.param(
            resigned(components=["@method", "@authority", "@path", "@query"]),
            401,
            "content-digest",
            id="the body not covered",
        ),
        pytest.param(
            resigned(components=["@method", "@target-uri", "content-digest"]), 200, "", id="all in one component"
        ),
        pytest.param(resigned(body=b""), 200, "", id="nothing to digest"),
        pytest.param(
            resigned(algorithm="ecdsa-p256-sha256", private_key=EC, secret=None),
            401,
            "key's algorithm",
            id="a key of another kind under a known id",
        ),
        pytest.param(resigned(now=-500.0), 401, "too old", id="an old one"),
        pytest.param(resigned(expires="1s", now=-10.0), 401, "expired", id="one that has expired"),
    ],
)
async def test_attacks(change, status, reason):
    target = answering(200)
    made = ports()
    made.clock.advance(-made.clock.time())
    response = await exchange(HttpSignature, VERIFY, change(signed()), target, ports=made)
    assert (response.status, target.calls) == (status, 1 if status == 200 else 0), getattr(response.error, "reason", "")
    if status != 200:
        assert reason in response.error.reason
    if status == 401:
        assert response.headers["WWW-Authenticate"] == "Signature"
        asking = http_sf.parse(response.headers["Accept-Signature"].encode(), tltype="dictionary")["sig1"]
        assert [name for name, _ in asking[0]] == ["@method", "@authority", "@path", "@query", "content-digest"]
        assert asking[1] == {"created": True}


async def test_a_nonce_is_taken_once():
    async with opened(HttpSignature, VERIFY) as live:
        now = live.ports.clock.time()
        one = signed(now=now)
        assert (await live(asked(one))).status == 200
        assert (await live(asked(one))).error.reason == "the nonce was there before"
        assert (await live(asked(signed(now=now)))).status == 200
        assert live.ports.value("http_signature_messages_total", "test", "http_signature", "replayed") == 1


async def test_who_fails_does_not_use_up_a_nonce():
    async with opened(HttpSignature, VERIFY) as live:
        one = signed(now=live.ports.clock.time())
        assert (await live(asked(one, query="to=eve"))).status == 401
        assert (await live(asked(one))).status == 200


async def test_a_nonce_may_be_required_or_off():
    async with opened(HttpSignature, {"verify": {"keys": [HMAC], "nonce": "required"}}) as live:
        now = live.ports.clock.time()
        assert (await live(asked(signed(now=now, nonce=False)))).error.reason == "no `nonce`"
    async with opened(HttpSignature, {"verify": {"keys": [HMAC], "nonce": "off"}}) as live:
        one = signed(now=live.ports.clock.time())
        assert [(await live(asked(one))).status for _ in range(2)] == [200, 200]


class Away(MemoryStore):
    async def set(self, *_args, **_more):
        raise StoreUnavailable


@pytest.mark.parametrize(("choice", "status"), [("deny", 503), ("allow", 200), ("local", 200)])
async def test_without_the_store(choice, status):
    given = {"verify": {"keys": [HMAC], "on_store_error": choice}}
    async with opened(HttpSignature, given, ports=ports(store=Away())) as live:
        one = signed(now=live.ports.clock.time())
        assert (await live(asked(one))).status == status
        if choice == "local":
            assert (await live(asked(one))).status == 401


async def test_nonces_need_a_store_that_all_workers_share():
    with pytest.raises(RuntimeError, match="Redis"):
        async with opened(HttpSignature, VERIFY, ports=ports(workers=2)):
            pass


async def test_nonces_in_a_real_redis(redis_server):
    from gateway.services.store import open_store

    store = await open_store(redis_server.url)
    try:
        async with opened(HttpSignature, VERIFY, ports=ports(store=store, workers=2)) as live:
            one = signed(now=live.ports.clock.time())
            assert [(await live(asked(one))).status for _ in range(3)] == [200, 401, 401]
    finally:
        await store.close()


async def test_who_it_is():
    key = {**HMAC, "principal": "acme", "tenant": "t1", "roles": ["admin"], "scopes": ["pay"], "rate_class": "gold"}
    async with opened(HttpSignature, {"verify": {"keys": [key], "tag": "pay"}}) as live:
        now = live.ports.clock.time()
        given = asked(signed(now=now, tag="pay"))
        assert (await live(given)).status == 200
        who = given.principal
        assert (who.id, who.tenant, who.roles, who.scopes, who.rate_class) == (
            "acme", "t1", frozenset({"admin"}), frozenset({"pay"}), "gold",
        )  # fmt: skip
        assert who.claims == {"keyid": "partner", "alg": "hmac-sha256", "label": "sig1", "tag": "pay"}
        assert who.expires == int(now + 300)
        assert (await live(asked(signed(now=now, tag="other")))).status == 401


async def test_one_good_signature_among_others_is_enough():
    async with opened(HttpSignature, VERIFY) as live:
        headers, *rest = signed(now=live.ports.clock.time())
        headers["Signature-Input"] = 'other=();created=1;keyid="x", ' + headers["Signature-Input"]
        headers["Signature"] = "other=:AAAA:, " + headers["Signature"]
        assert (await live(asked((headers, *rest)))).status == 200
        many = ", ".join(f'o{i}=();created=1;keyid="x"' for i in range(4))
        values = ", ".join(f"o{i}=:AAAA:" for i in range(4))
        headers["Signature-Input"] = f"{many}, {headers['Signature-Input']}"
        headers["Signature"] = f"{values}, {headers['Signature']}"
        assert (await live(asked((headers, *rest)))).status == 401, "only so many are tried"


async def test_shadow_lets_pass():
    async with opened(HttpSignature, VERIFY, mode="shadow") as live:
        assert (await live(request("GET", "/"))).status == 200
        assert live.ports.would_refuse == ["unauthorized"]


# -- keys --------------------------------------------------------------------------------------------------------------


def pem(private):
    return (
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    )


RSA = rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize(
    ("algorithm", "private"),
    [
        ("rsa-pss-sha512", RSA),
        ("rsa-v1_5-sha256", RSA),
        ("ecdsa-p256-sha256", ec.generate_private_key(ec.SECP256R1())),
        ("ecdsa-p384-sha384", ec.generate_private_key(ec.SECP384R1())),
    ],
)
async def test_every_algorithm_there_and_back(algorithm, private):
    secret, public = pem(private)
    key = {"id": "partner", "algorithm": algorithm, "public_key": public}
    async with opened(HttpSignature, {"verify": {"keys": [key]}}) as live:
        now = live.ports.clock.time()
        one = signed(now=now, algorithm=algorithm, private_key=secret, secret=None)
        assert (await live(asked(one, query="x=y"))).status == 401
        assert (await live(asked(one))).status == 200
    other = "rsa-v1_5-sha256" if algorithm == "rsa-pss-sha512" else "rsa-pss-sha512"
    if private is RSA:  # the same key, pinned to the other algorithm
        async with opened(HttpSignature, {"verify": {"keys": [{**key, "algorithm": other}]}}) as live:
            assert (await live(asked(one))).status == 401


async def test_keys_of_a_jwk_set():
    import json

    from jwt.algorithms import ECAlgorithm

    private = ec.generate_private_key(ec.SECP256R1())
    jwk = {**json.loads(ECAlgorithm.to_jwk(private.public_key())), "kid": "partner", "alg": "ES256"}
    async with opened(HttpSignature, {"verify": {"jwks": {"keys": [jwk]}}}) as live:
        one = signed(
            now=live.ports.clock.time(), algorithm="ecdsa-p256-sha256", private_key=pem(private)[0], secret=None
        )
        assert (await live(asked(one))).status == 200


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="nothing to do"),
        pytest.param({"verify": {}}, id="no keys"),
        pytest.param({"verify": {"keys": [HMAC, HMAC]}}, id="a key twice"),
        pytest.param({"verify": {"keys": [{**HMAC, "secret": "short"}]}}, id="a short secret"),
        pytest.param({"verify": {"keys": [{**HMAC, "algorithm": "ed25519"}]}}, id="a secret for a public key"),
        pytest.param(
            {"verify": {"keys": [{"id": "x", "algorithm": "ed25519", "public_key": rfc.ECC_P256}]}},
            id="of another kind",
        ),
        pytest.param(
            {"verify": {"keys": [{"id": "x", "algorithm": "ecdsa-p384-sha384", "public_key": rfc.ECC_P256}]}},
            id="another curve",
        ),
        pytest.param(
            {"verify": {"keys": [{"id": "x", "algorithm": "ed25519", "public_key": rfc.ED25519_PRIVATE}]}},
            id="a private key",
        ),
        pytest.param({"verify": {"keys": [{"id": "x", "algorithm": "none", "secret": SHARED}]}}, id="no algorithm"),
        pytest.param(
            {"verify": {"jwks": {"keys": [{"kty": "oct", "k": "AA", "kid": "a"}]}}}, id="a secret in a JWK set"
        ),
        pytest.param({"verify": {"keys": [HMAC], "components": ["@nonsense"]}}, id="a component"),
        pytest.param({"verify": {"keys": [HMAC]}, "sign": SIGN}, id="both ends in one"),
    ],
)
def test_settings_that_cannot_be_meant(given):
    with pytest.raises(ValidationError):
        settings_of(HttpSignature, given)


async def test_it_stands_where_it_belongs():
    with pytest.raises(ValueError, match="attempt"):
        await exchange(HttpSignature, {"sign": SIGN})


# -- what leaves -------------------------------------------------------------------------------------------------------


async def test_a_request_is_signed_as_it_goes_on_the_wire():
    seen = []

    async def target(arrived):
        seen.append(arrived)
        return await answering(200)(arrived)

    async with opened(HttpSignature, {"sign": SIGN}, route="upstream:bank") as live:
        given = request("POST", "/orders/pay?x=1", body=b"{}", headers={"Content-Digest": "sha-256=:AAAA:"})
        given.attempt = Attempt("bank", "https://bank.test", 1, 1e9, path="/pay?x=1", host="bank.test")
        await live(given, target)
        now = live.ports.clock.time()
        live.ports.clock.advance(1)
        again = request("GET", "/")
        again.attempt = Attempt("bank", "https://bank.test", 1, 1e9, path="/", host="bank.test")
        await live(again, target)
    view = replace(view_of(seen[0]), path="/pay", query="x=1", authority="bank.test", scheme="https")
    keys = settings_of(HttpSignature, VERIFY).verify.by_id()
    required = [parse_component(each) for each in ("@method", "@target-uri", "content-digest")]
    asked_of = Rules(keys, required, 300, 5, None, True, True)
    one = signatures_of(seen[0].headers, 4, None)[0]
    assert verify(one, view, asked_of, now, {}).id == "partner"
    assert seen[0].headers["Content-Digest"] == "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:"
    assert "Content-Digest" not in seen[1].headers and "Signature" in seen[1].headers


async def test_answers_are_signed_with_what_they_answer():
    async with opened(HttpSignature, {"answers": {**SIGN, "components": None}}) as live:
        given = request("GET", "/a?b=c", host="api.test", headers={"Signature": "x=:AAAA:"})
        stale = {"Content-Type": "text/plain", "Content-Digest": "sha-256=:AAAA:", "Repr-Digest": "sha-256=:AAAA:"}
        response = await live(given, answering(200, stale, chunks=[b"he", b"llo"]))
        view = View(response.headers, status=200, request=view_of(given))
        one = signatures_of(response.headers, 4, None)[0]
        keys = settings_of(HttpSignature, VERIFY).verify.by_id()
        asked_of = Rules(
            keys,
            [parse_component(each) for each in ("@status", "@path;req", "content-digest")],
            300,
            5,
            None,
            True,
            True,
        )
        assert verify(one, view, asked_of, live.ports.clock.time(), {}).id == "partner"
        assert "Repr-Digest" not in response.headers
        assert response.headers["Content-Digest"] == "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:"


async def test_an_answer_that_is_too_large_streams_on_without_a_signature():
    async with opened(HttpSignature, {"answers": {**SIGN, "max_body": "10B"}}) as live:
        response = await live(request(), answering(200, chunks=[b"x" * 8, b"y" * 8]))
        assert response.body.whole == b"x" * 8 + b"y" * 8
        assert "Signature" not in response.headers
        assert live.ports.value("http_signature_messages_total", "test", "http_signature", "unsigned") == 1


async def test_its_own_refusals_go_without_a_signature():
    response = await exchange(HttpSignature, {**VERIFY, "answers": SIGN}, request())
    assert (response.status, "Signature" in response.headers) == (401, False)


async def test_a_request_that_is_too_large_to_be_signed_is_refused():
    async with opened(HttpSignature, {"sign": {**SIGN, "max_body": "1B"}}, route="upstream:bank") as live:
        assert (await live(request("POST", "/", body=b"xx"))).status == 413


# -- properties --------------------------------------------------------------------------------------------------------


@examples(max_examples=60, deadline=None)
@given(st.text(alphabet='sig1=(")@path;created0keyid:A, ', max_size=80), st.text(alphabet="sig1=:A, ", max_size=40))
async def test_no_field_breaks_it(inputs, values):
    response = await exchange(HttpSignature, VERIFY, request(headers={"Signature-Input": inputs, "Signature": values}))
    assert response.status == 401


@examples(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 10_000))
async def test_any_flipped_bit_is_noticed(body, place):
    async with opened(HttpSignature, VERIFY) as live:
        made = signed(body or b"x", now=live.ports.clock.time())
        assert (await live(asked(made))).status == 200
        bits = bytearray(body or b"x")
        bits[place % len(bits)] ^= 1 << place % 8
        assert (await live(asked(made, body=bytes(bits)))).status == 400
