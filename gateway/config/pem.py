"""What may be wrong with the PEM files that a configuration names: certificates, their keys, authorities."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.config.wording import Step
from gateway.plugin.document import read_limited

LARGEST_PEM: Final = 8 * 1024 * 1024
"""Bytes: the system's whole list of authorities is a quarter of a megabyte."""

Mistake = tuple[tuple[Step, ...], str]
"""Where, and what."""


def _readable(file: Path, path: tuple[Step, ...]) -> Mistake | None:
    try:
        read_limited(file, LARGEST_PEM, regular=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return path, f"cannot read {file}: {reason}"
    return None


def certificate_mistakes(cert: Path, key: Path, path: tuple[Step, ...]) -> Iterator[Mistake]:
    """What keeps a certificate and its key from being used; ``path`` is the place of ``cert`` and ``key``."""
    missing = [found for name, file in (("cert", cert), ("key", key)) if (found := _readable(file, (*path, name)))]
    yield from missing
    if missing:
        return
    import ssl  # noqa: PLC0415 - a gateway without TLS does without it

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        yield (*path, "cert"), f"expected a PEM certificate and, in `key`, the key to it, without a password: {reason}"


def authority_mistakes(file: Path, path: tuple[Step, ...]) -> Iterator[Mistake]:
    """What keeps a file of authorities' certificates from being used."""
    if (mistake := _readable(file, path)) is not None:
        yield mistake
        return
    import ssl  # noqa: PLC0415

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except (ssl.SSLError, OSError, ValueError) as error:
        yield path, f"expected PEM certificates of authorities: {getattr(error, 'reason', None) or error}"
