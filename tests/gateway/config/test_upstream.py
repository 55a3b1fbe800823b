"""Upstreams."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config.upstream import (
    ActiveHealth,
    Balance,
    Health,
    Retry,
    Target,
    Timeout,
    TimeoutOverride,
    Upstream,
    UpstreamTls,
    statuses,
)
from gateway.plugin.settings import Settings


@pytest.mark.parametrize(
    ("written", "algorithm", "by", "name"),
    [
        ("round_robin", "round_robin", None, ""),
        ("least_request", "least_request", None, ""),
        ("random", "random", None, ""),
        ({"consistent_hash": "client_ip"}, "consistent_hash", "client_ip", ""),
        ({"consistent_hash": "principal"}, "consistent_hash", "principal", ""),
        ({"consistent_hash": {"header": "X-Tenant"}}, "consistent_hash", "header", "X-Tenant"),
        ({"consistent_hash": {"cookie": "sid"}}, "consistent_hash", "cookie", "sid"),
    ],
)
def test_balance(written: Any, algorithm: str, by: str | None, name: str):
    balance = Balance.model_validate(written)
    assert (balance.algorithm, balance.by, balance.name) == (algorithm, by, name)
    assert balance.model_dump(mode="json") == written
    assert Balance.model_validate(balance.model_dump()) == balance


@pytest.mark.parametrize(
    ("model", "written"),
    [
        pytest.param(Balance, "consistent_hash", id="a hash of nothing"),
        pytest.param(Balance, {"consistent_hash": "header"}, id="a header without its name"),
        pytest.param(Balance, {"consistent_hash": {"header": "a b"}}, id="a header's name that is none"),
        pytest.param(Balance, {"consistent_hash": {"header": "a", "cookie": "b"}}, id="two things to hash"),
        pytest.param(Balance, ["random"], id="a list"),
        pytest.param(Target, {"url": "http://h:1", "weight": -1}, id="a negative weight"),
        pytest.param(Target, {"url": "http://h:1/path"}, id="a target with a path"),
        pytest.param(Upstream, {"targets": []}, id="no target"),
        pytest.param(Upstream, {}, id="no targets"),
        pytest.param(Retry, {"attempts": 0}, id="no attempt"),
        pytest.param(Retry, {"attempts": True}, id="a switch as a number"),
        pytest.param(Retry, {"on": [200]}, id="a retry of what went well"),
        pytest.param(Retry, {"on": ["always"]}, id="a retry of everything"),
        pytest.param(Retry, {"backoff": {"base": "2s", "max": "1s"}}, id="a backoff that shrinks"),
        pytest.param(Timeout, {"connect": "off"}, id="a connection waited for for ever"),
        pytest.param(Timeout, {"total": "0s"}, id="no time at all"),
        pytest.param(ActiveHealth, {"path": "healthz"}, id="a path without a slash"),
        pytest.param(ActiveHealth, {"path": "/a b"}, id="a path with a blank"),
        pytest.param(ActiveHealth, {"path": "/", "status": ["6xx"]}, id="a class of statuses that is none"),
        pytest.param(ActiveHealth, {"path": "/", "status": [99]}, id="a status that is none"),
        pytest.param(ActiveHealth, {"path": "/", "interval": "1ms"}, id="probes without a pause"),
        pytest.param(UpstreamTls, {"cert": "a"}, id="a certificate without its key"),
    ],
)
def test_refused(model: type[Settings], written: Any):
    with pytest.raises(ValidationError):
        model.model_validate(written)


def test_a_target_may_be_its_url():
    assert Target.model_validate("http://h:1") == Target(url="http://h:1", weight=1, priority=0)
    assert str(Target(url="https://h").origin) == "https://h:443"


def test_retries_off():
    assert Upstream.model_validate({"targets": ["http://h"], "retry": "off"}).retry.attempts == 1


def test_health_off():
    health = Health.model_validate({"passive": "off", "active": "off"})
    assert (health.active, health.passive) == (None, None)


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (("2xx",), frozenset(range(200, 300))),
        ((204, 404), {204, 404}),
        (("3xx", 200), frozenset(range(300, 400)) | {200}),
    ],
)
def test_statuses(listed: Any, expected: set[int]):
    assert statuses(ActiveHealth.model_validate({"path": "/", "status": listed}).status) == expected


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ({}, (2.0, 15.0, 60.0)),
        ({"total": "5s"}, (2.0, 15.0, 5.0)),
        ({"total": "off", "connect": "1s"}, (1.0, 15.0, None)),
    ],
)
def test_an_override_changes_what_it_says(override: Any, expected: Any):
    found = TimeoutOverride.model_validate(override).over(Timeout())
    assert (found.connect, found.first_byte, found.total) == expected
