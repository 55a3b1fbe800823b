"""Logs: a line about each exchange, and the gateway's own; written by threads, so that no sink stops the loop."""

from gateway.services.log.access import AccessLog, Processor
from gateway.services.log.application import (
    application_failed,
    configure,
    more_verbose,
    process,
    quieter,
    redirect,
    set_level,
)
from gateway.services.log.file import FileSink, Rotation
from gateway.services.log.selection import Sampling, Slow
from gateway.services.log.sink import Fan, Outlet, Sink, StreamSink

__all__ = [
    "AccessLog",
    "Fan",
    "FileSink",
    "Outlet",
    "Processor",
    "Rotation",
    "Sampling",
    "Sink",
    "Slow",
    "StreamSink",
    "application_failed",
    "configure",
    "more_verbose",
    "process",
    "quieter",
    "redirect",
    "set_level",
]
