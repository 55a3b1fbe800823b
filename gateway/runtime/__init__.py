"""One configuration made live: its routes, chains, upstreams and plugins, and their way in and out of force."""

from gateway.runtime.assemble import BuildError, Instance
from gateway.runtime.live import Runtime, build
from gateway.runtime.logs import log_processors, masking_of, processors_of
from gateway.runtime.services import Services
from gateway.runtime.telemetry import tracker_options

__all__ = [
    "BuildError",
    "Instance",
    "Runtime",
    "Services",
    "build",
    "log_processors",
    "masking_of",
    "processors_of",
    "tracker_options",
]
