"""`audit`: what may stand there, and what it means."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from gateway.config import load_text
from gateway.config.load import ConfigurationError, Loaded
from gateway.runtime.review import findings

KEY = "0123456789abcdef"
ROUTE = "routes: [{name: r, match: {path: /}, plugins: [PLUGIN{plugin: respond, with: {body: x}}]}]\n"
PLAIN = ROUTE.replace("PLUGIN", "")


def loaded(text: str) -> Loaded:
    return load_text(text, {}, review=findings)


def test_what_holds_by_default():
    audit = loaded(PLAIN + f"audit: {{path: /var/trail, key: {KEY}}}").config.audit
    assert audit is not None
    options = audit.options
    assert options.path == Path("/var/trail")
    assert options.instance == socket.gethostname()
    assert options.secrets == (KEY.encode(),)
    assert (options.flush, options.fsync, options.retention, options.deny) == (0.2, True, 365 * 86400.0, True)


def test_everything_said():
    text = (
        f"audit: {{path: trail, instance: gw-1, key: [{KEY}new, {KEY}old], identity_key: {KEY}id, retention: 30d,"
        " flush: 1s, fsync: false, on_error: allow}"
    )
    audit = loaded(PLAIN + text).config.audit
    assert audit is not None
    options = audit.options
    assert (options.instance, options.secrets) == ("gw-1", (f"{KEY}new".encode(), f"{KEY}old".encode()))
    assert (options.identity_key, options.retention, options.deny) == (f"{KEY}id".encode(), 30 * 86400.0, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("audit: {path: t, key: short}", "keys of at least 16 bytes", id="a key that is too short"),
        pytest.param(f"audit: {{path: t, key: [{KEY}, short]}}", "keys of at least 16 bytes", id="or one of them"),
        pytest.param("audit: {path: t, identity_key: short}", "keys of at least 16 bytes", id="or that of identities"),
        pytest.param("audit: {}", "path", id="no place"),
        pytest.param("audit: {path: t, retention: 1h}", "retention", id="less than a day"),
        pytest.param("audit: {path: t, on_error: ignore}", "on_error", id="what cannot be done"),
    ],
)
def test_mistakes(text: str, expected: str):
    with pytest.raises(ConfigurationError) as raised:
        loaded(PLAIN + text)
    told = "\n".join(map(str, raised.value.problems))
    assert expected in told
    assert "short" not in told


def test_a_plugin_that_records_needs_a_trail():
    text = ROUTE.replace("PLUGIN", "{plugin: audit}, ")
    with pytest.raises(ConfigurationError) as raised:
        loaded(text)
    (problem,) = raised.value.problems
    assert "routes[0].plugins[0].plugin: expected `audit` at the top" in str(problem)
    assert loaded(text + f"audit: {{path: t, key: {KEY}}}").problems == ()
    off = ROUTE.replace("PLUGIN", "{plugin: audit, mode: off}, ")
    assert loaded(off).problems == ()


def test_without_a_key_there_is_a_warning():
    (problem,) = loaded(PLAIN + "audit: {path: t}").problems
    assert "without `key`" in str(problem)


def test_keys_are_never_shown():
    made: Any = loaded(PLAIN + f"audit: {{path: t, key: {KEY}, identity_key: {KEY}id}}").config
    assert KEY not in repr(made.audit)
    assert KEY not in str(made.model_dump(mode="json"))
