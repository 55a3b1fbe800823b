"""Which targets may be used now: priorities, health, panic, slow start.

A priority level *can serve* while at least ``panic_threshold`` of its targets are well, and at least one is. The lowest
level that can serve does, with its well targets. If no level can, the gateway *panics*: the health of most targets is
what is in doubt then, not the targets, so all those of the lowest level that has any are used, well or not. With a
threshold of 0 it never panics: the lowest level with a well target serves, and if there is none nothing does.

A weight of 0 takes a target out of this; only a client that a cookie binds to it still gets there.
"""

# ruff: noqa: S311 - chance spreads load here and guards nothing

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from gateway.config.upstream import Balance
from gateway.errors import NoTarget
from gateway.forward.balance import Pick, balancer
from gateway.forward.target import LiveTarget
from gateway.http import Request


@dataclass(frozen=True, slots=True)
class Selection:
    """What may be chosen, until health or a slow start changes it."""

    pick: Pick
    """The choice for a request. Raises NoTarget."""
    targets: tuple[LiveTarget, ...]
    """The level that serves."""
    reserve: tuple[LiveTarget, ...]
    """Well targets of the other levels, nearest first: for a request that failed on all that serve."""
    panicking: bool = False
    starting: bool = False
    """A share still grows: select again soon."""


def select(
    targets: Sequence[LiveTarget], balance: Balance, *, panic: float, slow_start: float, now: float
) -> Selection:
    """The targets to use, as the module says. ``panic`` is a share of 0 to 1, ``slow_start`` seconds."""
    wanted = [target for target in targets if target.weight > 0]
    serving, panicking = _serving(wanted, panic)
    if not serving:
        return Selection(_none, (), ())
    shares = [(target, target.share(now, slow_start)) for target in serving]
    starting = any(share < target.weight for target, share in shares)
    level = serving[0].priority
    others = [target for target in wanted if target.well and target.priority != level]
    reserve = tuple(sorted(others, key=attrgetter("priority")))
    return Selection(balancer(balance, shares), tuple(serving), reserve, panicking, starting)


def _serving(wanted: Sequence[LiveTarget], panic: float) -> tuple[list[LiveTarget], bool]:
    levels: dict[int, list[LiveTarget]] = {}
    for target in wanted:
        levels.setdefault(target.priority, []).append(target)
    for priority in sorted(levels):
        well = [target for target in levels[priority] if target.well]
        if well and len(well) >= panic * len(levels[priority]):
            return well, False
    if panic <= 0 or not levels:
        return [], False
    return levels[min(levels)], True


def _none(_request: Request) -> LiveTarget:
    raise NoTarget(reason="no target of the upstream may be used")


def other(selection: Selection, tried: Sequence[LiveTarget], admits: Callable[[LiveTarget], bool]) -> LiveTarget | None:
    """A target that was not tried yet and that its gate admits; None if there is none.

    By chance and weight, not by the balancer: a retry that took a turn would give the ill target every other turn, and
    so the first attempt of every request.
    """
    found = [target for target in selection.targets if target not in tried and admits(target)]
    if found:
        return random.choices(found, [target.weight for target in found])[0]
    return next((target for target in selection.reserve if target not in tried and admits(target)), None)
