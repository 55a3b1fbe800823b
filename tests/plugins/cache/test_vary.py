"""Vary, and what makes two requests alike."""

import pytest
from multidict import CIMultiDict

from plugins.cache.vary import chosen_by, prefers_language, ranking, vary_of


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        pytest.param([], (), id="absent"),
        pytest.param([""], (), id="empty"),
        pytest.param(["B, a"], ("a", "b"), id="§4.1 case and order mean nothing"),
        pytest.param(["a", "b, a"], ("a", "b"), id="§4.1 lines are one list"),
        pytest.param(["*, a"], ("*", "a"), id="§4.1 a star is kept for who asks"),
    ],
)
def test_vary(lines: list[str], names: tuple[str, ...]):
    assert vary_of(lines) == names


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        pytest.param("x", ["1, 2"], ["1", "2"], True, id="lines"),
        pytest.param("x", ["1,2"], [" 1 ,  2"], True, id="blanks"),
        pytest.param("x", ["1, 2"], ["2, 1"], False, id="order"),
        pytest.param("x", ["A"], ["a"], False, id="case"),
        pytest.param("x", [], [""], False, id="absent and empty"),
        pytest.param("x", ["-"], [], False, id="a value that looks like none"),
        pytest.param("accept-language", ["en, de"], ["DE,en"], True, id="languages: order and case"),
        pytest.param(
            "accept-language", ["en;q=1.0, de"], ["de, en"], True, id="languages: the weight that goes without"
        ),
        pytest.param("accept-language", ["en, de;q=0.5"], ["de;q=0.50,en"], True, id="languages: a weight's spelling"),
        pytest.param("accept-language", ["en, de;q=0.5"], ["en, de;q=0.4"], False, id="languages: weights"),
        pytest.param("accept-encoding", ["gzip, br"], ["br, gzip"], True, id="codings: order"),
        pytest.param("accept-encoding", ["gzip"], ["gzip, br"], False, id="codings: another set"),
    ],
)
def test_alike(name: str, one: list[str], other: list[str], same: bool):
    made = [chosen_by((name,), CIMultiDict([(name, line) for line in lines])) for lines in (one, other)]
    assert (made[0] == made[1]) is same


def test_no_value_can_be_taken_for_two():
    names = ("a", "b")
    assert chosen_by(names, CIMultiDict(a="1\n=2")) != chosen_by(names, CIMultiDict(a="1", b="2"))


@pytest.mark.parametrize(
    ("accepted", "language", "liked"),
    [
        pytest.param("de", "de", True, id="the only one"),
        pytest.param("fr;q=0.5, DE", "de", True, id="the best"),
        pytest.param("fr, de", "de", False, id="one of two alike"),
        pytest.param("fr, de;q=0.9", "de", False, id="the second"),
        pytest.param("de;q=0", "de", False, id="one that is refused"),
        pytest.param("", "de", False, id="none"),
        pytest.param("de-AT", "de", False, id="another range"),
    ],
)
def test_the_language_liked_best(accepted: str, language: str, liked: bool):
    assert prefers_language(CIMultiDict({"Accept-Language": accepted}), language) is liked


def test_weights_that_cannot_be_read_are_nought():
    assert ranking("a;q=x, b;q=7, c;level=1") == [("b", 1.0), ("c", 1.0), ("a", 0.0)]
