"""mock: which example is given, what a client may prefer, and what is made up where there is none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.plugin.openapi import ApiDocument
from gateway.testing import answering, exchange, opened, request, settings_of
from plugins.mock import Mock, made_up

PET = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "name": {"type": "string", "example": "Rex"},
        "born": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "password": {"type": "string", "writeOnly": True},
        "parent": {"$ref": "#/components/schemas/Pet"},
    },
}
API = {
    "openapi": "3.1.0",
    "info": {"title": "Pets", "version": "1"},
    "servers": [{"url": "https://api.test/v1"}],
    "paths": {
        "/pets": {
            "get": {
                "operationId": "listPets",
                "responses": {
                    "200": {
                        "description": "All",
                        "headers": {"X-Total": {"example": 2}, "X-Rate": {"schema": {"type": "integer"}}},
                        "content": {
                            "application/json": {
                                "examples": {"two": {"value": [{"id": 1}, {"id": 2}]}, "none": {"value": []}}
                            },
                            "text/csv": {"example": "id\n1\n"},
                        },
                    },
                    "default": {
                        "description": "Wrong",
                        "content": {"application/problem+json": {"example": {"title": "wrong"}}},
                    },
                },
            },
            "post": {"responses": {"201": {"description": "Made"}}},
        },
        "/pets/{id}": {
            "get": {
                "responses": {
                    "404": {"description": "None"},
                    "2XX": {
                        "description": "One",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}},
                    },
                }
            }
        },
        "/odd": {"get": {"responses": {}}},
    },
    "components": {"schemas": {"Pet": PET}},
}
EXAMPLE = {"document": API}


def asking(path, method="GET", **headers):
    return request(method, f"/v1{path}", headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("asked", "status", "media", "body"),
    [
        pytest.param(asking("/pets"), 200, "application/json", b'[{"id":1},{"id":2}]', id="the first example"),
        pytest.param(asking("/pets", Prefer="example=none"), 200, "application/json", b"[]", id="another by name"),
        pytest.param(asking("/pets", Accept="text/csv"), 200, "text/csv", b"id\n1\n", id="another media type"),
        pytest.param(asking("/pets", Accept="text/*;q=0.5"), 200, "text/csv", b"id\n1\n", id="any of a kind"),
        pytest.param(asking("/pets", Accept="image/png"), 200, "application/json", b'[{"id":1},{"id":2}]', id="none"),
        pytest.param(
            asking("/pets", Prefer='respond-async, code="503"'),
            503,
            "application/problem+json",
            b'{"title":"wrong"}',
            id="another status",
        ),
        pytest.param(asking("/pets", "POST"), 201, None, b"", id="no body"),
        pytest.param(asking("/pets/7", Prefer="code=404"), 404, None, b"", id="a status without a body"),
        pytest.param(asking("/odd"), 200, None, b"", id="nothing is said of answers"),
    ],
)
async def test_answers(asked, status, media, body):
    target = answering(200)
    response = await exchange(Mock, EXAMPLE, asked, target)
    assert (response.status, response.headers.get("Content-Type"), response.body.whole) == (status, media, body)
    assert target.calls == 0


async def test_it_says_what_it_is_and_what_it_took_account_of():
    response = await exchange(Mock, EXAMPLE, asking("/pets", Prefer="example=none; code=200"))
    assert response.headers["X-Mock"] == "listPets"
    assert response.headers["Preference-Applied"] == "example=none, code=200"
    assert (response.headers["X-Total"], "X-Rate" in response.headers) == ("2", False)
    assert "X-Mock" not in (await exchange(Mock, {**EXAMPLE, "mark": None}, asking("/pets"))).headers


async def test_what_has_no_example_is_made_up():
    response = await exchange(Mock, EXAMPLE, asking("/pets/7"))
    pet = json.loads(response.body.whole)
    assert response.status == 200
    assert {**pet, "parent": None} == {"id": 1, "name": "Rex", "born": "2027-01-15", "tags": ["string"], "parent": None}
    assert response.headers["X-Mock"] == "GET /pets/{id}"


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        pytest.param(asking("/cats"), 404, "not_described", id="no such path"),
        pytest.param(request("GET", "/pets"), 404, "not_described", id="outside the base path"),
        pytest.param(asking("/pets", "DELETE"), 405, "method_not_described", id="no such method"),
        pytest.param(asking("/pets", Prefer="example=three"), 404, "outcome_not_described", id="no such example"),
        pytest.param(asking("/pets/7", Prefer="code=500"), 404, "outcome_not_described", id="no such status"),
        pytest.param(asking("/pets", Prefer="code=100"), 404, "outcome_not_described", id="an interim status"),
    ],
)
async def test_what_is_not_described(asked, status, code):
    response = await exchange(Mock, EXAMPLE, asked)
    assert (response.status, response.error.code) == (status, code)
    if status == 405:
        assert response.headers["Allow"] == "GET, HEAD, POST"


async def test_another_base_path():
    async with opened(Mock, {**EXAMPLE, "base_path": "/api"}) as live:
        assert (await live(request("GET", "/api/pets"))).status == 200
        assert (await live(request("GET", "/v1/pets"))).status == 404


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        pytest.param({"type": "string", "minLength": 8}, "stringxx", id="long enough"),
        pytest.param({"type": "string", "format": "uuid"}, "7d444840-9dc0-11d1-b245-5ffdce74fad2", id="a format"),
        pytest.param({"type": "integer", "exclusiveMinimum": 5}, 6, id="above the least"),
        pytest.param({"enum": ["b", "a"]}, "b", id="one of a list"),
        pytest.param({"const": False}, False, id="the only one"),
        pytest.param({"type": ["null", "boolean"]}, True, id="rather than null"),
        pytest.param({"oneOf": [{"type": "number"}, {"type": "string"}]}, 0, id="the first of several"),
        pytest.param({"type": "array", "minItems": 2, "items": {"const": 1}}, [1, 1], id="enough of them"),
        pytest.param(
            {"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]},
            {"a": 1, "b": 2},
            id="all together",
        ),
        pytest.param({}, None, id="anything"),
        pytest.param(True, None, id="anything, in short"),
    ],
)
def test_made_up(schema, made):
    assert made_up(schema, ApiDocument(API)) == made


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="no document"),
        pytest.param({"document": {"swagger": "2.0"}}, id="an old one"),
        pytest.param({"document": {"url": "https://api.test/openapi.json"}}, id="one that is elsewhere"),
        pytest.param({**EXAMPLE, "delay": "2m"}, id="longer than anybody waits"),
    ],
)
def test_settings_that_are_refused(settings):
    with pytest.raises(ValidationError):
        settings_of(Mock, settings)


@given(st.text(max_size=60), st.text(max_size=30))
async def test_no_wish_breaks_it(prefer, accept):
    clean = str.maketrans("", "", "\r\n\0")
    asked = asking("/pets", Prefer=prefer.translate(clean), Accept=accept.translate(clean))
    assert (await exchange(Mock, EXAMPLE, asked)).status in (200, 404)
