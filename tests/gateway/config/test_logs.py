"""Both logs as they are written, and what is said of what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.config import load_text
from gateway.config.dump import dump_masked
from gateway.config.load import ConfigurationError
from gateway.config.logs import AccessLog, Log, LogSink, Rotate, identity_of
from gateway.config.model import Config
from gateway.testing.authority import Authority

REST = "upstreams: {a: {targets: ['http://h:1']}}\nroutes: [{name: r, upstream: a}]\n"


def loaded(text: str) -> Config:
    return load_text(REST + text, {"TOKEN": "s3cret"}).config


@pytest.mark.parametrize(
    ("written", "kinds"),
    [
        pytest.param("off", [], id="off"),
        pytest.param("stdout", ["stdout"], id="stdout"),
        pytest.param("stderr", ["stderr"], id="stderr"),
        pytest.param("{file: /tmp/a.log}", ["/tmp/a.log"], id="a file"),
        pytest.param("{file: /tmp/a.log, slow: 1s}", ["/tmp/a.log"], id="a file, and more beside it"),
        pytest.param("{to: off, slow: 1s}", [], id="off, and slow requests all the same"),
        pytest.param("{slow: 1s}", ["stdout"], id="only what differs"),
        pytest.param("{to: stderr}", ["stderr"], id="one"),
        pytest.param("{to: {syslog: 'unix:/dev/log'}}", ["unix:/dev/log"], id="one of more words"),
        pytest.param(
            "{to: [stdout, {file: /tmp/a.log, rotate: off}, {syslog: 'udp://h'}, {otlp: 'http://h:4318'}]}",
            ["stdout", "/tmp/a.log", "udp://h", "http://h:4318"],
            id="several",
        ),
        pytest.param("{syslog: 'tcp://h:601', framing: newline}", ["tcp://h:601"], id="syslog without `to`"),
    ],
)
def test_access_logs_and_how_they_are_shown(written: str, kinds: list[str]) -> None:
    log = loaded(f"access_log: {written}").access_log
    assert [str(sink) for sink in log.to] == kinds
    shown = log.model_dump(mode="json")
    assert AccessLog.model_validate(shown) == log


@pytest.mark.parametrize("written", ["off", "stdout", "stderr"])
def test_a_word_is_shown_as_a_word(written: str) -> None:
    assert dump_masked(loaded(f"access_log: {written}"))["access_log"] == written


def test_everything() -> None:
    log = loaded(
        """
access_log:
  to:
    - file: /tmp/a.log
      rotate: {size: 5MB, every: hour, keep: off, keep_size: 1GB}
      format: ecs
    - otlp: https://collector.example/v1/logs
      headers: {Authorization: "${TOKEN}"}
      timeout: 3s
  format: otel
  sample: {rate: 50%, status: {2xx: 10%, 4xx: 20%}, routes: {r: 1%}}
  slow: {after: 2s, routes: {r: 30s}}
  plugin_time: true
log: {level: debug, format: console, to: [stderr, {syslog: "udp://h", facility: daemon, app_name: shop}],
  sample: {debug: 1%}}
"""
    )
    access, own = log.access_log, log.log
    first, second = access.to
    assert first.rotate == Rotate(size=5_000_000, every="hour", keep=None, keep_size=10**9)
    assert (first.format, second.format, access.format) == ("ecs", None, "otel")
    assert second.headers["Authorization"].get_secret_value() == "s3cret"
    assert (access.sample.rate, access.sample.status, access.sample.routes) == (
        0.5,
        {"2xx": 0.1, "4xx": 0.2},
        {"r": 0.01},
    )
    assert (access.slow.after, access.slow.routes, access.slow.asked) == (2.0, {"r": 30.0}, True)
    assert (own.layout, own.sample.debug, own.sample.info, own.to[1].facility) == ("console", 0.01, 1.0, "daemon")
    assert "s3cret" not in str(dump_masked(log)) + repr(log)


def test_defaults() -> None:
    log = loaded("access_log: {file: /tmp/a.log}").access_log
    assert log.to[0].rotate == Rotate(size=100_000_000, every="day", keep=30 * 86400.0, keep_size=None)
    assert not log.slow.asked
    assert Log().to == (LogSink(stream="stderr"),)
    assert Log(format="json").layout == "sidegate"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("access_log: nowhere", "access_log: expected off, stdout, stderr, {file: path}, or a mapping with `to`"),
        ("access_log: 7", "access_log: expected off, stdout, stderr, {file: path}, or a mapping with `to`"),
        ("access_log: {file: ''}", "access_log.file: expected the path of a file"),
        ("access_log: {file: /tmp/x.log, level: debug}", "access_log.level: unknown key 'level'"),
        ("access_log: {file: /tmp/x.log, syslog: 'udp://h'}", "expected exactly one of stream, file, syslog and otlp"),
        ("access_log: {to: [{}]}", "expected exactly one of stream, file, syslog and otlp"),
        ("access_log: {to: [stdin]}", "access_log.to[0]: expected stdout, stderr, or a mapping with file"),
        ("access_log: {to: [{syslog: 'http://h'}]}", "access_log.to[0].syslog: expected a syslog server: udp://host"),
        ("access_log: {to: {otlp: 'udp://h'}}", "access_log.to.otlp: expected the URL of a collector"),
        ("access_log: {to: [{syslog: 'udp://h', facility: lokal0}]}", "expected a syslog facility: kern, user"),
        ("access_log: {to: [{syslog: 'tcp://h', framing: crlf}]}", "framing: expected octet or newline"),
        ("access_log: {to: [{stream: stdout, rotate: {}}]}", "expected `rotate` only beside `file`"),
        ("access_log: {to: [{file: /tmp/x.log, headers: {}}]}", "expected `headers` only beside `otlp`"),
        ("access_log: {to: [{otlp: 'http://h', tls: {ca: /x}}]}", "expected `tls` only beside `syslog: tls://…` and"),
        ("access_log: {to: [{syslog: 'tcp://h', tls: {}}]}", "expected `tls` only beside"),
        ("access_log: {to: [{syslog: 'tls://h', tls: {cert: /x}}]}", "expected `cert` and `key` together"),
        ("access_log: {to: [{syslog: 'tls://h', tls: {ca: /not/here}}]}", "to[0].tls.ca: cannot read /not/here"),
        ("log: {to: {otlp: 'https://h', tls: {ca: /not/here}}}", "log.to.tls.ca: cannot read /not/here"),
        ("access_log: {to: [{syslog: 'tls://h', framing: newline}]}", "expected no `framing: newline` over TLS"),
        ("access_log: {to: [{otlp: 'http://h', format: ecs}]}", "expected no `format` beside `otlp`"),
        ("access_log: {to: [{otlp: 'http://h', headers: {'A B': x}}]}", "expected a token"),
        ("access_log: {to: [{otlp: 'http://h', headers: {A: \"x\\ny\"}}]}", "printable ASCII"),
        ("access_log: {format: xml}", "access_log.format: expected 'sidegate', 'ecs', 'otel' or 'console'"),
        ("access_log: {sample: {status: {5xx: 10%}}}", "expected 1xx, 2xx, 3xx or 4xx: errors are always written"),
        ("access_log: {sample: {status: {200: 10%}}}", "expected a class of status"),
        ("access_log: {sample: {rate: 0.1}}", "access_log.sample.rate: expected a percentage such as 20%"),
        ("access_log: {sample: {routes: {x: 1%}}}", "access_log.sample.routes.x: no route is called 'x'"),
        ("access_log: {slow: {after: 1s, routes: {x: off}}}", "access_log.slow.routes.x: no route is called 'x'"),
        ("access_log: {slow: 5}", "a duration with its unit"),
        ("access_log: {slow: {after: 0s}}", "more than 0"),
        ("access_log: {file: /tmp/x.log, rotate: {keep: 30}}", "access_log.rotate.keep: expected a duration"),
        ("access_log: {file: /tmp/x.log, rotate: {every: week}}", "access_log.rotate.every: expected 'hour' or 'day'"),
        ("access_log: {file: /tmp/x.log, rotate: {sise: 1MB}}", "did you mean 'size'?"),
        ("log: {to: []}", "log.to: expected at least one"),
        ("log: {to: off}", "log.to: expected stdout, stderr, or a mapping"),
        ("log: {sample: {warning: 1%}}", "unknown key 'warning'"),
        ("log: {to: {file: /no/such/folder/x.log}}", "log.to.file: expected a file in a directory that exists"),
    ],
)
def test_what_cannot_be_is_said_where_it_stands(written: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as found:
        loaded(written)
    (problem,) = found.value.problems
    assert said in str(problem), str(problem)
    assert problem.position.line == 3


def same(one: dict[str, Any], other: dict[str, Any], layouts: tuple[str, str] = ("sidegate", "sidegate")) -> bool:
    made = [LogSink.model_validate(each) for each in (one, other)]
    return identity_of(made[0], layouts[0]) == identity_of(made[1], layouts[1])  # type: ignore[arg-type]


def test_a_sink_is_the_same_if_it_writes_the_same_to_the_same_place() -> None:
    assert same({"stream": "stdout"}, {"stream": "stdout", "format": "sidegate"})
    assert same({"file": Path("/a")}, {"file": Path("/a"), "rotate": {}})
    assert not same({"stream": "stdout"}, {"stream": "stdout"}, ("sidegate", "ecs"))
    assert not same({"file": Path("/a")}, {"file": Path("/a"), "rotate": "off"})
    headers = [{"otlp": "http://h", "headers": {"A": value}} for value in ("one", "two")]
    assert not same(headers[0], headers[1])
    assert same(headers[0], headers[0])


def test_a_key_in_a_collectors_url_is_not_shown() -> None:
    text = "access_log: {to: {otlp: 'https://h/v1/logs?key=s3cret'}}\ntracing: {endpoint: 'https://h/t?key=s3cret'}\n"
    config = loaded(text)
    shown = dump_masked(config)
    assert "s3cret" not in str(shown) + str(config.access_log.to[0])
    assert shown["access_log"] == {"otlp": "https://h/v1/logs?***", "timeout": "10s"}
    assert shown["tracing"]["endpoint"] == "https://h/t?***"
    assert config.access_log.to[0].otlp == "https://h/v1/logs?key=s3cret"


def test_a_renewed_certificate_is_another_way_to_the_same_place(tmp_path: Path) -> None:
    authority = Authority()
    path = authority.write(tmp_path)
    config = loaded(f"access_log: {{to: {{syslog: 'tls://h', tls: {{ca: {path}}}}}}}")
    (sink,) = config.access_log.to
    assert dump_masked(config)["access_log"]["tls"] == {"ca": str(path), "cert": None, "key": None}
    before = identity_of(sink, "sidegate")
    assert before == identity_of(sink, "sidegate")
    path.write_bytes(path.read_bytes() + b"\n")
    assert identity_of(sink, "sidegate") != before
