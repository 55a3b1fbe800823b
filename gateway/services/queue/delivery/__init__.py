"""Hands what a queue keeps to whoever does the work: how fast, how often, and what becomes of it."""

from gateway.services.queue.delivery.outcome import Delivered, Failed, Hopeless, Outcome, Untried
from gateway.services.queue.delivery.pump import Pump, Terms
from gateway.services.queue.delivery.schedule import Schedule
from gateway.services.queue.delivery.throttle import Throttle
from gateway.services.queue.delivery.watch import NOT_IN_FORCE, Watch

__all__ = [
    "NOT_IN_FORCE",
    "Delivered",
    "Failed",
    "Hopeless",
    "Outcome",
    "Pump",
    "Schedule",
    "Terms",
    "Throttle",
    "Untried",
    "Watch",
]
