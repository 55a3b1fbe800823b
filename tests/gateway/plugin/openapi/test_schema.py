"""Schemas that stand alone: what 3.0 said in its own way means the same in JSON Schema 2020-12."""

import jsonschema_rs
import pytest

from gateway.plugin.openapi import OpenApiError, Translation

ROOT = {
    "s": {
        "Node": {"type": "object", "properties": {"next": {"$ref": "#/s/Node"}, "n": {"type": "integer"}}},
        "Id": {"type": "string", "readOnly": True},
        "Loop": {"$ref": "#/s/Loop"},
    }
}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        pytest.param({"type": "string", "nullable": True}, [None, "a"], [1], id="nullable"),
        pytest.param({"type": "string", "nullable": True, "enum": ["a"]}, [None, "a"], ["b"], id="nullable and enum"),
        pytest.param({"nullable": True, "allOf": [{"$ref": "#/s/Node"}]}, [None, {}], [1], id="nullable and allOf"),
        pytest.param({"type": "string"}, ["a"], [None], id="not nullable"),
        pytest.param({"minimum": 1, "exclusiveMinimum": True}, [2], [1], id="exclusive"),
        pytest.param({"minimum": 1, "exclusiveMinimum": False}, [1], [0], id="not exclusive"),
        pytest.param({"maximum": 1, "exclusiveMaximum": True}, [0], [1], id="exclusive above"),
        pytest.param({"type": "integer", "format": "int32"}, [2**31 - 1], [2**31], id="int32"),
        pytest.param({"type": "integer", "format": "int64", "maximum": 5}, [5], [6], id="int64 with a bound"),
        pytest.param({"$ref": "#/s/Node", "type": "string"}, [{}], ["a"], id="a reference with neighbours"),
        pytest.param({"$ref": "#/s/Node"}, [{"next": {"next": {}}}], [{"next": {"next": {"n": "a"}}}], id="a circle"),
        pytest.param(
            {"required": ["id", "a"], "properties": {"id": {"$ref": "#/s/Id"}, "a": {}}}, [{"a": 1}], [{"id": "x"}],
            id="what is read-only is not required"),
        pytest.param({"properties": {"a": {"type": "null", "required": True}}}, [{}], [{"a": 1}], id="a flag"),
        pytest.param(
            {"properties": {"example": {"type": "string"}, "nullable": {"type": "integer"}}},
            [{"example": "a"}], [{"example": 1}, {"nullable": "x"}], id="properties called as keywords"),
        pytest.param({"type": "string", "format": "binary", "minLength": 9}, [""], [1], id="bytes are no text"),
    ],
)  # fmt: skip
def test_legacy(schema, good, bad):
    validator = jsonschema_rs.Draft202012Validator(Translation(ROOT, legacy=True)(schema), offline=True)
    assert all(map(validator.is_valid, good))
    assert not any(map(validator.is_valid, bad))


def test_modern_schemas_keep_what_stands_beside_a_reference():
    made = Translation(ROOT)({"$ref": "#/s/Node", "required": ["n"]})
    validator = jsonschema_rs.Draft202012Validator(made, offline=True)
    assert validator.is_valid({"n": 1}) and not validator.is_valid({})


def test_what_only_the_service_writes_may_be_refused():
    made = Translation(ROOT, refuse_hidden=True)({"properties": {"id": {"$ref": "#/s/Id"}}})
    assert not jsonschema_rs.Draft202012Validator(made, offline=True).is_valid({"id": "x"})
    made = Translation(ROOT, request=False)({"required": ["id"], "properties": {"id": {"$ref": "#/s/Id"}}})
    assert not jsonschema_rs.Draft202012Validator(made, offline=True).is_valid({})


@pytest.mark.parametrize("schema", [3, {"$id": "http://x.test/"}, {"$dynamicRef": "#x"}, {"$ref": "#/nowhere"}])
def test_schemas_that_are_not_supported(schema):
    with pytest.raises(OpenApiError):
        Translation(ROOT)(schema)


@pytest.mark.parametrize("schema", [None, True])
def test_schemas_that_take_anything(schema):
    assert jsonschema_rs.Draft202012Validator(Translation(ROOT)(schema)).is_valid(3)
