"""upstream_auth: what the target sees of us, and nothing of the caller's credentials."""

import base64
import hashlib
import hmac
import json

import pytest

from gateway.http import Attempt, Response
from gateway.testing import answering, exchange, opened, ports, request, settings_of
from plugins.upstream_auth import UpstreamAuth

EXAMPLE = {"headers": {"X-API-Key": "k"}}
URL = "https://id.test/token"
OAUTH = {"oauth2": {"token_url": URL, "client": {"id": "me", "secret": "s"}}}
HMAC = {"hmac": {"secret": "k", "signed": "{timestamp}.{method}.{path}.{host}.{body}", "prefix": "v1="}}


def leaving(method="POST", path="/v1/charges?a=b", **more):
    asked = request(method, "/charges", **more)
    asked.attempt = Attempt("api", "https://api.test", 1, 2000.0, path=path, host="api.test")
    return asked


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        pytest.param(EXAMPLE, {"X-API-Key": "k"}, id="a fixed field"),
        pytest.param({"headers": {"Authorization": "Bearer sk_1"}}, {"Authorization": "Bearer sk_1"}, id="a token"),
        pytest.param(
            {"basic": {"username": "AC1", "password": "x:y"}},
            {"Authorization": f"Basic {base64.b64encode(b'AC1:x:y').decode()}"},
            id="a name and a password",
        ),
    ],
)
async def test_fixed_credentials(settings, sent):
    target = answering(200)
    own = {"Authorization": "Bearer callers", "Cookie": "s=1", "X-API-Key": "callers", "A": "1"}
    await exchange(UpstreamAuth, settings, leaving(headers=own), target)
    left = {"A": "1", "Host": "gateway.test"} | ({} if "X-API-Key" in sent else {"X-API-Key": "callers"})
    assert dict(target.request.headers) == {**left, **sent}


async def test_what_is_wanted_of_the_callers_may_stay():
    target = answering(200)
    await exchange(UpstreamAuth, {**EXAMPLE, "hide": []}, leaving(headers={"Authorization": "x"}), target)
    assert target.request.headers["Authorization"] == "x"


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        pytest.param("/a", "/a?key=s%26cret", id="alone"),
        pytest.param("/a?b=c", "/a?b=c&key=s%26cret", id="beside others"),
        pytest.param("/a?key=callers&b=%20", "/a?b=%20&key=s%26cret", id="in place of the caller's"),
    ],
)
async def test_in_the_query(path, sent):
    target = answering(200)
    asked = leaving(path=path)
    await exchange(UpstreamAuth, {"query": {"key": "s&cret"}}, asked, target)
    assert target.request.attempt.path == sent


async def test_a_signature_of_what_is_sent():
    target = answering(200)
    await exchange(UpstreamAuth, HMAC, leaving(chunks=[b"a", b"b"]), target)
    headers = target.request.headers
    assert headers["X-Timestamp"] == "1800000000"
    text = b"1800000000.POST./v1/charges?a=b.api.test.ab"
    assert headers["X-Signature"] == "v1=" + hmac.new(b"k", text, hashlib.sha256).hexdigest()
    assert target.bodies == [b"ab"]


async def test_a_body_that_is_too_large_to_be_signed():
    target = answering(200)
    response = await exchange(UpstreamAuth, {**HMAC, "max_body": "1B"}, leaving(body="ab"), target)
    assert (response.status, target.calls) == (413, 0)


@pytest.mark.parametrize("unsigned", [False, True])
async def test_aws(unsigned):
    target = answering(200)
    aws = {"region": "eu-central-1", "service": "s3", "access_key": "AK", "secret_key": "s"}
    settings = {"aws": {**aws, "unsigned_payload": unsigned}, "max_body": "10B"}
    body = {"chunks": [b"x" * 100]} if unsigned else {"body": b"x"}
    response = await exchange(UpstreamAuth, settings, leaving("PUT", headers={"Content-Type": "a/b"}, **body), target)
    assert response.status == 200
    headers = target.request.headers
    assert "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date" in headers["Authorization"]
    assert (headers["X-Amz-Content-Sha256"] == "UNSIGNED-PAYLOAD") is unsigned


# -- a token of our own ------------------------------------------------------------------------------------------------


def with_token(*tokens):
    made = ports()
    made.calls.answer(URL, 200, json.dumps({"access_token": tokens[0], "expires_in": 600}))
    return made


async def test_a_token_is_fetched_once():
    made = with_token("t1")
    async with opened(UpstreamAuth, OAUTH, ports=made) as live:
        for _ in range(3):
            target = answering(200)
            await live(leaving(headers={"Authorization": "callers"}), target)
            assert target.request.headers["Authorization"] == "Bearer t1"
        assert len(made.calls.calls) == 1
        assert made.reports["upstream_auth"]() == {"ok": True, "expires_in": 600}


@pytest.mark.parametrize(
    ("body", "calls", "status"),
    [
        pytest.param({"body": b"x"}, 2, 200, id="with a body that can be sent again"),
        pytest.param({"chunks": [b"x"]}, 1, 401, id="but not one that has streamed"),
    ],
)
async def test_a_token_that_was_revoked_is_replaced(body, calls, status):
    made = with_token("t1")
    seen = []

    async def target(asked):
        seen.append(asked.headers["Authorization"])
        while await asked.body.pull():
            pass
        return Response(200 if seen[-1] == "Bearer t2" else 401)

    async with opened(UpstreamAuth, OAUTH, ports=made) as live:
        await live.plugin._token.value()
        made.calls.answer(URL, 200, json.dumps({"access_token": "t2"}))
        made.clock.advance(60)
        response = await live(leaving(**body), target)
    assert (response.status, len(seen)) == (status, calls)


async def test_a_target_that_takes_no_token_is_believed():
    made = with_token("t1")
    async with opened(UpstreamAuth, OAUTH, ports=made) as live:
        for _ in range(3):
            assert (await live(leaving(), answering(401))).status == 401
    assert len(made.calls.calls) == 1


async def test_without_a_token_nothing_is_sent():
    made, target = ports(), answering(200)
    made.calls.answer(URL, 400, json.dumps({"error": "invalid_client"}))
    async with opened(UpstreamAuth, OAUTH, ports=made) as live:
        response = await live(leaving(), target)
        assert (response.status, response.error.code) == (503, "upstream_token_unavailable")
    assert target.calls == 0


@pytest.mark.parametrize(
    ("settings", "warnings"),
    [
        pytest.param({"oauth2": {**OAUTH["oauth2"], "token_url": "http://id.test/token"}}, 1, id="in the open"),
        pytest.param({"hmac": {"secret": "k", "signed": "{body}"}}, 1, id="good for ever"),
        pytest.param(OAUTH, 0, id="nothing wrong"),
    ],
)
def test_warnings(settings, warnings):
    assert len(UpstreamAuth.check(settings_of(UpstreamAuth, settings))) == warnings
