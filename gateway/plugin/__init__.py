"""The plugin contract: with `gateway.http`, `gateway.errors` and the types of `gateway.services` all a plugin may import."""

from gateway.plugin.settings import Duration, Settings, Size

__all__ = ["Duration", "Settings", "Size"]
