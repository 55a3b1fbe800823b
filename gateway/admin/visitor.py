"""Who may ask the admin API: who has the token, or who is on this machine and is not a browser that another site sends.

A listener on loopback needs no token, yet every page that is open in a browser on this machine can send requests to it.
Such a page cannot read answers of another origin, so it has two ways in. It can have its own name lead to 127.0.0.1
(DNS rebinding), and is then told by ``Host``. It can send what changes something without reading the answer (CSRF), and
is then told by ``Sec-Fetch-Site`` or ``Origin``, which browsers write and pages cannot.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gateway.config.listener import Admin

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN: Final = frozenset({"same-origin", "none"})
"""``Sec-Fetch-Site`` of this listener's own pages, and of what a person typed."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody is turned away."""

    status: int
    code: str
    detail: str


_NO_TOKEN: Final = Refusal(401, "unauthorized", "This needs the admin token.")
_OTHER_NAME: Final = Refusal(
    421, "misdirected_request", "Ask by localhost, by a loopback address, or by a name in admin.hosts."
)
_OTHER_SITE: Final = Refusal(
    403, "forbidden", "A page of another origin may not do this; admin.cors names those that may."
)


class Visitors:
    """Judges requests by the settings of one listener."""

    def __init__(self, settings: Admin) -> None:
        self._token = settings.token.get_secret_value().encode() if settings.token is not None else None
        self._public = frozenset(settings.public)
        self._origins = frozenset(settings.cors.origins) if settings.cors is not None else frozenset()
        self._by_name = settings.address.path == "" and settings.loopback
        self._hosts = {settings.address.host.lower(), *(name.lower().rstrip(".") for name in settings.hosts)}

    def refusal(self, method: str, path: str, scheme: str, headers: Mapping[str, str]) -> Refusal | None:
        """Why this request is turned away; None if it is not. Names in ``headers`` compare without case."""
        if self._token is not None and self._has_token(headers):
            return None if self._of_this_site(method, scheme, headers) else _OTHER_SITE
        if self._by_name and not self._is_own_name(headers.get("Host", "")):
            return _OTHER_NAME
        if self._token is not None and path not in self._public and not self._is_preflight(method, headers):
            return _NO_TOKEN
        return None if self._of_this_site(method, scheme, headers) else _OTHER_SITE

    def _has_token(self, headers: Mapping[str, str]) -> bool:
        scheme, _, given = headers.get("Authorization", "").partition(" ")
        assert self._token is not None
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token)

    def _is_own_name(self, host: str) -> bool:
        """Whether ``Host`` names this machine to itself; browsers always send one."""
        if not host:
            return True
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if name == "localhost" or name.endswith(".localhost") or name in self._hosts:  # RFC 6761 §6.3
            return True
        try:
            return ipaddress.ip_address(name.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def _is_preflight(self, method: str, headers: Mapping[str, str]) -> bool:
        """A preflight cannot hold a token, and is answered without a look at what it is about."""
        return (
            method == "OPTIONS"
            and "Access-Control-Request-Method" in headers
            and headers.get("Origin", "") in self._origins
        )

    def _of_this_site(self, method: str, scheme: str, headers: Mapping[str, str]) -> bool:
        if method in _SAFE:
            return True
        origin = headers.get("Origin")
        if origin is not None:
            return origin in self._origins or origin.lower() == f"{scheme}://{headers.get('Host', '')}".lower()
        return headers.get("Sec-Fetch-Site", "none").lower() in _OWN
