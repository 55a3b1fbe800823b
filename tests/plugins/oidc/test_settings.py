"""Settings of `oidc`: what cannot be meant is refused before anybody relies on it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.config import ConfigurationError, load_text
from gateway.plugin import Context
from gateway.runtime.review import findings
from gateway.testing import ports, settings_of
from plugins.oidc import Oidc

KEY = "a key of thirty-two bytes or more"
USUAL = {"issuer": "https://id.test", "client": {"id": "shop", "secret": "s"}, "session": {"keys": [KEY]}}
CONFIG = """
workers: %s
stores: {shared: "%s"}
upstreams: {shop: {targets: ["http://127.0.0.1:9000"]}}
routes:
  - name: shop
    upstream: shop
    plugins:
      - plugin: oidc
        with: {issuer: https://id.test, client: {id: shop, secret: s}, session: {keys: [a key of sixteen bytes]}}
"""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"session": {"keys": []}}, "at least 1"),
        ({"session": {"keys": ["short"]}}, "16 bytes"),
        ({"session": {"keys": [KEY], "store": "shared", "on_store_error": "allow"}}, "nowhere else"),
        ({"scopes": ["email"]}, "openid"),
        ({"parameters": {"state": "x"}}, "without state"),
        ({"parameters": {"redirect_uri": "https://evil.test"}}, "without redirect_uri"),
        ({"algorithms": ["HS256"]}, "public keys"),
        ({"algorithms": ["none"]}, "RS256"),
        ({"public_url": "https://a.test/path"}, "origin"),
        ({"path": "//evil"}, "path"),
        ({"path": "/a?b"}, "path"),
        ({"logout": {"return_to": "https://evil.test"}}, "path on this host"),
        ({"cookie": {"name": "a;b"}}, "pattern"),
        ({"cookie": {"same_site": "strict"}}, "lax"),
        ({"client": {"id": "shop"}}, "secret"),
    ],
)
def test_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        settings_of(Oidc, {**USUAL, **changes})


def test_a_key_is_not_in_the_message():
    with pytest.raises(ValidationError) as caught:
        settings_of(Oidc, {**USUAL, "session": {"keys": ["pl4nted"]}})
    assert "pl4nted" not in str(caught.value)


@pytest.mark.parametrize(("workers", "store"), [(1, "memory://"), (4, "redis://127.0.0.1:6379")])
def test_where_sessions_can_be_kept(workers, store):
    assert load_text(CONFIG % (workers, store), {}, review=findings).problems == ()


def test_several_workers_that_know_nothing_of_each_other_are_a_mistake():
    with pytest.raises(ConfigurationError, match="expected a Redis"):
        load_text(CONFIG % (4, "memory://"), {}, review=findings)


@pytest.mark.parametrize(
    ("given", "callback"), [("/oauth2", "/oauth2/callback"), ("/", "/callback"), ("/a/", "/a/callback")]
)
def test_paths(given, callback):
    context = Context(ports(), route="test", plugin="oidc", id="oidc")
    made = Oidc(settings_of(Oidc, {**USUAL, "path": given}), context)
    assert made.endpoints()[0].path == callback
