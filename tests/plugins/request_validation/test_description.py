"""Schemas of the route's own keep their references."""

import pytest

from gateway.plugin.openapi import OpenApiError
from gateway.testing import settings_of
from plugins.request_validation import RequestValidation
from plugins.request_validation.description import by_schemas


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"query": []}, id="not an object"),
        pytest.param({"query": {"properties": {}, "minProperties": 1}}, id="of the whole object"),
        pytest.param({"body": {"$ref": "#/nowhere"}}, id="a reference to nothing"),
        pytest.param({"body": {"properties": {"$ref": {"$ref": "#/nowhere"}}}}, id="a property called as a keyword"),
    ],
)
def test_schemas_that_cannot_be(given):
    with pytest.raises(OpenApiError):
        by_schemas(settings_of(RequestValidation, given))


def test_references_lead_inside_their_own_schema():
    given = {"query": {"properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}}}
    assert list(by_schemas(settings_of(RequestValidation, given)).names()) == ["the route's schemas"]
