"""Answers in every form they are given, and the exchange that they end."""

import pytest

from gateway.errors import Forbidden
from gateway.http import Body, Exchange, Response
from gateway.testing import request


@pytest.mark.parametrize("headers", [{"A": "1"}, [("A", "1")]])
def test_an_answer_takes_headers_or_fields(headers):
    assert Response(200, headers=headers).fields == Response(200, fields=[(b"A", b"1")]).fields
    assert Response(200, headers={"A": "1"}).headers["a"] == "1"


@pytest.mark.parametrize(("body", "data"), [(None, b""), (b"x", b"x"), (Body(b"y"), b"y")])
def test_an_answer_takes_a_body_in_any_form(body, data):
    assert Response(200, body=body).body.whole == data


def test_an_exchange_keeps_what_the_end_looked_like():
    asked = request()
    error = Forbidden()
    gone = Exchange(asked, None, status=499, duration=1.5, sent_bytes=3, received_bytes=4, aborted=True, error=error)
    assert (gone.status, gone.duration, gone.sent_bytes, gone.received_bytes, gone.aborted) == (499, 1.5, 3, 4, True)
    assert gone.error is error
