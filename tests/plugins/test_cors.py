"""cors: what pages may read and send, what preflights are told, and what nobody is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.errors import Unauthorized
from gateway.http import Response
from gateway.plugin import Context
from gateway.testing import answering, exchange, opened, ports, request, settings_of
from plugins.cors import Cors, CorsSettings

APP = "https://app.example.com"
EXAMPLE = {"origins": [APP]}
OURS = "Access-Control-"


def page(origin=APP, method="GET", **headers):
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(method, headers={"Origin": origin, **fields})


def preflight(origin=APP, method="PUT", headers="", **more):
    asked = {"Access-Control-Request-Method": method}
    if headers:
        asked["Access-Control-Request-Headers"] = headers
    return request("OPTIONS", headers={"Origin": origin, **asked, **more})


def said(response):
    return {name.removeprefix(OURS): value for name, value in response.headers.items() if name.startswith(OURS)}


# -- origins -----------------------------------------------------------------------------------------------------------

SUBDOMAINS = {"origins": ["https://*.example.com"]}
WITH_PORT = {"origins": ["https://*.example.com:8443"]}
REGEX = {"origins": [{"regex": "https://pr-[0-9]+[.]example[.]com"}]}


@pytest.mark.parametrize(
    ("settings", "origin", "allowed"),
    [
        pytest.param(EXAMPLE, APP, True, id="exact"),
        pytest.param(EXAMPLE, "https://app.example.com:443", False, id="no browser names the default port"),
        pytest.param({"origins": [APP + ":443"]}, APP, True, id="the default port in settings is left off"),
        pytest.param({"origins": ["HTTPS://App.Example.com"]}, APP, True, id="settings in capitals"),
        pytest.param(EXAMPLE, "http://app.example.com", False, id="another scheme"),
        pytest.param(EXAMPLE, "https://app.example.com:8443", False, id="another port"),
        pytest.param(EXAMPLE, "https://app.example.com.evil.com", False, id="more behind it"),
        pytest.param(EXAMPLE, "https://evilapp.example.com", False, id="more before it"),
        pytest.param(EXAMPLE, "https://app.example.com/", False, id="a path"),
        pytest.param(EXAMPLE, "https://app.example.com ", False, id="a space"),
        pytest.param(EXAMPLE, "", False, id="empty"),
        pytest.param(EXAMPLE, "null", False, id="null is not listed"),
        pytest.param({"origins": ["null"]}, "null", True, id="null is listed"),
        pytest.param({"origins": ["null"]}, "NULL", False, id="null in capitals"),
        pytest.param(SUBDOMAINS, "https://a.example.com", True, id="a subdomain"),
        pytest.param(SUBDOMAINS, "https://a-1.b.example.com", True, id="a subdomain of one"),
        pytest.param(SUBDOMAINS, "https://example.com", False, id="not the domain itself"),
        pytest.param(SUBDOMAINS, "https://.example.com", False, id="an empty label"),
        pytest.param(SUBDOMAINS, "https://a..example.com", False, id="an empty label in between"),
        pytest.param(SUBDOMAINS, "https://evilexample.com", False, id="the dot counts"),
        pytest.param(SUBDOMAINS, "https://a.exampleXcom", False, id="the dot is no pattern"),
        pytest.param(SUBDOMAINS, "https://a.example.com.evil.com", False, id="a subdomain of another"),
        pytest.param(SUBDOMAINS, "https://evil.com/.example.com", False, id="a path that ends in it"),
        pytest.param(SUBDOMAINS, "https://evil.com#.example.com", False, id="a fragment that ends in it"),
        pytest.param(SUBDOMAINS, "https://evil@a.example.com", False, id="a user"),
        pytest.param(SUBDOMAINS, "https://evil.com:1@a.example.com", False, id="a user and a password"),
        pytest.param(SUBDOMAINS, "https://a.example.com:8443", False, id="a port that was not named"),
        pytest.param(SUBDOMAINS, "http://a.example.com", False, id="a subdomain without TLS"),
        pytest.param(SUBDOMAINS, "https://a.example.com\n", False, id="a line end at the end"),
        pytest.param(WITH_PORT, "https://a.example.com:8443", True, id="a subdomain with its port"),
        pytest.param(WITH_PORT, "https://a.example.com", False, id="a subdomain without it"),
        pytest.param(REGEX, "https://pr-17.example.com", True, id="a pattern"),
        pytest.param(REGEX, "https://pr-17.example.com.evil.com", False, id="a pattern matches the whole"),
        pytest.param(REGEX, "xhttps://pr-17.example.com", False, id="from its beginning"),
        pytest.param(REGEX, "https://pr-17.example.com\n", False, id="to its end"),
        pytest.param({"origins": ["http://localhost:3000", APP]}, "http://localhost:3000", True, id="one of several"),
        pytest.param({"origins": ["http://[::1]:3000"]}, "http://[::1]:3000", True, id="IPv6"),
        pytest.param(SUBDOMAINS, "https://" + "a." * 200 + "example.com", False, id="longer than any host"),
    ],
)
@pytest.mark.parametrize("known", [False, True], ids=["first", "again"])
async def test_whose_pages_may_read(settings, origin, allowed, known):
    async with opened(Cors, settings) as live:
        for _ in range(1 + known):
            response = await live(page(origin), answering(200))
        checked = await live(preflight(origin))
    assert response.status == 200, "who may not read is not kept out"
    assert said(response) == ({"Allow-Origin": origin} if allowed else {})
    assert response.headers["Vary"] == "Origin"
    assert checked.status == (204 if allowed else 403)
    assert ("Allow-Origin" in said(checked)) == allowed
    assert "Origin" in checked.headers["Vary"]


@given(origin=st.text(st.characters(max_codepoint=127), max_size=60))
async def test_no_origin_but_the_listed_is_ever_said_back(origin):
    plugin = Cors(CorsSettings(origins=(APP, "https://*.example.com")), ports_context())
    lines = plugin._lines(origin)
    if lines is not None:
        assert origin == APP or (origin.startswith("https://") and origin.endswith(".example.com"))


def ports_context():
    return Context(ports(), route="test", plugin="cors", id="cors")


async def test_what_is_remembered_is_bounded():
    async with opened(Cors, SUBDOMAINS) as live:
        for number in range(3000):
            await live.head(page(f"https://{number}.evil.com"))
        assert len(live.plugin._known) <= 1024


# -- answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({}, {"Allow-Origin": APP}, id="plain"),
        pytest.param({"credentials": True}, {"Allow-Origin": APP, "Allow-Credentials": "true"}, id="credentials"),
        pytest.param({"expose": ["ETag", "Link"]}, {"Allow-Origin": APP, "Expose-Headers": "ETag, Link"}, id="exposed"),
    ],
)
async def test_an_answer(settings, expected):
    response = await exchange(Cors, {**EXAMPLE, **settings}, page())
    assert (said(response), response.headers["Vary"]) == (expected, "Origin")


async def test_without_an_origin_the_answer_says_that_it_would_depend_on_one():
    response = await exchange(Cors, EXAMPLE, request())
    assert (said(response), response.headers["Vary"]) == ({}, "Origin")


@pytest.mark.parametrize("asked", [page("https://anybody.net"), request()], ids=["a page", "no page"])
async def test_everybody_gets_the_same(asked):
    response = await exchange(Cors, {"origins": ["*"]}, asked)
    assert said(response) == {"Allow-Origin": "*"}
    assert "Vary" not in response.headers


def wire(*lines):
    """A target that answers as the transport hands it on."""

    async def handler(_request):
        return Response(200, lines=list(lines))

    return handler


OWN = {"Access-Control-Allow-Origin": "*", "access-control-allow-credentials": "true", "X": "1"}


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(answering(200, OWN), id="as fields"),
        pytest.param(wire(*(f"{name}: {value}".encode() for name, value in OWN.items())), id="as lines"),
    ],
)
@pytest.mark.parametrize(("origin", "expected"), [(APP, {"Allow-Origin": APP}), ("https://evil.com", {})])
async def test_what_the_service_says_of_it_is_replaced(target, origin, expected):
    response = await exchange(Cors, EXAMPLE, page(origin), target)
    names = [name.lower() for name in response.headers]
    assert said(response) == expected
    assert "access-control-allow-credentials" not in names
    assert response.headers["X"] == "1"


@pytest.mark.parametrize("kind", ["fields", "lines"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([], ["Origin"], id="none"),
        pytest.param(["Accept-Encoding"], ["Accept-Encoding", "Origin"], id="another"),
        pytest.param(["Accept, origin"], ["Accept, origin"], id="named already"),
        pytest.param(["Accept", "Origin"], ["Accept", "Origin"], id="named in a second line"),
        pytest.param(["*"], ["*"], id="everything"),
        pytest.param(["X-Origin"], ["X-Origin", "Origin"], id="a name that ends alike"),
    ],
)
async def test_vary_is_added_to(kind, before, after):
    pairs = [("Vary", value) for value in before]
    target = answering(200, pairs) if kind == "fields" else wire(*(f"vary: {value}".encode() for value in before))
    response = await exchange(Cors, EXAMPLE, page(), target)
    assert response.headers.getall("Vary") == after


async def test_lines_that_others_may_hold_are_left_alone():
    lines = [b"Content-Type: text/plain"]

    async def handler(_request):
        return Response(200, lines=lines)

    response = await exchange(Cors, EXAMPLE, page(), handler)
    assert lines == [b"Content-Type: text/plain"]
    assert [name for name, _ in response.fields] == [b"Content-Type", b"Access-Control-Allow-Origin", b"Vary"]


async def test_a_refusal_from_inside_can_be_read_by_the_page():
    refusing = answering(error=Unauthorized(headers=(("WWW-Authenticate", "Bearer"),)))
    response = await exchange(Cors, EXAMPLE, page(), refusing)
    assert (response.status, said(response)) == (401, {"Allow-Origin": APP})
    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_a_websocket_knows_no_cors():
    class Tunnel:
        async def read(self):
            return b""

        async def write(self, data): ...

        def close(self): ...

    async def upgrading(_request):
        response = Response(101)
        response.tunnel = Tunnel()
        return response

    response = await exchange(Cors, EXAMPLE, page(), upgrading)
    assert list(response.headers) == []


# -- preflights --------------------------------------------------------------------------------------------------------


async def test_a_preflight_is_answered_here():
    target = answering()
    settings = {**EXAMPLE, "credentials": True, "max_age": "1h", "expose": ["ETag"]}
    response = await exchange(Cors, settings, preflight(headers="content-type"), target)
    assert (response.status, target.calls, response.body.whole) == (204, 0, b"")
    assert said(response) == {
        "Allow-Origin": APP,
        "Allow-Credentials": "true",
        "Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
        "Allow-Headers": "Authorization, Content-Type, Idempotency-Key",
        "Max-Age": "3600",
    }
    assert response.headers["Vary"] == "Origin, Access-Control-Request-Method"


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        pytest.param("authorization, x-anything", "authorization, x-anything", id="what was asked for"),
        pytest.param("", None, id="nothing asked for"),
    ],
)
async def test_any_header(asked, allowed):
    response = await exchange(Cors, {**EXAMPLE, "headers": ["*"]}, preflight(headers=asked))
    assert said(response).get("Allow-Headers") == allowed
    assert "Access-Control-Request-Headers" in response.headers["Vary"]


@pytest.mark.parametrize(
    ("setting", "asked", "said_back"),
    [(True, "true", "true"), (True, "", None), (True, "false", None), (False, "true", None)],
)
async def test_private_networks(setting, asked, said_back):
    headers = {"Access-Control-Request-Private-Network": asked} if asked else {}
    response = await exchange(Cors, {**EXAMPLE, "private_network": setting}, preflight(**headers))
    assert said(response).get("Allow-Private-Network") == said_back
    assert ("Private-Network" in response.headers["Vary"]) == setting


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(request("OPTIONS"), id="no page"),
        pytest.param(page(method="OPTIONS"), id="a page that sends OPTIONS itself"),
        pytest.param(request("OPTIONS", headers={"Access-Control-Request-Method": "PUT"}), id="no origin"),
        pytest.param(page(method="GET", Access_Control_Request_Method="PUT"), id="not OPTIONS"),
    ],
)
async def test_what_is_no_preflight_reaches_the_service(asked):
    target = answering()
    assert (await exchange(Cors, EXAMPLE, asked, target)).status == 200
    assert target.calls == 1


async def test_a_preflight_of_another_origin_is_refused_and_counted():
    given, target = ports(), answering()
    response = await exchange(Cors, EXAMPLE, preflight("https://evil.com"), target, ports=given)
    assert (response.status, response.error.code, target.calls) == (403, "origin_refused", 0)
    assert (given.refused, said(response)) == (["origin_refused"], {})
    assert "Origin" in response.headers["Vary"]


async def test_in_shadow_the_service_speaks_for_itself():
    given, target = ports(), answering(200, {"Access-Control-Allow-Origin": "https://evil.com"})
    async with opened(Cors, EXAMPLE, mode="shadow", ports=given) as live:
        response = await live(preflight("https://evil.com"), target)
        assert (response.status, said(response)) == (200, {"Allow-Origin": "https://evil.com"})
        assert given.would_refuse == ["origin_refused"]
        response = await live(page("https://evil.com"), target)
        assert said(response) == {"Allow-Origin": "https://evil.com"}
        assert said(await live(page(), target)) == {"Allow-Origin": APP}


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"origins": []}, id="nobody"),
        pytest.param({"origins": ["*"], "credentials": True}, id="everybody with credentials"),
        pytest.param({"origins": ["*", APP]}, id="everybody and one more"),
        pytest.param({"origins": [{"regex": ".*"}], "credentials": True}, id="everybody by pattern"),
        pytest.param({"origins": [{"regex": "https://.*"}], "credentials": True}, id="everybody with TLS by pattern"),
        pytest.param({"origins": [{"regex": "("}]}, id="no pattern"),
        pytest.param({"origins": [APP + "/"]}, id="a URL"),
        pytest.param({"origins": ["app.example.com"]}, id="a host"),
        pytest.param({"origins": ["https://*"]}, id="a star for a host"),
        pytest.param({"origins": ["https://app.*.com"]}, id="a star in the middle"),
        pytest.param({"origins": ["https://*app.example.com"]}, id="a star in a label"),
        pytest.param({"origins": ["https://bücher.example"]}, id="a name browsers send otherwise"),
        pytest.param({**EXAMPLE, "headers": ["*", "X"]}, id="any header and one more"),
        pytest.param({**EXAMPLE, "headers": ["X Y"]}, id="no header's name"),
        pytest.param({**EXAMPLE, "methods": ["GET, PUT"]}, id="no method"),
        pytest.param({**EXAMPLE, "methods": ["*"], "credentials": True}, id="a star that is only a name"),
        pytest.param({**EXAMPLE, "max_age": "2d"}, id="longer than any browser keeps it"),
    ],
)
def test_settings_that_cannot_be_meant(settings):
    with pytest.raises(ValidationError):
        settings_of(Cors, settings)


def test_null_with_credentials_is_warned_of():
    assert Cors.check(CorsSettings(origins=("null",), credentials=True))
    assert not Cors.check(CorsSettings(origins=("null",)))
