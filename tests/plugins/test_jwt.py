"""jwt: who gets in, who does not, and what the target learns of the caller."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.chain import AnyOf
from gateway.http import Principal
from gateway.plugin import Authenticator, Context, Settings
from gateway.testing import answering, exchange, opened, ports, request, settings_of
from plugins.jwt import Jwt

NOW = 1_800_000_000
SECRET = "a secret of thirty-two bytes or more"
HMAC = {"issuer": "https://id.test", "audience": "orders", "algorithms": ["HS256"], "secrets": [SECRET]}
EXAMPLE = {"issuers": [HMAC]}


def trusting(signer, *kids, **more):
    """Settings for one issuer with given keys. ``principal`` and other keys of the issuer may be replaced."""
    plugin = {key: more.pop(key) for key in ("claims_to_headers", "from", "hide", "realm", "max_size") if key in more}
    issuer = {"issuer": "https://id.test", "audience": "orders", "jwks": signer.jwks(*kids), **more}
    return {"issuers": [issuer], **plugin}


def bearer(token, **more):
    return request(headers={"Authorization": f"Bearer {token}"}, **more)


def challenge_of(response):
    return response.headers["WWW-Authenticate"]


# -- who gets in -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kid", "algorithm"),
    [("rsa", "RS256"), ("rsa", "RS512"), ("rsa", "PS256"), ("p256", "ES256"), ("p384", "ES384"), ("ed", "EdDSA")],
)
async def test_a_good_token(signer, kid, algorithm):
    target = answering(200)
    given = trusting(signer, kid, algorithms=[algorithm])
    response = await exchange(Jwt, given, bearer(signer.token(kid=kid, alg=algorithm)), target)
    assert response.status == 200
    assert target.request.principal.id == "ada"


async def test_a_good_token_under_a_shared_secret(signer):
    target = answering(200)
    response = await exchange(Jwt, EXAMPLE, bearer(signer.token(kid=None, key=SECRET.encode(), alg="HS256")), target)
    assert (response.status, target.request.principal.id) == (200, "ada")


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        pytest.param({"aud": ["billing", "orders"]}, {}, id="one of several audiences is us"),
        pytest.param({"aud": "billing"}, {"audience": ["orders", "billing"]}, id="one of ours is the audience"),
        pytest.param({"exp": NOW - 29}, {}, id="expired within the leeway"),
        pytest.param({"nbf": NOW + 30}, {}, id="not valid yet within the leeway"),
        pytest.param({"iat": None}, {}, id="no iat, short enough from now"),
        pytest.param({"exp": NOW + 86400 * 9}, {"max_lifetime": "off"}, id="any lifetime where that is off"),
        pytest.param({"exp": NOW + 300.5}, {}, id="a fraction of a second"),
        pytest.param(
            {"aud": None, "client_id": "app", "token_use": "access"},
            {"audience": [], "match": {"client_id": ["other", "app"], "token_use": "access"}},
            id="no aud, client_id and token_use match, as Cognito's",
        ),
        pytest.param({"groups": ["x", "y"]}, {"match": {"groups": "y"}}, id="one member of a list matches"),
        pytest.param({"a": {"b": True}}, {"match": {"a.b": True}}, id="a claim within a claim matches"),
    ],
)
async def test_claims_that_do(signer, changes, rules):
    response = await exchange(Jwt, trusting(signer, **rules), bearer(signer.token(**changes)))
    assert response.status == 200, response.error.reason


# -- attacks: each row is one, and what it gets -----------------------------------------------------------------------


ATTACKS = {
    "unsigned, alg none": lambda s: s.signed({"alg": "none"}, json.dumps(s.claims()), b"x").rsplit(".", 1)[0] + ".",
    "alg NoNe with a signature": lambda s: s.signed({"alg": "NoNe"}, json.dumps(s.claims()), b"x"),
    "the signature cut off": lambda s: s.token().rsplit(".", 1)[0] + ".",
    "the public key as an HMAC secret": lambda s: s.token(key=s.pem("rsa").encode(), alg="HS256"),
    "another algorithm of the same key": lambda s: s.token(alg="PS256"),
    "an algorithm nobody has": lambda s: s.signed({"alg": "XX999", "kid": "rsa"}, json.dumps(s.claims()), b"x"),
    "alg is no text": lambda s: s.signed({"alg": ["RS256"]}, json.dumps(s.claims()), b"x"),
    "no alg": lambda s: s.token().replace(s.token().split(".")[0], "e30"),
    "another key under a known kid": lambda s: s.token(kid="rsa", key=s.private["rsa2"]),
    "brings its key (jwk)": lambda s: s.token(kid="rsa", key=s.private["rsa2"], header={"jwk": s.jwk("rsa2")}),
    "says where its key is (jku)": lambda s: s.token(header={"jku": "https://evil.test/jwks"}),
    "says where its key is (x5u)": lambda s: s.token(header={"x5u": "https://evil.test/cert"}),
    "brings its certificate (x5c)": lambda s: s.token(header={"x5c": ["MIIB"]}),
    "an extension that must be understood": lambda s: s.token(header={"crit": ["exp"], "exp": 1}),
    "crit is empty": lambda s: s.token(header={"crit": []}),
    "an unencoded payload (b64)": lambda s: s.token(header={"b64": False}),
    "an encrypted token": lambda s: "e30.a.b.c.d",
    "a kid that is a path": lambda s: s.token(kid=None, header={"kid": "../../../dev/null"}),
    "a kid that is SQL": lambda s: s.token(kid=None, header={"kid": "x' UNION SELECT 'secret"}),
    "a kid that is a list": lambda s: s.token(kid=None, header={"kid": ["rsa"]}),
    "an endless kid": lambda s: s.token(kid=None, header={"kid": "k" * 600}),
    "another type of token": lambda s: s.token(header={"typ": "logout+jwt"}),
    "typ is no text": lambda s: s.token(header={"typ": 1}),
    "another issuer": lambda s: s.token(iss="https://evil.test"),
    "the issuer with a slash more": lambda s: s.token(iss="https://id.test/"),
    "no issuer": lambda s: s.token(iss=None),
    "issuer is a list": lambda s: s.token(iss=["https://id.test"]),
    "another audience": lambda s: s.token(aud="billing"),
    "no audience": lambda s: s.token(aud=None),
    "a longer audience": lambda s: s.token(aud="orders2"),
    "expired": lambda s: s.token(exp=NOW - 30),
    "no exp": lambda s: s.token(exp=None),
    "exp is text": lambda s: s.token(exp=str(NOW + 300)),
    "exp is true": lambda s: s.token(exp=True),
    "exp is beyond all numbers": lambda s: s.token(exp=10**400),
    "exp is negative": lambda s: s.token(exp=-1),
    "exp is NaN": lambda s: s.signed(
        {"alg": "RS256", "kid": "rsa"}, json.dumps(s.claims(exp=float("nan"))), s.private["rsa"]
    ),
    "not valid yet": lambda s: s.token(nbf=NOW + 31),
    "issued in the future": lambda s: s.token(iat=NOW + 31),
    "lives too long": lambda s: s.token(exp=NOW + 86401),
    "lives too long and hides when it was issued": lambda s: s.token(iat=None, exp=NOW + 86401),
    "nobody in it": lambda s: s.token(sub=None),
    "nobody's name in it": lambda s: s.token(sub=""),
    "a subject that is no text": lambda s: s.token(sub={"$ne": 1}),
    "a line break in the subject": lambda s: s.token(sub="ada\r\nX-Admin: 1"),
    "an endless subject": lambda s: s.token(sub="a" * 600),
    "a claim twice": lambda s: s.signed(
        {"alg": "RS256", "kid": "rsa"},
        json.dumps(s.claims())[:-1] + ', "sub": "root"}',
        s.private["rsa"],
    ),
    "claims that are a list": lambda s: s.signed({"alg": "RS256", "kid": "rsa"}, "[1]", s.private["rsa"]),
    "claims nested without end": lambda s: s.signed({"alg": "RS256", "kid": "rsa"}, "[" * 5000, s.private["rsa"]),
    "larger than anybody needs": lambda s: s.token(x="x" * 13000),
    "changed claims": lambda s: ".".join(
        [s.token().split(".")[0], s.token(sub="root").split(".")[1], s.token().split(".")[2]]
    ),
    "two parts": lambda s: ".".join(s.token().split(".")[:2]),
    "four parts": lambda s: s.token() + ".e30",
    "five hundred dots": lambda s: "." * 500,
    "not base64": lambda s: s.token()[:-4] + "!!!!",
    "padding": lambda s: s.token() + "==",
    "the same bits in another spelling": lambda s: s.token()[:-1] + _next_spelling(s.token()[-1]),
    "letters of other alphabets": lambda s: s.token() + "é",
    "not a token at all": lambda s: "sesame",
}


def _next_spelling(last: str) -> str:
    """256 bytes end in a letter whose low bits mean nothing: a lax reader takes sixteen letters for the same."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return letters[letters.index(last) + 1]


@pytest.mark.parametrize("attack", [pytest.param(make, id=name) for name, make in ATTACKS.items()])
async def test_an_attack_gets_a_401_and_no_hint(signer, attack):
    target = answering(200)
    response = await exchange(Jwt, trusting(signer, "rsa"), bearer(attack(signer)), target)
    assert (response.status, response.error.code, target.calls) == (401, "invalid_token", 0)
    said = "has expired" if response.error.reason == "expired" else "is not valid here"
    assert challenge_of(response) == f'Bearer realm="test", error="invalid_token", error_description="The token {said}"'


@pytest.mark.parametrize("attack", [pytest.param(make, id=name) for name, make in ATTACKS.items()])
async def test_an_attack_says_nothing_of_itself_in_the_log(signer, attack):
    token = attack(signer)
    response = await exchange(Jwt, trusting(signer, "rsa"), bearer(token))
    for part in ["evil.test", "SELECT", "dev/null", *(each for each in token.split(".") if len(each) > 5)]:
        assert part not in response.error.reason


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        pytest.param([("Authorization", "Bearer a.b.c"), ("Authorization", "Bearer a.b.c")], "/", id="two fields"),
        pytest.param([("Authorization", "Basic YTpi"), ("authorization", "Bearer a.b.c")], "/", id="Basic beside it"),
        pytest.param([("Authorization", "Bearer a.b.c, Bearer d.e.f")], "/", id="two in one field"),
        pytest.param([("Authorization", "Bearer a.b.c d.e.f")], "/", id="a space within"),
        pytest.param([("Authorization", "Bearer")], "/", id="none behind the scheme"),
        pytest.param([("Authorization", "Bearer a.b.c"), ("Cookie", "t=d.e.f")], "/", id="a cookie as well"),
        pytest.param([("Cookie", "t=d.e.f; t=a.b.c")], "/", id="two cookies"),
        pytest.param([("Authorization", "Bearer a.b.c")], "/?q=d.e.f", id="in the query as well"),
        pytest.param([], "/?q=d.e.f&%71=a.b.c", id="two in the query, one disguised"),
    ],
)
async def test_credentials_that_could_be_read_in_two_ways(signer, headers, path):
    given = trusting(signer, **{"from": {"cookie": "t", "query": "q"}})
    target = answering(200)
    response = await exchange(Jwt, given, request(path=path, headers=headers), target)
    assert (response.status, response.error.code, target.calls) == (400, "invalid_request", 0)
    assert challenge_of(response) == 'Bearer realm="test", error="invalid_request"'


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(junk=st.text(min_size=1, max_size=80).filter(str.isprintable))
async def test_no_text_gets_in_or_breaks_it(signer, junk):
    response = await exchange(Jwt, EXAMPLE, request(headers={"Authorization": f"Bearer {junk}"}))
    assert response.status in (400, 401)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
async def test_a_token_with_one_letter_changed_does_not_hold(signer, data):
    token = signer.token(kid=None, key=SECRET.encode(), alg="HS256")
    at = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCDEFabcdef0123456789-_."))
    if letter != token[at]:
        response = await exchange(Jwt, EXAMPLE, bearer(token[:at] + letter + token[at + 1 :]))
        assert response.status == 401


# -- no credentials ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"Authorization": "Basic YTpi"}, id="another scheme"),
        pytest.param({"Cookie": "token=a.b.c"}, id="a cookie nobody asked for"),
    ],
)
async def test_no_credentials_are_asked_for(signer, headers):
    response = await exchange(Jwt, trusting(signer, realm="shop"), request(path="/?token=a.b.c", headers=headers))
    assert (response.status, response.error.code) == (401, "unauthorized")
    assert challenge_of(response) == 'Bearer realm="shop"'


# -- where tokens stand, and hiding them -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("places", "headers", "path", "left"),
    [
        pytest.param({}, {"Authorization": "bearer  T"}, "/", {}, id="the scheme in any case"),
        pytest.param({"cookie": "t"}, {"Cookie": "a=1; t=T; b=2"}, "/", {"Cookie": "a=1; b=2"}, id="a cookie"),
        pytest.param({"cookie": "t"}, {"Cookie": "t=T"}, "/", {}, id="the only cookie"),
        pytest.param({"header": "X-Assertion"}, {"X-Assertion": "T"}, "/", {}, id="a field of its own"),
        pytest.param(
            {"header": "off", "query": "t"},
            {"Authorization": "Basic x"},
            "/?a=1&t=T&b=%20",
            {"Authorization": "Basic x"},
            id="the query",
        ),
    ],
)
async def test_places(signer, places, headers, path, left):
    token, target = signer.token(), answering(200)
    given = trusting(signer, hide=True, **{"from": places})
    headers = {name: value.replace("T", token) for name, value in headers.items()}
    response = await exchange(Jwt, given, request(path=path.replace("T", token), headers=headers), target)
    assert response.status == 200, response.error.reason
    sent = {name: value for name, value in target.request.headers.items() if name != "Host"}
    assert sent == left
    assert target.request.query == ("a=1&b=%20" if "?" in path else "")


async def test_the_token_goes_on_unless_hidden(signer):
    token, target = signer.token(), answering(200)
    await exchange(Jwt, trusting(signer), bearer(token), target)
    assert target.request.headers["Authorization"] == f"Bearer {token}"
    assert not target.request.edited


# -- who the caller is -------------------------------------------------------------------------------------------------


async def test_the_principal(signer):
    paths = {
        "id": ["uid", "sub"],
        "prefix": "id:",
        "tenant": "https://id.test/org",
        "roles": "realm_access.roles",
        "rate_class": "plan",
    }
    token = signer.token(
        scope="read write", realm_access={"roles": ["admin", 7]}, plan="gold", **{"https://id.test/org": "acme"}
    )
    target = answering(200)
    await exchange(Jwt, trusting(signer, principal=paths), bearer(token), target)
    found = target.request.principal
    assert (found.id, found.tenant, found.rate_class) == ("id:ada", "acme", "gold")
    assert (found.roles, found.scopes) == ({"admin"}, {"read", "write"})
    assert found.claims["plan"] == "gold"
    assert found.expires == found.claims["exp"]


async def test_claims_become_headers_and_what_clients_send_does_not(signer):
    given = trusting(
        signer, claims_to_headers={"X-User": "sub", "X-Roles": "roles", "X-Mail": "email", "X-Bad": "note"}
    )
    token = signer.token(roles=["a", "b"], note="x\r\ny: z")
    forged = [
        ("Authorization", f"Bearer {token}"),
        ("x-user", "root"),
        ("X-User", "root"),
        ("X_User", "root"),
        ("X-Mail", "root@x"),
        ("X-Bad", "1"),
        ("Connection", "close, X-User"),
    ]
    target = answering(200)
    await exchange(Jwt, given, request(headers=forged), target)
    sent = [(name, value) for name, value in target.request.headers.items() if name not in ("Host", "Authorization")]
    assert sent == [("X-User", "ada"), ("X-Roles", "a,b")]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer a.b.c"}])
async def test_forged_headers_go_in_shadow_mode_too(signer, headers):
    target = answering(200)
    given = trusting(signer, claims_to_headers={"X-User": "sub"})
    await exchange(Jwt, given, request(headers={**headers, "X-User": "root"}), target, mode="shadow")
    assert "X-User" not in target.request.headers
    assert target.request.principal is None


async def test_forged_headers_go_where_another_member_of_any_knew_the_caller(signer):
    class Everybody(Authenticator[Settings]):
        async def authenticate(self, _request):
            return Principal("guest")

        def challenge(self):
            return "Guest"

    context = Context(ports(), route="test", plugin="any", id="any")
    jwt = Jwt(settings_of(Jwt, trusting(signer, claims_to_headers={"X-User": "sub"})), context)
    both = AnyOf([Everybody(Settings(), context), jwt], context)
    target = answering(200)
    await both(request(headers={"X-User": "root"}), target)
    assert (target.request.principal.id, "X-User" in target.request.headers) == ("guest", False)


async def test_shadow_still_says_who_it_is(signer):
    target = answering(200)
    await exchange(Jwt, trusting(signer), bearer(signer.token()), target, mode="shadow")
    assert target.request.principal.id == "ada"


# -- several issuers ---------------------------------------------------------------------------------------------------


def two_issuers(signer):
    first = {"issuer": "https://one.test", "audience": "orders", "jwks": signer.jwks("rsa")}
    second = {
        "issuer": "https://two.test",
        "audience": "orders",
        "algorithms": ["ES256"],
        "jwks": {"keys": [{**signer.jwk("p256"), "kid": "rsa"}]},
    }
    return {"issuers": [first, second]}


@pytest.mark.parametrize(
    ("issuer", "kid", "algorithm", "status"),
    [
        ("https://one.test", "rsa", "RS256", 200),
        ("https://two.test", "p256", "ES256", 200),
        pytest.param("https://two.test", "rsa", "RS256", 401, id="the first issuer's key for the second's name"),
        pytest.param("https://one.test", "p256", "ES256", 401, id="the second issuer's key for the first's name"),
    ],
)
async def test_each_issuer_has_its_own_keys_and_algorithms(signer, issuer, kid, algorithm, status):
    token = signer.token(kid="rsa", key=signer.private[kid], alg=algorithm, iss=issuer)
    assert (await exchange(Jwt, two_issuers(signer), bearer(token))).status == status


# -- remembered tokens -------------------------------------------------------------------------------------------------


async def test_a_token_is_verified_once_and_remembered_until_it_expires(signer):
    async with opened(Jwt, trusting(signer)) as live:
        token = signer.token(exp=NOW + 60)
        for _ in range(3):
            assert (await live(bearer(token))).status == 200
        outcomes = [live.ports.value("jwt_tokens_total", "test", "jwt", each) for each in ("verified", "remembered")]
        assert outcomes == [1, 2]
        live.ports.clock.advance(89.9)
        assert (await live(bearer(token))).status == 200
        live.ports.clock.advance(0.2)
        assert (await live(bearer(token))).error.reason == "expired"
        assert len(live.plugin._remembered) == 0


async def test_what_does_not_hold_is_not_remembered(signer):
    async with opened(Jwt, trusting(signer)) as live:
        for _ in range(2):
            assert (await live(bearer(signer.token(aud="x")))).status == 401
        assert len(live.plugin._remembered) == 0


async def test_remembered_tokens_are_bounded_in_number_and_size(signer):
    async with opened(Jwt, {**trusting(signer), "remember": 2}) as live:
        first, second, third = (signer.token(jti=str(each)) for each in range(3))
        for token in (first, second, first, third):
            await live(bearer(token))
        assert list(live.plugin._remembered._by_text) == [f"Bearer {first}", f"Bearer {third}"]
        await live(bearer(signer.token(x="x" * 5000)))
        held = list(live.plugin._remembered._by_text)
        assert sum(map(len, held)) <= 2 * 4096
        assert live.plugin._remembered._room == 2 * 4096 - sum(map(len, held))


async def test_nothing_is_remembered_where_that_is_off(signer):
    async with opened(Jwt, {**trusting(signer), "remember": 0}) as live:
        for _ in range(2):
            assert (await live(bearer(signer.token()))).status == 200
        assert len(live.plugin._remembered) == 0


# -- warnings at load --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("issuers", "words"),
    [
        pytest.param([HMAC], [], id="nothing wrong"),
        pytest.param([HMAC, {**HMAC, "issuer": "b"}], ["same `sub`"], id="two issuers, one kind of id"),
        pytest.param(
            [
                {
                    "issuer": "http://id.test",
                    "audience": "a",
                    "discovery": True,
                }
            ],
            ["without TLS"],
            id="keys in the open",
        ),
        pytest.param(
            [{"issuer": "x", "audience": "a", "jwks": {"url": "http://127.0.0.1:1/"}}], [], id="in the open, but here"
        ),
    ],
)
def test_warnings(issuers, words):
    found = Jwt.check(settings_of(Jwt, {"issuers": issuers}))
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))


# -- where tokens are to be had ----------------------------------------------------------------------------------------


async def test_metadata_of_the_resource_is_published_and_pointed_to(signer):
    resource = {"resource": "https://api.test/orders", "scopes": ["read:orders"]}
    issuers = trusting(signer, "rsa")["issuers"]
    async with opened(Jwt, {"issuers": issuers, "resource": resource}) as live:
        (endpoint,) = live.plugin.endpoints()
        document = json.loads((await endpoint.handler(request(path=endpoint.path))).body.whole)
        assert document["authorization_servers"] == ["https://id.test"]
        assert document["bearer_methods_supported"] == ["header"]
        pointer = f'resource_metadata="https://api.test{endpoint.path}"'
        for asked in (request(), bearer(signer.token(aud="billing")), request(headers={"Authorization": "Bearer"})):
            assert pointer in challenge_of(await live(asked))
    async with opened(Jwt, {"issuers": issuers, "resource": {**resource, "serve": False}}) as live:
        assert live.plugin.endpoints() == ()
        assert pointer in challenge_of(await live(request()))
    async with opened(Jwt, {"issuers": issuers}) as live:
        assert live.plugin.endpoints() == ()
        assert "resource_metadata" not in challenge_of(await live(request()))
