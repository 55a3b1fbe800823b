"""The gateway's own log: one line a record, whatever is in it, and levels that can be turned."""

import json
import logging
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.services.log import application
from gateway.services.log.application import (
    JsonFormatter,
    SinkHandler,
    application_failed,
    configure,
    more_verbose,
    process,
    quieter,
    redirect,
    set_level,
)
from gateway.services.log.layout import console
from gateway.services.log.sink import Sink, StreamSink


class Memory(Sink):
    def __init__(self, layout=None):
        super().__init__(layout)
        self.written = []

    def _put(self, data):
        self.written.append(data)


@pytest.fixture(autouse=True)
def as_before():
    """`configure` is for a process of its own; what it turns is turned back."""
    loggers = [logging.getLogger(name) for name in ("", "gateway", "watchfiles")]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def record(message, *arguments, extra=None, failure=None, level=logging.INFO, name="gateway.reload"):
    made = logging.makeLogRecord(
        {"name": name, "levelno": level, "levelname": logging.getLevelName(level), "msg": message, "args": arguments}
    )
    vars(made).update(extra or {})
    if failure is not None:
        try:
            raise failure
        except Exception as error:  # noqa: BLE001
            made.exc_info = (type(error), error, error.__traceback__)
    return made


def for_people(made):
    """What the console says of a record."""
    return console(json.loads(JsonFormatter().format(made))).decode().removesuffix("\n")


def test_a_line_of_json():
    line = json.loads(JsonFormatter().format(record("took %d ms", 5, extra={"route": "a", "seconds": 0.5})))
    assert line.pop("ts").endswith("Z")
    assert line == {"level": "info", "logger": "gateway.reload", "msg": "took 5 ms", "route": "a", "seconds": 0.5}


def test_a_failure_has_its_traceback():
    line = json.loads(JsonFormatter().format(record("failed", failure=KeyError("x"))))
    assert line["exception"].startswith("Traceback") and line["exception"].endswith("KeyError: 'x'")


@given(
    st.text(st.characters(exclude_categories=()), max_size=40),
    st.dictionaries(
        st.sampled_from(["route", "odd key", "é"]),
        st.text(st.characters(exclude_categories=()), max_size=20)
        | st.integers()
        | st.floats()
        | st.binary(max_size=5)
        | st.builds(object),
        max_size=3,
    ),
)
def test_whatever_is_logged_is_one_line_of_json(message, extra):
    text = JsonFormatter().format(record("%s", message, extra=extra))
    assert "\n" not in text
    text.encode()
    line = json.loads(text)
    assert line["msg"] == message.encode("utf-8", "replace").decode()
    assert set(extra) <= set(line)


@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_nobody_forges_a_line_on_the_console(message):
    text = for_people(record("%s", message, extra={"path": message}))
    assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in text)


def test_a_line_for_people():
    text = for_people(record("up", extra={"seconds": 1}))
    assert text.split(" ", 1)[1] == "info    reload: up  seconds=1"


def test_a_failure_for_people_keeps_its_lines_and_no_escapes():
    text = for_people(record("failed", failure=ValueError("\x1b[31mred")))
    assert "\nTraceback" in text
    assert "\x1b" not in text and "\\x1b[31mred" in text


@pytest.mark.parametrize(("layout", "mark"), [(None, b'"msg":"hello"'), (console, b"reload: hello")])
def test_configure_sends_everything_to_one_sink(layout, mark):
    sink = Memory(layout)
    configure("info", sink)
    logging.getLogger("gateway.reload").info("hello")
    logging.getLogger("some.library").info("not this")
    logging.getLogger("some.library").warning("but this")
    sink.close()
    said = b"".join(sink.written)
    assert mark in said and b"but this" in said and b"not this" not in said
    assert logging.getLogger().handlers[0].sink is sink


def test_configure_replaces_what_was_there():
    first, second = Memory(), Memory()
    configure("info", first)
    configure("info", second)
    logging.getLogger("gateway").warning("once")
    first.close()
    second.close()
    assert first.written == []
    assert b"".join(second.written).count(b"once") == 1


def test_stderr_unless_said_otherwise():
    handler = configure("info")
    assert isinstance(handler.sink, StreamSink)
    handler.sink.close()


class Unspeakable:
    def __str__(self):
        raise ValueError("s3cret")


def test_a_record_that_cannot_be_written_ends_nothing_and_shows_nothing(capsys):
    sink = Memory()
    configure("info", sink)
    log = logging.getLogger("gateway.reload")
    log.info("%d", "s3cret")
    log.info("odd", extra={"what": Unspeakable()})
    log.info("fine")
    lost = application_failed()
    process([])
    sink.close()
    lines = [json.loads(line) for line in b"".join(sink.written).splitlines()]
    assert [line["msg"] for line in lines] == [application.UNWRITABLE, application.UNWRITABLE, "fine"]
    assert [line.get("error") for line in lines] == ["TypeError", "ValueError", None]
    assert lines[0]["at"].startswith("test_application.py:")
    assert "s3cret" not in str(lines) + "".join(capsys.readouterr())
    assert (lost, application_failed()) == (2, 2)


def test_what_stands_in_a_log_file_is_lines(tmp_path):
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    handler = SinkHandler(StreamSink(descriptor))
    handler.setFormatter(JsonFormatter())
    for number in range(100):
        handler.handle(record("line %d\n\r", number))
    handler.sink.close()
    os.close(descriptor)
    assert [json.loads(line)["msg"] for line in path.read_text().splitlines()] == [f"line {n}\n\r" for n in range(100)]


@pytest.mark.parametrize(
    ("steps", "level"),
    [
        pytest.param([more_verbose], "debug", id="more"),
        pytest.param([quieter], "warning", id="less"),
        pytest.param([more_verbose] * 5, "debug", id="no more than all"),
        pytest.param([quieter] * 9, "error", id="no less than errors"),
        pytest.param([quieter, more_verbose], "info", id="there and back"),
    ],
)
def test_levels_are_turned_a_step_at_a_time(steps, level):
    set_level("info")
    assert [step() for step in steps][-1] == level
    assert logging.getLevelName(logging.getLogger("gateway").level).lower() == level


def test_libraries_speak_up_only_in_debug():
    for level, library in (("info", logging.WARNING), ("error", logging.ERROR), ("debug", logging.DEBUG)):
        set_level(level)
        assert logging.getLogger("some.library").getEffectiveLevel() == library


def test_a_log_file_in_the_watched_folder_does_not_feed_itself():
    set_level("debug")
    assert not logging.getLogger("watchfiles.main").isEnabledFor(logging.INFO)
    set_level("error")
    assert not logging.getLogger("watchfiles.main").isEnabledFor(logging.WARNING)


def test_a_level_nobody_knows_starts_from_info():
    set_level("info")
    logging.getLogger("gateway").setLevel(17)
    assert more_verbose() == application.LEVELS[0]


def starred(line):
    return {key: "*" if key in {"msg", "user", "exception"} else value for key, value in line.items()}


@pytest.mark.parametrize("layout", [None, console], ids=["json", "console"])
def test_every_line_goes_through_the_processors_whatever_its_layout(layout):
    sink = Memory(layout)
    configure("info", sink)
    process([starred, lambda line: None if line["level"] == "error" else line])
    logger = logging.getLogger("gateway.reload")
    try:
        raise ValueError("s3cret")
    except ValueError:
        logger.warning("s3cret %s", "s3cret", exc_info=True, extra={"user": "s3cret"})
    logger.error("dropped")
    logging.getLogger("some.library").warning("s3cret")
    sink.close()
    said = b"".join(sink.written)
    assert b"s3cret" not in said and b"dropped" not in said
    assert said.count(b"*") == 4


def test_they_stay_when_the_sink_changes():
    first, second = Memory(), Memory(console)
    configure("info", first)
    process([starred])
    logging.getLogger("gateway").info("s3cret")
    redirect(second)
    logging.getLogger("gateway").info("s3cret")
    process([])
    logging.getLogger("gateway").info("plain")
    first.close()
    second.close()
    said = b"".join(first.written + second.written)
    assert b"s3cret" not in said and b"plain" in said
    assert b"".join(first.written).count(b"*") == 1


def test_a_sample_of_what_is_below_warning():
    sink = Memory()
    configure("debug", sink, {logging.DEBUG: 0.0, logging.INFO: 0.5})
    logger = logging.getLogger("gateway.x")
    for number in range(400):
        logger.debug("no %d", number)
        logger.info("some %d", number)
        logger.warning("all %d", number)
    redirect(sink)
    logger.debug("yes")
    sink.close()
    said = b"".join(sink.written)
    assert said.count(b'"no ') == 0 and said.count(b'"all ') == 400 and said.count(b'"yes"') == 1
    assert 100 < said.count(b'"some ') < 300  # a chance of less than one in 10^20 to be elsewhere


@pytest.mark.parametrize("layout", [None, console], ids=["json", "console"])
def test_a_line_that_a_processor_fails_on_is_withheld_and_counted(layout):
    sink = Memory(layout)
    configure("info", sink)
    process([lambda line: line["absent"]])
    logging.getLogger("gateway").warning("s3cret")
    redirect(sink)
    lost = application_failed()
    process([])
    sink.close()
    said = b"".join(sink.written)
    assert b"s3cret" not in said and application.WITHHELD.encode() in said
    assert (lost, application_failed()) == (1, 1)
