"""The bounded table of keys in this process."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.services.store.table import BUCKET_BITS, HORIZON, Table

SECOND = 1_000_000
START = 1_700_000_000 * SECOND


def table_at(now: int = START, capacity: int = 100) -> Table:
    table = Table(capacity)
    table.now = now
    return table


def test_a_value_is_there_until_its_end_and_not_a_microsecond_longer():
    table = table_at()
    table.put(b"k", 7, START + 10)
    table.now = START + 9
    assert table.get(b"k") == 7
    table.now = START + 10
    assert table.get(b"k") is None
    assert len(table) == 0
    assert table.expired == 1


def test_a_value_without_end_stays():
    table = table_at()
    table.put(b"k", 7)
    table.now += 10**15
    assert table.get(b"k") == 7


def test_a_full_table_drops_what_was_used_longest_ago():
    table = table_at(capacity=3)
    for key in (b"a", b"b", b"c"):
        table.put(key, key)
    table.get(b"a")
    table.put(b"d", b"d")
    assert [table.get(key) for key in (b"a", b"b", b"c", b"d")] == [b"a", None, b"c", b"d"]
    assert table.evicted == 1


def test_a_full_table_drops_what_has_expired_before_what_is_alive():
    table = table_at(capacity=3)
    table.put(b"alive", 1)
    table.put(b"dead1", 1, START + SECOND)
    table.put(b"dead2", 1, START + SECOND)
    table.now = START + 5 * SECOND
    table.put(b"new", 1)
    assert table.get(b"alive") == 1
    assert table.evicted == 0


def test_expired_keys_that_nobody_asks_for_are_cleared_by_later_writes():
    table = table_at(capacity=100_000)
    for number in range(1000):
        table.put(b"old%d" % number, 1, START + SECOND)
    table.now = START + 10 * SECOND
    for number in range(300):
        table.put(b"new%d" % number, 1, table.now + SECOND * 60)
    assert len(table) == 300


@pytest.mark.parametrize(
    ("ends", "then"),
    [
        pytest.param((10, 100), 50, id="an end that is put off keeps the key"),
        pytest.param((10, 0), 10_000, id="an end that is taken away keeps the key"),
    ],
)
def test_a_changed_end(ends: tuple[int, int], then: int):
    table = table_at()
    for end in ends:
        table.put(b"k", 1, START + end * SECOND if end else 0)
    table.now = START + then * SECOND
    for number in range(20):
        table.put(b"other%d" % number, 1)
    assert table.get(b"k") == 1


def test_an_end_that_is_brought_forward_counts():
    table = table_at()
    table.put(b"k", 1, START + 1000 * SECOND)
    table.put(b"k", 1, START + 10 * SECOND)
    table.now = START + 20 * SECOND
    assert table.get(b"k") is None


def test_buckets_stay_bounded_when_ends_are_years_apart():
    table = table_at(capacity=10)
    for number in range(20_000):
        table.put(b"k%d" % (number % 50), 1, START + (number * 997 + 1) * SECOND)
    assert len(table) <= 10
    assert len(table._buckets) <= HORIZON + 1
    assert sum(len(keys) for keys in table._buckets.values()) <= 10


def test_a_table_holds_something():
    with pytest.raises(ValueError, match="at least one"):
        Table(0)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 9), st.integers(0, 4000)),
        st.tuples(st.just("get"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("drop"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("wait"), st.just(0), st.integers(0, 5000)),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_it_behaves_like_a_dictionary_with_ends(steps: list[tuple[str, int, int]]):
    table, model = table_at(capacity=10), dict[int, tuple[int, int]]()
    for step, (action, number, seconds) in enumerate(steps):
        key = b"%d" % number
        live = {n: v for n, v in model.items() if not v[1] or v[1] > table.now}
        if action == "put":
            end = table.now + seconds * SECOND if seconds else 0
            table.put(key, step, end)
            model[number] = (step, end)
        elif action == "get":
            assert table.get(key) == (live[number][0] if number in live else None)
        elif action == "drop":
            assert table.drop(key) == (number in live)
            model.pop(number, None)
        else:
            table.now += seconds * SECOND
        filed = [key for keys in table._buckets.values() for key in keys]
        assert len(filed) == len(set(filed)) <= len(table) <= 10
        assert sorted(table._buckets) == sorted(table._due)
        assert all(bucket <= (table.now >> BUCKET_BITS) + HORIZON for bucket in table._due)
    assert table.evicted == 0
