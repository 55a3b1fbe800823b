"""What a client is told: ``RateLimit-Policy`` and ``RateLimit``, ``Retry-After``, and why it is refused.

The fields are those of draft-ietf-httpapi-ratelimit-headers-11. Each limit is one policy. ``t`` is when
what is left is whole again or, of a limit that refused, when the request would fit;
``Retry-After`` is the longest of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from gateway.errors import TooManyRequests
from gateway.http import Response
from plugins.rate_limit.algorithm import Verdict

QUOTA_EXCEEDED: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"


class Described(Protocol):
    """A limit as it is told to clients."""

    @property
    def label(self) -> str: ...
    @property
    def rate(self) -> int: ...
    @property
    def most(self) -> int: ...
    @property
    def micros(self) -> int: ...


def labels_of(limits: Sequence[Described]) -> list[str]:
    """A name for each, none twice."""
    found: list[str] = []
    for limit in limits:
        name, number = limit.label, 2
        while name in found:
            name, number = f"{limit.label}-{number}", number + 1
        found.append(name)
    return found


class Told:
    """What is told about a list of limits; all of it that does not change is made once."""

    def __init__(self, limits: Sequence[Described], *, headers: bool, legacy: bool) -> None:
        self.labels = labels_of(limits)
        self._count = len(limits)
        self._most = [limit.most for limit in limits]
        self._headers = headers
        self._legacy = legacy
        policy = ", ".join([_policy(name, limit) for name, limit in zip(self.labels, limits, strict=True)])
        self._policy = policy
        self._policy_line = b"RateLimit-Policy: " + policy.encode()
        # Labels are of `Name` or made of digits and units: nothing to escape, and no per cent sign.
        each = [f'"{name}";r=%d;t=%d' for name in self.labels]
        self._format = ", ".join(each)
        self._line = b"RateLimit: " + self._format.encode()

    def _numbers(self, verdict: Verdict) -> tuple[int, ...]:
        if self._count == 1:  # what nearly every configuration has
            return verdict[1], -(-(verdict[2] or verdict[3]) // 1_000_000)
        numbers: list[int] = []
        if verdict[0]:  # nothing to wait for
            for left, whole in zip(verdict[1::3], verdict[3::3], strict=True):
                numbers += (left, -(-whole // 1_000_000))
            return tuple(numbers)
        for at in range(1, len(verdict), 3):
            numbers += (verdict[at], -(-(verdict[at + 1] or verdict[at + 2]) // 1_000_000))
        return tuple(numbers)

    def write(self, response: Response, verdict: Verdict) -> None:
        """Put the fields on an answer that was let through; beside those of a policy further in."""
        lines = response.lines
        if lines is not None and not self._legacy:
            # As the target sent it and nobody looked: saves taking all fields apart. A new list, the old may be kept.
            response.lines = [*lines, self._policy_line, self._line % self._numbers(verdict)]
            return
        headers = response.edit_headers()
        for name, value in self.pairs(verdict):
            if name.startswith("X-"):  # no list: the outermost policy's
                headers[name] = value
            else:
                headers.add(name, value)

    def pairs(self, verdict: Verdict) -> list[tuple[str, str]]:
        """The fields as text."""
        numbers = self._numbers(verdict)
        made: list[tuple[str, str]] = []
        if self._headers:
            made += [("RateLimit-Policy", self._policy), ("RateLimit", self._format % numbers)]
        if self._legacy:
            tightest = min(range(self._count), key=lambda index: numbers[2 * index])
            left, seconds = numbers[2 * tightest : 2 * tightest + 2]
            values = (self._most[tightest], left, seconds)
            made += [
                (f"X-RateLimit-{name}", str(value))
                for name, value in zip(("Limit", "Remaining", "Reset"), values, strict=True)
            ]
        return made

    def violated(self, verdict: Verdict) -> list[int]:
        """Which limits refused."""
        return [at // 3 for at in range(1, len(verdict), 3) if verdict[at + 1]]

    def refusal(self, verdict: Verdict) -> TooManyRequests:
        """The error for a request that does not fit."""
        seconds = max(-(-longest(verdict) // 1_000_000), 1)
        names = [self.labels[index] for index in self.violated(verdict)]
        extensions: dict[str, Any] = {"type": QUOTA_EXCEEDED, "violated-policies": names}
        return TooManyRequests(
            f"The limit is reached. Try again in {seconds} s.",
            reason=f"over {', '.join(names)}",
            headers=(("Retry-After", str(seconds)), *self.pairs(verdict)),
            extensions=extensions,
        )


def longest(verdict: Verdict) -> int:
    """µs until the request fits every limit."""
    return max(verdict[2::3])


def later(verdict: Verdict, elapsed: int) -> Verdict:
    """A refusal as it reads ``elapsed`` µs later, if nothing else has been charged."""
    told = list(verdict)
    for at in range(1, len(told), 3):
        told[at + 1] = max(told[at + 1] - elapsed, 0)
        told[at + 2] = max(told[at + 2] - elapsed, 0)
    return told


def _policy(name: str, limit: Described) -> str:
    window = f";w={limit.micros // 1_000_000}" if limit.micros % 1_000_000 == 0 else ""
    # The draft has no word for a bucket's size; parameters of one's own carry the vendor's name.
    burst = f";sidegate-burst={limit.most}" if limit.most != limit.rate else ""
    return f'"{name}";q={limit.rate}{window}{burst}'
