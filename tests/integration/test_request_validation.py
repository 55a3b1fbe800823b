"""request_validation over real connections: a document in a file, refusals that list what is wrong, the drift view."""

from __future__ import annotations

import json

from gateway.testing import origin, running

CONFIG = """
upstreams: {shop: {targets: ["${TARGET}"]}}
routes:
  - name: shop
    match: {path: /v1/}
    plugins:
      - plugin: request_validation
        with: {document: {file: "${DOCUMENT}"}, errors: 5}
    upstream: shop
"""
DOCUMENT = """
openapi: 3.1.0
servers: [{url: /v1}]
paths:
  /orders/{id}:
    put:
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      requestBody:
        required: true
        content: {application/json: {schema: {type: object, required: [sum], properties: {sum: {type: number}}}}}
      responses: {"200": {description: fine}}
"""


async def test_over_a_real_connection(tmp_path):
    (tmp_path / "shop.yaml").write_text(DOCUMENT)
    kind = {"Content-Type": "application/json"}
    async with (
        origin(200, body="hi") as service,
        running(CONFIG, TARGET=service.url, DOCUMENT=str(tmp_path / "shop.yaml")) as gateway,
    ):
        assert (await gateway.fetch("PUT", "/v1/orders/1", headers=kind, body=b'{"sum": 2}')).status == 200
        refused = await gateway.fetch("PUT", "/v1/orders/x", headers=kind, body=b"{}")
        problem = json.loads(refused.body)
        assert (refused.status, problem["code"]) == (400, "request_invalid")
        assert problem["errors"] == [
            {"parameter": "id", "in": "path", "detail": "must be integer"},
            {"pointer": "#/sum", "detail": "is required"},
        ]
        assert (await gateway.fetch("GET", "/v1/orders/1")).status == 405
        assert (await gateway.fetch("GET", "/v1/users")).status == 404
        assert len(service.requests) == 1
