"""How one of several targets is chosen.

A balancer is made for the targets that may be used now and their shares, and made anew when either changes, so that
choosing looks at nothing that changes seldom.
"""

# ruff: noqa: S311 - chance spreads load here and guards nothing

from __future__ import annotations

import math
import random
from bisect import bisect
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from itertools import accumulate
from typing import Final

from gateway.config.upstream import Balance
from gateway.forward.target import LiveTarget
from gateway.http import Request

Pick = Callable[[Request], LiveTarget]
"""Chooses a target; never raises."""
KeyOf = Callable[[Request], str | None]
"""What a request is hashed by; None if it has no such thing."""

Shares = Sequence[tuple[LiveTarget, float]]
"""Targets with their shares, all above 0."""

_TURNS: Final = 1024
"""Longest sequence of turns that is worked out beforehand."""
_REMEMBERED: Final = 4096
"""Keys whose target is remembered."""
_MASK: Final = (1 << 64) - 1


def balancer(balance: Balance, shares: Shares) -> Pick:
    """The way to choose among ``shares``, of which there is at least one."""
    if len(shares) == 1:
        only = shares[0][0]
        return lambda _request: only
    if balance.algorithm == "least_request":
        return LeastRequest(shares)
    if balance.algorithm == "random":
        return Weighted(shares)
    if balance.algorithm == "consistent_hash":
        return ConsistentHash(shares, key_of(balance))
    return RoundRobin(shares)


class RoundRobin:
    """In turn, smoothly by weight: of 3 to 1 one gets every fourth request, not three and then one.

    Each turn every target earns its share and the richest one pays the sum; the order repeats and is worked out once.
    """

    __slots__ = ("_next", "turns")

    def __init__(self, shares: Shares) -> None:
        self.turns = turns(shares)
        self._next = random.randrange(len(self.turns))  # workers and rebuilt balancers do not all begin with the first

    def __call__(self, _request: Request) -> LiveTarget:
        turns = self.turns
        index = self._next
        self._next = index + 1 if index + 1 < len(turns) else 0
        return turns[index]


def turns(shares: Shares) -> list[LiveTarget]:
    """One period of smooth weighted round robin; each target at least once."""
    weights = _whole([share for _, share in shares])
    total = sum(weights)
    credit = [0] * len(weights)
    order: list[LiveTarget] = []
    for _ in range(total):
        for index, weight in enumerate(weights):
            credit[index] += weight
        richest = max(range(len(credit)), key=credit.__getitem__)
        credit[richest] -= total
        order.append(shares[richest][0])
    return order


def _whole(shares: Sequence[float]) -> list[int]:
    """Small whole numbers in the same proportion, exactly where they are whole themselves and their sum is small."""
    if all(share == int(share) for share in shares):
        weights = [int(share) for share in shares]
        divisor = math.gcd(*weights)
        weights = [weight // divisor for weight in weights]
        if sum(weights) <= _TURNS:
            return weights
    room = max(1, _TURNS // len(shares)) * len(shares)
    scale = min(room, _TURNS) / sum(shares)
    return [max(1, round(share * scale)) for share in shares]


class Weighted:
    """By chance, in proportion to the shares."""

    __slots__ = ("_edges", "_targets", "_total")

    def __init__(self, shares: Shares) -> None:
        self._targets = [target for target, _ in shares]
        self._edges = list(accumulate(share for _, share in shares))[:-1]  # without the last, rounding cannot overrun
        self._total = sum(share for _, share in shares)

    def __call__(self, _request: Request) -> LiveTarget:
        return self._targets[bisect(self._edges, random.random() * self._total)]


class LeastRequest:
    """The less busy of two drawn by weight.

    Two choices come close to the very least busy one without every worker running to the same target. As the draw has
    the weights in it and a tie goes to the first drawn, idle targets share by weight.
    """

    __slots__ = ("_draw", "_weight")

    def __init__(self, shares: Shares) -> None:
        self._draw = Weighted(shares)
        self._weight = dict(shares)

    def __call__(self, request: Request) -> LiveTarget:
        first, second = self._draw(request), self._draw(request)
        if first is second or not first.active:
            return first
        weight = self._weight
        return second if second.active / weight[second] < first.active / weight[first] else first


class ConsistentHash:
    """The same target for the same key, on every worker and replica, as long as it can be used (rendezvous hashing).

    Every target bids for the key and the highest bid wins, so keys move only from a target that lost share or to one
    that gained it. Weighted bids are ``-share / ln(hash)`` (Schindelhauer and Schomaker 2005). A request without the
    key goes round robin.
    """

    __slots__ = ("_key_of", "_known", "_otherwise", "_shares")

    def __init__(self, shares: Shares, key_of: KeyOf) -> None:
        self._shares = [(target, target.seed, share) for target, share in shares]
        self._key_of = key_of
        self._known: dict[str, LiveTarget] = {}
        self._otherwise = RoundRobin(shares)

    def __call__(self, request: Request) -> LiveTarget:
        key = self._key_of(request)
        if not key:
            return self._otherwise(request)
        known = self._known
        target = known.get(key)
        if target is None:
            if len(known) >= _REMEMBERED:
                known.clear()
            target = known[key] = self.owner(key)
        return target

    def owner(self, key: str) -> LiveTarget:
        """The target whose bid for ``key`` is the highest."""
        place = int.from_bytes(blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")
        best, highest = self._shares[0][0], -1.0
        for target, seed, share in self._shares:
            bid = -share / math.log((_mix(place ^ seed) + 0.5) / 2**64)
            if bid > highest:
                best, highest = target, bid
        return best


def _mix(number: int) -> int:
    """Spread the bits of a 64-bit number (the finaliser of SplitMix64, Steele et al. 2014)."""
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)


def key_of(balance: Balance) -> KeyOf:
    """What `balance` hashes a request by."""
    if balance.by == "header":
        return partial(_header, balance.name)
    if balance.by == "cookie":
        return partial(cookie, balance.name)
    if balance.by == "principal":
        return _principal
    return _client_ip


def _header(name: str, request: Request) -> str | None:
    return request.headers.get(name)


def _principal(request: Request) -> str | None:
    return request.principal.id if request.principal is not None else None


def _client_ip(request: Request) -> str | None:
    return request.client_ip


def cookie(name: str, request: Request) -> str | None:
    """The first cookie of that name (RFC 6265 §5.4: the one with the longest path stands first), without quotes."""
    headers = request.headers
    if "Cookie" not in headers:
        return None
    for line in headers.getall("Cookie"):
        for pair in line.split(";"):
            found, equals, value = pair.strip().partition("=")
            if equals and found == name:
                return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    return None
