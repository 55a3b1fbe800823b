"""What a configuration that is well-formed may still have wrong with its logs."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.logs import LogSink
from gateway.config.model import Config
from gateway.config.pem import Mistake
from gateway.config.wording import Step
from gateway.services.log.address import EXTRA, available


def log_mistakes(config: Config) -> Iterator[Mistake]:
    """Everything that keeps a log from being written as asked."""
    for log, sinks in (("access_log", config.access_log.to), ("log", config.log.to)):
        for index, sink in enumerate(sinks):
            yield from _sink((log, "to", index), sink)
    yield from _routes(config)


def _sink(path: tuple[Step, ...], sink: LogSink) -> Iterator[Mistake]:
    file = sink.file
    if file is not None:
        if not file.parent.is_dir():
            yield (*path, "file"), f"expected a file in a directory that exists; {file.parent} does not"
        elif file.is_dir():
            yield (*path, "file"), f"expected a file; {file} is a directory"
    if sink.otlp is not None and not available():
        yield (*path, "otlp"), f"expected {EXTRA} to be installed, which it needs"


def _routes(config: Config) -> Iterator[Mistake]:
    known = {route.name for route in config.routes}
    for key, names in (("sample", config.access_log.sample.routes), ("slow", config.access_log.slow.routes)):
        for name in names:
            if name not in known:
                yield ("access_log", key, "routes", name), f"no route is called {name!r}"
