"""Operations: parameters merged, defaults of styles, examples."""

import pytest

from gateway.plugin.openapi import ApiDocument, OpenApiError


def operation(definition, shared=()):
    document = ApiDocument({"openapi": "3.0.0", "paths": {"/a": {"parameters": list(shared), "get": definition}}})
    return document.find("GET", "/a")[0]


def test_an_operations_parameters_win_and_some_are_none():
    found = operation(
        {"parameters": [{"name": "a", "in": "query", "required": True}, {"name": "Accept", "in": "header"}]},
        [{"name": "a", "in": "query"}, {"name": "a", "in": "cookie"}],
    ).parameters
    assert [(each.name, each.place, each.required) for each in found] == [("a", "query", True), ("a", "cookie", False)]


@pytest.mark.parametrize(
    ("given", "style", "explode"),
    [
        ({"in": "query"}, "form", True),
        ({"in": "cookie"}, "form", True),
        ({"in": "header"}, "simple", False),
        ({"in": "path"}, "simple", False),
        ({"in": "path", "style": "matrix", "explode": True}, "matrix", True),
        ({"in": "query", "style": "deepObject"}, "deepObject", False),
    ],
)
def test_styles(given, style, explode):
    found = operation({"parameters": [{"name": "a", **given}]}).parameters[0]
    assert (found.style, found.explode) == (style, explode)


@pytest.mark.parametrize(
    "given", [{}, {"name": "a"}, {"name": "a", "in": "body"}, {"name": "a", "in": "path", "style": "form"}]
)
def test_parameters_that_cannot_be(given):
    with pytest.raises(OpenApiError):
        _ = operation({"parameters": [given]}).parameters


def test_examples_and_ids():
    found = operation(
        {
            "operationId": "x",
            "deprecated": True,
            "responses": {"2xx": {"content": {"text/plain": {"examples": {"one": {"value": 1}}, "example": 2}}}},
        }
    )
    assert found.outcome(204).content["text/plain"].examples() == {"one": 1, "default": 2}
    assert (found.id, found.deprecated, found.body) == ("x", True, None)
