"""The way to a service behind the gateway: targets, balancing, attempts and retries, health."""

from gateway.forward.target import LiveTarget
from gateway.forward.upstream import LiveUpstream

__all__ = ["LiveTarget", "LiveUpstream"]
