"""The audit trail: who did what to which resource with which result, in records that are chained by their hashes."""

from gateway.services.audit.chain import LEAST_KEY, ZERO, Head, Keys
from gateway.services.audit.command import may_record, record_command, user
from gateway.services.audit.event import Event, Kind, Result, Writer, timestamp
from gateway.services.audit.ledger import Ledger
from gateway.services.audit.port import Audit, TrailOptions, ledger_of
from gateway.services.audit.trail import Trail
from gateway.services.audit.verify import Break, Verdict, verify

__all__ = [
    "LEAST_KEY",
    "ZERO",
    "Audit",
    "Break",
    "Event",
    "Head",
    "Keys",
    "Kind",
    "Ledger",
    "Result",
    "Trail",
    "TrailOptions",
    "Verdict",
    "Writer",
    "ledger_of",
    "may_record",
    "record_command",
    "timestamp",
    "user",
    "verify",
]
