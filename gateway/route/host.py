"""Host names as they are compared: without port, case and the dot of a fully qualified name (RFC 9110 §4.2.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

LONGEST: Final = 255
"""A longer name cannot be resolved (RFC 1035 §2.3.4); it matches no host pattern."""


def normal_host(authority: str) -> str:
    """``API.example.com.:8080`` → ``api.example.com``; ``[::1]:80`` → ``[::1]``; too long → empty."""
    if len(authority) > LONGEST + 6:
        return ""
    if authority.startswith("["):
        return authority[: authority.find("]") + 1].lower()
    return authority.partition(":")[0].removesuffix(".").lower()


def suffixes(host: str) -> Iterator[str]:
    """What wildcards may match, longest first: of ``a.b.c`` these are ``.b.c`` and ``.c``."""
    dot = host.find(".", 1)
    while dot > 0:
        yield host[dot:]
        dot = host.find(".", dot + 1)
