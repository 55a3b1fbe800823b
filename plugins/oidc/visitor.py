"""Who asks, a person's browser or a program; and where on this host a person may be sent back to."""

from __future__ import annotations

from typing import Final

from gateway.http import Request
from gateway.http.problem import prefers_html

LONGEST: Final = 2000
"""Characters of a path that is kept over a login; cookies and provider's URLs have limits."""


def navigates(request: Request) -> bool:
    """A browser that will show the answer to a person: only that can follow a redirect to a login page.

    A script's call must not: it would follow to another origin, fail there on CORS and tell its page nothing.
    """
    if request.method not in ("GET", "HEAD", "POST") or request.upgrade:
        return False
    headers = request.headers
    mode = headers.get("Sec-Fetch-Mode")
    if mode is not None:  # every browser in use says it; scripts cannot forge it
        return mode == "navigate"
    if headers.get("X-Requested-With", "").lower() == "xmlhttprequest":
        return False
    return prefers_html(headers.get("Accept", ""))


def cross_site(request: Request, own: str) -> bool:
    """A page of another site caused this. ``own`` is what browsers call our origin."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "cross-site"
    origin = request.headers.get("Origin")
    return origin is not None and origin.lower() != own.lower()


def is_local(target: str) -> bool:
    """A path on this host and nothing that a browser could take for another host (RFC 3986 §4.2, WHATWG URL §4.4)."""
    return (
        target.startswith("/")
        and target[1:2] not in ("/", "\\")
        and len(target) <= LONGEST
        and target.isascii()
        and target.isprintable()
        and not any(char in target for char in ' \\"<>')
    )


def return_path(request: Request, own: str) -> str:
    """Where a login that this request causes leads back to. ``own`` is what browsers call our origin."""
    if request.method in ("GET", "HEAD"):
        target = f"{request.path}?{request.query}" if request.query else request.path
        return target if is_local(target) else request.path if is_local(request.path) else "/"
    # What was to be sent is lost; the page that it came from is where it can be sent again.
    referer = request.headers.get("Referer", "")
    target = referer.removeprefix(own).partition("#")[0]
    return target if referer.startswith(f"{own}/") and is_local(target) else "/"
