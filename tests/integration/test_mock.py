"""mock over real connections: a service that is not there yet, from a file."""

from __future__ import annotations

import json

from gateway.testing import running

API = {
    "openapi": "3.0.3",
    "info": {"title": "Pets", "version": "1"},
    "paths": {
        "/pets/{id}": {
            "get": {"responses": {"200": {"description": "", "content": {"application/json": {"example": {"id": 7}}}}}}
        }
    },
}
CONFIG = """
routes:
  - name: pets
    match: {path: /pets/}
    plugins:
      - plugin: mock
        with: {document: {file: "${API}"}}
"""


async def test_over_a_real_connection(tmp_path):
    file = tmp_path / "api.json"
    file.write_text(json.dumps(API))
    async with running(CONFIG, API=str(file)) as gateway:
        answer = await gateway.fetch("GET", "/pets/7")
        assert (answer.status, json.loads(answer.body)) == (200, {"id": 7})
        assert (await gateway.fetch("POST", "/pets/7", body="ignored")).status == 405
