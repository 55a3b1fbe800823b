"""What clients are told, to the letter."""

import pytest

from gateway.http import Response
from plugins.rate_limit.fields import QUOTA_EXCEEDED, Told, labels_of, later
from plugins.rate_limit.settings import Limit

MINUTE = Limit(rate=100, period=60, burst=200)
DAY = Limit(rate=5000, period=86400, algorithm="fixed_window", name="daily")
TENTH = Limit(rate=5, period=0.1)
FITS = [1, 199, 0, 600_000, 4999, 0, 3_600_000_001]


def told(*limits, legacy=False, headers=True):
    return Told(limits, headers=headers, legacy=legacy)


def test_names_are_told_apart():
    assert labels_of([MINUTE, Limit(rate=100, period=60), DAY]) == ["100-per-1m", "100-per-1m-2", "daily"]


@pytest.mark.parametrize(
    ("told", "verdict", "pairs"),
    [
        pytest.param(
            told(MINUTE),
            [1, 199, 0, 600_000],
            {
                "RateLimit-Policy": '"100-per-1m";q=100;w=60;sidegate-burst=200',
                "RateLimit": '"100-per-1m";r=199;t=1',
            },
            id="one limit",
        ),
        pytest.param(
            told(MINUTE, DAY),
            FITS,
            {
                "RateLimit-Policy": '"100-per-1m";q=100;w=60;sidegate-burst=200, "daily";q=5000;w=86400',
                "RateLimit": '"100-per-1m";r=199;t=1, "daily";r=4999;t=3601',
            },
            id="two are two members",
        ),
        pytest.param(
            told(TENTH),
            [1, 4, 0, 0],
            {"RateLimit-Policy": '"5-per-100ms";q=5', "RateLimit": '"5-per-100ms";r=4;t=0'},
            id="a window that is no whole seconds is not told",
        ),
        pytest.param(
            told(MINUTE, DAY, legacy=True, headers=False),
            FITS,
            {"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "199", "X-RateLimit-Reset": "1"},
            id="the old fields are of the one with the least left",
        ),
    ],
)
def test_fields(told, verdict, pairs):
    assert dict(told.pairs(verdict)) == pairs


def test_a_refusal():
    error = told(MINUTE, DAY).refusal([0, 0, 600_000, 120_000_000, 0, 7_200_000_000, 7_200_000_000])
    assert error.status == 429
    assert dict(error.headers)["Retry-After"] == "7200"
    assert dict(error.headers)["RateLimit"] == '"100-per-1m";r=0;t=1, "daily";r=0;t=7200'
    assert error.extensions == {"type": QUOTA_EXCEEDED, "violated-policies": ["100-per-1m", "daily"]}


def test_retry_after_is_never_zero():
    assert dict(told(TENTH).refusal([0, 0, 1, 1]).headers)["Retry-After"] == "1"


@pytest.mark.parametrize("legacy", [False, True])
def test_an_answer_as_the_target_sent_it(legacy):
    sent = [b"Server: x", b'RateLimit: "inner";r=1;t=1', b"X-RateLimit-Limit: 5"]
    response = Response(200, lines=sent)
    told(MINUTE, legacy=legacy).write(response, [1, 199, 0, 600_000])
    assert response.edited is legacy
    assert len(sent) == 3, "the target's own list may be kept elsewhere"
    assert response.headers.getall("RateLimit") == ['"inner";r=1;t=1', '"100-per-1m";r=199;t=1']
    assert response.headers.getall("X-RateLimit-Limit") == (["200"] if legacy else ["5"])


def test_an_answer_that_was_edited():
    response = Response(200, headers={"A": "b"})
    told(MINUTE).write(response, [1, 199, 0, 600_000])
    assert response.headers["RateLimit"] == '"100-per-1m";r=199;t=1'


def test_a_remembered_refusal_grows_old():
    assert later([0, 0, 600_000, 900_000], 700_000) == [0, 0, 0, 200_000]
