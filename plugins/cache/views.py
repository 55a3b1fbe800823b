"""What the admin API shows of a cache, and takes for it: figures, purges, warming."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from gateway.errors import GatewayError
from gateway.http import Request
from gateway.plugin import AdminView
from plugins.cache.purge import Kind, Purge, purge_of

if TYPE_CHECKING:
    from plugins.cache import Cache

AT_ONCE: Final = 8
"""URLs that are warmed at the same time."""
MOST: Final = 500
"""URLs, or groups, of one call."""
WITHIN: Final = 50.0
"""Seconds that one call to warm may take."""

_numbers = itertools.count(1)


def views_of(cache: Cache) -> tuple[AdminView, ...]:
    """``stats``, ``purge`` and ``warm``; each worker answers for itself."""

    async def stats(_query: Mapping[str, str]) -> dict[str, Any]:
        return figures(cache)

    async def purge(query: Mapping[str, str]) -> dict[str, Any]:
        purges = purges_of(query)
        # Every worker is asked, so each tells its own caches; the other replicas are told through the store.
        told = await cache.purge(purges, asked_all=True)
        return {"purged": cache.shelf.clean(), "replicas_told": told}

    async def warm(query: Mapping[str, str]) -> dict[str, Any]:
        urls = [_split(url) for url in query.get("urls", "").split()]
        if not urls or len(urls) > MOST:
            raise ValueError(f"`urls` wants one to {MOST} URLs, parted by blanks")
        return await _warmed(cache, urls)

    return (
        AdminView("stats", stats),
        AdminView("purge", purge, frozenset({"POST"})),
        AdminView("warm", warm, frozenset({"POST"})),
    )


def figures(cache: Cache) -> dict[str, Any]:
    """How full it is and what it has done, as JSON can hold it."""
    shelf, results = cache.shelf, {name: int(child.value) for name, child in cache.counts.results.items()}
    hits, asked = cache.counts.asked()
    found: dict[str, Any] = {
        "entries": len(shelf.memory),
        "bytes": shelf.memory.used,
        "limit": shelf.memory.limit,
        "evictions": shelf.memory.evicted,
        "fetches": cache.counts.in_flight,
        "requests": results,
        "hit_ratio": round(hits / asked, 4) if asked else None,
        "purges": shelf.purges.seq,
    }
    shared = shelf.shared
    if shared is not None:
        found["shared"] = {
            "found": shared.found,
            "written": shared.written,
            "unwritten": shelf.unwritten,
            "failures": shared.failures,
            "broken": shared.broken,
        }
    return found


def purges_of(query: Mapping[str, str]) -> list[Purge]:
    """What query parameters ask to be purged: ``urls`` and ``groups`` parted by blanks, ``host``, ``soft``.

    Raises ValueError.
    """
    soft = query.get("soft", "").lower() in ("1", "true", "yes")
    host = query.get("host", "").lower()
    purges = [purge_of(text, soft=soft) for text in query.get("urls", "").split()]
    # Names of groups may hold anything but a line end.
    groups = [name for name in query.get("groups", "").split("\n") if name]
    purges += [Purge(Kind.GROUP, f"{host}\n{name}", soft) for name in groups]
    if not 1 <= len(purges) <= MOST:
        raise ValueError(f"name one to {MOST} things: `urls` parted by blanks, `groups` parted by line ends")
    return purges


def _split(url: str) -> tuple[str, str, str, str]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        raise ValueError(f"expected a URL with http:// or https:// and a host: {url[:200]}")
    return parts.scheme, parts.netloc, parts.path or "/", parts.query


async def _warmed(cache: Cache, urls: list[tuple[str, str, str, str]]) -> dict[str, Any]:
    """Ask for each as a client would, through its own route; what is stored is left as it is."""
    counted = {"asked": 0, "answered": 0, "failed": 0}
    places = asyncio.Semaphore(AT_ONCE)

    async def one(scheme: str, host: str, path: str, query: str) -> None:
        async with places:
            counted["asked"] += 1
            fields = ((b"Host", host.encode("utf-8", "replace")), (b"User-Agent", b"sidegate-warm"))
            request = Request(
                "GET", path, query=query, fields=fields, host=host, scheme=scheme, id=f"warm-{next(_numbers)}"
            )
            try:
                response = await cache.context.dispatch(request)
                async for _chunk in response.body:
                    pass
                response.body.close()
                counted["answered" if response.status < 400 else "failed"] += 1
            except GatewayError:
                counted["failed"] += 1

    tasks = [asyncio.ensure_future(one(*url)) for url in urls]
    _, late = await asyncio.wait(tasks, timeout=WITHIN)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    return {**counted, "late": len(late)}
