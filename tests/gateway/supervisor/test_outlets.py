"""Sinks over reloads: what stays the same stays open, and no line is lost between two."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config.logs import Log, LogSink
from gateway.services.log import Fan, FileSink, StreamSink
from gateway.services.log.otlp import OtlpSink
from gateway.services.log.syslog import SyslogSink
from gateway.services.metrics import OTHER, Metrics
from gateway.supervisor import outlets as module
from gateway.supervisor.outlets import (
    Outlets,
    abandon_own_log,
    begin_own_log,
    commit_own_log,
    count_losses,
    end_own_log,
    own_log_losses,
    prepare_own_log,
    reopen_own_log,
    settle_own_log,
)


def sinks(*written: Any) -> list[LogSink]:
    return [LogSink.model_validate(each) for each in written]


def files(folder: Path, *names: str) -> list[LogSink]:
    return sinks(*({"file": folder / name} for name in names))


async def test_what_stays_the_same_stays_open(tmp_path: Path) -> None:
    log = Outlets()
    assert log.outlet is None
    log.prepare(files(tmp_path, "a", "b"), "sidegate")
    log.commit()
    first, second = log.sinks
    assert isinstance(log.outlet, Fan)
    log.prepare(files(tmp_path, "b", "c"), "sidegate")
    assert log.sinks == [first, second]
    log.commit()
    assert log.sinks[0] is second
    log.retire()
    await asyncio.gather(*log.closing)
    assert first._closed and not second._closed
    log.prepare([], "sidegate")
    log.commit()
    assert log.outlet is None
    await log.close()
    assert second._closed


async def test_each_sink_gets_every_line_once(tmp_path: Path) -> None:
    log = Outlets()
    log.prepare(files(tmp_path, "a", "b", "a"), "sidegate")
    log.commit()
    outlet = log.outlet
    assert outlet is not None
    outlet.write(b"one\n")
    outlet.hurry()
    outlet.flush()
    log.reopen()
    await log.close()
    assert [(tmp_path / name).read_bytes() for name in "ab"] == [b"one\n"] * 2


async def test_what_cannot_be_opened_changes_nothing(tmp_path: Path) -> None:
    log = Outlets()
    log.prepare(files(tmp_path, "a"), "sidegate")
    log.commit()
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(FileNotFoundError):
        log.prepare(files(tmp_path, "a", "b", "no/c"), "sidegate")
    assert len(set(Path("/proc/self/fd").iterdir())) == len(before)
    log.commit()
    assert [str(each) for each in log.sinks] == [str(tmp_path / "a")]
    await log.close()


async def test_what_was_prepared_may_be_abandoned(tmp_path: Path) -> None:
    log = Outlets()
    log.prepare(files(tmp_path, "a"), "sidegate")
    log.commit()
    (kept,) = log.sinks
    log.prepare(files(tmp_path, "a", "b"), "sidegate")
    await log.abandon()
    await log.abandon()
    log.commit()
    assert (log.sinks, kept._closed) == ([kept], False)
    await log.close()


async def test_lines_that_a_sink_of_before_gave_up_stay_counted(tmp_path: Path) -> None:
    log = Outlets()
    log.prepare(files(tmp_path, "a"), "sidegate")
    log.commit()
    (sink,) = log.sinks
    sink.dropped = 5
    assert log.dropped == 5
    log.prepare([], "sidegate")
    log.commit()
    log.retire()
    assert log.dropped == 5
    await log.close()
    assert log.losses() == {str(tmp_path / "a"): 5}


async def test_names_of_sinks_that_are_gone_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_NAMES", 2)
    log = Outlets()
    for name in "abcd":
        log.prepare(files(tmp_path, name), "sidegate")
        log.commit()
        log.retire()
        log.sinks[0].dropped = 1
    await log.close()
    assert log.losses() == {str(tmp_path / "a"): 1, str(tmp_path / "b"): 1, OTHER: 1, str(tmp_path / "d"): 1}


async def test_a_process_that_writes_no_access_log_counts_its_own(tmp_path: Path) -> None:
    metrics = Metrics()
    count_losses(metrics)
    (family,) = [each for each in metrics.snapshot() if each["name"] == "log_dropped_total"]
    assert [values[0] for values, _ in family["samples"]] == ["gateway"]


async def test_every_kind_is_opened() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        place = f"udp://127.0.0.1:{server.getsockname()[1]}"
        log = Outlets()
        log.prepare(sinks("stdout", "stderr", {"syslog": place}, {"otlp": "http://127.0.0.1:9?key=s3cret"}), "console")
        log.commit()
        assert [type(each) for each in log.sinks] == [StreamSink, StreamSink, SyslogSink, OtlpSink]
        assert [str(each) for each in log.sinks] == ["stdout", "stderr", place, "http://127.0.0.1:9"]
        await log.close()


@pytest.fixture
def own() -> Iterator[None]:
    """The log of this process is pytest's."""
    loggers = [logging.getLogger(name) for name in ("", "gateway", "watchfiles")]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    module._own.__init__()  # type: ignore[misc]
    yield
    for sink in module._own.sinks:
        sink.close()
    module._own.__init__()  # type: ignore[misc]
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def said(path: Path) -> list[str]:
    return [json.loads(line)["msg"] for line in path.read_text().splitlines()]


@pytest.mark.usefixtures("own")
async def test_the_own_log_goes_over_to_new_sinks_and_loses_no_line(tmp_path: Path) -> None:
    logger = logging.getLogger("gateway.x")
    before = Log(to=tuple(files(tmp_path, "a")))
    begin_own_log(before)
    logger.info("one")
    after = Log(level="warning", to=tuple(files(tmp_path, "b")))
    prepare_own_log(after)
    logger.info("two")
    commit_own_log(before, after)
    logger.info("not at this level")
    logger.warning("three")
    reopen_own_log()
    await settle_own_log()
    module._own.outlet.flush()  # type: ignore[union-attr]
    assert (said(tmp_path / "a"), said(tmp_path / "b")) == (["one", "two"], ["three"])
    assert not any(own_log_losses().values())


@pytest.mark.usefixtures("own")
async def test_a_level_that_a_signal_turned_stays_over_a_reload_that_does_not_speak_of_it(tmp_path: Path) -> None:
    before = Log(to=tuple(files(tmp_path, "a")))
    begin_own_log(before)
    logging.getLogger("gateway").setLevel(logging.DEBUG)
    after = before.model_copy(update={"to": tuple(files(tmp_path, "b"))})
    prepare_own_log(after)
    commit_own_log(before, after)
    logging.getLogger("gateway.x").debug("still")
    module._own.outlet.flush()  # type: ignore[union-attr]
    assert said(tmp_path / "b") == ["still"]
    await settle_own_log()


@pytest.mark.usefixtures("own")
async def test_an_own_log_that_cannot_be_opened(tmp_path: Path) -> None:
    bad = Log(to=tuple(files(tmp_path, "no/a")))
    with pytest.raises(FileNotFoundError):
        begin_own_log(bad)
    good = Log(to=tuple(files(tmp_path, "a")))
    begin_own_log(good)
    with pytest.raises(FileNotFoundError):
        prepare_own_log(bad)
    await abandon_own_log()
    logging.getLogger("gateway.x").warning("here")
    module._own.outlet.flush()  # type: ignore[union-attr]
    assert said(tmp_path / "a") == ["here"]


@pytest.mark.usefixtures("own")
async def test_the_own_log_ends_with_its_last_line(tmp_path: Path) -> None:
    begin_own_log(Log(to=tuple(files(tmp_path, "a"))))
    logging.getLogger("gateway").info("the last")
    end_own_log()
    end_own_log()
    assert json.loads((tmp_path / "a").read_text())["msg"] == "the last"


async def test_where_nobody_configured_a_log_none_is_opened(tmp_path: Path) -> None:
    prepare_own_log(Log(to=tuple(files(tmp_path, "a"))))
    commit_own_log(Log(), Log())
    assert list(tmp_path.iterdir()) == []


async def test_a_file_of_both_logs_is_moved_away_once(tmp_path: Path) -> None:
    one, other = Outlets(), Outlets()
    wanted = sinks({"file": tmp_path / "a", "rotate": {"size": "1KB", "every": "off"}})
    for log in (one, other):
        log.prepare(wanted, "sidegate")
        log.commit()
    for number in range(60):
        for log in (one, other):
            (sink,) = log.sinks
            assert isinstance(sink, FileSink)
            sink.write(b"%098d\n" % number)
            sink.flush()
    rotations = sum(log.sinks[0].rotations for log in (one, other))  # type: ignore[attr-defined]
    assert rotations == len(list(tmp_path.iterdir())) - 1 > 8
    assert sum(each.read_bytes().count(b"\n") for each in tmp_path.iterdir()) == 120
    await one.close()
    await other.close()
