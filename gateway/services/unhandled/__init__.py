"""Errors that nobody has handled: grouped, counted, shown, and sent on to a tracker."""

from gateway.services.unhandled.group import Group, fingerprint
from gateway.services.unhandled.tracker import Options, Tracker, available
from gateway.services.unhandled.watch import Unhandled, catch_the_rest, merged

__all__ = ["Group", "Options", "Tracker", "Unhandled", "available", "catch_the_rest", "fingerprint", "merged"]
