import json
import logging
import os
import select
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.services.log import FileSink, StreamSink, configure, more_verbose, quieter
from gateway.services.log import sink as module
from gateway.services.log.sink import Sink, pieces


def test_nothing_is_lost_between_threads(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "log")

    def write(name: int) -> None:
        for number in range(3000):
            sink.write(b"%d-%d\n" % (name, number))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        sink.flush()
    sink.close()
    lines = (tmp_path / "log").read_text().split()
    assert len(lines) == len(set(lines)) == 12000
    for name in range(4):
        own = [line for line in lines if line.startswith(f"{name}-")]
        assert own == [f"{name}-{number}" for number in range(3000)]


def test_reopen_begins_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = FileSink(path)
    assert stat.S_IMODE(path.stat().st_mode) & ~0o640 == 0
    sink.write(b"one\n")
    path.rename(tmp_path / "log.1")
    sink.reopen()
    sink.write(b"two\n")
    sink.close()
    sink.close()
    assert (tmp_path / "log.1").read_bytes() == b"one\n"
    assert path.read_bytes() == b"two\n"


def test_a_stuck_sink_drops_and_counts_and_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 300_000)
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    reader, writer = os.pipe()
    sink = StreamSink(writer)
    for _ in range(400):
        sink.write(b"x" * 999 + b"\n")
    assert sink.dropped > 0
    dropped = sink.dropped
    sink.close()
    sink.write(b"late\n")
    assert sink.dropped > dropped
    thread = sink._thread
    assert thread is not None
    os.set_blocking(reader, False)
    while thread.is_alive():
        try:
            os.read(reader, 1 << 20)
        except BlockingIOError:
            thread.join(0.01)
    os.close(reader)
    os.close(writer)


def test_a_descriptor_that_does_not_block_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    sink = StreamSink(writer)
    sink.write(b"x" * 300_000)
    got = 0
    while got < 300_000:
        got += len(os.read(reader, 1 << 16))
    sink.close()
    assert (got, sink.dropped) == (300_000, 0)
    os.close(reader)
    os.close(writer)


@pytest.fixture
def root() -> Iterator[None]:
    logger, own = logging.getLogger(), logging.getLogger("gateway")
    kept, level, own_level = list(logger.handlers), logger.level, own.level
    yield
    logger.handlers[:] = kept
    logger.setLevel(level)
    own.setLevel(own_level)


@pytest.mark.usefixtures("root")
def test_the_application_log_is_json_with_what_extra_gave(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "log")
    configure("info", sink)
    logging.getLogger("gateway.x").warning("odd %s", "\udcff", extra={"request_id": "r1"})
    logging.getLogger("library").info("not at this level")
    logging.getLogger("gateway.x").debug("nor this")
    assert (more_verbose(), quieter(), quieter()) == ("debug", "info", "warning")
    sink.close()
    (line,) = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert (line["level"], line["logger"], line["msg"], line["request_id"]) == ("warning", "gateway.x", "odd ?", "r1")


@given(st.lists(st.binary(max_size=6000).map(lambda each: each.replace(b"\n", b"") + b"\n"), max_size=20))
def test_pieces_are_whole_lines_and_small_if_their_lines_are(lines: list[bytes]) -> None:
    found = list(pieces(b"".join(lines)))
    assert b"".join(found) == b"".join(lines)
    for piece in found:
        assert piece.endswith(b"\n")
        assert len(piece) <= select.PIPE_BUF or piece.count(b"\n") == 1


WRITER = """
import sys
from gateway.services.log.sink import StreamSink
sink = StreamSink(1)
for number in range(3000):
    sink.write((sys.argv[1] * (number % 1900) + "\\n").encode())
    if number % 100 == 0:
        sink.flush()
sink.close()
"""


def test_lines_of_several_processes_on_one_pipe_stay_whole() -> None:
    reading, writing = os.pipe()
    workers = [subprocess.Popen([sys.executable, "-c", WRITER, letter], stdout=writing) for letter in "abc"]
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        lines = pipe.read().splitlines()
    assert [worker.wait(30) for worker in workers] == [0, 0, 0]
    assert len(lines) == 9000
    assert all(len(set(line)) <= 1 for line in lines)


LONG = """
import os, sys
from gateway.services.log import StreamSink
first, second = StreamSink(1), StreamSink(os.dup(1))
for number in range(60):
    first.write(sys.argv[1].encode() * 30_000 + b"\\n")
    second.write(sys.argv[1].encode() * 50 + b"\\n")
    first.hurry()
first.close()
second.close()
"""


def test_lines_that_are_longer_than_a_pipe_takes_in_one_piece_stay_whole_too() -> None:
    reading, writing = os.pipe()
    workers = [subprocess.Popen([sys.executable, "-c", LONG, letter], stdout=writing) for letter in "abc"]
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        lines = pipe.read().splitlines()
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert sorted(map(len, lines)) == [50] * 180 + [30_000] * 180
    assert all(len(set(line)) == 1 for line in lines)


def test_the_end_of_a_process_does_not_wait_for_a_sink_that_was_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    go = threading.Event()

    class Stuck(Sink):
        def _put(self, data: bytes) -> None:
            go.wait()

    sink = Stuck()
    sink.write(b"x\n")
    sink.close()
    ended = threading.Thread(target=sink.flush, daemon=True)  # as `logging.shutdown` does it
    ended.start()
    ended.join(10)
    held_up = ended.is_alive()
    go.set()
    assert not held_up


class Failing(Sink):
    """Fails as it is told."""

    def __init__(self) -> None:
        super().__init__(name="failing")
        self.wrong: Exception | None = None
        self.data = b""

    def _put(self, data: bytes) -> None:
        if self.wrong is not None:
            raise self.wrong
        self.data += data


@pytest.mark.parametrize("wrong", [OSError(5, "Input/output error"), ValueError("a bug"), KeyError()], ids=repr)
def test_whatever_goes_wrong_the_thread_goes_on(wrong: Exception, caplog: pytest.LogCaptureFixture) -> None:
    sink = Failing()
    sink.wrong = wrong
    sink.write(b"lost\n")
    sink.flush()
    assert sink.dropped == 1
    assert sink._thread is not None and sink._thread.is_alive()
    sink.wrong = None
    sink.write(b"written\n")
    sink.close()
    assert sink.data == b"written\n"
    assert [each.getMessage().partition(": ")[0] for each in caplog.records] == [
        "log sink failing fails",
        "log sink failing works again; 1 lines were dropped",
    ]


@pytest.mark.usefixtures("root")
def test_a_sink_that_carries_what_is_said_of_it_does_not_feed_itself() -> None:
    sink = Failing()
    configure("info", sink)
    for turn in range(20):
        sink.wrong = OSError(5, "Input/output error") if turn % 2 else None
        logging.getLogger("gateway").info("turn %d", turn)
        sink.flush()
    sink.close()
    assert sink.data.count(b"fails") + sink.data.count(b"works again") <= 2


@pytest.mark.usefixtures("root")
def test_the_end_of_logging_does_not_wait_for_a_sink_that_waits_for_it() -> None:
    """`logging.shutdown` holds the handler while it flushes; a thread that has something to say wants the handler."""
    sink = Failing()
    handler = configure("info", sink)
    sink.wrong = OSError(5, "Input/output error")
    put, held = threading.Event(), threading.Event()

    def slow(data: bytes) -> None:
        put.set()
        assert held.wait(60)
        raise OSError(5, "Input/output error")

    sink._put = slow  # type: ignore[method-assign]
    sink.write(b"x\n")
    writing = threading.Thread(target=sink.flush)
    writing.start()
    assert put.wait(60)
    handler.acquire()
    ending = threading.Thread(target=sink.flush)
    ending.start()
    held.set()
    # The handler's lock is held here all the while, as it is while its flush runs.
    until = time.monotonic() + 60
    while sink._lock.locked() or not sink.failures:
        assert time.monotonic() < until
        time.sleep(0.005)
    handler.release()
    for thread in (ending, writing):
        thread.join(60)
        assert not thread.is_alive()
    sink._put = lambda data: None  # type: ignore[method-assign]
    sink.close()
