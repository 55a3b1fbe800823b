"""Masking: what goes through it, what is withheld, and what never shows."""

from __future__ import annotations

import pytest

from gateway.services.masking import REPLACED, WITHHELD, Masking


def upper(line):
    return {key: each.upper() if isinstance(each, str) else each for key, each in line.items()}


def broken(line):
    raise ValueError(line)


def silent(line):
    del line


class Careful:
    """Masks secrets by itself."""

    secrets = True

    def __call__(self, line):
        return {key: self.value(key, each) for key, each in line.items()}

    def value(self, name, value):
        return None if name == "gone" else f"<{name}>"


@pytest.mark.parametrize(
    ("masking", "line", "expected"),
    [
        pytest.param(Masking(), {"authorization": "x"}, {"authorization": "x"}, id="a line has no floor"),
        pytest.param(Masking([upper]), {"a": "x", "n": 1}, {"a": "X", "n": 1}, id="a line goes through the processors"),
        pytest.param(Masking([silent, upper]), {"a": "x"}, None, id="a line that was dropped stays so"),
        pytest.param(Masking([upper, broken]), {"a": "x"}, None, id="a line that a processor failed on is withheld"),
        pytest.param(Masking([broken], {"shop": [upper]}), {"a": "x"}, {"a": "X"}, id="a route has its own"),
    ],
)
def test_lines(masking, line, expected):
    assert masking.line(line, "shop") == expected


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        pytest.param("shop", "X", id="a route that has its own"),
        pytest.param("bare", "x", id="a route that has none"),
        pytest.param("gone", WITHHELD, id="a route that is not there gets everybody's"),
        pytest.param(None, WITHHELD, id="what has no route gets everybody's"),
    ],
)
def test_whose_processors(route, expected):
    assert Masking([broken], {"shop": [upper], "bare": []}).text("x", route) == expected


def test_a_reload_refills_it():
    masking = Masking()
    assert masking.text("x") == "x"
    masking.refill([upper])
    assert (masking.text("x"), masking.processors("any")) == ("X", (upper,))


def test_failures_are_counted_and_nothing_raises():
    masking = Masking([broken])
    assert masking.line({"a": "x"}) is None
    assert masking.text("x") == WITHHELD
    assert masking.fields([("A", "x")]) == [("A", WITHHELD)]
    assert masking.attributes({"a": 1}) == {"a": WITHHELD}
    assert masking.body(b"x", "text/plain") == WITHHELD
    assert masking.query("a=b") == f"{WITHHELD.replace('[', '[')}={WITHHELD}"
    assert masking.failures == 7


def test_a_long_text_is_cut_and_says_so():
    shown = Masking().text("x" * 100_000)
    assert len(shown) < 70_000
    assert shown.endswith("… [100000 characters]")


def test_attributes_go_by_name_and_what_may_not_show_is_left_out():
    masking = Masking([Careful()])
    assert masking.attributes({"gone": "x", "http.route": "y", "none": None}) == {
        "http.route": "<http.route>",
        "none": None,
    }
    assert Masking().attributes({"http.request.header.authorization": ["x"], "n": 3, "ok": True}) == {
        "http.request.header.authorization": REPLACED,
        "n": 3,
        "ok": True,
    }


def test_who_masks_secrets_himself_decides():
    assert Masking([Careful()]).fields([("Cookie", "a"), ("gone", "b")]) == [("Cookie", "<Cookie>")]
    assert Masking([upper]).fields([("Cookie", "a")]) == [("Cookie", REPLACED)]
