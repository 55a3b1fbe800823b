"""The plugin contract: with http, errors and the services' types all that a plugin may import of the engine."""

from gateway.plugin.context import Context, Mode, Ports
from gateway.plugin.contract import (
    AdminView,
    Authenticator,
    Command,
    Endpoint,
    LogProcessor,
    Plugin,
    Scope,
    Stage,
)
from gateway.plugin.settings import Duration, Settings, Size

__all__ = [
    "AdminView",
    "Authenticator",
    "Command",
    "Context",
    "Duration",
    "Endpoint",
    "LogProcessor",
    "Mode",
    "Plugin",
    "Ports",
    "Scope",
    "Settings",
    "Size",
    "Stage",
]
