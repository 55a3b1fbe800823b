"""What may be done twice; how calls are made stands in ``tests/plugins/test_respond_async.py``."""

import pytest

from gateway.services.queue import Item, State
from gateway.services.queue.message import VERSION, KeptRequest
from plugins.respond_async.runner import _repeatable


def item(method, *fields):
    kept = KeptRequest(VERSION, method, "/", "", "h", "http", list(fields), b"", 0.0, "r")
    return Item("1", "t", {}, State.LEASED, 0.0, 0.0, 0, 0, 0, 0, payload=kept.pack())


@pytest.mark.parametrize(
    ("method", "fields", "repeatable"),
    [
        pytest.param("GET", [], True, id="GET"),
        pytest.param("PUT", [], True, id="PUT"),
        pytest.param("DELETE", [], True, id="DELETE"),
        pytest.param("POST", [], False, id="POST"),
        pytest.param("PATCH", [], False, id="PATCH"),
        pytest.param("POST", [(b"idempotency-key", b"k")], True, id="POST with a key"),
        pytest.param("POST", [(b"Idempotency-Key", b"")], False, id="POST with an empty key"),
    ],
)
def test_what_may_be_done_twice(method, fields, repeatable):
    assert _repeatable(item(method, *fields)) is repeatable


def test_what_cannot_be_read_is_not():
    assert not _repeatable(Item("1", "t", {}, State.LEASED, 0.0, 0.0, 0, 0, 0, 0, payload=b"?"))
