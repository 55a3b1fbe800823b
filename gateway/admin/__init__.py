"""The operators' listener: metrics, health, and what is in force."""

from gateway.admin.application import AdminServer, Gateway
from gateway.admin.checks import Checks

__all__ = ["AdminServer", "Checks", "Gateway"]
