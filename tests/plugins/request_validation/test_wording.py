"""How failures are told."""

import jsonschema_rs
import pytest

from plugins.request_validation.wording import Findings, pointer


@pytest.mark.parametrize(
    ("schema", "value", "told"),
    [
        ({"required": ["a"]}, {}, ("#/a", "is required")),
        ({"additionalProperties": False, "properties": {"b": {}}}, {"a": 1}, ("#/a", "is not a known property")),
        ({"unevaluatedProperties": False}, {"a": 1}, ("#/a", "is not a known property")),
        ({"type": ["string", "null"]}, 1, ("#", "must be null or string")),
        ({"enum": [1, None, "x"]}, 5, ("#", "must be one of 1, null, x")),
        ({"const": "a"}, "b", ("#", "must be a")),
        ({"multipleOf": 3}, 4, ("#", "must be a multiple of 3")),
        ({"pattern": "^a$"}, "b", ("#", "does not match the pattern")),
        ({"uniqueItems": True}, [1, 1], ("#", "must not have equal items")),
        ({"propertyNames": {"maxLength": 1}}, {"ab": 1}, ("#", "has a property whose name is not allowed")),
        ({"items": {"maximum": 3}}, [1, 4], ("#/1", "must be at most 3")),
        ({"not": {}}, 1, ("#", "is what it must not be")),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, ("#", "fits none of the alternatives")),
        ({"oneOf": [{}, {}]}, 1, ("#", "does not fit exactly one of the alternatives")),
        (
            {"oneOf": [{"type": "string"}, {"type": "object", "required": ["a"]}]},
            {},
            ("#/a", "is required"),
        ),
    ],
)
def test_told(schema, value, told):
    findings = Findings(5)
    findings.schema(jsonschema_rs.Draft202012Validator(schema).iter_errors(value), findings.body)
    assert [(each["pointer"], each["detail"]) for each in findings.entries] == [told]


def test_pointers_are_fragments():
    assert pointer(["a/b", "~", 0, "é %"]) == "#/a~1b/~0/0/%C3%A9%20%25"
