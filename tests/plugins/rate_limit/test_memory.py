"""What is remembered of those over a limit."""

from plugins.rate_limit.memory import Offenders, Refusals, Refused

VERDICT = [0, 0, 5_000_000, 5_000_000]


def refused(since=100.0, until=105.0, cost=1):
    return Refused(since, until, cost, VERDICT)


def test_a_refusal_holds_until_its_time_and_not_longer():
    refusals = Refusals()
    refusals.keep("a", refused())
    assert refusals.find("a", 1, 104.999) is not None
    assert refusals.find("b", 1, 104.999) is None
    assert refusals.find("a", 1, 105.0) is None
    assert len(refusals) == 0


def test_who_asks_for_less_must_ask_the_store():
    refusals = Refusals()
    refusals.keep("a", refused(cost=5))
    assert [refusals.find("a", cost, 101) is not None for cost in (4, 5, 6)] == [False, True, True]


def test_refusals_are_bounded_and_the_oldest_goes():
    refusals = Refusals(2)
    for subject in "abac":
        refusals.keep(subject, refused())
    assert [refusals.find(subject, 1, 101) is not None for subject in "abc"] == [True, False, True]


def test_each_offender_is_told_of_once_a_window():
    offenders = Offenders()
    assert [offenders.note("a", 60, now) for now in (0, 1, 59.9, 60, 119, 120, 500, 600)] == [
        *(1, None, None, 3, None, 2, 1, 1)
    ]
    assert offenders.note("b", 60, 601) == 1


def test_a_flood_of_names_is_no_flood_of_lines():
    offenders = Offenders(2)
    assert [offenders.note(name, 60, 0) for name in "abcd"] == [1, 1, None, None]
    assert [offenders.note(name, 60, 60) for name in "cadb"] == [1, 1, None, None]
