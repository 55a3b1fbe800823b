"""TLS towards clients: contexts shared by listeners with the same settings, and made anew when their files change."""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakValueDictionary

from gateway.config.listener import ListenerTls

log = logging.getLogger("gateway.server")

POLL: Final = 5.0
"""Seconds between two looks at the files. A look is three ``stat`` calls, works on every file system, and follows the
symbolic links that Kubernetes swaps under a mounted secret."""

_DER: Final = 2
"""`_ssl.ENCODING_DER`."""
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

Signature = tuple[tuple[int, int, int], ...]


def make_context(settings: ListenerTls) -> ssl.SSLContext:
    """The context of one listener. Raises OSError or ssl.SSLError for files that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.min_version]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    # The empty password keeps OpenSSL from asking for one on the terminal; an encrypted key is an error.
    context.load_cert_chain(settings.cert, settings.key, password="")
    if settings.client_ca is not None:
        context.load_verify_locations(settings.client_ca)
        required = settings.client_auth == "required"
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


def verified_chain(connection: Any) -> tuple[bytes, ...]:
    """A client's certificate in DER, then those up to the authority that vouches for it.

    ``connection`` is an `ssl.SSLObject` whose peer was verified. A resumed session does not say the rest of the chain.
    """
    leaf = connection.getpeercert(binary_form=True)
    if leaf is None:
        return ()
    if sys.version_info >= (3, 13):
        found = connection.get_verified_chain()
    else:  # the same, before it was made public
        inner: Any = getattr(connection, "_sslobj", None)
        got = inner.get_verified_chain() if hasattr(inner, "get_verified_chain") else None
        found = [each.public_bytes(_DER) for each in got or ()]
    return (leaf, *found[1:]) if found and found[0] == leaf else (leaf,)


class ServerTls:
    """The context in force for some settings. Whoever listens with it is told when there is a new one."""

    def __init__(self, settings: ListenerTls) -> None:
        self.settings = settings
        self._files = [path for path in (settings.cert, settings.key, settings.client_ca) if path is not None]
        self._seen = self._signature()
        self._failed: Signature | None = None
        self._listeners: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self.context = make_context(settings)

    def watch(self, renewed: Callable[[], None]) -> None:
        """Call this after each renewal; files are looked at while anybody watches."""
        self._listeners.append(renewed)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(POLL, self._look)

    def forget(self, renewed: Callable[[], None]) -> None:
        """Watch no longer. Idempotent."""
        if renewed in self._listeners:
            self._listeners.remove(renewed)
        if not self._listeners and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(POLL, self._look)
        self.check()

    def check(self) -> bool:
        """Take up changed files; whether there is a new context. Files that cannot be used are logged and not taken."""
        try:
            signature = self._signature()
            if signature == self._seen:
                return False
            context = make_context(self.settings)
        except (OSError, ValueError) as error:
            # Perhaps only one of the files is written yet: tried again at every look, told once.
            if self._failed != (tried := self._try_signature()):
                self._failed = tried
                log.error("certificate %s not taken up: %s", self.settings.cert, error)
            return False
        self.context, self._seen, self._failed = context, signature, None
        log.info("certificate %s taken up", self.settings.cert)
        for renewed in list(self._listeners):
            renewed()
        return True

    def _signature(self) -> Signature:
        found = [path.stat() for path in self._files]
        return tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found)

    def _try_signature(self) -> Signature:
        try:
            return self._signature()
        except OSError:
            return ()


def renewing_context(settings: ListenerTls) -> tuple[ssl.SSLContext, Callable[[], None]]:
    """A context for a server that cannot be given another, and how to end it: renewed files are loaded into it.

    Authorities that a renewed `client_ca` no longer names stay trusted until a restart. Raises OSError or ssl.SSLError.
    """
    watched = ServerTls(settings)
    context = watched.context

    def renewed() -> None:
        context.load_cert_chain(settings.cert, settings.key, password="")
        if settings.client_ca is not None:
            context.load_verify_locations(settings.client_ca)

    watched.watch(renewed)
    return context, lambda: watched.forget(renewed)


_shared: WeakValueDictionary[ListenerTls, ServerTls] = WeakValueDictionary()


def shared_tls(settings: ListenerTls) -> ServerTls:
    """The one for these settings. Raises OSError or ssl.SSLError for files that cannot be used."""
    found = _shared.get(settings)
    if found is None:
        found = _shared[settings] = ServerTls(settings)
    else:
        found.check()
    return found
