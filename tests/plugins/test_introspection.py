"""introspection: what the issuer is asked, how often, and what becomes of its answers and of its absence."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import parse_qs

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as given_any
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.chain import AnyOf
from gateway.plugin import Context, Settings
from gateway.testing import answering, exchange, opened, ports, request, settings_of
from plugins.introspection import Introspection
from plugins.jwt import Jwt

NOW = 1_800_000_000  # what the test ports' clock says
URL = "https://id.test/introspect"
EXAMPLE = {"endpoint": URL, "client": {"id": "orders", "secret": "s3cret"}}
ACTIVE = {"active": True, "sub": "ada", "exp": NOW + 60, "scope": "read write"}


def bearer(token="opaque-1", **more):
    return request(headers={"Authorization": f"Bearer {token}", **more})


def saying(document=None, status=200, **more):
    made = ports()
    made.calls.answer(URL, status, json.dumps({**ACTIVE, **more}) if document is None else document)
    return made


async def outcome(live, token="opaque-1"):
    response = await live(bearer(token))
    return response.status, response.error.code if response.error else None


# -- who gets in -------------------------------------------------------------------------------------------------------


async def test_the_issuer_is_asked_as_a_client_and_its_answer_is_the_principal():
    given, target = saying(client_id="web", roles=["admin"]), answering(200)
    async with opened(Introspection, {**EXAMPLE, "principal": {"rate_class": "client_id"}}, ports=given) as live:
        response = await live(bearer("a b&c".replace(" ", "+")), target)
        assert response.status == 200
    call = given.calls.calls[0]
    assert (call.method, parse_qs(call.body.decode())["token"]) == ("POST", ["a+b&c"])
    assert call.headers["Authorization"] == "Basic b3JkZXJzOnMzY3JldA=="
    found = target.request.principal
    assert (found.id, found.scopes, found.roles) == ("ada", {"read", "write"}, {"admin"})
    assert (found.rate_class, found.expires, found.claims["client_id"]) == ("web", NOW + 60, "web")


@pytest.mark.parametrize(
    ("answer", "who"),
    [
        ({"sub": "ada", "username": "ada@x", "client_id": "web"}, "ada"),
        ({"username": "ada@x", "client_id": "web"}, "ada@x"),
        pytest.param({"client_id": "web"}, "web", id="a machine"),
    ],
)
async def test_who_it_is(answer, who):
    target = answering(200)
    given = saying(json.dumps({"active": True, **answer}))
    assert (await exchange(Introspection, EXAMPLE, bearer(), target, ports=given)).status == 200
    assert target.request.principal.id == who


async def test_fields_for_the_target_come_from_the_answer_alone():
    target = answering(200)
    changed = {**EXAMPLE, "claims_to_headers": {"X-User": "sub", "X-Tenant": "tenant"}, "hide": True}
    asked = bearer(**{"X-User": "root", "x_tenant": "root"})
    await exchange(Introspection, changed, asked, target, ports=saying())
    sent = target.request.headers
    assert sent.getall("X-User") == ["ada"]
    assert not {"X-Tenant", "x_tenant", "Authorization"} & set(sent)


# -- who does not: each row is an attack, and what it gets -------------------------------------------------------------

ANSWERS = {
    "a token that is not active": ({"active": False}, {}, 401),
    "active is text": ({"active": "true"}, {}, 503),
    "active is a number": ({"active": 1}, {}, 503),
    "active is missing": ({"sub": "ada"}, {}, 503),
    "no object": ([], {}, 503),
    "expired": ({**ACTIVE, "exp": NOW}, {}, 401),
    "exp is text": ({**ACTIVE, "exp": "9999999999"}, {}, 401),
    "exp is true": ({**ACTIVE, "exp": True}, {}, 401),
    "not valid yet": ({**ACTIVE, "nbf": NOW + 1}, {}, 401),
    "of another issuer": ({**ACTIVE, "iss": "https://evil.test"}, {"issuer": "https://id.test"}, 401),
    "for somebody else": ({**ACTIVE, "aud": "billing"}, {"audience": "orders"}, 401),
    "for nobody": (ACTIVE, {"audience": "orders"}, 401),
    "another kind": ({**ACTIVE, "token_type": "refresh"}, {"match": {"token_type": ["Bearer"]}}, 401),
    "nobody in it": ({"active": True}, {}, 401),
    "a name that would split the log": ({**ACTIVE, "sub": "a\nb"}, {}, 401),
    "an endless name": ({**ACTIVE, "sub": "a" * 513}, {}, 401),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers_that_let_nobody_in(name):
    document, changes, status = ANSWERS[name]
    target = answering(200)
    response = await exchange(
        Introspection, {**EXAMPLE, **changes}, bearer(), target, ports=saying(json.dumps(document))
    )
    assert (response.status, target.calls) == (status, 0)
    if status == 401:
        assert response.headers["WWW-Authenticate"].startswith('Bearer realm="test", error="invalid_token"')


@pytest.mark.parametrize(
    ("headers", "status", "challenge"),
    [
        pytest.param([], 401, 'Bearer realm="test"', id="no token: no error is named (RFC 6750 §3.1)"),
        pytest.param([("Authorization", "Basic eDp5")], 401, 'Bearer realm="test"', id="another scheme"),
        pytest.param(
            [("Authorization", "Bearer a"), ("Authorization", "Bearer b")],
            400,
            'Bearer realm="test", error="invalid_request"',
            id="two of them",
        ),
        pytest.param([("Authorization", "Bearer")], 400, 'Bearer realm="test", error="invalid_request"', id="empty"),
    ],
)
async def test_answers_of_rfc_6750(headers, status, challenge):
    given = saying()
    response = await exchange(Introspection, EXAMPLE, request(headers=headers), ports=given)
    assert (response.status, response.headers["WWW-Authenticate"]) == (status, challenge)
    assert not given.calls.calls


async def test_an_endless_token_is_not_asked_about():
    given = saying()
    response = await exchange(Introspection, {**EXAMPLE, "max_size": "16B"}, bearer("x" * 17), ports=given)
    assert (response.status, given.calls.calls) == (401, [])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given_any(st.text(max_size=40), st.dictionaries(st.sampled_from(["active", "sub", "exp", "aud"]), st.integers()))
async def test_no_header_and_no_answer_is_a_fault_of_ours(text, answer):
    given = saying(json.dumps(answer))
    value = "".join(char for char in text if char.isprintable())
    response = await exchange(Introspection, EXAMPLE, bearer(value), ports=given)
    assert response.status in {400, 401, 503}


# -- what is remembered ------------------------------------------------------------------------------------------------


async def test_an_answer_holds_until_the_token_expires():
    given = saying()
    async with opened(Introspection, EXAMPLE, ports=given) as live:
        for _ in range(3):
            assert await outcome(live) == (200, None)
        assert len(given.calls.calls) == 1
        live.ports.clock.advance(59)
        assert await outcome(live) == (200, None)
        live.ports.clock.advance(1)
        assert await outcome(live) == (401, "invalid_token")
        assert len(given.calls.calls) == 2
        assert given.value("introspection_tokens_total", "test", "introspection", "remembered") == 3


async def test_a_token_that_was_revoked_is_good_no_longer_than_max_age():
    given = saying(exp=NOW + 86400)
    async with opened(Introspection, {**EXAMPLE, "remember": {"max_age": "30s"}}, ports=given) as live:
        assert await outcome(live) == (200, None)
        given.calls.answer(URL, body='{"active": false}')
        live.ports.clock.advance(29)
        assert await outcome(live) == (200, None)
        live.ports.clock.advance(1)
        assert await outcome(live) == (401, "invalid_token")


async def test_a_refusal_is_remembered_for_a_moment():
    given = saying('{"active": false}')
    async with opened(Introspection, EXAMPLE, ports=given) as live:
        assert await outcome(live) == await outcome(live) == (401, "invalid_token")
        assert len(given.calls.calls) == 1
        given.calls.answer(URL, body=json.dumps(ACTIVE))
        live.ports.clock.advance(10)
        assert await outcome(live) == (200, None)


async def test_without_an_end_or_max_age_it_is_asked_each_time():
    given = saying(json.dumps({"active": True, "sub": "ada"}))
    async with opened(Introspection, {**EXAMPLE, "remember": {"max_age": "off"}}, ports=given) as live:
        assert [await outcome(live) for _ in range(3)] == [(200, None)] * 3
        assert len(given.calls.calls) == 3


async def test_memory_is_bounded_and_invented_tokens_push_out_no_good_one():
    given = saying()
    async with opened(Introspection, {**EXAMPLE, "remember": {"tokens": 3}}, ports=given) as live:
        for number in range(5):
            await outcome(live, f"good-{number}")
        given.calls.answer(URL, body='{"active": false}')
        for number in range(50):
            assert await outcome(live, f"invented-{number}") == (401, "invalid_token")
        assert (len(live.plugin._active), len(live.plugin._inactive)) == (3, 3)
        assert [await outcome(live, f"good-{number}") for number in (2, 3, 4)] == [(200, None)] * 3


async def test_tokens_are_not_in_memory_in_the_clear():
    given = saying()
    async with opened(Introspection, EXAMPLE, ports=given) as live:
        await outcome(live, "opaque-secret")
        assert not [key for key in live.plugin._active._by_digest if b"opaque" in key or len(key) != 24]
    assert "opaque-secret" not in "".join(given.lines)


async def test_many_requests_with_a_new_token_make_one_call():
    given = saying()
    async with opened(Introspection, EXAMPLE, ports=given) as live:
        assert set(await asyncio.gather(*(outcome(live) for _ in range(50)))) == {(200, None)}
        assert len(given.calls.calls) == 1


async def test_a_client_that_leaves_does_not_end_the_call_for_others():
    given = saying()
    async with opened(Introspection, EXAMPLE, ports=given) as live:
        leaving, staying = (asyncio.ensure_future(outcome(live)) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == (200, None)
        assert len(given.calls.calls) == 1


# -- the endpoint is away ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "status"),
    [
        pytest.param("", 500, id="an error"),
        pytest.param('{"error": "invalid_client"}', 401, id="our own credentials are refused"),
        pytest.param("<html>", 200, id="a page"),
        pytest.param('{"active": true, "sub": "ada"}', 302, id="a redirect"),
    ],
)
async def test_nobody_gets_in_while_nobody_can_say(document, status):
    given = saying(document, status)
    async with opened(Introspection, EXAMPLE, ports=given) as live:
        assert await outcome(live) == (503, "introspection_unavailable")
        assert given.reports[f"introspection {URL}"]()["ok"] is False
    assert [line for line in given.lines if f"answered {status}" in line]
    assert "s3cret" not in "".join(given.lines)


async def test_failures_in_a_row_are_not_waited_for_by_everybody():
    given = saying("", 500)
    async with opened(Introspection, EXAMPLE, ports=given) as live:
        for number in range(20):
            assert await outcome(live, f"t{number}") == (503, "introspection_unavailable")
        assert len(given.calls.calls) == 3
        given.calls.answer(URL, body=json.dumps(ACTIVE))
        live.ports.clock.advance(1)
        assert await outcome(live) == (200, None)
        assert given.reports[f"introspection {URL}"]()["ok"] is True


async def test_tokens_that_the_endpoint_cannot_read_lock_nobody_out():
    given = saying('{"error": "invalid_request"}', 400)
    async with opened(Introspection, EXAMPLE, ports=given) as live:
        for number in range(20):
            assert await outcome(live, f"odd-{number}") == (503, "introspection_unavailable")
        given.calls.answer(URL, body=json.dumps(ACTIVE))
        assert await outcome(live) == (200, None)


@pytest.mark.parametrize(("on_error", "status"), [("deny", 503), ("remembered", 200)])
async def test_a_token_known_before_the_outage(on_error, status):
    given = saying(exp=NOW + 600)
    async with opened(Introspection, {**EXAMPLE, "on_error": on_error}, ports=given) as live:
        assert await outcome(live) == (200, None)
        given.calls.answer(URL, status=500)
        live.ports.clock.advance(301)
        assert (await outcome(live))[0] == status
        assert (await outcome(live, "new"))[0] == 503
        live.ports.clock.advance(300)
        assert (await outcome(live))[0] == 503, "it has expired"


async def test_calls_under_way_are_bounded():
    given = saying()
    async with opened(Introspection, {**EXAMPLE, "concurrency": 5}, ports=given) as live:
        answers = await asyncio.gather(*(outcome(live, f"t{number}") for number in range(20)))
        assert sorted(answers) == [(200, None)] * 5 + [(503, "introspection_unavailable")] * 15


async def test_shadow_lets_pass_and_says_why():
    given = saying('{"active": false}')
    async with opened(Introspection, EXAMPLE, mode="shadow", ports=given) as live:
        assert (await live(bearer())).status == 200
        assert given.would_refuse == ["invalid_token"]


# -- with others, and what it publishes --------------------------------------------------------------------------------


async def test_within_any_of_behind_jwt(signer):
    given, target = saying(), answering(200)
    trusted = {"issuers": [{"issuer": "https://id.test", "audience": "orders", "jwks": signer.jwks("rsa")}]}

    def member(plugin, settings):
        name = plugin.__module__.rpartition(".")[2]
        return plugin(settings_of(plugin, settings), Context(given, route="test", plugin=name, id=name))

    class Both(AnyOf):
        settings_type = Settings

        def __init__(self, settings, context):
            super().__init__([member(Jwt, trusted), member(Introspection, EXAMPLE)], context)

    async with opened(Both, {}, ports=given) as live:
        assert (await live(bearer(signer.token()), target)).status == 200
        assert not given.calls.calls
        assert (await live(bearer("opaque"), target)).status == 200
        assert target.request.principal.id == "ada"
        refused = await live(request(), target)
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, 'Bearer realm="test"')


async def test_metadata_says_where_tokens_are_to_be_had():
    changed = {**EXAMPLE, "issuer": "https://id.test", "resource": {"resource": "https://api.test/orders"}}
    async with opened(Introspection, changed, ports=saying()) as live:
        (endpoint,) = live.plugin.endpoints()
        assert endpoint.path == "/.well-known/oauth-protected-resource/orders"
        document = json.loads((await endpoint.handler(request(path=endpoint.path))).body.whole)
        assert document["authorization_servers"] == ["https://id.test"]
        refused = await live(request())
        assert (
            'resource_metadata="https://api.test/.well-known/oauth-protected-resource/orders"'
            in (refused.headers["WWW-Authenticate"])
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"endpoint": "introspect"}, "http or https"),
        ({"client": {"id": "x"}}, "secret"),
        ({"resource": {"resource": "https://api.test"}}, "authorization_servers"),
        ({"on_error": "allow"}, "deny"),
    ],
)
def test_settings_that_cannot_be_meant(changes, words):
    with pytest.raises(ValidationError, match=words):
        settings_of(Introspection, {**EXAMPLE, **changes})


def test_a_call_in_the_open_is_warned_of():
    made = settings_of(Introspection, {**EXAMPLE, "endpoint": "http://id.test/"})
    assert "without TLS" in Introspection.check(made)[0]
    assert Introspection.check(settings_of(Introspection, EXAMPLE)) == ()
