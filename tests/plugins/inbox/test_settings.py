"""Settings of an inbox as operators write them."""

import pytest

from gateway.testing import settings_of
from plugins.inbox import Inbox


def test_the_one_line_of_the_design_works():
    made = settings_of(Inbox, {"retry": {"base": "1s", "max": "1h", "max_age": "72h"}})
    terms = made.terms()
    assert (terms.schedule.base, terms.schedule.max, terms.schedule.max_age) == (1, 3600, 259_200)
    assert made == settings_of(Inbox, {})


def test_all_of_it():
    made = settings_of(
        Inbox,
        {
            "methods": ["POST"],
            "answer": {"status": 200, "body": "ok"},
            "dedup": {"window": "7d", "by": ["{json./id}"]},
            "order_by": "{json./customer}",
            "subject": "{json./customer}",
            "concurrency": 4,
            "rate": 20,
            "success": ["2xx", 409],
            "dead_on": [410, 422],
            "keep": "1d",
            "hold_on_dead": True,
            "drop": [],
            "retry": {"schedule": ["5s", "5m", "30m"], "attempts": 4},
        },
    )
    terms = made.terms()
    assert (terms.keep, terms.hold, terms.schedule.steps, terms.schedule.attempts) == (86400, True, (5, 300, 1800), 4)


@pytest.mark.parametrize(
    "settings", [pytest.param({"dedup": "off"}, id="off"), pytest.param({"dedup": None}, id="null")]
)
def test_dedup_can_be_switched_off(settings):
    assert settings_of(Inbox, settings).dedup is None
