"""The plugin contract: with http, errors and the services' types all that a plugin may import of the engine."""

from gateway.plugin.context import Context, Destination, Mode, Ports
from gateway.plugin.contract import (
    AdminView,
    Authenticator,
    Command,
    Endpoint,
    Gate,
    Plugin,
    Scope,
    Stage,
)
from gateway.plugin.settings import (
    Count,
    Document,
    Duration,
    FilePath,
    FromFile,
    Name,
    Off,
    Percent,
    Secret,
    Settings,
    Size,
    Text,
)
from gateway.services.masking import LogProcessor

__all__ = [
    "AdminView",
    "Authenticator",
    "Command",
    "Context",
    "Count",
    "Destination",
    "Document",
    "Duration",
    "Endpoint",
    "FilePath",
    "FromFile",
    "Gate",
    "LogProcessor",
    "Mode",
    "Name",
    "Off",
    "Percent",
    "Plugin",
    "Ports",
    "Scope",
    "Secret",
    "Settings",
    "Size",
    "Stage",
    "Text",
]
