"""Where an exchange's time went, as far as it is not told by its beginning and its end."""

from __future__ import annotations


class Spent:
    """Seconds, summed over attempts. Made for requests that leave the short way; forks share their request's."""

    __slots__ = ("answered", "connect", "first_byte", "inner", "plugins", "queue", "upload")

    def __init__(self) -> None:
        self.queue = 0.0
        """In the line for a connection."""
        self.connect = 0.0
        """Until a connection was made: name, TCP, TLS."""
        self.upload = 0.0
        """While the client's body went to the target."""
        self.first_byte = 0.0
        """From the last byte of the request to the head of the answer, or to the failure of the attempt."""
        self.answered = 0.0
        """When the last attempt had the head of its answer, or failed, on the loop's clock."""
        self.plugins: dict[str, float] | None = None
        """Plugin's id → seconds in it alone. None unless asked for."""
        self.inner = 0.0
        """Of ``plugins``: in what the one that runs has called."""
