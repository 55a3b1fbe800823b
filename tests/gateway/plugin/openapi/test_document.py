"""What a document says is found: operations, servers, references, problems all at once."""

import pytest

from gateway.plugin.openapi import ApiDocument, OpenApiError

ROOT = {
    "openapi": "3.1.0",
    "info": {"title": "Pets"},
    "servers": [{"url": "https://a.test/v1/"}, {"url": "/{stage}", "variables": {"stage": {"default": "test"}}}],
    "paths": {
        "/pets/{id}": {
            "parameters": [{"name": "id", "in": "path", "schema": {"type": "integer"}}],
            "get": {"responses": {"200": {"$ref": "#/components/responses/Pet"}}},
            "put": {"servers": [{"url": "/admin"}]},
        },
        "/pets/{pet}": {"delete": {"parameters": [{"$ref": "#/components/parameters/Dry"}]}},
        "/linked": {"$ref": "#/components/pathItems/linked"},
        "x-note": 1,
    },
    "components": {
        "parameters": {"Dry": {"name": "dry", "in": "query", "schema": {"type": "boolean"}}},
        "pathItems": {"linked": {"get": {"operationId": "linked"}}},
        "responses": {
            "Pet": {
                "description": "x",
                "content": {"application/JSON": {"schema": {"$ref": "#/components/schemas/Pet"}}},
            }
        },
        "schemas": {"Pet": {"type": "object", "example": {"id": 1}, "properties": {"a/b": {"type": "string"}}}},
    },
}


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        pytest.param("GET", "/v1/pets/7", ("GET /pets/{id}", {"id": "7"}), id="under the first server"),
        pytest.param("HEAD", "/test/pets/7", ("GET /pets/{id}", {"id": "7"}), id="HEAD, under the second"),
        pytest.param("PUT", "/admin/pets/7", ("PUT /pets/{id}", {"id": "7"}), id="an operation with its own server"),
        pytest.param("DELETE", "/v1/pets/7", ("DELETE /pets/{pet}", {"pet": "7"}), id="the same path, named otherwise"),
        pytest.param("GET", "/v1/linked", ("GET /linked", {}), id="a path item elsewhere"),
        pytest.param("POST", "/v1/pets/7", ["DELETE", "GET", "HEAD"], id="another method"),
        pytest.param("GET", "/pets/7", (), id="without the base"),
    ],
)
def test_find(method, path, found):
    got = ApiDocument(ROOT).find(method, path)
    if isinstance(got, tuple) and got:
        got = (got[0].name, got[1])
    assert got == found


def test_another_base():
    assert ApiDocument(ROOT).based("/shop/").find("GET", "/shop/pets/7")[1] == {"id": "7"}
    assert ApiDocument(ROOT, base_path="").find("GET", "/pets/7")[1] == {"id": "7"}


def test_answers_and_their_examples():
    document = ApiDocument(ROOT)
    operation, _ = document.find("GET", "/v1/pets/7")
    assert operation.outcome(200).content["application/json"].examples() == {"default": {"id": 1}}
    assert operation.outcome(404) is None
    assert dict(document.schemas()).keys() == {"Pet"}
    assert document.title == "Pets"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"openapi": "2.0"}, "3.0.x", id="a version"),
        pytest.param({"paths": []}, "/paths: not an object", id="paths"),
        pytest.param({"paths": {"pets": {"get": {}}}}, "does not begin with /", id="a path"),
        pytest.param({"paths": {"/a": {"get": 1}}}, "get: not an object", id="an operation"),
        pytest.param(
            {"x": {"$ref": "#/nothing"}, "y": {"$ref": "other.yaml#/a"}},
            "nowhere.*of the document|of the document.*nowhere",
            id="two at once",
        ),
        pytest.param({"x": {"$ref": "#anchor"}}, "anchor", id="an anchor"),
        pytest.param({"paths": {"/a": {"$ref": "#/x"}}, "x": {"$ref": "#/x"}}, "lead to each other", id="a circle"),
    ],
)
def test_problems(change, told):
    with pytest.raises(OpenApiError, match=told):
        ApiDocument({**ROOT, **change})


def test_a_reference_in_an_example_is_data():
    ApiDocument({**ROOT, "x": {"example": {"$ref": "nowhere"}, "enum": [{"$ref": "nowhere"}]}})


@pytest.mark.parametrize("root", [None, [], "x", {}, {"openapi": 3.0}])
def test_no_document(root):
    with pytest.raises(OpenApiError):
        ApiDocument(root)
