"""Whether another attempt is made, and when.

The rule is a table (`verdict`): what ended the attempt, whether the request may be repeated, and what the upstream's
``retry.on`` allows. Nothing here knows of connections or targets.
"""

# ruff: noqa: S311 - chance spreads load here and guards nothing

from __future__ import annotations

import math
import random
from enum import StrEnum
from typing import Final

from gateway.config.upstream import Backoff
from gateway.config.upstream import Retry as RetrySettings
from gateway.errors import (
    CircuitOpen,
    ConnectionReused,
    FirstByteTimeout,
    GatewayError,
    NoTarget,
    PoolExhausted,
    Retry,
)
from gateway.http import Body, Request, Response

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
"""RFC 9110 §9.2.2. An ``Idempotency-Key`` does not count by itself: not every service that is sent one obeys it. Who
knows that this one does sets `Request.repeatable`."""

RESERVE: Final = 10
"""Retries that a budget allows whatever the traffic, so that a quiet upstream's requests are retried too …"""
RESERVE_PER_SECOND: Final = 3.0
"""… and how fast they come back."""
MEMORY: Final = 10.0
"""Seconds over which a budget forgets the requests it was filled by."""
LONGEST_WAIT: Final = 60.0
"""Seconds that ``Retry-After`` may make a request wait where ``timeout.total`` is off."""


def idempotent(request: Request) -> bool:
    """Whether carrying it out twice is the same as once, by its method or by the word of a plugin."""
    return request.repeatable or request.method in IDEMPOTENT


class Outcome(StrEnum):
    """What ended an attempt."""

    UNSENT = "unsent"
    """No byte reached the target."""
    BUSY = "busy"
    """No byte was sent, as the target has no room or is left alone by a breaker: only another one helps."""
    REUSED = "reused"
    """A kept-alive connection turned out to be closed (RFC 9112 §9.3.1)."""
    RESET = "reset"
    """The connection was lost, or what came was not HTTP, before an answer's head was whole."""
    TIMEOUT = "timeout"
    """The target was silent for ``first_byte``."""
    STATUS = "status"
    """An answer whose status is in ``retry.on``."""
    FINAL = "final"
    """Anything else: an answer, a refusal, the client's own fault, a deadline over all attempts."""


class Verdict(StrEnum):
    """What follows."""

    AGAIN = "again"
    """Another attempt, within attempts, budget and time."""
    AT_ONCE = "at_once"
    """Another attempt on a new connection to the same target, outside attempts and budget; once."""
    ELSEWHERE = "elsewhere"
    """Another attempt, only at a target that was not tried."""
    METHOD = "method"
    """None: the target may have acted on it, and doing so twice is not the same as once."""
    BODY = "body"
    """None: the request's body is gone."""
    NOT_ASKED = "not_asked"
    """None: the upstream's ``retry.on`` does not name it."""
    DONE = "done"
    """None: there is nothing to repeat."""


GOES_ON: Final = frozenset({Verdict.AGAIN, Verdict.AT_ONCE, Verdict.ELSEWHERE})


def outcome_of(ended: Response | GatewayError, statuses: frozenset[int]) -> Outcome:
    """What an attempt's end is to the rule. ``statuses`` are those of ``retry.on``."""
    error = ended.error if isinstance(ended, Response) else ended
    if error is None:
        return Outcome.STATUS if isinstance(ended, Response) and ended.status in statuses else Outcome.FINAL
    if isinstance(error, (PoolExhausted, CircuitOpen, NoTarget)):
        return Outcome.BUSY
    if error.retry is Retry.IF_UNSENT:
        return Outcome.UNSENT
    if isinstance(error, ConnectionReused):
        return Outcome.REUSED
    if isinstance(error, FirstByteTimeout):
        return Outcome.TIMEOUT
    return Outcome.RESET if error.retry is Retry.IF_REPEATABLE else Outcome.FINAL


def verdict(outcome: Outcome, *, idempotent: bool, replayable: bool, on: frozenset[str]) -> Verdict:
    """The rule. ``on`` holds the names in ``retry.on``; statuses are settled by then."""
    if outcome is Outcome.FINAL:
        return Verdict.DONE
    if outcome in (Outcome.UNSENT, Outcome.BUSY):
        if "unsent" not in on:
            return Verdict.NOT_ASKED
        if not replayable:
            return Verdict.BODY
        return Verdict.ELSEWHERE if outcome is Outcome.BUSY else Verdict.AGAIN
    if outcome in (Outcome.RESET, Outcome.TIMEOUT) and outcome.value not in on:
        return Verdict.NOT_ASKED
    if not idempotent:
        return Verdict.METHOD
    if not replayable:
        return Verdict.BODY
    return Verdict.AT_ONCE if outcome is Outcome.REUSED else Verdict.AGAIN


class Rules:
    """An upstream's retry settings, taken apart once."""

    __slots__ = ("attempts", "backoff", "max_body", "on", "statuses")

    def __init__(self, settings: RetrySettings) -> None:
        self.attempts = settings.attempts
        self.backoff = settings.backoff
        self.max_body = settings.max_body
        self.on = frozenset(each for each in settings.on if isinstance(each, str))
        self.statuses = frozenset(each for each in settings.on if isinstance(each, int))

    def holds(self, request: Request) -> bool:
        """Whether a body that streams is read before it is sent, so that it can be sent again."""
        body: Body = request.body
        if body.whole is not None or body.started or self.attempts < 2 or not idempotent(request):
            return False
        return body.length is not None and body.length <= self.max_body


def backoff(settings: Backoff, retries: int) -> float:
    """Seconds to wait before retry number ``retries`` + 1: anything up to base * 2^retries, so that callers part."""
    return random.uniform(0.0, min(settings.max, settings.base * 2.0 ** min(retries, 30)))


def retry_after(response: Response, wall: float) -> float | None:
    """Seconds that an answer asks to wait (RFC 9110 §10.2.3); None if it does not say, or not clearly.

    ``wall`` is the time since 1970, for the form that is a date.
    """
    value = next((value for name, value in response.fields if name.lower() == b"retry-after"), None)
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - seldom needed, and it is not light

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - wall)
    except (ValueError, OverflowError):
        return None


class Budget:
    """Retries as a share of an upstream's requests.

    Every request puts ``share`` of a token in and a retry takes one out; what is in is forgotten within seconds, so a
    quiet night does not pay for a storm. A small reserve lets retries of an idle upstream through. Counting costs the
    path of a request one addition: `requests` is looked at when somebody wants to retry.
    """

    __slots__ = ("_counted", "_looked", "_reserve", "_share", "_tokens", "requests")

    def __init__(self, share: float, now: float) -> None:
        self._share = share
        self.requests = 0
        """Requests so far; the forwarder adds to it."""
        self._counted = 0
        self._looked = now
        self._tokens = 0.0
        self._reserve = float(RESERVE)

    def take(self, now: float) -> bool:
        """Pay for a retry; False if there is nothing left."""
        elapsed = max(0.0, now - self._looked)
        arrived, self._counted, self._looked = self.requests - self._counted, self.requests, now
        # Of what came in evenly over a long time only the last seconds count; of a short time, all.
        recent = arrived if elapsed <= MEMORY else arrived * MEMORY / elapsed
        self._tokens = self._tokens * math.exp(-elapsed / MEMORY) + recent * self._share
        self._reserve = min(float(RESERVE), self._reserve + elapsed * RESERVE_PER_SECOND)
        if self._tokens >= 1.0:
            self._tokens -= 1.0
        elif self._reserve >= 1.0:
            self._reserve -= 1.0
        else:
            return False
        return True
