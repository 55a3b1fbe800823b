"""Settings of `audit`: what may be written, and how it is kept."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.testing import settings_of
from plugins.audit import Audit


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param({"statuses": ["2xx", 403, "404"]}, {"statuses": ("2xx", "403", "404")}, id="statuses"),
        pytest.param({"methods": ["POST", "M-SEARCH"]}, {"methods": ("POST", "M-SEARCH")}, id="methods"),
        pytest.param({"headers": ["X-Reason"]}, {"headers": ("X-Reason",)}, id="fields"),
        pytest.param({"resource": "order/{path.id}"}, {"resource": "order/{path.id}"}, id="a template"),
    ],
)
def test_what_may_be_written(given: dict[str, Any], kept: dict[str, Any]):
    made = settings_of(Audit, given)
    assert {name: getattr(made, name) for name in kept} == kept


@pytest.mark.parametrize(
    "name", ["authorization", "Proxy-Authorization", "COOKIE", "Set-Cookie", "X-API-Key", "a b", ""]
)
def test_fields_that_hold_credentials_are_never_kept(name: str):
    with pytest.raises(ValueError, match="holds no credentials"):
        settings_of(Audit, {"headers": [name]})


@pytest.mark.parametrize("status", ["600", "99", "6xx", 1000, "2XX", None])
def test_what_is_no_status(status: Any):
    with pytest.raises(ValueError, match="a status such as 403"):
        settings_of(Audit, {"statuses": [status]})
