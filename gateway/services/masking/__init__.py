"""What everything that shows data to people goes through: logs, traces, errors, audit, views of stored requests."""

from gateway.services.masking.floor import REPLACED, is_secret
from gateway.services.masking.port import WITHHELD, LogProcessor, Masking
from gateway.services.masking.token import SHORTEST_KEY, token_of

__all__ = ["REPLACED", "SHORTEST_KEY", "WITHHELD", "LogProcessor", "Masking", "is_secret", "token_of"]
