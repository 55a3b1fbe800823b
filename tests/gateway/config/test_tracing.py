"""`tracing:` as operators write it, right and wrong."""

import pytest

from gateway.config.load import ConfigurationError, load_text

BASE = """
upstreams: {o: {targets: ["http://127.0.0.1:9000"]}}
routes: [{name: all, upstream: o}]
"""


def load(text, **variables):
    return load_text(BASE + text, variables)


def problems(text, **variables):
    with pytest.raises(ConfigurationError) as refused:
        load(text, **variables)
    return [str(problem) for problem in refused.value.problems]


def test_unset_nothing_is_traced_and_off_says_so():
    assert load("").config.tracing is None
    assert load("tracing: off").config.tracing is None


def test_the_defaults():
    tracing = load("tracing: {}").config.tracing
    assert tracing.endpoint == "http://127.0.0.1:4318/v1/traces"
    assert (tracing.sampling.ratio, tracing.sampling.errors, tracing.sampling.slow) == (0.1, True, None)
    assert (tracing.accept, tracing.propagate) == (("w3c", "b3"), ("w3c",))


@pytest.mark.parametrize(
    ("given", "used"),
    [
        pytest.param("https://otel.example.com", "https://otel.example.com/v1/traces", id="a collector"),
        pytest.param("http://[::1]:4318/", "http://[::1]:4318/v1/traces", id="a slash"),
        pytest.param("http://h/otlp/v1/traces", "http://h/otlp/v1/traces", id="a path of its own"),
        pytest.param("http://h/?k=v", "http://h/?k=v", id="a query of its own"),
    ],
)
def test_the_endpoint(given, used):
    assert load(f"tracing: {{endpoint: '{given}'}}").config.tracing.endpoint == used


@pytest.mark.parametrize(
    ("text", "path"),
    [
        pytest.param("endpoint: otel.example.com:4318", "tracing.endpoint", id="no scheme"),
        pytest.param("endpoint: 'grpc://h:4317'", "tracing.endpoint", id="gRPC"),
        pytest.param("endpoint: 'http://u:secret-p4ss@h'", "tracing.endpoint", id="a password in the URL"),
        pytest.param("endpoint: 'http://h:99999'", "tracing.endpoint", id="a port there is not"),
        pytest.param("endpoint: 'http://h/a b'", "tracing.endpoint", id="a space"),
        pytest.param("protocol: grpc", "tracing.protocol", id="a protocol that is not spoken"),
        pytest.param("sampling: {ratio: 0.1}", "tracing.sampling.ratio", id="a ratio without its sign"),
        pytest.param("sampling: {ratio: 110%}", "tracing.sampling.ratio", id="more than all"),
        pytest.param("sampling: {parent: maybe}", "tracing.sampling.parent", id="a parent there is not"),
        pytest.param("sampling: {slow: 0s}", "tracing.sampling.slow", id="everything is slow"),
        pytest.param("accept: [jaeger]", "tracing.accept", id="a propagator there is not"),
        pytest.param("request_headers: [Authorization]", "tracing.request_headers", id="a field that is secret"),
        pytest.param("response_headers: [Set-Cookie]", "tracing.response_headers", id="a cookie"),
        pytest.param("batch: {queue: 0}", "tracing.batch.queue", id="no room"),
        pytest.param("tls: {cert: a.pem}", "tracing.tls", id="a certificate without its key"),
        pytest.param("samplng: {}", "samplng", id="a key that is misspelt"),
    ],
)
def test_mistakes_are_found_at_their_place(text, path):
    found = problems(f"tracing: {{{text}}}")
    assert any(path in problem and "gateway.yaml:4:" in problem for problem in found), found
    assert "secret-p4ss" not in str(found)


def test_headers_are_secrets():
    from gateway.config.dump import dump_masked

    loaded = load("tracing: {headers: {Authorization: '${TOKEN}'}}", TOKEN="s3cret-of-the-collector")
    assert "s3cret" not in str(dump_masked(loaded.config))
    assert "s3cret" not in repr(loaded.config)


def test_a_resource_is_text_whatever_yaml_takes_it_for():
    resource = load("tracing: {resource: {version: 1.4, canary: true, zone: eu}}").config.tracing.resource
    assert resource == {"version": "1.4", "canary": "true", "zone": "eu"}


def test_without_the_extra_it_is_said_at_the_line(monkeypatch):
    monkeypatch.setattr("gateway.services.tracing.available", lambda: False)
    (found,) = problems("tracing: {}")
    assert "gateway.yaml:4:1" in found
    assert "pip install 'sidegate[otel]'" in found


def test_what_a_route_says_without_tracing_has_no_effect_and_is_a_warning():
    text = BASE.replace("upstream: o}", "upstream: o, tracing: {ratio: 5%}}")
    (warning,) = load_text(text, {}).problems
    assert "no effect" in str(warning)
    assert load_text(text + "tracing: {}", {}).config.routes[0].tracing.ratio == 0.05


@pytest.mark.parametrize("key", ["ca", "cert"])
def test_tls_files_are_looked_at(key, tmp_path):
    (tmp_path / "a.pem").write_text("rubbish")
    more = f", key: {tmp_path}/a.pem" if key == "cert" else ""
    assert any(
        f"tracing.tls.{key}" in each for each in problems(f"tracing: {{tls: {{{key}: {tmp_path}/a.pem{more}}}}}")
    )
