from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.upstream import Backoff
from gateway.config.upstream import Retry as RetrySettings
from gateway.errors import (
    CircuitOpen,
    ClientClosed,
    ConnectFailed,
    ConnectionReused,
    ConnectTimeout,
    FirstByteTimeout,
    InternalError,
    MalformedAnswer,
    NoTarget,
    PoolExhausted,
    Retry,
    StreamIdle,
    TooManyRequests,
    TotalTimeout,
    TruncatedAnswer,
    Unauthorized,
    UpstreamReset,
    catalogue,
)
from gateway.forward.retry import (
    RESERVE,
    Budget,
    Outcome,
    Rules,
    Verdict,
    backoff,
    idempotent,
    outcome_of,
    retry_after,
    verdict,
)
from gateway.http import Body, Request, Response

ALL = frozenset({"unsent", "reset", "timeout"})
NONE: frozenset[str] = frozenset()

ENDS = [
    (ConnectFailed(), Outcome.UNSENT),
    (ConnectTimeout(), Outcome.UNSENT),
    (PoolExhausted(), Outcome.BUSY),
    (CircuitOpen(), Outcome.BUSY),
    (NoTarget(), Outcome.BUSY),
    (ConnectionReused(), Outcome.REUSED),
    (UpstreamReset(), Outcome.RESET),
    (MalformedAnswer(), Outcome.RESET),
    (FirstByteTimeout(), Outcome.TIMEOUT),
    (TotalTimeout(), Outcome.FINAL),
    (TruncatedAnswer(), Outcome.FINAL),
    (StreamIdle(), Outcome.FINAL),
    (ClientClosed(), Outcome.FINAL),
    (InternalError(), Outcome.FINAL),
    (Unauthorized(), Outcome.FINAL),
    (TooManyRequests(), Outcome.FINAL),
    (Response(200), Outcome.FINAL),
    (Response(500), Outcome.FINAL),
    (Response(503), Outcome.STATUS),
]


@pytest.mark.parametrize(
    ("ended", "outcome"),
    [pytest.param(*row, id=getattr(row[0], "code", str(getattr(row[0], "status", "")))) for row in ENDS],
)
def test_what_an_end_is(ended, outcome):
    assert outcome_of(ended, frozenset({502, 503})) is outcome


def test_every_error_that_may_be_retried_is_in_the_table():
    listed = {type(ended) for ended, outcome in ENDS if outcome is not Outcome.FINAL}
    engine = {
        error for error in catalogue() if error.__module__ == "gateway.errors"
    }  # not what other tests have loaded
    assert {error for error in engine if error.retry is not Retry.NEVER} <= listed


def test_an_error_that_an_attempt_plugin_rendered_is_that_error():
    response = Response(503)
    response.error = CircuitOpen()
    assert outcome_of(response, frozenset()) is Outcome.BUSY


# outcome, idempotent, replayable → verdict with everything in `retry.on`; then with nothing in it.
RULE = {
    (Outcome.UNSENT, True, True): (Verdict.AGAIN, Verdict.NOT_ASKED),
    (Outcome.UNSENT, True, False): (Verdict.BODY, Verdict.NOT_ASKED),
    (Outcome.UNSENT, False, True): (Verdict.AGAIN, Verdict.NOT_ASKED),
    (Outcome.UNSENT, False, False): (Verdict.BODY, Verdict.NOT_ASKED),
    (Outcome.BUSY, True, True): (Verdict.ELSEWHERE, Verdict.NOT_ASKED),
    (Outcome.BUSY, True, False): (Verdict.BODY, Verdict.NOT_ASKED),
    (Outcome.BUSY, False, True): (Verdict.ELSEWHERE, Verdict.NOT_ASKED),
    (Outcome.BUSY, False, False): (Verdict.BODY, Verdict.NOT_ASKED),
    (Outcome.REUSED, True, True): (Verdict.AT_ONCE, Verdict.AT_ONCE),
    (Outcome.REUSED, True, False): (Verdict.BODY, Verdict.BODY),
    (Outcome.REUSED, False, True): (Verdict.METHOD, Verdict.METHOD),
    (Outcome.REUSED, False, False): (Verdict.METHOD, Verdict.METHOD),
    (Outcome.RESET, True, True): (Verdict.AGAIN, Verdict.NOT_ASKED),
    (Outcome.RESET, True, False): (Verdict.BODY, Verdict.NOT_ASKED),
    (Outcome.RESET, False, True): (Verdict.METHOD, Verdict.NOT_ASKED),
    (Outcome.RESET, False, False): (Verdict.METHOD, Verdict.NOT_ASKED),
    (Outcome.TIMEOUT, True, True): (Verdict.AGAIN, Verdict.NOT_ASKED),
    (Outcome.TIMEOUT, True, False): (Verdict.BODY, Verdict.NOT_ASKED),
    (Outcome.TIMEOUT, False, True): (Verdict.METHOD, Verdict.NOT_ASKED),
    (Outcome.TIMEOUT, False, False): (Verdict.METHOD, Verdict.NOT_ASKED),
    (Outcome.STATUS, True, True): (Verdict.AGAIN, Verdict.AGAIN),
    (Outcome.STATUS, True, False): (Verdict.BODY, Verdict.BODY),
    (Outcome.STATUS, False, True): (Verdict.METHOD, Verdict.METHOD),
    (Outcome.STATUS, False, False): (Verdict.METHOD, Verdict.METHOD),
    (Outcome.FINAL, True, True): (Verdict.DONE, Verdict.DONE),
    (Outcome.FINAL, True, False): (Verdict.DONE, Verdict.DONE),
    (Outcome.FINAL, False, True): (Verdict.DONE, Verdict.DONE),
    (Outcome.FINAL, False, False): (Verdict.DONE, Verdict.DONE),
}


@pytest.mark.parametrize("case", list(product(Outcome, (True, False), (True, False))), ids=str)
def test_the_rule(case):
    outcome, idempotent, replayable = case
    assert (
        verdict(outcome, idempotent=idempotent, replayable=replayable, on=ALL),
        verdict(outcome, idempotent=idempotent, replayable=replayable, on=NONE),
    ) == RULE[case]


@pytest.mark.parametrize(
    ("method", "body", "settings", "held"),
    [
        pytest.param("PUT", Body(None, None, 100), {}, True, id="short, of known length, idempotent"),
        pytest.param("PUT", Body(None, None, 65537), {}, False, id="too long"),
        pytest.param("PUT", Body(None, None, None), {}, False, id="of unknown length"),
        pytest.param("POST", Body(None, None, 100), {}, False, id="not idempotent: it would be held in vain"),
        pytest.param("PUT", Body(b"x"), {}, False, id="held already"),
        pytest.param("PUT", Body(None, None, 100), {"attempts": 1}, False, id="no retry"),
    ],
)
def test_which_bodies_are_held_for_another_try(method, body, settings, held):
    assert Rules(RetrySettings(**settings)).holds(Request(method, "/", body=body)) is held


@pytest.mark.parametrize(
    ("method", "repeatable", "expected"),
    [
        pytest.param("PUT", False, True, id="by its method"),
        pytest.param("POST", False, False, id="twice is not the same as once"),
        pytest.param("POST", True, True, id="the target knows a repetition"),
    ],
)
def test_what_may_be_carried_out_twice(method, repeatable, expected):
    asked = Request(method, "/", body=Body(None, None, 100))
    asked.repeatable = repeatable
    assert idempotent(asked) is expected
    assert idempotent(asked.fork()) is expected
    assert Rules(RetrySettings()).holds(asked) is expected


def test_on_is_taken_apart():
    rules = Rules(RetrySettings(on=("reset", 429, 503)))
    assert (rules.on, rules.statuses) == ({"reset"}, {429, 503})


@given(st.integers(0, 1000))
def test_waits_are_random_up_to_a_bound_that_doubles(retries):
    settings = Backoff(base=0.025, max=0.25)
    waits = [backoff(settings, retries) for _ in range(50)]
    bound = min(0.25, 0.025 * 2 ** min(retries, 20))
    assert all(0 <= wait <= bound for wait in waits)
    assert max(waits) > bound / 3
    assert min(waits) < bound * 2 / 3


NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param("7", 7.0, id="seconds"),
        pytest.param(" 7 ", 7.0, id="with space around"),
        pytest.param("Fri, 15 Jan 2027 08:00:30 GMT", 30.0, id="a date"),
        pytest.param("Fri, 15 Jan 2027 07:00:00 GMT", 0.0, id="a date gone by"),
        pytest.param("soon", None, id="a word"),
        pytest.param("-1", None, id="a negative number"),
        pytest.param("9" * 500, 999_999_999.0, id="absurdly long"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_retry_after(value, seconds):
    assert retry_after(Response(503, fields=[(b"retry-after", value.encode())]), NOW) == seconds


def test_no_retry_after():
    assert retry_after(Response(503), NOW) is None


# -- the budget ------------------------------------------------------------------------------------------------------


def taken(budget, now, wanted):
    return sum(budget.take(now) for _ in range(wanted))


def test_a_quiet_upstream_has_a_few():
    budget = Budget(0.2, 0.0)
    assert taken(budget, 0.0, 100) == RESERVE
    assert taken(budget, 1.0, 100) == 3  # and they come back slowly


def test_a_busy_one_has_its_share_of_the_requests():
    budget = Budget(0.2, 0.0)
    budget.requests = 1000
    assert taken(budget, 5.0, 1000) == 200 + RESERVE


def test_a_storm_gets_no_more_than_its_share():
    budget, made, now = Budget(0.2, 0.0), 0, 0.0
    for _ in range(60):  # every one of 1000 requests a second fails and wants a retry
        now += 1.0
        budget.requests += 1000
        made += taken(budget, now, 1000)
    assert 0.19 <= made / 60_000 <= 0.21


def test_what_was_long_ago_does_not_count():
    budget = Budget(0.2, 0.0)
    budget.requests = 3_600_000  # an hour of 1000 a second, then a failure
    assert taken(budget, 3600.0, 1_000_000) == 2000 + RESERVE
    assert taken(budget, 3700.0, 1000) == RESERVE


def test_a_budget_of_nothing_leaves_the_reserve():
    budget = Budget(0.0, 0.0)
    budget.requests = 100_000
    assert taken(budget, 1.0, 1000) == RESERVE
