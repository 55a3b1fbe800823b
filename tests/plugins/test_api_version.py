"""api_version: where a version is found, which one wins, and what the target is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.testing import answering, exchange, opened, request, settings_of
from plugins.api_version import ApiVersion

VERSIONS = {"1": {"upstream": "old"}, "2": {"aliases": ["2.0", "latest"]}}
EXAMPLE = {"from": {"header": "X-API-Version"}, "versions": VERSIONS}
EVERYWHERE = {
    "from": {"path": "v{version}", "header": "X-API-Version", "query": "version", "media_type": "acme"},
    "versions": VERSIONS,
    "header": "X-Served",
}


def accepting(value):
    return request("GET", "/items", headers={"Accept": value})


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        pytest.param(request("GET", "/v1/items"), "1", id="in the path"),
        pytest.param(request("GET", "/api/v2/items"), "2", id="further down the path"),
        pytest.param(request("GET", "/v2.0/items"), "2", id="by another spelling"),
        pytest.param(request("GET", "/videos/v1"), "1", id="a segment that only begins like one is none"),
        pytest.param(request("GET", "/items", headers={"x-api-version": " 2 "}), "2", id="in a header field"),
        pytest.param(request("GET", "/items?a=1&version=latest"), "2", id="in the query"),
        pytest.param(accepting("application/vnd.acme.v1+json"), "1", id="in the media type"),
        pytest.param(accepting("application/vnd.acme.orders.v2+json"), "2", id="behind a resource"),
        pytest.param(accepting("text/html, application/vnd.ACME+json; version=2"), "2", id="as its parameter"),
        pytest.param(accepting('application/vnd.acme;v="1"'), "1", id="as a quoted parameter"),
        pytest.param(
            request("POST", "/items", headers={"Content-Type": "application/vnd.acme.v1+json"}), "1", id="of the body"
        ),
        pytest.param(request("GET", "/v2/items?version=2.0"), "2", id="twice, and the same"),
    ],
)
async def test_where_it_is_found(asked, version):
    target = answering(200)
    response = await exchange(ApiVersion, EVERYWHERE, asked, target)
    assert (response.status, response.headers["X-Served"]) == (200, version)
    assert target.request.headers["X-Served"] == version
    assert target.request.upstream == ("old" if version == "1" else None)
    assert response.headers["Vary"] == "X-API-Version, Accept"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        pytest.param(request("GET", "/items"), "api_version_required", id="none"),
        pytest.param(request("GET", "/v3/items"), "unsupported_api_version", id="one that there is not"),
        pytest.param(accepting("application/vnd.acme.v9+json"), "unsupported_api_version", id="in the media type"),
        pytest.param(accepting("application/vnd.acmecorp.v1+json"), "api_version_required", id="somebody else's type"),
        pytest.param(request("GET", "/v1/items?version=2"), "ambiguous_api_version", id="two places disagree"),
        pytest.param(request("GET", "/items?version=1&version=2"), "ambiguous_api_version", id="two parameters"),
        pytest.param(
            request("GET", "/", headers=[("X-API-Version", "1"), ("X-API-Version", "2")]),
            "ambiguous_api_version",
            id="two fields",
        ),
        pytest.param(request("GET", "/items?version=%31%00"), "unsupported_api_version", id="bytes that are no name"),
    ],
)
async def test_what_is_refused(asked, code):
    target = answering(200)
    response = await exchange(ApiVersion, EVERYWHERE, asked, target)
    assert (response.status, response.error.code, target.calls) == (400, code, 0)


async def test_the_answer_says_what_is_supported():
    response = await exchange(ApiVersion, EVERYWHERE, request("GET", "/v3/items"))
    assert response.error.extensions == {"supported": ["1", "2"]}


@pytest.mark.parametrize("default", ["1", "2", "latest"])
async def test_a_default(default):
    response = await exchange(ApiVersion, {**EVERYWHERE, "default": default}, request("GET", "/items"))
    assert response.headers["X-Served"] == {"1": "1", "2": "2", "latest": "2"}[default]


async def test_what_a_client_claims_of_it_does_not_get_through():
    target = answering(200)
    asked = request("GET", "/v2/", headers={"X-Served": "1", "X_Served": "1"})
    await exchange(ApiVersion, EVERYWHERE, asked, target)
    assert target.request.headers.getall("X-Served") == ["2"]
    assert "X_Served" not in target.request.headers


@pytest.mark.parametrize(
    ("asked", "path", "query"),
    [
        pytest.param("/v2/items", "/items", "", id="a segment in front"),
        pytest.param("/shop/v2/items", "/shop/items", "", id="a segment within"),
        pytest.param("/v2", "/", "", id="nothing else"),
        pytest.param("/v2/", "/", "", id="nothing but a slash"),
        pytest.param("/items?a=1&version=2&b=2", "/items", "a=1&b=2", id="a parameter"),
    ],
)
async def test_strip(asked, path, query):
    target = answering(200)
    await exchange(ApiVersion, {**EVERYWHERE, "strip": True}, request("GET", asked), target)
    assert (target.request.path, target.request.query) == (path, query)


async def test_shadow_lets_pass_what_names_no_version():
    target = answering(200)
    async with opened(ApiVersion, EXAMPLE, mode="shadow") as live:
        assert (await live(request(), target)).status == 200
        assert live.ports.would_refuse == ["api_version_required"]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({**EXAMPLE, "from": {}}, id="nowhere to look"),
        pytest.param({**EXAMPLE, "from": {"path": "v"}}, id="a segment without a version"),
        pytest.param({**EXAMPLE, "versions": {}}, id="no version"),
        pytest.param({**EXAMPLE, "default": "3"}, id="a default that is not served"),
        pytest.param({**EXAMPLE, "versions": {"1": {}, "2": {"aliases": ["1"]}}}, id="a name for two versions"),
        pytest.param({**EXAMPLE, "versions": {"a b": {}}}, id="a name that cannot stand in a path"),
    ],
)
def test_settings_that_are_refused(settings):
    with pytest.raises(ValidationError):
        settings_of(ApiVersion, settings)


@given(st.text(max_size=40))
async def test_no_accept_header_breaks_it(value):
    value = value.replace("\r", "").replace("\n", "").replace("\0", "")
    response = await exchange(ApiVersion, {**EVERYWHERE, "default": "2"}, accepting(value))
    assert response.status in (200, 400)
