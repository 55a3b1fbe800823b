"""A request that the gateway delivers for somebody who has long had an answer: which item of the queue, which try."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.http.request import Request


@dataclass(frozen=True, slots=True)
class Delivery:
    """One try to deliver a kept request."""

    item: str
    """Its id in the queue."""
    number: int
    """1 for the first; goes on over replays."""
    topic: str = ""
    """Under which it is kept."""


def note_delivery(request: Request, delivery: Delivery) -> None:
    """Mark a request as a delivery, for the plugins it passes and the access log."""
    request.extras = {**(request.extras or {}), Delivery: delivery}


def delivery_of(request: Request) -> Delivery | None:
    """Which delivery a request is; None if a client sent it."""
    extras = request.extras
    return None if extras is None else extras.get(Delivery)
