"""forward_auth: what the service is told, what its answers do, and what happens without one."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.errors import ConnectFailed
from gateway.testing import answering, opened, ports, request, settings_of
from plugins.forward_auth import ForwardAuth

EXAMPLE = {"upstream": "auth"}
NAMED = {
    **EXAMPLE,
    "path": "/verify?strict=1",
    "upstream_headers": ["X-User"],
    "response_headers": ["Set-Cookie"],
    "principal": {"id": "X-User", "roles": "X-Groups", "scopes": "X-Scopes", "tenant": "X-Org"},
}
YES = {"X-User": "ada", "X-Groups": "admin, site owner", "X-Scopes": "read write", "X-Org": "acme", "Set-Cookie": "a=b"}


def asking(settings=EXAMPLE, service=None, **more):
    made = ports()
    made.upstreams["auth"] = service if service is not None else answering(200, headers=YES)
    return opened(ForwardAuth, settings, ports=made, **more)


def failing(error):
    async def fail(_request):
        raise error

    return fail


async def test_what_the_service_is_told():
    service, target = answering(204), answering(200)
    async with asking(NAMED, service) as live:
        asked = request(
            "POST",
            "/orders/1?a=b",
            headers={"Authorization": "Bearer t", "X-Other": "1", "Cookie": "c=d", "X-Forwarded-Uri": "/admin"},
            body=b"secret",
        )
        await live(asked, target)
    told = service.request
    assert (told.method, told.path, told.query) == ("GET", "/verify", "strict=1")
    assert dict(told.headers) == {
        "Authorization": "Bearer t",
        "Cookie": "c=d",
        "X-Forwarded-Method": "POST",
        "X-Forwarded-Uri": "/orders/1?a=b",
    }
    assert service.bodies == [b""]
    assert (target.request.method, target.bodies) == ("POST", [b"secret"])


async def test_a_yes_and_who_it_is():
    target = answering(200)
    async with asking(NAMED) as live:
        response = await live(request(headers={"X-User": "root", "X_Groups": "root"}), target)
    assert response.headers["Set-Cookie"] == "a=b"
    assert target.request.headers.getall("X-User") == ["ada"]
    assert "X_Groups" not in target.request.headers
    found = target.request.principal
    assert (found.id, found.tenant, found.roles, found.scopes) == (
        "ada",
        "acme",
        {"admin", "site owner"},
        {"read", "write"},
    )


async def test_callers_without_a_name_are_told_apart_by_their_credentials():
    async with asking() as live:
        names = []
        for token, path in (("a", "/1"), ("b", "/1"), ("a", "/2")):
            target = answering(200)
            await live(request("GET", path, headers={"Authorization": token}), target)
            names.append(target.request.principal.id)
    assert names[0] == names[2] != names[1]


@pytest.mark.parametrize(
    ("service", "settings", "status", "code"),
    [
        pytest.param(answering(401, headers={"WWW-Authenticate": "X"}), {}, 401, "forward_auth_refused", id="401"),
        pytest.param(answering(403), {}, 403, "forward_auth_refused", id="403"),
        pytest.param(answering(302, headers={"Location": "/login"}), {}, 302, "forward_auth_refused", id="to a login"),
        pytest.param(answering(429), {}, 429, "forward_auth_refused", id="429"),
        pytest.param(answering(500), {}, 503, "forward_auth_unavailable", id="a broken service"),
        pytest.param(failing(ConnectFailed()), {}, 503, "forward_auth_unavailable", id="no service"),
        pytest.param(failing(KeyError("auth")), {}, 503, "forward_auth_unavailable", id="an upstream that is gone"),
        pytest.param(answering(500), {"on_error": "allow"}, 200, None, id="a broken service that nobody minds"),
        pytest.param(answering(403), {"on_error": "allow"}, 403, "forward_auth_refused", id="a no is no error"),
    ],
)
async def test_what_its_answers_do(service, settings, status, code):
    target = answering(200)
    async with asking({**EXAMPLE, **settings}, service) as live:
        response = await live(request(), target)
    assert (response.status, response.error.code if response.error else None) == (status, code)
    assert target.calls == (1 if status == 200 else 0)
    for name in ("WWW-Authenticate", "Location"):
        if isinstance(service, type(target)) and name in service._make().headers:
            assert response.headers[name] == service._make().headers[name]


async def test_it_does_not_wait_for_ever():
    async def silent(_request):
        await asyncio.Event().wait()

    async with asking({**EXAMPLE, "timeout": "10ms"}, silent) as live:
        assert (await live()).error.code == "forward_auth_unavailable"


async def test_shadow_asks_and_lets_pass():
    target = answering(200)
    async with asking(EXAMPLE, answering(403), mode="shadow") as live:
        assert (await live(request(), target)).status == 200
        assert live.ports.would_refuse == ["forward_auth_refused"]
    assert target.request.principal is None


async def test_a_yes_is_remembered_for_the_same_question_only():
    service = answering(200, headers=YES)
    async with asking({**NAMED, "remember": {"ttl": "1m"}}, service) as live:
        for path, token, calls in (
            ("/a", "t", 1),
            ("/a", "t", 1),
            ("/b", "t", 2),
            ("/a", "u", 3),
        ):
            target = answering(200)
            await live(request("GET", path, headers={"Authorization": token}), target)
            assert service.calls == calls
            assert target.request.headers["X-User"] == "ada"
        live.ports.clock.advance(61)
        await live(request("GET", "/a", headers={"Authorization": "t"}))
        assert service.calls == 4


async def test_a_no_is_not_remembered_and_what_is_is_bounded():
    no, yes = answering(403), answering(200)
    async with asking({**EXAMPLE, "remember": {"ttl": "1m", "size": 2}}, no) as live:
        assert (await live()).status == 403
        live.ports.upstreams["auth"] = yes
        for path in ("/1", "/2", "/3", "/1"):
            assert (await live(request("GET", path))).status == 200
    assert yes.calls == 4


async def test_a_body_goes_along_where_that_is_wanted():
    service, target = answering(200), answering(200)
    async with asking({**EXAMPLE, "body": "10B"}, service) as live:
        asked = request("POST", "/", headers={"Content-Type": "text/plain"}, chunks=[b"ab", b"cd"])
        assert (await live(asked, target)).status == 200
        assert (service.request.method, service.request.headers["Content-Type"]) == ("POST", "text/plain")
        assert service.bodies == target.bodies == [b"abcd"]
        assert (await live(request("POST", "/", body=b"x" * 11), target)).status == 413


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="nobody to ask"),
        pytest.param({**EXAMPLE, "path": "verify"}, id="a path that is none"),
        pytest.param({**EXAMPLE, "request_headers": [], "remember": {"ttl": "1m"}}, id="one caller's yes for all"),
        pytest.param({**EXAMPLE, "body": "1KB", "remember": {"ttl": "1m"}}, id="one body's yes for all"),
        pytest.param({**EXAMPLE, "on_error": "local"}, id="a word that is not known"),
    ],
)
def test_settings_that_are_refused(settings):
    with pytest.raises(ValidationError):
        settings_of(ForwardAuth, settings)


@given(st.text(max_size=80))
async def test_no_answer_of_the_service_breaks_it(value):
    value = value.translate(str.maketrans("", "", "\r\n\0"))
    target = answering(200)
    async with asking(NAMED, answering(200, headers={"X-User": value, "X-Groups": value, "X-Scopes": value})) as live:
        assert (await live(request(), target)).status == 200
    assert target.request.principal.id


def test_fields_for_the_client_need_an_entry_of_its_own():
    assert ForwardAuth.alone(settings_of(ForwardAuth, NAMED)) == "response_headers"
    assert ForwardAuth.alone(settings_of(ForwardAuth, EXAMPLE)) == ""
