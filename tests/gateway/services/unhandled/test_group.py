"""Which errors are the same one, and what is shown of a group."""

import json
import logging
from traceback import TracebackException

import pytest

from gateway.chain import crashed
from gateway.config.load import load_text
from gateway.services.masking import Masking
from gateway.services.unhandled import Group, fingerprint
from gateway.services.unhandled.group import Occurrence, masked


def caught(call, *given):
    with pytest.raises(BaseException) as found:
        call(*given)
    return found.value


def divide(by):
    return 1 / by


def index(at):
    return [][at]


def deep(left):
    return deep(left - 1) if left else divide(0)


def in_a_library(text):
    return json.loads(text)


def test_the_same_place_and_type_whatever_the_message_and_the_line():
    one, other = caught(in_a_library, "{"), caught(in_a_library, "anna@example.com")
    assert str(one) != str(other)
    assert fingerprint(one) == fingerprint(other)


def test_other_places_and_other_types_are_other_groups():
    found = {fingerprint(each)[0] for each in (caught(divide, 0), caught(index, 1), caught(in_a_library, "{"))}
    assert len(found) == 3


def test_it_is_told_where_our_own_code_was_and_not_a_librarys():
    _, kind, where = fingerprint(caught(in_a_library, "{"))
    assert kind == "json.decoder.JSONDecodeError"
    assert where.endswith(":in_a_library")


def test_how_deep_it_went_into_itself_makes_no_difference():
    assert fingerprint(caught(deep, 3)) == fingerprint(caught(deep, 300))


def test_of_a_group_of_exceptions_its_first_decides():
    inner = caught(divide, 0)
    assert fingerprint(ExceptionGroup("two", [inner, ValueError()])) == fingerprint(inner)


def test_an_error_that_was_never_raised_has_a_group_too():
    assert fingerprint(ValueError("x"))[1:] == ("ValueError", "")


def test_the_engines_own_functions_count_as_ours():
    error = caught(load_text, None)
    assert fingerprint(error)[2].startswith("gateway.")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("KeyError: 'password=s3cret-1 of'", id="under the name of a type"),
        pytest.param("refused: Authorization: Bearer s3cret-1", id="a header field"),
        pytest.param("got Bearer s3cret-123 and Basic s3cret-123=", id="credentials in prose"),
        pytest.param("https://user:s3cret-1@example.com/", id="a URL"),
    ],
)
def test_secrets_in_messages_are_masked(text):
    assert "s3cret" not in masked(text, Masking(), None)


def test_what_is_shown():
    error = caught(divide, 0)
    trace = TracebackException(type(error), error, error.__traceback__, lookup_lines=False)
    group = Group("abc", "ZeroDivisionError", "x:divide", 1.0, 2.0, 3, Occurrence(trace, "", "a", 2.0, {"route": "r"}))
    shown = group.shown(Masking())
    assert (shown["count"], shown["first_seen"], shown["last_seen"], shown["route"]) == (3, 1.0, 2.0, "r")
    assert shown["sample"].startswith("Traceback")
    assert "return 1 / by" in shown["sample"]
    without = Group("abc", "worker_died", "x", 1.0, 2.0, 1, Occurrence(None, "worker 1 died", "a", 2.0))
    assert without.shown(Masking())["sample"] == "worker 1 died"


def test_the_id_of_a_request_may_be_what_its_client_likes():
    made = Occurrence(None, "x", "a", 2.0, {"route": "r", "request_id": "password=s3cret", "trace": "ab" * 16})
    shown = Group("abc", "E", "x", 1.0, 2.0, 1, made).shown(Masking())
    assert "s3cret" not in str(shown)
    assert (shown["route"], shown["trace"]) == ("r", "ab" * 16)


def test_a_crash_says_which_exchange_it_was(caplog):
    from gateway.testing import request

    crashed(caught(divide, 0), request(id="req-7"))
    (record,) = caplog.records
    assert (record.levelno, record.request_id) == (logging.ERROR, "req-7")
    assert record.route
