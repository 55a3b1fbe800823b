"""The whole configuration as one model."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Config, load_text
from gateway.config.entry import AnyEntry, PluginEntry
from gateway.config.logs import LogSink
from gateway.plugin import Mode

# DESIGN §5 with every plugin there is by now: configurations written this way must work.
NORMATIVE = """\
listeners: [{bind: 0.0.0.0:8080}]
admin: {bind: 127.0.0.1:9901}
workers: 1
replicas: 1
trusted_proxies: [10.0.0.0/8]
access_log: stdout
stores:
  shared: ${REDIS_URL:-memory://}
  durable: sqlite:///var/lib/sidegate/queue.db
defaults: {plugins: []}
upstreams:
  orders:
    targets: [http://127.0.0.1:9000]
    balance: round_robin
    timeout: {connect: 2s, first_byte: 15s, total: 60s, stream_idle: 5m}
    retry: {attempts: 3, backoff: {base: 25ms, max: 250ms}, budget: 20%}
    health: {active: {path: /healthz, interval: 10s}, passive: {failures: 5}}
    critical: false
    attempt:
      - plugin: kinds:Breaker
        with: {}
routes:
  - name: orders
    match: {path: /orders/, methods: [GET, POST]}
    rewrite: {strip_prefix: /orders}
    plugins:
      - plugin: size_limit
        with: {json: 100KB}
      - any:
          - plugin: kinds:Who
          - plugin: kinds:Who
            with: {}
      - plugin: kinds:Guard
        with:
          limit: 100B
        mode: shadow
    upstream: orders
  - name: stripe
    match: {path: /hooks/stripe}
    plugins:
      - plugin: kinds:Guard
        with: {inner: {secrets: ["${STRIPE_WHSEC}"]}}
    upstream: orders
"""


def test_the_normative_fragments_load():
    loaded = load_text(NORMATIVE, {"STRIPE_WHSEC": "whsec_x"})
    config = loaded.config
    assert loaded.problems == ()
    assert [str(listener.address) for listener in config.listeners] == ["0.0.0.0:8080"]
    assert config.trusted_proxies == (ipaddress.ip_network("10.0.0.0/8"),)
    assert config.stores.shared.get_secret_value() == "memory://"
    upstream = config.upstreams["orders"]
    assert (upstream.timeout.connect, upstream.timeout.stream_idle) == (2.0, 300.0)
    assert (upstream.retry.attempts, upstream.retry.backoff.base, upstream.retry.budget) == (3, 0.025, 0.2)
    assert upstream.health.active is not None
    assert upstream.health.active.interval == 10.0
    assert upstream.health.passive is not None
    first, either, shadowed = config.routes[0].plugins
    assert isinstance(first, PluginEntry)
    assert isinstance(either, AnyEntry)
    assert [entry.plugin for entry in either.any] == ["kinds:Who", "kinds:Who"]
    assert shadowed.mode is Mode.SHADOW
    assert type(first.settings).__name__ == "SizeLimitSettings"
    secret = config.routes[1].plugins[0].settings.inner.secrets[0]  # type: ignore[union-attr]
    assert secret.get_secret_value() == "whsec_x"


def test_the_least_that_works_has_every_default():
    config = load_text("upstreams: {a: {targets: ['http://h:1']}}\nroutes: [{name: r, upstream: a}]", {}).config
    assert str(config.listeners[0].address) == "127.0.0.1:8080"
    assert config.admin is not None
    assert config.admin.loopback
    assert [sink.stream for sink in config.access_log.to] == ["stdout"]
    assert config.upstreams["a"].health.passive is not None
    assert config.upstreams["a"].retry.attempts == 2


def one(**keys: str) -> Config:
    lines = "".join(f"{key}: {value}\n" for key, value in keys.items())
    return load_text("upstreams: {a: {targets: ['http://h:1']}}\nroutes: [{name: r, upstream: a}]\n" + lines, {}).config


@pytest.mark.parametrize(
    ("key", "written", "attribute", "value"),
    [
        ("access_log", "off", "access_log.to", ()),
        ("access_log", "stderr", "access_log.to", (LogSink(stream="stderr"),)),
        ("access_log", "{file: /tmp/x.log}", "access_log.to", (LogSink(file=Path("/tmp/x.log")),)),
        ("admin", "off", "admin", None),
        ("workers", "auto", "workers", "auto"),
        ("replicas", "heartbeat # no", "replicas", "heartbeat"),
        ("log", "{level: debug, format: console}", "log.level", "debug"),
        (
            "trusted_proxies",
            "[192.168.1.7, 'fd00::/8']",
            "trusted_proxies",
            tuple(map(ipaddress.ip_network, ("192.168.1.7", "fd00::/8"))),
        ),
        ("shutdown", "{delay: 5s}", "shutdown.delay", 5.0),
        ("reload", "{watch: off}", "reload.watch", False),
    ],
)
def test_keys_at_the_top(key: str, written: str, attribute: str, value: Any):
    extra = {"stores": "{shared: 'redis://h'}"} if written.startswith("heartbeat") else {}
    found: Any = one(**{key: written}, **extra)
    for name in attribute.split("."):
        found = getattr(found, name)
    assert found == value


def test_worker_count():
    assert one(workers="3").worker_count == 3
    assert one(workers="auto").worker_count >= 1


class TestEffectiveList:
    TEXT = """\
defaults:
  plugins:
    - {plugin: headers, id: first}
    - {plugin: headers, id: second}
    - {plugin: size_limit}
    - {any: [{plugin: "kinds:Who"}], id: who}
upstreams: {a: {targets: ["http://h:1"]}}
routes:
  - {name: all, upstream: a, plugins: [{plugin: respond}]}
  - {name: by_id, upstream: a, without: [first, who]}
  - {name: by_plugin, upstream: a, without: [headers]}
  - {name: off, upstream: a, plugins: [{plugin: respond, mode: off}], without: [size_limit, headers, who]}
"""

    @pytest.mark.parametrize(
        ("index", "expected"),
        [
            pytest.param(0, ["first", "second", "size_limit", "who", "respond"], id="defaults are outermost"),
            pytest.param(1, ["second", "size_limit"], id="without an id"),
            pytest.param(2, ["size_limit", "who"], id="without a plugin, wherever it stands"),
            pytest.param(3, [], id="what is off is not there"),
        ],
    )
    def test_of_a_route(self, index: int, expected: list[str]):
        config = load_text(self.TEXT, {}).config
        assert [entry.name for entry in config.entries_of(config.routes[index])] == expected


def test_a_route_says_its_own_deadlines():
    text = """\
upstreams: {a: {targets: ["http://h:1"], timeout: {connect: 1s, total: 9s}}}
routes:
  - {name: plain, upstream: a}
  - {name: own, upstream: a, timeout: {total: off, first_byte: 3s}}
"""
    config = load_text(text, {}).config
    plain, own = (config.timeout_of(route, "a") for route in config.routes)
    assert (plain.connect, plain.first_byte, plain.total) == (1.0, 15.0, 9.0)
    assert (own.connect, own.first_byte, own.total, own.stream_idle) == (1.0, 3.0, None, 300.0)


def test_a_listener_says_its_own_limits():
    config = one(limits="{url: 1KB, head: 3s}", listeners="[{bind: ':1', limits: {url: 2KB}}, {bind: ':2'}]")
    first, second = (config.limits_of(listener) for listener in config.listeners)
    assert (first.url, first.head, first.connections) == (2000, 3.0, 10_000)
    assert (second.url, second.head) == (1000, 3.0)


def test_it_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        one().workers = 2  # type: ignore[misc]
