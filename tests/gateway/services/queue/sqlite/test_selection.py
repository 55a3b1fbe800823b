from __future__ import annotations

import pytest

from gateway.services.queue import Query, State
from gateway.services.queue.sqlite.rows import Names, first_seq
from gateway.services.queue.sqlite.selection import Selection

NAMES = Names(b"s" * 32, ())
DEAD = frozenset({State.DEAD})


def where(query: Query, **bounds: int) -> tuple[str, list[object]]:
    return Selection.of(query, NAMES).where(1000.0, **bounds)


def test_dead_letters_have_an_index_of_their_own():
    assert "INDEXED BY item_kept" in where(Query(states=DEAD))[0]
    assert "INDEXED BY" not in where(Query())[0]


def test_nothing_from_outside_stands_in_the_statement():
    evil = "x') OR 1=1 --"
    text, parameters = where(Query(ids=[evil], topic=evil, labels={evil: evil}, error=evil))
    assert "1=1" not in text
    assert parameters.count(evil) == 4
    assert text.count("?") == len(parameters)


@pytest.mark.parametrize(
    ("query", "bounds", "low", "high"),
    [
        pytest.param(Query(since=5.0), {}, first_seq(5), (1 << 63) - 2, id="since"),
        pytest.param(Query(until=5.0), {}, 0, first_seq(5) - 1, id="until"),
        pytest.param(Query(), {"after": 7, "upto": 9}, 8, 9, id="a place in a listing"),
        pytest.param(Query(since=-5.0, until=1e30), {}, 0, (1 << 63) - 2, id="more than can be"),
    ],
)
def test_numbers_looked_at(query: Query, bounds: dict[str, int], low: int, high: int):
    assert where(query, **bounds)[1][:2] == [low, high]


def test_states_that_cannot_be_replayed_are_not_looked_at():
    text, _ = Selection.of(Query(states=frozenset({State.READY})), NAMES, only=DEAD).where(0.0)
    assert "(false)" in text
