from __future__ import annotations

import pytest

from gateway.config.upstream import Balance
from gateway.errors import NoTarget
from gateway.forward.select import other, select
from gateway.http import Request


def chosen(targets, *, panic=0.5, slow_start=0.0, now=0.0):
    return select(targets, Balance(), panic=panic, slow_start=slow_start, now=now)


def named(targets):
    return "".join(each.name.removeprefix("http://") for each in targets)


@pytest.mark.parametrize(
    ("plan", "panic", "serving", "panicking"),
    [
        # A letter is a target, in capitals if it is well; | parts priority levels.
        pytest.param("AB", 0.5, "AB", False, id="all are well"),
        pytest.param("Ab", 0.5, "A", False, id="half are well: that is enough"),
        pytest.param("Abc", 0.5, "Abc", True, id="a third is well: panic, all are used"),
        pytest.param("Abc", 0.3, "A", False, id="a third is enough for this threshold"),
        pytest.param("abc", 0.5, "abc", True, id="none is well: panic"),
        pytest.param("abc", 0.0, "", False, id="none is well and there is no panic: nothing serves"),
        pytest.param("Abc", 0.0, "A", False, id="without panic one is enough"),
        pytest.param("AB|CD", 0.5, "AB", False, id="the first level serves alone"),
        pytest.param("Ab|CD", 0.5, "A", False, id="and goes on while enough of it are well"),
        pytest.param("Abc|DE", 0.5, "DE", False, id="a level below the threshold cannot serve: the next does"),
        pytest.param("ab|CD", 0.5, "CD", False, id="so does one without anybody well"),
        pytest.param("ab|cd|E", 0.5, "E", False, id="levels are passed over until one can"),
        pytest.param("Abc|def", 0.5, "Abc", True, id="no level can: panic is on the first"),
        pytest.param("ab|cd", 0.0, "", False, id="no level can and there is no panic"),
    ],
)
def test_who_serves(target, plan, panic, serving, panicking):
    targets = []
    for priority, level in enumerate(plan.split("|")):
        for letter in level:
            live = target(letter, 1, priority)
            live.probed = letter.isupper()
            targets.append(live)
    selection = chosen(targets, panic=panic)
    assert named(selection.targets).lower() == serving.lower()
    assert selection.panicking is panicking


def test_weight_0_gets_nothing_and_does_not_count(target):
    on, off = target("on"), target("off", 0)
    assert chosen([on, off]).targets == (on,)
    on.probed = False
    assert chosen([on, off]).targets == (on,)  # panic


def test_nothing_to_choose_from(target):
    selection = chosen([target("a", 0)])
    with pytest.raises(NoTarget):
        selection.pick(Request("GET", "/"))


def test_a_slow_start_shifts_shares_and_says_so(target):
    old, new = target("old"), target("new")
    new.started = 100.0
    selection = chosen([old, new], slow_start=10.0, now=100.0)
    picked = [selection.pick(Request("GET", "/")) for _ in range(1100)]
    assert 90 <= picked.count(new) <= 110
    assert selection.starting
    assert not chosen([old, new], slow_start=10.0, now=110.0).starting


@pytest.mark.parametrize(
    ("tried", "closed", "found"),
    [
        pytest.param("", "", "ab", id="any"),
        pytest.param("a", "", "b", id="not the one that was tried"),
        pytest.param("ab", "", "c", id="all that serve were tried: the next level"),
        pytest.param("a", "b", "c", id="a gate is closed"),
        pytest.param("abc", "", "", id="all were tried"),
        pytest.param("", "abcd", "", id="all gates are closed"),
    ],
)
def test_another_target(target, tried, closed, found):
    targets = {each: target(each, 1, 0 if each in "ab" else 1) for each in "abcd"}
    targets["d"].probed = False
    result = other(
        chosen(list(targets.values())),
        [targets[each] for each in tried],
        lambda each: each.name.removeprefix("http://") not in closed,
    )
    assert (result is None) if not found else (result is not None and result.name[-1] in found)
