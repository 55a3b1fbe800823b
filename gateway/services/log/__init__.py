"""Logs: a line about each exchange, and the gateway's own; written by a thread, so that no sink stops the loop."""

from gateway.services.log.access import AccessLog, Processor
from gateway.services.log.application import (
    application_lost,
    configure,
    more_verbose,
    process,
    quieter,
    restyle,
    set_level,
)
from gateway.services.log.sink import FileSink, Sink, StreamSink

__all__ = [
    "AccessLog",
    "FileSink",
    "Processor",
    "Sink",
    "StreamSink",
    "application_lost",
    "configure",
    "more_verbose",
    "process",
    "quieter",
    "restyle",
    "set_level",
]
