"""Text as what a schema lets it be."""

import pytest

from gateway.plugin.openapi import shape_of

ROOT = {"n": {"type": "integer"}, "loop": {"anyOf": [{"$ref": "#/loop"}, {"type": "boolean"}]}}


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "integer"}, "7", 7),
        ({"type": "integer"}, "-7", -7),
        ({"type": "integer"}, "007", "007"),
        ({"type": "integer"}, "1_0", "1_0"),
        ({"type": "integer"}, "\u0661", "\u0661"),
        ({"type": "number"}, "1.5e3", 1500.0),
        ({"type": "number"}, "1e999", "1e999"),
        ({"type": "number"}, "nan", "nan"),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, "True", "True"),
        ({"type": ["integer", "null"]}, "", None),
        ({"type": "string"}, "7", "7"),
        ({}, "7", "7"),
        ({"$ref": "#/n"}, "7", 7),
        ({"allOf": [{"$ref": "#/n"}]}, "7", 7),
        ({"$ref": "#/loop"}, "true", True),
        ({"enum": [1, 2]}, "1", 1),
    ],
)
def test_read(schema, text, value):
    read = shape_of(ROOT, schema).read(text)
    assert (read, type(read)) == (value, type(value))


def test_what_is_in_it():
    shape = shape_of(ROOT, {"properties": {"a": {"$ref": "#/n"}}, "additionalProperties": {"type": "boolean"}})
    assert shape.types == {"object"}
    assert (shape.within("a").read("1"), shape.within("b").read("true")) == (1, True)
    assert shape_of(ROOT, {"items": {"$ref": "#/n"}}).each.read("1") == 1
