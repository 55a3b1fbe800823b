"""From the configuration to what the services are told."""

from gateway.config import load_text
from gateway.runtime import tracker_options
from gateway.runtime.telemetry import tracing_options

BASE = """
upstreams: {o: {targets: ["http://127.0.0.1:9000"]}}
routes:
  - {name: one, upstream: o, match: {path: "/orders/{id}"}, tracing: {ratio: 50%, plugins: true}}
  - {name: two, upstream: o, match: {path: [/a, /b]}, tracing: {off: true}}
  - {name: three, upstream: o}
"""


def test_nothing_is_said_nothing_is_done():
    config = load_text(BASE, {}).config
    assert tracing_options(config) is None
    assert tracker_options(config) is None


def test_what_each_key_becomes():
    text = """
tracing:
  endpoint: http://h
  headers: {X-Key: secret}
  service: edge
  resource: {zone: eu}
  sampling: {ratio: 5%, errors: false, slow: 2s, parent: trusted}
  accept: w3c
  propagate: [w3c, b3multi]
  batch: {queue: 10, size: 5, interval: 1s, flush: 2s}
errors: {sentry: {dsn: "http://k@h/7", environment: test, release: r1, sample: 10%, interval: 1s, per_minute: 3}}
"""
    config = load_text(BASE + text, {}).config
    options = tracing_options(config)
    assert (options.ratio, options.errors, options.slow, options.parent) == (0.05, False, 2.0, "trusted")
    assert (options.b3, options.propagate) == (False, {"b3multi"})
    collector = options.collector
    assert collector.endpoint == "http://h/v1/traces"
    assert collector.headers == (("X-Key", "secret"),)
    assert "secret" not in repr(options)
    assert collector.resource == (("service.name", "edge"), ("zone", "eu"))
    assert (collector.queue, collector.batch, collector.interval, collector.flush) == (10, 5, 1.0, 2.0)
    routes = options.routes
    assert (routes["one"].pattern, routes["one"].ratio, routes["one"].plugins) == ("/orders/{id}", 0.5, True)
    assert (routes["two"].pattern, routes["two"].off) == ("two", True)
    assert (routes["three"].ratio, routes["three"].plugins) == (None, False)
    tracker = tracker_options(config)
    assert (tracker.dsn, tracker.environment, tracker.release) == ("http://k@h/7", "test", "r1")
    assert (tracker.sample, tracker.interval, tracker.most) == (0.1, 1.0, 3)
    assert "k@h" not in repr(tracker)
