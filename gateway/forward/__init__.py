"""The way to a service behind the gateway: targets, balancing, attempts and retries, health."""

from gateway.forward.target import Gate, LiveTarget
from gateway.forward.upstream import LiveUpstream

__all__ = ["Gate", "LiveTarget", "LiveUpstream"]
