"""By what a client knows its call again, and what is kept of the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import Response
from plugins.respond_async.job import (
    Result,
    Ticket,
    digest,
    matches,
    new_secret,
    progress_secret,
    read_ticket,
    result_of,
    unpack_result,
)


def test_a_ticket_is_read_as_it_was_written():
    ticket = Ticket("0006a1b2c3", new_secret())
    assert read_ticket(str(ticket)) == ticket
    assert matches(ticket.secret, digest(ticket.secret))


def test_what_the_target_gets_does_not_fetch_the_answer():
    secret = new_secret()
    assert len(progress_secret(secret)) == len(secret) == 32
    assert not matches(progress_secret(secret), digest(secret))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("a", id="an id alone"),
        pytest.param("a.b", id="a short secret"),
        pytest.param("." + "x" * 32, id="no id"),
        pytest.param("a." + "x" * 33, id="a long secret"),
        pytest.param("a b." + "x" * 32, id="a space"),
        pytest.param("a." + "x" * 32 + "\n", id="a line end"),
        pytest.param("x" * 200 + "." + "x" * 32, id="a long id"),
    ],
)
def test_what_is_no_ticket(text):
    assert read_ticket(text) is None


@given(st.text())
def test_no_text_is_too_odd_to_be_refused(text):
    ticket = read_ticket(text)
    assert ticket is None or str(ticket) == text


def test_an_answer_is_kept_without_its_connection_and_is_one_clients():
    fields = (
        (b"Content-Type", b"text/plain"),
        (b"Content-Length", b"2"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Connection", b"close"),
        (b"Cache-Control", b"public, max-age=60"),
        (b"X-Two", b"1"),
        (b"X-Two", b"2"),
    )
    kept = unpack_result(result_of(Response(418, fields=fields, reason=b"Tea"), b"ok", "owner", 5.0).pack())
    assert kept is not None
    made = kept.response()
    assert (made.status, made.reason, made.body.whole) == (418, b"Tea", b"ok")
    assert [(name, value) for name, value in made.headers.items()] == [
        ("Content-Type", "text/plain"),
        ("X-Two", "1"),
        ("X-Two", "2"),
        ("Cache-Control", "private, no-store"),
        ("Referrer-Policy", "no-referrer"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe", id="no message"),
        pytest.param(Result(99, "", 200, b"", [], b"", 0.0).pack(), id="of a newer gateway"),
    ],
)
def test_what_cannot_be_read_is_no_answer(value):
    assert unpack_result(value) is None
