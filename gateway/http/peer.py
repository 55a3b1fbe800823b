"""What is known of the connection that a request came on, and what the target is told.

``X-Forwarded-For``, ``-Proto``, ``-Host`` and ``Forwarded`` (RFC 7239) are believed and continued only when the peer is
a trusted proxy; from anyone else they are dropped, like all of their kind (`gateway.http.screen`), and written anew.
Almost every connection asks for one host, so the lines for it are made once a connection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class Peer:
    """One client connection, as the engine sees it."""

    __slots__ = (
        "_lines",
        "_lines_host",
        "address",
        "balancer",
        "certificate",
        "chain",
        "fields",
        "known",
        "passing",
        "port",
        "scheme",
        "screened",
        "trusted",
    )

    def __init__(
        self,
        address: str,
        port: int = 0,
        *,
        scheme: str = "http",
        trusted: bool = False,
        certificate: dict[str, Any] | None = None,
        chain: tuple[bytes, ...] = (),
        known: bool = True,
        balancer: Peer | None = None,
    ) -> None:
        self.address = address
        """The socket's other end, or what the PROXY protocol said; empty for a unix socket without it."""
        self.port = port
        self.scheme = scheme
        self.trusted = trusted
        """It is one of ``trusted_proxies``."""
        self.known = known
        """The address is its own; if not, it cannot be one of them."""
        self.balancer = balancer
        """Who said, by the PROXY protocol, what the address is."""
        self.certificate = certificate
        """The verified client certificate, as `ssl.SSLSocket.getpeercert` gives it."""
        self.chain = chain
        """The same in DER, then those that lead to the authority; of a resumed session perhaps only itself."""
        self.fields: Sequence[tuple[bytes, bytes]] | None = None
        """The fields of the last request that had nothing special among them."""
        self.screened: Sequence[tuple[bytes, bytes]] | None = None
        """The last fields that were found to say nothing this peer may not say (`gateway.http.screen`)."""
        self.passing = b""
        """What of these goes on to the target, as lines."""
        self._lines = b""
        self._lines_host: str | None = None

    def judged(self, is_trusted: Callable[[str], bool]) -> Peer:
        """The same connection to those who trust by ``is_trusted``; itself if that changes nothing."""
        balancer = self.balancer
        if balancer is not None and not is_trusted(balancer.address):
            return balancer.judged(is_trusted)
        trusted = self.known and is_trusted(self.address)
        if trusted == self.trusted:
            return self
        return Peer(
            self.address,
            self.port,
            scheme=self.scheme,
            trusted=trusted,
            certificate=self.certificate,
            chain=self.chain,
            known=self.known,
            balancer=balancer,
        )

    def lines(self, host: str) -> bytes:
        """The forwarding header lines for a request that came straight from a client, without the last CRLF."""
        if host != self._lines_host:
            self._lines_host = host
            self._lines = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b" % (
                (self.address or "unknown").encode(),
                self.scheme.encode(),
                host.encode("utf-8", "surrogateescape"),
            )
        return self._lines

    def element(self, host: str) -> bytes:
        """How this hop appears as an element of ``Forwarded`` (RFC 7239 §4); IPv6 in brackets and quotes (§6)."""
        address = self.address or "unknown"
        node = f'"[{address}]"' if ":" in address else address
        return f'for={node};host="{host}";proto={self.scheme}'.encode("utf-8", "surrogateescape")


NOWHERE = Peer("")
"""For requests that the gateway makes itself."""
