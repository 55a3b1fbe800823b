"""tenant: where it is read, what is believed, what is refused, and what is kept apart by it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.http import Principal
from gateway.testing import answering, exchange, opened, request, settings_of
from plugins.tenant import Normal, Tenant

EXAMPLE = {"sources": [{"host": "{tenant}.example.com"}, {"header": "X-Tenant"}, {"path": "/t/{tenant}/"}]}
HOST = {"sources": [{"host": "{tenant}.example.com"}]}
HEADER = {"sources": [{"header": "X-Tenant"}]}
PATH = {"sources": [{"path": "/t/{tenant}/"}]}
BOTH = {"sources": [{"principal": True}, {"header": "X-Tenant"}]}
CLAIM = {"sources": [{"claim": "org.id"}]}


def ada(tenant=None, **claims):
    return Principal("ada", tenant=tenant, claims=claims)


async def found(given_settings, asked, **more):
    """The status, the error's code and the tenant that the target sees."""
    target = answering(200)
    response = await exchange(Tenant, given_settings, asked, target, **more)
    return response.status, response.error.code if response.error else target.request.tenant


@pytest.mark.parametrize(
    ("given_settings", "asked", "tenant"),
    [
        pytest.param(HOST, {"host": "acme.example.com"}, "acme", id="a sub-domain"),
        pytest.param(HOST, {"host": "ACME.Example.com:8443"}, "acme", id="in capitals, with a port"),
        pytest.param(HOST, {"host": "acme.example.com."}, "acme", id="a fully qualified name"),
        pytest.param(
            {"sources": [{"host": "api-{tenant}.example.com"}]},
            {"host": "api-acme.example.com"},
            "acme",
            id="a part of a label",
        ),
        pytest.param(HEADER, {"headers": {"x-tenant": " Acme "}}, "acme", id="a header"),
        pytest.param({**HEADER, "keep_case": True}, {"headers": {"x-tenant": "Acme"}}, "Acme", id="case that is kept"),
        pytest.param(PATH, {"path": "/t/acme/orders"}, "acme", id="a segment"),
        pytest.param(PATH, {"path": "/t/acme"}, "acme", id="the last segment"),
        pytest.param(
            {"sources": [{"parameter": "org"}]}, {"params": {"org": "acme"}}, "acme", id="a parameter of the route"
        ),
        pytest.param(CLAIM, {"principal": ada(org={"id": "acme"})}, "acme", id="a claim"),
        pytest.param(CLAIM, {"principal": ada(org={"id": 17})}, "17", id="a claim that is a number"),
        pytest.param(CLAIM, {"principal": ada(org={"id": ["acme"]})}, "acme", id="a claim that is a list of one"),
        pytest.param({}, {"principal": ada("acme")}, "acme", id="the caller's"),
        pytest.param(
            EXAMPLE, {"host": "acme.example.com", "headers": {"X-Tenant": "ACME"}}, "acme", id="two that agree"
        ),
        pytest.param(
            {**EXAMPLE, "agree": False},
            {"host": "acme.example.com", "headers": {"X-Tenant": "b"}},
            "acme",
            id="the first of two",
        ),
        pytest.param({**HEADER, "required": False}, {}, None, id="nobody's"),
        pytest.param({**BOTH, "required": False}, {}, None, id="nobody's and nobody"),
        pytest.param(
            {**BOTH, "unverified": True}, {"headers": {"X-Tenant": "acme"}}, "acme", id="the client's word, by choice"
        ),
        pytest.param(
            {**HEADER, "map": {"acme-corp": "t17"}}, {"headers": {"X-Tenant": "Acme-Corp"}}, "t17", id="by another name"
        ),
        pytest.param(
            {**HEADER, "map": {"acme-corp": "t17"}}, {"headers": {"X-Tenant": "t17"}}, "t17", id="by its own name"
        ),
        pytest.param(
            {**BOTH, "map": {"acme-corp": "t17"}},
            {"headers": {"X-Tenant": "acme-corp"}, "principal": ada("t17")},
            "t17",
            id="two names of one agree",
        ),
    ],
)
async def test_where_it_is_read(given_settings, asked, tenant):
    assert await found(given_settings, request(**asked)) == (200, tenant)


@pytest.mark.parametrize(
    ("given_settings", "asked", "status", "code"),
    [
        pytest.param(HEADER, {}, 400, "tenant_required", id="nobody's"),
        pytest.param(HEADER, {"headers": {"X-Tenant": ""}}, 400, "invalid_tenant", id="an empty name"),
        pytest.param(HEADER, {"headers": {"X-Tenant": "a b"}}, 400, "invalid_tenant", id="a blank in it"),
        pytest.param(HEADER, {"headers": {"X-Tenant": "../other"}}, 400, "invalid_tenant", id="a way up"),
        pytest.param(HEADER, {"headers": {"X-Tenant": ".."}}, 400, "invalid_tenant", id="dots"),
        pytest.param(HEADER, {"headers": {"X-Tenant": "__other__"}}, 400, "invalid_tenant", id="the label of the rest"),
        pytest.param(HEADER, {"headers": {"X-Tenant": "\u0430cme"}}, 400, "invalid_tenant", id="a Cyrillic a"),
        pytest.param(
            HEADER, {"headers": {"X-Tenant": "acme\udcff"}}, 400, "invalid_tenant", id="bytes that are not text"
        ),
        pytest.param(
            HEADER, {"headers": {"X-Tenant": 'a"},"x":"'}}, 400, "invalid_tenant", id="a log that is to be split"
        ),
        pytest.param(HEADER, {"headers": {"X-Tenant": "a:b"}}, 400, "invalid_tenant", id="a key that is to be split"),
        pytest.param(HEADER, {"headers": {"X-Tenant": "a" * 65}}, 400, "invalid_tenant", id="longer than any"),
        pytest.param(
            HEADER, {"headers": [("X-Tenant", "a"), ("x-tenant", "a")]}, 400, "invalid_tenant", id="said twice"
        ),
        pytest.param(HEADER, {"headers": {"X-Tenant": "a,b"}}, 400, "invalid_tenant", id="a list"),
        pytest.param(PATH, {"path": "/t/%2e%2e%2fb/x"}, 400, "invalid_tenant", id="an encoded way up"),
        pytest.param(PATH, {"path": "/t//x"}, 400, "tenant_required", id="an empty segment"),
        pytest.param(PATH, {"path": "/u/acme/x"}, 400, "tenant_required", id="another path"),
        pytest.param(HOST, {"host": "example.com"}, 400, "tenant_required", id="the bare domain"),
        pytest.param(HOST, {"host": ".example.com"}, 400, "tenant_required", id="an empty label"),
        pytest.param(HOST, {"host": "a.b.example.com"}, 400, "tenant_required", id="two labels"),
        pytest.param(HOST, {"host": "acme.example.com.evil.test"}, 400, "tenant_required", id="another domain"),
        pytest.param(HOST, {"host": "acmexexample.com"}, 400, "tenant_required", id="a dot is a dot"),
        pytest.param(HOST, {"host": "[::1]:80"}, 400, "tenant_required", id="an address"),
        pytest.param(
            EXAMPLE,
            {"host": "a.example.com", "headers": {"X-Tenant": "b"}},
            403,
            "tenant_mismatch",
            id="two that differ",
        ),
        pytest.param(
            EXAMPLE,
            {"path": "/t/a/", "headers": {"X-Tenant": "b"}},
            403,
            "tenant_mismatch",
            id="the second and the third",
        ),
        pytest.param(
            BOTH,
            {"headers": {"X-Tenant": "b"}, "principal": ada("a")},
            403,
            "tenant_mismatch",
            id="another than one's own",
        ),
        pytest.param(
            BOTH,
            {"headers": {"X-Tenant": "b"}, "principal": ada()},
            403,
            "tenant_refused",
            id="a caller without tenant that chooses one",
        ),
        pytest.param(BOTH, {"headers": {"X-Tenant": "b"}}, 401, "unauthorized", id="nobody that chooses one"),
        pytest.param(
            {**BOTH, "required": False}, {"headers": {"X-Tenant": "b"}}, 401, "unauthorized", id="though none is needed"
        ),
        pytest.param(
            {**BOTH, "agree": False},
            {"headers": {"X-Tenant": "b"}},
            401,
            "unauthorized",
            id="though they need not agree",
        ),
        pytest.param(CLAIM, {"principal": ada(org={"id": True})}, 403, "tenant_refused", id="a claim that is true"),
        pytest.param(CLAIM, {"principal": ada(org={"id": ["a", "b"]})}, 403, "tenant_refused", id="a claim of two"),
        pytest.param(CLAIM, {"principal": ada(org={"id": "a b"})}, 403, "tenant_refused", id="a claim that is no name"),
        pytest.param(
            {**HEADER, "allow": ["a"]}, {"headers": {"X-Tenant": "b"}}, 403, "tenant_refused", id="not on the list"
        ),
        pytest.param(
            {**HEADER, "map": {"a": "x"}}, {"headers": {"X-Tenant": "b"}}, 403, "tenant_refused", id="not in the map"
        ),
    ],
)
async def test_attacks(given_settings, asked, status, code):
    assert await found(given_settings, request(**asked)) == (status, code)


async def test_a_refusal_says_nothing_of_names():
    response = await exchange(Tenant, {**HEADER, "allow": ["acme"]}, request(headers={"X-Tenant": "bob"}))
    assert response.error.reason == "header says bob, which is not served"
    assert b"bob" not in response.body.whole and b"acme" not in response.body.whole


@pytest.mark.parametrize("sent", ["X-Tenant-Id", "x_tenant_id", "X-Org"])
async def test_the_target_is_told_by_the_gateway_alone(sent):
    target = answering(200)
    given_settings = {"sources": [{"principal": True}, {"header": "X-Org"}], "header": "X-Tenant-Id"}
    headers = [(sent, "acme"), ("Connection", "close, x-tenant-id"), ("A", "1")]
    response = await exchange(Tenant, given_settings, request(headers=headers, principal=ada("acme")), target)
    assert response.status == 200
    assert dict(target.request.headers) == {"A": "1", "Host": "gateway.test", "X-Tenant-Id": "acme"}


async def test_without_a_header_for_the_target_fields_are_left_alone():
    target = answering(200)
    await exchange(Tenant, HEADER, request(headers={"X-Tenant": "Acme"}), target)
    assert target.request.headers["X-Tenant"] == "Acme" and not target.request.edited


async def test_shadow_sets_what_it_finds_and_lets_the_rest_through():
    target = answering(200)
    async with opened(Tenant, {**BOTH, "header": "X-Tenant"}, mode="shadow") as live:
        assert (await live(request(headers={"X-Tenant": "b"}, principal=ada("a")), target)).status == 200
        assert live.ports.would_refuse == ["tenant_mismatch"]
        assert target.request.tenant is None and "X-Tenant" not in target.request.headers
        assert (await live(request(headers={"X-Tenant": "a"}, principal=ada("a")), target)).status == 200
        assert target.request.tenant == "a"


async def test_metrics_have_so_many_labels_and_no_more():
    async with opened(Tenant, {**HEADER, "labels": 2}) as live:

        async def ask(name, status=200):
            await live(request(headers={"X-Tenant": name}), answering(status))

        for number in range(50):
            await ask(f"made-up-{number}", 404)
        for name in ("a", "b", "a", "c"):
            await ask(name)
        await ask("a", 500)

        def count(name, of):
            return live.ports.value("tenant_requests_total", "test", "tenant", name, of)

        assert (count("a", "2xx"), count("a", "5xx"), count("b", "2xx"), count("c", "2xx")) == (2, 1, 1, 0)
        assert (count("__other__", "4xx"), count("__other__", "2xx")) == (50, 1)
        tenants = {
            values[2]
            for family in live.ports.metrics.snapshot()
            if family["name"] == "tenant_requests_total"
            for values, _ in family["samples"]
        }
        assert tenants == {"a", "b", "__other__"}


@pytest.mark.parametrize("known", [{"allow": ["a", "b", "c"]}, {"map": {"x": "a", "y": "b", "z": "c"}}])
async def test_of_a_list_the_first_have_metrics_of_their_own(known):
    async with opened(Tenant, {**HEADER, **known, "labels": 2}) as live:
        for name in ("c", "b", "a"):
            await live(request(headers={"X-Tenant": name}), answering(404))
        counted = [live.ports.value("tenant_requests_total", "test", "tenant", each, "4xx") for each in "abc"]
        assert counted == [1, 1, 0]
        assert live.ports.value("tenant_requests_total", "test", "tenant", "__other__", "4xx") == 1


@pytest.mark.parametrize(
    ("given_settings", "why"),
    [
        pytest.param({"sources": []}, "at least 1", id="no source"),
        pytest.param({"sources": [{}]}, "exactly one of", id="a source of nothing"),
        pytest.param({"sources": [{"header": "X", "claim": "y"}]}, "exactly one of", id="a source of two"),
        pytest.param({"sources": [{"host": "example.com"}]}, "one {tenant}", id="a host without tenant"),
        pytest.param({"sources": [{"host": "{tenant}"}]}, "a domain after", id="any host at all"),
        pytest.param({"sources": [{"host": "{tenant}.example.com:80"}]}, "without a port", id="a port"),
        pytest.param(
            {"sources": [{"path": "/x{tenant}/"}]}, "as one of its segments|whole segment", id="half a segment"
        ),
        pytest.param({"sources": [{"path": "/t/"}]}, "as one of its segments", id="a path without tenant"),
        pytest.param({"allow": ["Acme"]}, "normal form", id="a list that nobody is on"),
        pytest.param({"allow": ["a"], "map": {"a": "b"}}, "not both", id="a list and a map"),
        pytest.param({"map": {"a": "b", "b": "c"}}, "stands for another", id="a map that goes in circles"),
        pytest.param({"characters": "{"}, "pattern", id="characters that mean something elsewhere"),
        pytest.param({"header": "Content-Length"}, "framing", id="a header that frames"),
    ],
)
def test_nonsense_is_refused(given_settings, why):
    with pytest.raises(ValidationError, match=why):
        settings_of(Tenant, given_settings)


def test_lists_may_stand_in_files(tmp_path):
    (tmp_path / "tenants.yaml").write_text("[acme, other]")
    assert settings_of(Tenant, {"allow": {"file": str(tmp_path / "tenants.yaml")}}).allow == ("acme", "other")


def test_check_warns_of_what_cannot_be_meant():
    warned = settings_of(Tenant, {"sources": [{"header": "X"}, {"claim": "c"}], "agree": False})
    assert "goes before its credentials" in Tenant.check(warned)[0]
    assert "changes nothing" in Tenant.check(settings_of(Tenant, {**HEADER, "unverified": True}))[0]
    assert Tenant.check(settings_of(Tenant, EXAMPLE)) == []


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,70}", fullmatch=True))
async def test_a_name_has_one_form_and_holds_nothing_that_means_something(text):
    normal = Normal(settings_of(Tenant, EXAMPLE))
    name = normal(text)
    if name is not None:
        assert normal(name) == name and name.isascii() and len(name) <= 64
        assert not set(name) & set(' \t\r\n\0"\\/:{}%,;') and name not in (".", "..")
    if "\r" not in text and "\n" not in text and "\0" not in text:
        status, tenant = await found(HEADER, request(headers={"X-Tenant": text}))
        expected = normal(text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape").strip(" \t"))
        assert (status, tenant) == ((200, expected) if expected else (400, "invalid_tenant"))
