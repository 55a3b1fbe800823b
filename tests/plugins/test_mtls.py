"""mtls: whose certificate lets in, what a proxy may say, what the target is told, and tokens bound to a certificate."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.chain import AnyOf
from gateway.http import Principal
from gateway.http.peer import Peer
from gateway.plugin import Context
from gateway.testing import answering, exchange, opened, ports, request, settings_of
from gateway.testing.authority import Authority
from plugins.api_key import ApiKey
from plugins.mtls import Mtls
from plugins.mtls.certificate import chain_field_of, field_of, read

NOW = dt.datetime.fromtimestamp(1_800_000_000, dt.UTC)  # what the test ports' clock says
DAY = dt.timedelta(days=1)
EXAMPLE = {}
ROOT = Authority("Root")


def issue(*names, begins=NOW - DAY, ends=NOW + DAY, by=ROOT, **more):
    return by.issue(*names, begins=begins, ends=ends, **more).der


ADA = issue("ada", uri=("spiffe://example.org/ns/prod/sa/web",), dns=("web.example.com",), email=("ada@example.com",))
EVE = issue("eve")
PRINT = read(ADA).fingerprint


def asking(der=None, *, chain=(), trusted=False, headers=(), principal=None, **more):
    made = request(headers=headers, principal=principal, **more)
    verified = {"subject": ()} if der is not None else None
    if verified is not None:
        verified["serialNumber"] = "01"
    made.peer = Peer(
        "192.0.2.1", 1, scheme="https", trusted=trusted, certificate=verified, chain=(der, *chain) if der else ()
    )
    return made


async def known(given, asked):
    target = answering(200)
    response = await exchange(Mtls, given, asked, target)
    assert response.status == 200, response.error.reason
    return target.request.principal


@pytest.mark.parametrize(
    ("given", "name"),
    [
        pytest.param({}, "spiffe://example.org/ns/prod/sa/web", id="the URI by default"),
        pytest.param({"identity": "dns"}, "web.example.com", id="the host"),
        pytest.param({"identity": ["email", "cn"]}, "ada@example.com", id="the address"),
        pytest.param({"identity": "cn"}, "ada", id="the common name"),
        pytest.param({"identity": "fingerprint"}, PRINT, id="the fingerprint"),
        pytest.param({"identity": "cn", "prefix": "cert:"}, "cert:ada", id="with something before it"),
        pytest.param({"clients": [{"cn": "ada", "id": "billing"}]}, "billing", id="another name here"),
        pytest.param(
            {"clients": [{"cn": "bob"}], "others": "allow"}, "spiffe://example.org/ns/prod/sa/web", id="others too"
        ),
    ],
)
async def test_who_it_is(given, name):
    assert (await known(given, asking(ADA))).id == name


async def test_what_a_client_is_given():
    client = {"dns": "*.example.com", "roles": ["r"], "scopes": ["s"], "tenant": "acme", "rate_class": "gold"}
    found = await known(
        {"clients": [{"cn": "ada", "dns": "other.test"}, client, {"cn": "ada", "id": "late"}]}, asking(ADA)
    )
    assert (found.tenant, found.roles, found.scopes, found.rate_class) == ("acme", {"r"}, {"s"}, "gold")
    assert found.claims["certificate"]["fingerprint"] == PRINT and found.claims["certificate"]["issuer"] == "CN=Root"
    assert found.expires == (NOW + DAY).timestamp()


@pytest.mark.parametrize(
    ("client", "fits"),
    [
        pytest.param({"uri": "spiffe://example.org/ns/prod/sa/web"}, True, id="a URI"),
        pytest.param({"uri": "spiffe://example.org/ns/prod/"}, True, id="below a URI"),
        pytest.param({"uri": "spiffe://example.org/ns/pro"}, False, id="a beginning is not all"),
        pytest.param({"uri": "spiffe://example.org/ns/prod/sa/web/"}, False, id="it is not below itself"),
        pytest.param({"uri": "spiffe://Example.org/ns/prod/sa/web"}, False, id="case counts in URIs"),
        pytest.param({"dns": "WEB.example.com"}, True, id="a host in any case"),
        pytest.param({"dns": "*.example.com"}, True, id="a sub-domain"),
        pytest.param({"dns": "*.com"}, False, id="of one label only"),
        pytest.param({"dns": "example.com"}, False, id="not the domain itself"),
        pytest.param({"email": "@EXAMPLE.com"}, True, id="an address in a domain"),
        pytest.param({"email": "Ada@example.com"}, False, id="case counts before the @"),
        pytest.param({"email": "@ample.com"}, False, id="half a domain"),
        pytest.param({"cn": ["bob", "ada"]}, True, id="one of the names"),
        pytest.param({"cn": "Ada"}, False, id="case counts in names"),
        pytest.param({"cn": "web.example.com"}, False, id="a host is no name"),
        pytest.param({"fingerprint": PRINT.upper()}, True, id="a fingerprint"),
        pytest.param({"fingerprint": read(EVE).fingerprint}, False, id="another's"),
        pytest.param({"issuer": "CN=Root"}, True, id="who signed it"),
        pytest.param({"issuer": "CN=Other", "cn": "ada"}, False, id="the name of one that another signed"),
    ],
)
async def test_clients(client, fits):
    response = await exchange(Mtls, {"clients": [client]}, asking(ADA))
    assert response.status == (200 if fits else 403)
    if not fits:
        assert response.error.code == "certificate_refused"
        assert b"spiffe" not in response.body.whole


SPIFFE = {"clients": [{"uri": "spiffe://example.org/ns/prod/"}]}


@pytest.mark.parametrize(
    ("given", "der", "status", "reason"),
    [
        pytest.param({}, None, 401, "no credentials", id="no certificate"),
        pytest.param({}, issue("x", ends=NOW), 401, "expired", id="expired this second"),
        pytest.param({}, issue("x", begins=NOW + DAY, ends=NOW + 2 * DAY), 401, "not valid yet", id="of tomorrow"),
        pytest.param(
            {}, b"\x30\x03junk", 401, "a certificate that cannot be read (ValueError)", id="not a certificate"
        ),
        pytest.param(
            {},
            issue(ip=("192.0.2.1",)),
            403,
            "the certificate has none of the names in `identity`",
            id="without a name",
        ),
        pytest.param(
            {"identity": "cn"},
            issue("eve", "ada"),
            403,
            "the certificate has none of the names in `identity`",
            id="two names",
        ),
        pytest.param(
            {"clients": [{"cn": "ada"}]},
            issue("eve", "ada"),
            403,
            "eve is none of `clients`",
            id="a second name that is let in",
        ),
        pytest.param({}, issue(uri=("spiffe://a/b", "spiffe://a/c")), 403, "more than one SPIFFE id", id="two ids"),
        pytest.param(SPIFFE, issue(uri=("spiffe://example.org/ns/prod/../dev",)), 403, None, id="a way up in an id"),
        pytest.param(SPIFFE, issue(uri=("spiffe://example.org/ns/prod/%2e%2e/dev",)), 403, None, id="an encoded one"),
        pytest.param(
            SPIFFE, issue(uri=("spiffe://example.org.evil.test/ns/prod/x",)), 403, None, id="another trust domain"
        ),
        pytest.param(SPIFFE, issue("spiffe://example.org/ns/prod/x"), 403, None, id="an id as common name"),
        pytest.param(
            {"clients": [{"dns": "*.example.com"}]}, issue(dns=("*.example.com",)), 403, None, id="a star of its own"
        ),
        pytest.param(
            {"clients": [{"dns": "web.example.com"}]}, issue("web.example.com"), 403, None, id="a host as common name"
        ),
        pytest.param(
            {"clients": [{"cn": "ada"}]},
            issue("ada\u200b"),
            401,
            "names that no honest certificate has",
            id="a name with nothing in it",
        ),
        pytest.param({"deny": [PRINT]}, ADA, 403, "the certificate is on the deny list", id="denied"),
        pytest.param(
            {"deny": [PRINT], "clients": [{"cn": "ada"}]},
            ADA,
            403,
            "the certificate is on the deny list",
            id="denied first",
        ),
    ],
)
async def test_attacks(given, der, status, reason):
    target = answering(200)
    response = await exchange(Mtls, given, asking(der), target)
    assert (response.status, target.calls) == (status, 0)
    assert reason is None or response.error.reason == reason
    assert ("WWW-Authenticate" in response.headers) is (status == 401)


async def test_a_connection_that_outlives_its_certificate():
    async with opened(Mtls, {}) as live:
        assert (await live(asking(ADA))).status == 200
        live.ports.clock.advance(86_400)
        response = await live(asking(ADA))
        assert (response.status, response.error.reason) == (401, "expired")


async def test_a_certificate_that_was_not_verified_is_none():
    asked = asking(ADA)
    asked.peer.certificate = None
    assert (await exchange(Mtls, {}, asked)).status == 401


async def test_no_more_are_remembered_than_may_be():
    async with opened(Mtls, {}) as live:
        live.plugin._owners.update({bytes([1, *divmod(number, 256)]): None for number in range(1024)})
        await live(asking(ADA))
        assert len(live.plugin._owners) == 1024 and ADA in live.plugin._owners


# -- what proxies say, and what the target is told ---------------------------------------------------------------------

PROXY = {"from_proxy": True, "identity": "cn"}
TOLD = {"Client-Cert": field_of(ADA), "Client-Cert-Chain": chain_field_of((ROOT.der,))}


@pytest.mark.parametrize(
    ("given", "asked", "name"),
    [
        pytest.param(PROXY, asking(trusted=True, headers=TOLD), "ada", id="a trusted proxy's word"),
        pytest.param(PROXY, asking(EVE, trusted=True, headers=TOLD), "ada", id="not the proxy's own certificate"),
        pytest.param(PROXY, asking(EVE, trusted=True), 401, id="though it says nothing"),
        pytest.param(PROXY, asking(EVE, headers=TOLD), "eve", id="anybody else is who the connection says"),
        pytest.param(PROXY, asking(headers=TOLD), 401, id="or nobody"),
        pytest.param(
            {"identity": "cn"}, asking(trusted=True, headers=TOLD), 401, id="no word is taken unless that is wanted"
        ),
        pytest.param(
            {"identity": "cn"}, asking(EVE, trusted=True, headers=TOLD), "eve", id="then the connection counts"
        ),
        pytest.param(
            PROXY, asking(trusted=True, headers=[*TOLD.items(), ("client-cert", field_of(EVE))]), 401, id="said twice"
        ),
        pytest.param(
            PROXY, asking(trusted=True, headers={"Client-Cert": f"{field_of(ADA)}, {field_of(EVE)}"}), 401, id="a list"
        ),
        pytest.param(PROXY, asking(trusted=True, headers={"Client-Cert": "ada"}), 401, id="not a certificate"),
        pytest.param(PROXY, asking(trusted=True, headers={"Client-Cert": ""}), 401, id="empty"),
        pytest.param(
            PROXY, asking(trusted=True, headers={**TOLD, "Client-Cert-Chain": "x"}), 401, id="a chain that is none"
        ),
        pytest.param(PROXY, asking(trusted=True, headers={"Client_Cert": field_of(ADA)}), 401, id="another spelling"),
        pytest.param(
            PROXY, asking(trusted=True, headers={"Client-Cert": field_of(issue("x", ends=NOW))}), 401, id="expired"
        ),
        pytest.param(
            {**PROXY, "clients": [{"cn": "eve"}]}, asking(trusted=True, headers=TOLD), 403, id="one not let in"
        ),
    ],
)
async def test_what_proxies_say(given, asked, name):
    target = answering(200)
    response = await exchange(Mtls, given, asked, target)
    assert (target.request.principal.id if response.status == 200 else response.status) == name
    if target.calls:
        assert not {each for each in target.request.headers if each.lower().startswith("client")}


@pytest.mark.parametrize(
    ("given", "asked", "told"),
    [
        pytest.param({}, asking(ADA, headers=TOLD), {}, id="nothing"),
        pytest.param(
            {"forward": "certificate"},
            asking(ADA, chain=(ROOT.der,)),
            {"Client-Cert": field_of(ADA)},
            id="the certificate",
        ),
        pytest.param({"forward": "chain"}, asking(ADA, chain=(ROOT.der,)), TOLD, id="the chain"),
        pytest.param({"forward": "chain"}, asking(ADA), {"Client-Cert": field_of(ADA)}, id="a chain of one"),
        pytest.param(
            {"forward": "chain"},
            asking(ADA, headers={"Client-Cert": "x", "client_cert_chain": "y"}),
            {"Client-Cert": field_of(ADA)},
            id="never the client's own",
        ),
        pytest.param({**PROXY, "forward": "chain"}, asking(trusted=True, headers=TOLD), TOLD, id="a proxy's"),
        pytest.param(
            {},
            asking(ADA, headers={"X-Forwarded-Client-Cert": "x", "X_Forwarded_Client_Cert": "y"}),
            {},
            id="nor other fields",
        ),
    ],
)
async def test_what_the_target_is_told(given, asked, told):
    target = answering(200)
    assert (await exchange(Mtls, given, asked, target)).status == 200
    assert {each: value for each, value in target.request.headers.items() if each != "Host"} == told


# -- tokens bound to a certificate (RFC 8705) --------------------------------------------------------------------------


def token(thumbprint=None, **cnf):
    confirmed = {**cnf, **({"x5t#S256": thumbprint} if thumbprint is not None else {})}
    return Principal("bob", claims={"cnf": confirmed} if confirmed else {})


MINE, OTHERS = token(read(ADA).thumbprint), token(read(EVE).thumbprint)


@pytest.mark.parametrize(
    ("bound", "der", "principal", "reason"),
    [
        pytest.param("required", ADA, MINE, None, id="bound to this one"),
        pytest.param("required", ADA, OTHERS, "the token is bound to another certificate", id="a stolen token"),
        pytest.param(
            "required", None, MINE, "the token is bound to a certificate, and there is none", id="without certificate"
        ),
        pytest.param("required", ADA, token(), "the token is bound to no certificate", id="not bound"),
        pytest.param(
            "required", ADA, token(jkt="x"), "the token is bound to no certificate", id="bound to another thing"
        ),
        pytest.param("required", ADA, token("\u00e9"), "the token is bound to another certificate", id="not ASCII"),
        pytest.param("required", ADA, token(17), "the token is bound to another certificate", id="a number"),
        pytest.param(
            "required", ADA, token(read(ADA).thumbprint + "="), "the token is bound to another certificate", id="padded"
        ),
        pytest.param(
            "required",
            ADA,
            Principal("bob", claims={"cnf": "x"}),
            "the token is bound to no certificate",
            id="cnf that is none",
        ),
        pytest.param("required", ADA, None, "no token", id="no token"),
        pytest.param("required", issue("x", ends=NOW), MINE, "expired", id="a certificate that has expired"),
        pytest.param("present", None, token(), None, id="neither, where that may be"),
        pytest.param("present", ADA, token(), None, id="a token that is not bound, where that may be"),
        pytest.param("present", ADA, OTHERS, "the token is bound to another certificate", id="a stolen token there"),
        pytest.param(
            "present", None, MINE, "the token is bound to a certificate, and there is none", id="or without certificate"
        ),
    ],
)
async def test_bound_tokens(bound, der, principal, reason):
    target = answering(200)
    response = await exchange(Mtls, {"bound_tokens": bound}, asking(der, principal=principal), target)
    if reason is None:
        assert response.status == 200 and target.request.principal is principal
    else:
        assert (response.status, response.error.reason, target.calls) == (401, reason, 0)
        assert "WWW-Authenticate" in response.headers
    if reason is not None and "bound" in reason:
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="test", error="invalid_token"'
        assert response.error.code == "token_not_bound"


async def test_bound_tokens_more():
    target = answering(200)
    given = {"bound_tokens": "present", "identity": "cn", "forward": "certificate"}
    await exchange(Mtls, given, asking(ADA), target)
    assert target.request.principal.id == "ada"  # nobody was named before
    await exchange(Mtls, given, asking(ADA, principal=MINE, headers={"Client-Cert": "x"}), target)
    assert target.request.headers.getall("Client-Cert") == [field_of(ADA)]
    denied = await exchange(Mtls, {"bound_tokens": "required", "deny": [PRINT]}, asking(ADA, principal=MINE), target)
    assert denied.status == 403
    async with opened(Mtls, {"bound_tokens": "required"}, mode="shadow") as live:
        asked = asking(ADA, principal=OTHERS, headers=TOLD)
        assert (await live(asked, target)).status == 200
        assert live.ports.would_refuse == ["token_not_bound"]
        assert "Client-Cert" not in target.request.headers


# -- with others -------------------------------------------------------------------------------------------------------


async def test_shadow_lets_everybody_through_and_still_knows_who_it_is():
    target = answering(200)
    async with opened(Mtls, {"clients": [{"cn": "ada"}], "identity": "cn"}, mode="shadow") as live:
        assert (await live(asking(EVE, headers=TOLD), target)).status == 200
        assert target.request.principal is None and "Client-Cert" not in target.request.headers
        assert (await live(asking(ADA), target)).status == 200
        assert target.request.principal.id == "ada"
        assert live.ports.would_refuse == ["certificate_refused"]


async def test_within_any_the_challenges_are_one(tmp_path):
    (tmp_path / "keys.yaml").write_text("keys: []")
    given_ports = ports()

    def member(kind, given, name):
        return kind(settings_of(kind, given), Context(given_ports, route="test", plugin=name, id=name))

    # Whoever strips first must not take from the other what a proxy said.
    members = [
        member(Mtls, {"clients": [{"cn": "nobody"}]}, "mtls"),
        member(ApiKey, {"keys": {"file": str(tmp_path / "keys.yaml")}}, "api_key"),
        member(Mtls, PROXY, "mtls"),
    ]
    both = AnyOf(members, Context(given_ports, route="test", plugin="any", id="any"))
    asked = asking(trusted=True, headers=TOLD)
    both.cleanse(asked)
    assert (await both.authenticate(asked)).id == "ada"
    assert "Client-Cert" not in asked.headers
    assert both.challenge() == 'ClientCertificate realm="test", ApiKey realm="test"'
    await given_ports.close()


@settings(max_examples=100, deadline=None)
@given(noise=st.text(max_size=80), chain=st.none() | st.text(max_size=40))
async def test_no_other_text_gets_in(noise, chain):
    headers = {"Client-Cert": noise, **({"Client-Cert-Chain": chain} if chain is not None else {})}
    try:
        asked = asking(trusted=True, headers=headers)
    except UnicodeEncodeError:
        return
    assert (await exchange(Mtls, PROXY, asked)).status == 401


@pytest.mark.parametrize(("bound", "key"), [("off", ""), ("present", "bound_tokens"), ("required", "bound_tokens")])
def test_tokens_are_judged_by_an_entry_of_its_own(bound, key):
    """In `any:` nobody would look at them again."""
    assert Mtls.alone(settings_of(Mtls, {"bound_tokens": bound})) == key
