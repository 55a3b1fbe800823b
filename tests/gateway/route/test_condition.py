import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.routing import Match, ValueMatch
from gateway.route.condition import Condition, ValueTest, parse_query, with_head


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("a=1&b=2&a=3", {"a": ["1", "3"], "b": ["2"]}, id="in order, repeated"),
        pytest.param("a&b=", {"a": [""], "b": [""]}, id="without value"),
        pytest.param("a=%FF", {"a": ["\ufffd"]}, id="bytes that are not UTF-8 are replaced"),
        pytest.param("", {}, id="empty"),
        pytest.param("a;b=1", {"a;b": ["1"]}, id="a semicolon does not separate"),
    ],
)
def test_query(query, expected):
    assert parse_query(query) == expected


@settings(max_examples=100)
@given(st.text(max_size=30))
def test_any_query_can_be_parsed(query):
    parse_query(query)


def test_methods():
    assert with_head(["GET", "PUT"]) == {"GET", "HEAD", "PUT"}
    assert with_head(["PUT"]) == {"PUT"}


def test_a_match_of_host_and_path_asks_nothing_more():
    assert not Condition(Match(host=("a",), path=("/",)))
    assert Condition(Match(methods=("GET",)))


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        pytest.param({"exact": "1"}, "X: 1", id="exact"),
        pytest.param({"regex": "a+"}, "X matches a+", id="regex"),
        pytest.param({"present": True}, "X is present", id="present"),
        pytest.param({"present": False}, "X is absent", id="absent"),
    ],
)
def test_says_what_it_asks(match, expected):
    assert str(ValueTest("X", ValueMatch(**match))) == expected
