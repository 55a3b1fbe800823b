"""What is under way when a certificate expires: it ends with the next bytes."""

from __future__ import annotations

from collections.abc import Callable

from gateway.errors import GatewayError, Unauthorized
from gateway.http import Tunnel


class InvalidCertificate(Unauthorized):
    """The certificate has expired, is not valid yet, or cannot be read. Which of these only the log says."""

    code, title = "invalid_certificate", "Invalid certificate"


class Expiry:
    """A body filter that changes nothing, and refuses what comes once the time has come."""

    __slots__ = ("_ends", "_refuse", "_time", "_told")

    def __init__(self, ends: float, time: Callable[[], float], refuse: Callable[[GatewayError], None]) -> None:
        self._ends = ends
        self._time = time
        self._refuse = refuse
        self._told = False

    def look(self) -> None:
        """Raises InvalidCertificate; in shadow that is counted once, and this returns."""
        if not self._told and self._time() >= self._ends:
            self._told = True
            self._refuse(InvalidCertificate(reason="expired while the exchange was under way"))

    def feed(self, chunk: bytes) -> bytes:
        self.look()
        return chunk

    def finish(self) -> bytes:
        return b""


class EndingTunnel:
    """A tunnel in which nothing passes any more once the time has come, either way."""

    __slots__ = ("_expiry", "_inner", "_over")

    def __init__(self, inner: Tunnel, expiry: Expiry) -> None:
        self._inner = inner
        self._expiry = expiry
        self._over = False

    @property
    def gone(self) -> bool:
        """The connection is lost."""
        return self._inner.gone

    async def read(self) -> bytes:
        """The next bytes. Raises InvalidCertificate."""
        data = await self._inner.read()
        if data:
            self._look()
        return data

    def wake(self) -> None:
        """As the tunnel within."""
        self._inner.wake()

    async def write(self, data: bytes) -> None:
        """Raises InvalidCertificate."""
        self._look()
        await self._inner.write(data)

    def _look(self) -> None:
        if self._over:
            raise InvalidCertificate(reason="expired while the exchange was under way")
        try:
            self._expiry.look()
        except GatewayError:
            self._over = True
            self._inner.close()
            raise

    def end(self) -> None:
        """As the tunnel within."""
        self._inner.end()

    def close(self) -> None:
        """Idempotent."""
        self._inner.close()
