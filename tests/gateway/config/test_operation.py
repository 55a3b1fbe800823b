"""How the gateway is run."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from gateway.config.operation import Check, ErrorPages, HealthChecks, Stores, mask_url
from gateway.plugin.settings import Settings


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://:hunter2@h:6379", "redis://:***@h:6379"),
        ("rediss://user:hunter2@h", "rediss://user:***@h"),
        ("redis+sentinel://:hunter2@a:1,b:2/name", "redis+sentinel://:***@a:1,b:2/name"),
        ("redis://:hun@ter2@h", "redis://:***@h"),
        ("redis://u:hun/ter2@h/0", "redis://u:***@h/0"),
        ("redis://hunter2@h", "redis://***@h"),
        ("sqlite:///var/lib/q.db", "sqlite:///var/lib/q.db"),
        ("memory://", "memory://"),
    ],
)
def test_a_url_without_its_password(url: str, masked: str):
    assert mask_url(SecretStr(url)) == masked


@pytest.mark.parametrize(
    "url",
    [
        "memory://",
        "redis://h",
        "rediss://h/1",
        "redis+sentinel://a:1,b:2/n",
        "redis+cluster://a:1",
        "rediss+cluster://a",
    ],
)
def test_shared_stores(url: str):
    stores = Stores.model_validate({"shared": url})
    assert stores.shared.get_secret_value() == url
    assert stores.model_dump(mode="json")["shared"] == url


@pytest.mark.parametrize(
    ("model", "written"),
    [
        pytest.param(Stores, {"shared": "http://h"}, id="a store that is none"),
        pytest.param(Stores, {"shared": "redis://"}, id="a store without a host"),
        pytest.param(Stores, {"shared": "sqlite:///x"}, id="a durable store as the shared one"),
        pytest.param(Stores, {"durable": "memory://"}, id="memory as the durable store"),
        pytest.param(Stores, {"shared": 3}, id="a number as a store"),
        pytest.param(Check, {}, id="a check of nothing"),
        pytest.param(Check, {"http": "http://h", "tcp": "h:1"}, id="a check of two things"),
        pytest.param(Check, {"tcp": ":1"}, id="a check of no host"),
        pytest.param(Check, {"tcp": "h:0"}, id="a check of no port"),
        pytest.param(Check, {"http": "ftp://h"}, id="a check of another protocol"),
        pytest.param(ErrorPages, {"messages": {"de": ["x"]}}, id="messages that are a list"),
    ],
)
def test_refused(model: type[Settings], written: Any):
    with pytest.raises(ValidationError):
        model.model_validate(written)


def test_checks():
    checks = HealthChecks.model_validate(
        {
            "checks": {
                "db": {"tcp": "db:5432", "critical": True},
                "id": {"http": "https://id/x"},
                "q": {"redis": "redis://:hunter2@h"},
            }
        }
    ).checks
    assert checks["db"].critical
    assert "hunter2" not in f"{checks} {checks['q'].model_dump_json()}"
