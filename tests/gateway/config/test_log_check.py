"""What only the machine, or the rest of a configuration, shows to be wrong with a log."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import load_text
from gateway.config.load import ConfigurationError

REST = "upstreams: {a: {targets: ['http://h:1']}}\nroutes: [{name: r, upstream: a}]\n"


def problems(text: str) -> list[str]:
    try:
        load_text(REST + text, {})
    except ConfigurationError as error:
        return [f"{each.path}: {each.message}" for each in error.problems]
    return []


def test_without_the_extra_a_collector_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "access_log: {to: [stdout, {otlp: 'http://h:4318'}]}\nlog: {to: {otlp: 'http://h'}}"
    assert problems(text) == []
    monkeypatch.setattr("gateway.config.log_check.available", lambda: False)
    wanted = "expected the extra `otel` (pip install 'sidegate[otel]') to be installed, which it needs"
    assert problems(text) == [f"access_log.to[1].otlp: {wanted}", f"log.to.otlp: {wanted}"]
    assert problems("access_log: {to: [{syslog: 'udp://h'}]}") == []


def test_files(tmp_path: Path) -> None:
    assert problems(f"access_log: {{file: {tmp_path}/a.log}}") == []
    assert problems(f"access_log: {{file: {tmp_path}}}") == [
        f"access_log.file: expected a file; {tmp_path} is a directory"
    ]
    assert problems(f"log: {{to: [{{file: {tmp_path}/no/a.log}}]}}") == [
        f"log.to[0].file: expected a file in a directory that exists; {tmp_path}/no does not"
    ]
