"""`errors.sentry` as operators write it, right and wrong."""

import pytest

from gateway.config.dump import dump_masked
from gateway.config.load import ConfigurationError, load_text

BASE = """
upstreams: {o: {targets: ["http://127.0.0.1:9000"]}}
routes: [{name: all, upstream: o}]
"""
DSN = "https://k3y@errors.example.com/7"


def problems(text, **variables):
    with pytest.raises(ConfigurationError) as refused:
        load_text(BASE + text, variables)
    return [str(problem) for problem in refused.value.problems]


def test_the_defaults_and_that_the_dsn_is_a_secret():
    config = load_text(BASE + "errors: {sentry: {dsn: '${DSN}'}}", {"DSN": DSN}).config
    sentry = config.errors.sentry
    assert sentry.dsn.get_secret_value() == DSN
    assert (sentry.environment, sentry.sample, sentry.interval, sentry.per_minute) == ("production", 1.0, 60.0, 20)
    assert "k3y" not in str(dump_masked(config)) + repr(config)


@pytest.mark.parametrize(
    ("dsn", "good"),
    [
        pytest.param(DSN, True, id="a DSN"),
        pytest.param("http://k3y:old@127.0.0.1:9000/prefix/42", True, id="an old secret, a port, a prefix"),
        pytest.param("https://errors.example.com/7", False, id="no key"),
        pytest.param("https://k3y@errors.example.com/", False, id="no project"),
        pytest.param("https://k3y@errors.example.com/shop", False, id="a project that is no number"),
        pytest.param("ftp://k3y@errors.example.com/7", False, id="another scheme"),
        pytest.param("https://k3y@h:99999/7", False, id="a port there is not"),
        pytest.param("k3y", False, id="only a key"),
    ],
)
def test_the_dsn(dsn, good):
    text = f"errors: {{sentry: {{dsn: '{dsn}'}}}}"
    if good:
        assert load_text(BASE + text, {}).config.errors.sentry.dsn.get_secret_value() == dsn
        return
    (found,) = problems(text)
    assert "errors.sentry.dsn" in found
    assert "expected a DSN" in found
    assert "k3y" not in found


@pytest.mark.parametrize("text", ["sample: 2", "interval: 60", "per_minute: 0", "environment: 'a/b'", "dns: x"])
def test_other_mistakes(text):
    assert problems(f"errors: {{sentry: {{dsn: '{DSN}', {text}}}}}")


def test_without_the_extra_it_is_said_at_the_line(monkeypatch):
    monkeypatch.setattr("gateway.services.unhandled.available", lambda: False)
    (found,) = problems(f"errors: {{sentry: {{dsn: '{DSN}'}}}}")
    assert "gateway.yaml:4:10" in found
    assert "pip install 'sidegate[sentry]'" in found
