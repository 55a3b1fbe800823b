"""Cache-Control, Age and targeted fields, read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.cache.directives import FOREVER, delta_seconds, fields_of, number, parse_directives, split_list, targeted


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        pytest.param([], {}, id="nothing"),
        pytest.param(["max-age=60"], {"max-age": "60"}, id="one"),
        pytest.param(["Max-Age=60 , NO-store"], {"max-age": "60", "no-store": None}, id="§5.2 any case, blanks around"),
        pytest.param(["a=1", "b"], {"a": "1", "b": None}, id="§5.2 lines are one list"),
        pytest.param(["a=1, a=2"], {"a": "1"}, id="§4.2.1 the first of two"),
        pytest.param(['a="1, b=2", c'], {"a": "1, b=2", "c": None}, id="a comma in quotes"),
        pytest.param([r'a="x\"y\\z", c'], {"a": 'x"y\\z', "c": None}, id="what is escaped"),
        pytest.param(['no-cache="a", no-cache'], {"no-cache": None}, id="the one that forbids more, behind"),
        pytest.param(['no-cache, no-cache="a"'], {"no-cache": None}, id="the one that forbids more, before"),
        pytest.param([", ,a,,"], {"a": None}, id="RFC 9110 §5.6.1 empty members"),
        pytest.param(["max-age =1, max-stale= 2"], {"max-age": "?", "max-stale": "?"}, id="blanks around the sign"),
        pytest.param(["no-store =x"], {"no-store": "?"}, id="what forbids is not lost"),
        pytest.param(['a="unclosed, b'], {"a": '"unclosed, b'}, id="quotes that never end"),
    ],
)
def test_directives(lines: list[str], found: dict[str, str | None]):
    assert dict(parse_directives(lines)) == found


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("max-age=60", 60, id="a number"),
        pytest.param("max-age=0060", 60, id="noughts before it"),
        pytest.param('max-age="60"', 60, id="in quotes"),
        pytest.param("max-age", 0, id="§4.2.1 none: stale"),
        pytest.param("max-age=", 0, id="§4.2.1 empty: stale"),
        pytest.param("max-age=-1", 0, id="§4.2.1 negative: stale"),
        pytest.param("max-age=1.5", 0, id="§4.2.1 a fraction: stale"),
        pytest.param("max-age=\u0661", 0, id="§4.2.1 digits of another script: stale"),
        pytest.param("max-age=2147483648", FOREVER, id="§1.2.2 as much as fits"),
        pytest.param("max-age=" + "9" * 400, FOREVER, id="§1.2.2 far more"),
        pytest.param("x", None, id="not there"),
    ],
)
def test_numbers(text: str, seconds: int | None):
    assert number(parse_directives([text]), "max-age") == seconds


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("private", None, id="none: it is about the whole"),
        pytest.param('private="A, b"', {"a", "b"}, id="two"),
        pytest.param("private=a", {"a"}, id="without quotes"),
        pytest.param('private=""', None, id="empty: it is about the whole"),
        pytest.param('private=" , "', None, id="empty members: it is about the whole"),
    ],
)
def test_field_names(text: str, names: set[str] | None):
    assert fields_of(parse_directives([text]), "private") == names


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        pytest.param([], 0, id="absent"),
        pytest.param(["7"], 7, id="a number"),
        pytest.param(["7, 9"], 7, id="§5.1 a list"),
        pytest.param(["7", "9"], 7, id="§5.1 lines"),
        pytest.param(["x", "9"], 0, id="§5.1 what cannot be read"),
        pytest.param(["7;a=b"], 0, id="§5.1 a parameter"),
        pytest.param(["99999999999999999999"], FOREVER, id="§1.2.2 overflow"),
    ],
)
def test_age(lines: list[str], seconds: int):
    assert delta_seconds(lines) == seconds


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        pytest.param([], None, id="RFC 9213 §2.1 absent"),
        pytest.param([""], None, id="RFC 9213 §2.1 empty"),
        pytest.param(["max-age=60, no-store"], {"max-age": "60", "no-store": None}, id="RFC 9213 §2.1 a dictionary"),
        pytest.param(["max-age=60;x=1"], {"max-age": "60"}, id="RFC 9213 §2.1 parameters mean nothing"),
        pytest.param(["max-age=60", "private"], {"max-age": "60", "private": None}, id="RFC 9651 §4.2 lines"),
        pytest.param(["max-age=60, &"], None, id="RFC 9213 §2.1 what cannot be read"),
        pytest.param(["Max-Age=60"], None, id="RFC 9651 §3.1.2 keys are in lower case"),
        pytest.param(['max-age="60"'], {"max-age": "?"}, id="RFC 9213 §2.1 another type"),
        pytest.param(["no-store=?0"], {}, id="RFC 9651 §3.3.6 said to be off"),
        pytest.param(["max-age=1, max-age=2"], {"max-age": "2"}, id="RFC 9651 §4.2.2 the last of two"),
    ],
)
def test_targeted(lines: list[str], found: dict[str, str | None] | None):
    made = targeted(lines)
    assert (dict(made) if made is not None else None) == found


@given(st.lists(st.from_regex(r"[a-z]{1,5}(=([a-z0-9]{1,5}|\"[ -!#-\[\]-~]{0,8}\"))?", fullmatch=True), max_size=8))
@settings(max_examples=100)
def test_a_list_comes_apart_where_it_was_joined(members: list[str]):
    assert split_list(", ".join(members)) == members


@given(st.text(max_size=200))
@settings(max_examples=100)
def test_nothing_that_a_sender_writes_is_too_much(text: str):
    parse_directives([text])
    targeted([text])
    delta_seconds([text])
