"""From YAML to a checked model: all mistakes at once, each with its place.

`load` gives a `Loaded` or raises `ConfigurationError`; the model is `gateway.config.model.Config`.
"""

from gateway.config.check import Finding
from gateway.config.dump import dump_masked
from gateway.config.load import ConfigurationError, Loaded, load, load_text
from gateway.config.model import Config, Route, Upstream
from gateway.plugin.tree import Position, Problem, Severity

__all__ = [
    "Config",
    "ConfigurationError",
    "Finding",
    "Loaded",
    "Position",
    "Problem",
    "Route",
    "Severity",
    "Upstream",
    "dump_masked",
    "load",
    "load_text",
]
