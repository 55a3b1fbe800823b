"""`gateway inbox` where there is nothing to look at."""

from __future__ import annotations

from typing import Any

import pytest

NOTHING_KEPT = "admin: off\nroutes: [{name: a, match: {path: /}, redirect: {to: /b}}]\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("routes: [", "cannot be used", id="a configuration with a mistake"),
        pytest.param(NOTHING_KEPT, "stores.durable", id="one that keeps nothing"),
    ],
)
def test_a_configuration_without_a_queue(inbox: Any, text: str, problem: str) -> None:
    inbox.file.write_text(text)
    code, _, err = inbox("list")
    assert code == 1
    assert problem in err


def test_a_queue_that_was_never_used(inbox: Any) -> None:
    code, _, err = inbox("list")
    assert code == 1
    assert "nothing was ever kept" in err
    assert not inbox.path.exists(), "looking makes no file"
