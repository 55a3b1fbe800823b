"""The open sinks of a log, over reloads: what stays the same stays open, what is new is opened before it is needed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from gateway.config.logs import Layout, Log, LogSink, identity_of, secrets_of
from gateway.services.log import (
    Fan,
    FileSink,
    Outlet,
    Rotation,
    Sink,
    StreamSink,
    configure,
    redirect,
    set_level,
)
from gateway.services.log.address import Secure, parse_address
from gateway.services.log.application import application_failed, configured
from gateway.services.log.layout import LAYOUTS
from gateway.services.metrics import OTHER, Metrics

Key = tuple[Any, ...]
PROCESSOR: Final = "processor"
"""In place of a sink: no sink got these lines, as a processor failed on them."""
MOST_NAMES: Final = 50
"""Sinks of before that are counted by name."""


class Outlets:
    """One log's sinks. ``prepare`` may fail and changes nothing; ``commit`` cannot."""

    def __init__(self) -> None:
        self._lost: Counter[str] = Counter()
        """Lines that sinks gave up which are closed by now."""
        self._open: dict[Key, Sink] = {}
        self._next: dict[Key, Sink] | None = None
        self._retired: list[Sink] = []
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def outlet(self) -> Outlet | None:
        """What lines are written to, or None if the log is off."""
        return _together(list(self._open.values()))

    @property
    def dropped(self) -> int:
        """Lines given up so far."""
        return sum(self.losses().values())

    def losses(self) -> Counter[str]:
        """The same by sink. What is said of those that are closed is bounded: later ones share a name."""
        found = Counter(self._lost)
        for sink in self._open.values():
            found[str(sink)] += sink.dropped
        return found

    def _note_lost(self, sink: Sink, count: int) -> None:
        name = str(sink)
        self._lost[name if name in self._lost or len(self._lost) < MOST_NAMES else OTHER] += count

    @property
    def sinks(self) -> Sequence[Sink]:
        """Those in use."""
        return list(self._open.values())

    @property
    def closing(self) -> set[asyncio.Task[None]]:
        """Sinks of before that still write what they had."""
        return self._closing

    def prepare(self, wanted: Iterable[LogSink], layout: Layout) -> None:
        """Open what is not open yet. Raises OSError or ModuleNotFoundError; then nothing new is left open."""
        assert self._next is None, "abandon what was prepared before"
        opened: dict[Key, Sink] = {}
        try:
            for each in wanted:
                key = identity_of(each, layout)
                if key not in opened:
                    opened[key] = self._open.get(key) or open_sink(each, layout)
        except BaseException:
            for sink in opened.values():
                if sink not in self._open.values():
                    sink.close()  # nothing was written to it, so this does not block
            raise
        self._next = opened

    def commit(self) -> None:
        """What was prepared is in use; `retire` is due as soon as nobody writes to what was before."""
        if self._next is None:
            return
        self._retired = [sink for key, sink in self._open.items() if key not in self._next]
        self._open, self._next = self._next, None

    def retire(self) -> None:
        """Close what is not used any more, after it has written what it has."""
        retired, self._retired = self._retired, []
        self._close(retired)

    async def abandon(self) -> None:
        """Close what was prepared and is not wanted. Nothing was written to it, so this does not take long."""
        unwanted, self._next = self._next or {}, None
        for key, sink in unwanted.items():
            if self._open.get(key) is not sink:
                await asyncio.to_thread(sink.close)

    def _close(self, sinks: Iterable[Sink]) -> None:
        for sink in sinks:
            before = sink.dropped
            self._note_lost(sink, before)
            # One that is stuck holds its closing up for seconds; the loop must not wait.
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                sink.close()
                self._note_lost(sink, sink.dropped - before)
                continue
            task = loop.create_task(self._closed(sink, before))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _closed(self, sink: Sink, before: int) -> None:
        await asyncio.to_thread(sink.close)
        self._note_lost(sink, sink.dropped - before)

    def reopen(self) -> None:
        """Begin new files. Does not block."""
        for sink in self._open.values():
            sink.reopen()

    async def close(self) -> None:
        """Write what is left and close everything. Idempotent."""
        await self.abandon()
        self.retire()
        await asyncio.gather(
            *self._closing, *(asyncio.to_thread(sink.close) for sink in self._open.values()), return_exceptions=True
        )

    def end(self) -> None:
        """As `close`, without a loop and at once for all."""
        sinks, self._open = list(self._open.values()), {}
        with ThreadPoolExecutor(max_workers=len(sinks) or 1) as pool:
            list(pool.map(Sink.close, sinks))


def _together(sinks: Sequence[Sink]) -> Outlet | None:
    return None if not sinks else sinks[0] if len(sinks) == 1 else Fan(sinks)


def open_sink(wanted: LogSink, layout: Layout) -> Sink:
    """Raises OSError for what cannot be opened, ModuleNotFoundError where the extra for it is missing."""
    laid_out = LAYOUTS[wanted.format or layout]
    if wanted.file is not None:
        return FileSink(wanted.file, _rotation(wanted), laid_out)
    if wanted.syslog is not None:
        from gateway.services.log.syslog import SyslogSink  # noqa: PLC0415 - only who asks for it pays its memory

        return SyslogSink(
            parse_address(wanted.syslog),
            facility=wanted.facility,
            app_name=wanted.app_name,
            framing=wanted.framing,
            layout=laid_out,
            secure=_secure(wanted),
            name=wanted.syslog,
        )
    if wanted.otlp is not None:
        from gateway.services.log.otlp import OtlpSink  # noqa: PLC0415 - needs the extra

        return OtlpSink(
            wanted.otlp,
            headers=secrets_of(wanted),
            timeout=wanted.timeout,
            secure=_secure(wanted),
            name=wanted.otlp.partition("?")[0],
        )
    descriptor = 1 if wanted.stream == "stdout" else 2
    return StreamSink(descriptor, laid_out, name=wanted.stream or "")


def _rotation(wanted: LogSink) -> Rotation | None:
    rotate = wanted.rotate
    return None if rotate is None else Rotation(rotate.size, rotate.every, rotate.keep, rotate.keep_size)


def _secure(wanted: LogSink) -> Secure:
    return Secure(wanted.tls.ca, wanted.tls.cert, wanted.tls.key)


# -- the gateway's own log ---------------------------------------------------------------------------------------------

_own: Final = Outlets()
"""As `logging` itself, one for a process."""


def shares_of(settings: Log) -> dict[int, float]:
    """Shares of lines by level, of those that are not written whole."""
    found = {logging.DEBUG: settings.sample.debug, logging.INFO: settings.sample.info}
    return {level: share for level, share in found.items() if share < 1.0}


def begin_own_log(settings: Log) -> Outlet:
    """From now on this process logs as ``settings`` say. Raises what `open_sink` does; then it logs to stderr."""
    first = configure(settings.level).sink
    _own.prepare(settings.to, settings.layout)
    _own.commit()
    outlet = _own.outlet
    assert outlet is not None
    configure(settings.level, outlet, shares_of(settings))
    first.close()
    _own.retire()
    return outlet


def prepare_own_log(settings: Log) -> None:
    """Open what ``settings`` ask for, where this process has its own log. Raises what `open_sink` does."""
    if configured() and _own.sinks:
        _own.prepare(settings.to, settings.layout)


def commit_own_log(before: Log, settings: Log) -> None:
    """Log as was prepared; the level stays as it was turned by a signal if the configuration's has not changed."""
    _own.commit()
    if (outlet := _own.outlet) is not None and configured():
        redirect(outlet, shares_of(settings))
    _own.retire()
    if before.level != settings.level:
        set_level(settings.level)


async def abandon_own_log() -> None:
    """Forget what was prepared."""
    await _own.abandon()


def reopen_own_log() -> None:
    """Begin new files of this process's own log."""
    _own.reopen()


def end_own_log() -> None:
    """Write what is left, as the last thing that a process does; a sink that is stuck is given up after `PATIENCE`."""
    _own.end()


def own_log_losses() -> dict[str, int]:
    """Lines of this process's own log that were given up, by sink."""
    return {**_own.losses(), PROCESSOR: application_failed()}


def count_losses(metrics: Metrics, access: Callable[[], Mapping[str, int]] | None = None) -> None:
    """Count what this process's logs give up: its own, and that of exchanges if it writes one."""
    counter = metrics.counter(
        "log_dropped_total",
        "Lines given up, by the sink that was stuck or failed; `processor`: a log processor failed on them.",
        ("log", "sink"),
    )
    logs: dict[str, Callable[[], Mapping[str, int]]] = {"gateway": own_log_losses}
    if access is not None:
        logs["access"] = access

    def read() -> list[tuple[tuple[str, ...], float]]:
        told = {log: {PROCESSOR: 0, **losses()} for log, losses in logs.items()}
        return [((log, sink), count) for log, losses in told.items() for sink, count in losses.items()]

    counter.read = read


async def settle_own_log() -> None:
    """Wait until what was replaced is closed."""
    await asyncio.gather(*_own.closing, return_exceptions=True)
