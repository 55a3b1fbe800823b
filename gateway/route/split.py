"""Which upstream of a weighted split takes a request (canary, strangler fig), and who may say so himself.

The shares lie side by side in the order written; a draw falls on one of them. So when the second of two grows, callers
move from the first to the second and none the other way, sticky or not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import accumulate
from typing import Final, Protocol

from multidict import MultiMapping

from gateway.config.routing import Override, Share
from gateway.http import Principal

_COOKIE: Final = "Cookie"


class Asking(Protocol):
    """What is read of a request; `gateway.http.Request` is one."""

    client_ip: str
    principal: Principal | None
    tenant: str | None

    @property
    def headers(self) -> MultiMapping[str]: ...


Chooser = Callable[[Asking, float], str]
"""(request, a random number of [0, 1)) → name of an upstream. Same arguments, same answer, on every worker."""


def compile_split(
    upstream: str | None,
    split: Sequence[Share] = (),
    override: Sequence[Override] = (),
    sticky: str | None = None,
    *,
    seed: str = "",
) -> Chooser | None:
    """How a route chooses; None if there is nothing to choose (one upstream, no override).

    ``seed`` (the route's name) keeps sticky callers from being first in every route's canary.
    """
    shares = [(share.upstream, share.weight) for share in split] or ([(upstream, 1)] if upstream is not None else [])
    if not shares or (len(shares) == 1 and not override):
        return None
    names = [name for name, _ in shares]
    edges = list(accumulate(weight for _, weight in shares))
    total = edges[-1]
    overrides = [_compile_override(one) for one in override]
    key_of = _compile_key(sticky) if sticky is not None and len(shares) > 1 else None

    def choose(request: Asking, draw: float) -> str:
        for applies in overrides:
            name = applies(request)
            if name is not None:
                return name
        if key_of is not None and (key := key_of(request)):
            digest = blake2b(f"{seed}\0{key}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
            place = int.from_bytes(digest, "big") * total >> 64
        else:
            place = min(int(draw * total), total - 1)  # the product may round up
        return names[bisect_right(edges, place)]

    return choose


def _compile_override(override: Override) -> Callable[[Asking], str | None]:
    field = f"header:{override.header}" if override.header is not None else f"cookie:{override.cookie}"
    value_of, wanted, upstream = _compile_key(field), override.value, override.upstream

    def applies(request: Asking) -> str | None:
        value = value_of(request)
        return upstream if value and (wanted is None or value == wanted) else None

    return applies


def _compile_key(key: str) -> Callable[[Asking], str | None]:
    kind, _, name = key.partition(":")
    if kind == "header":
        return lambda request: request.headers.get(name)
    if kind == "cookie":
        return lambda request: cookie(request.headers, name)
    if kind == "principal":
        return lambda request: request.principal.id if request.principal is not None else None
    if kind == "tenant":
        return lambda request: request.tenant
    return lambda request: request.client_ip


def cookie(headers: MultiMapping[str], name: str) -> str | None:
    """The first cookie of that name (RFC 6265 §5.4: the one with the longest path stands first), without quotes."""
    if _COOKIE not in headers:
        return None
    for line in headers.getall(_COOKIE):
        for pair in line.split(";"):
            found, equals, value = pair.strip().partition("=")
            if equals and found == name:
                return value.removeprefix('"').removesuffix('"') if value.startswith('"') else value
    return None
