"""What is counted of deliveries."""

from __future__ import annotations

from typing import Final

from gateway.services.metrics import Metrics
from gateway.services.queue.contract import Item
from gateway.services.queue.delivery.outcome import Delivered, Failed, Hopeless, Outcome, Untried

NOT_IN_FORCE: Final = "not_in_force"
"""Why one stands still that is yet to come into force, or has been replaced."""
LAGS: Final = (0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 21_600.0, 86_400.0, 259_200.0)
"""Bucket bounds in seconds: from at once to after a long weekend."""


class Watch:
    """The counters of one plugin's deliveries."""

    def __init__(self, metrics: Metrics, route: str, plugin: str) -> None:
        self._place = (route, plugin)
        labels = ("route", "plugin")
        self._attempts = metrics.counter(
            "delivery_attempts_total",
            "Attempts to deliver kept work, by the class of the answer's status or what there was instead of one.",
            (*labels, "outcome"),
        )
        text = "Kept work that was delivered."
        self._delivered = metrics.counter("delivery_delivered_total", text, labels).child(*self._place)
        text = "Kept work that became a dead letter: no more attempts, or a permanent answer."
        self._dead = metrics.counter("delivery_dead_total", text, (*labels, "reason"))
        text = "Work that was taken and given back, as nothing could be sent; no attempt is counted."
        self._untried = metrics.counter("delivery_untried_total", text, (*labels, "reason"))
        text = "Work that was tried again by hand, or by an order of the admin API."
        self._replayed = metrics.counter("delivery_replayed_total", text, labels).child(*self._place)
        text = "Work whose lease was lost while it was under way: another delivers it, too."
        self._lost = metrics.counter("delivery_lost_leases_total", text, labels).child(*self._place)
        text = "From acceptance to delivery."
        self._lag = metrics.histogram("delivery_lag_seconds", text, labels, bounds=LAGS).child(*self._place)
        text = "Work under way."
        self._in_flight = metrics.gauge("delivery_in_flight", text, labels).child(*self._place)
        text = "Whether delivery stands still, and why: upstream_ill, circuit_open, no_target, queue."
        self._paused = metrics.gauge("delivery_paused", text, (*labels, "reason"), rule="max")

    def began(self, item: Item) -> None:
        """An attempt begins."""
        self._in_flight.value += 1
        if item.replays and not item.round:
            self._replayed.value += 1

    def ended(self, item: Item, outcome: Outcome, now: float) -> None:
        """It has ended."""
        self._in_flight.value -= 1
        if isinstance(outcome, Untried):
            self._untried.child(*self._place, outcome.why).inc()
            return
        error = outcome.error if isinstance(outcome, Failed | Hopeless) else ""
        result = error or f"{min(max(outcome.status // 100, 1), 5)}xx"
        self._attempts.child(*self._place, result).inc()
        if isinstance(outcome, Delivered):
            self._delivered.value += 1
            self._lag.observe(max(0.0, now - item.accepted))

    def buried(self, outcome: Outcome) -> None:
        """It is a dead letter now."""
        self._dead.child(*self._place, "permanent" if isinstance(outcome, Hopeless) else "given_up").inc()

    def lost(self) -> None:
        """A lease was lost."""
        self._lost.value += 1

    def paused(self, before: str, why: str) -> None:
        """Delivery stands still for another reason than before; empty: it does not."""
        # After a reload the one that follows delivers under the same labels; what nobody delivers shows as stranded.
        if before and before != NOT_IN_FORCE:
            self._paused.child(*self._place, before).set(0)
        if why and why != NOT_IN_FORCE:
            self._paused.child(*self._place, why).set(1)
