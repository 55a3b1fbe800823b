"""How much may be said of what is wrong: senders do not choose how long that takes."""

import json

import pytest

from gateway.testing import exchange, request
from plugins.request_validation import RequestValidation
from plugins.request_validation.cost import MOST, alternatives, explainable

CONSTS = {"anyOf": [{"const": number} for number in range(50)]}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        pytest.param({"type": "string"}, 1, id="none"),
        pytest.param(True, 1, id="no schema to look into"),
        pytest.param(CONSTS, 50, id="alternatives"),
        pytest.param({"oneOf": [{"items": CONSTS}, {"items": CONSTS}]}, 100, id="alternatives within alternatives"),
        pytest.param({"properties": {"a": CONSTS, "b": CONSTS}}, 50, id="side by side"),
        pytest.param({"items": {"$ref": "#/$defs/a~1b"}, "$defs": {"a/b": CONSTS}}, 50, id="by reference"),
        pytest.param({"$defs": {"unused": CONSTS}}, 1, id="never referred to"),
        pytest.param({"anyOf": [{"items": {"$ref": "#"}}, {}]}, 3, id="of itself"),
        pytest.param({"anyOf": [{"$ref": "#/nowhere"}, {"$ref": "https://x.test/"}]}, 2, id="lead nowhere"),
    ],
)
def test_alternatives(schema, expected):
    assert alternatives(schema) == expected


@pytest.mark.parametrize(
    ("value", "fan", "expected"),
    [
        pytest.param(1, 1, True, id="one value"),
        pytest.param([0] * (MOST - 1), 1, True, id="as many as may be"),
        pytest.param([0] * MOST, 1, False, id="one more"),
        pytest.param([[0] * 10 for _ in range(MOST // 10)], 1, False, id="nested"),
        pytest.param({"a": {"b": [0] * 100}}, MOST // 100, False, id="each held to many alternatives"),
    ],
)
def test_explainable(value, fan, expected):
    assert explainable(value, fan) is expected


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        pytest.param({"items": {"type": "string"}}, [1] * 400_000, id="a failure in each of many items"),
        pytest.param({"anyOf": [{"items": CONSTS}] * 20}, [99] * 20_000, id="alternatives within alternatives"),
    ],
)
async def test_a_body_with_millions_of_failures_is_refused_with_one(schema, body):
    settings = {"body": schema, "max_body": "2MB"}
    asked = request("POST", "/", headers={"Content-Type": "application/json"}, body=json.dumps(body).encode())
    response = await exchange(RequestValidation, settings, asked)
    assert response.status == 400
    assert json.loads(response.body.whole)["errors"] == [
        {"pointer": "#", "detail": "is not valid, and too large to say where"}
    ]
