"""Where a redirect sends the client (RFC 9110 §10.2.2).

The target is safe by construction: its host comes from the configuration, or is the one the client itself asked for and
has the form of one; its path is in normal form, so it begins with one slash (``//evil.example`` would be another host,
RFC 3986 §4.2) and holds no control character; its query is held to visible ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from gateway.config.routing import Redirect
from gateway.errors import BadRequest
from gateway.http.path import PathPolicy
from gateway.route.rewrite import Parameters, fill

Locator = Callable[[str, str, str, str, Parameters], str | None]
"""(scheme, authority as sent, path in normal form, raw query, path parameters) → ``Location``, or None if the request
is there already. Raises BadRequest if the client's Host would be needed and is none."""

_AUTHORITY: Final = re.compile(r"([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_URL: Final = re.compile(r"(https?)://([^/?]+)(.*)", re.DOTALL)
_UNSAFE: Final = re.compile(r"[^!-~]|[\"<>\\^`{|}#]")
_DEFAULT_PORT: Final = {"http": "80", "https": "443"}


def compile_redirect(redirect: Redirect, policy: PathPolicy) -> Locator:
    """The ``Location`` of a route's `redirect`; ``policy`` is that of the route's match."""
    to, scheme_set, host_set, port_set = redirect.to, redirect.scheme, redirect.host, redirect.port
    port_text = str(port_set) if port_set is not None else None
    if to is not None and (url := _URL.fullmatch(to)) is not None:
        scheme_set = "https" if url[1] == "https" else "http"
        found = _AUTHORITY.fullmatch(url[2])
        host_set, port_text = (found[1], found[2] or "") if found else (url[2], "")
        to = url[3] if url[3].startswith("/") else "/" + url[3]
    template, _, fixed_query = (to or "").partition("?")
    rewriter = fill(template, policy) if to is not None else None
    keep = redirect.query == "keep"

    def locate(scheme: str, authority: str, path: str, query: str, params: Parameters) -> str | None:
        target = path if rewriter is None else rewriter(path, params)
        kept = safe_query(query) if keep else ""
        wanted = f"{fixed_query}&{kept}" if fixed_query and kept and fixed_query != kept else fixed_query or kept
        if scheme_set is None and host_set is None and port_text is None:
            if target == path and wanted == query:
                return None
            return f"{target}?{wanted}" if wanted else target
        old = _AUTHORITY.fullmatch(authority)
        if old is None and host_set is None:
            raise BadRequest(reason="the Host field is none that a redirect could name")
        old_host, old_port = (old[1].lower().removesuffix("."), old[2] or "") if old else ("", "")
        new_scheme = scheme_set or scheme
        new_host = host_set or old_host
        new_port = port_text if port_text is not None else (old_port if new_scheme == scheme else "")
        new_port = "" if new_port == _DEFAULT_PORT.get(new_scheme) else new_port
        old_port = "" if old_port == _DEFAULT_PORT.get(scheme) else old_port
        if (new_scheme, new_host, new_port, target, wanted) == (scheme, old_host, old_port, path, query):
            return None
        port = f":{new_port}" if new_port else ""
        return f"{new_scheme}://{new_host}{port}{target}" + (f"?{wanted}" if wanted else "")

    return locate


def safe_query(query: str) -> str:
    """The query with everything encoded that a URL cannot hold raw (RFC 3986 §3.4), control characters first of all."""
    if _UNSAFE.search(query) is None:
        return query
    return quote(query, safe="%!$&'()*+,-./:;=?@_~[]", errors="surrogateescape")
