"""Fixed answers: what an operator wrote is what goes out, each time anew."""

import pytest
from pydantic import ValidationError

from gateway.plugin.fixed import FixedAnswer


@pytest.mark.parametrize(
    ("given", "headers", "body"),
    [
        pytest.param({}, {}, b"", id="empty"),
        pytest.param({"body": "hi"}, {"Content-Type": "text/plain; charset=utf-8"}, b"hi", id="text"),
        pytest.param({"json": None}, {"Content-Type": "application/json"}, b"null", id="null is a document"),
        pytest.param({"json": 1, "content_type": "a/b"}, {"Content-Type": "a/b"}, b"1", id="of another kind"),
        pytest.param({"body": "x", "headers": {"content-type": "c/d"}}, {"content-type": "c/d"}, b"x", id="one type"),
    ],
)
def test_ready(given, headers, body):
    ready = FixedAnswer.model_validate(given).ready()
    response = ready.response()
    assert (response.status, dict(response.headers), response.body.whole) == (200, headers, body)
    response.edit_headers()["X"] = "1"
    assert "X" not in ready.response().headers
    assert ready.response((b"Retry-After", b"5")).headers["Retry-After"] == "5"


@pytest.mark.parametrize(
    "given",
    [{"body": "a", "json": 1}, {"status": 204, "body": "a"}, {"status": 304, "json": {}}, {"status": 199}],
    ids=["two bodies", "204 with a body", "304 with a body", "an interim status"],
)
def test_what_is_refused(given):
    with pytest.raises(ValidationError):
        FixedAnswer.model_validate(given)
