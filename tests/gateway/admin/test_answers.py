"""The forms of the admin API's answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.answers import as_json, line, problem


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param({"a": [1, None]}, '{"a":[1,null]}', id="what JSON knows"),
        pytest.param({"path": Path("/x")}, '{"path":"/x"}', id="what it does not know, as text"),
    ],
)
def test_json(value: Any, text: str) -> None:
    answer = as_json(value, status=201)
    assert (answer.status, answer.content_type, answer.body) == (201, "application/json", text.encode() + b"\n")
    assert line(value) == text.encode() + b"\n"


def test_a_problem_has_a_code() -> None:
    answer = problem(404, "no_queue", "There is none.")
    assert (answer.status, answer.content_type) == (404, "application/problem+json")
    assert json.loads(bytes(answer.body))["code"] == "no_queue"  # type: ignore[arg-type]
