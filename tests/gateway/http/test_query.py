"""Query parameters: found in any spelling, taken out alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.query import parameters, without_parameter


@pytest.mark.parametrize(
    ("query", "found", "rest"),
    [
        pytest.param("", [], "", id="no query"),
        pytest.param("k=1", ["1"], "", id="alone"),
        pytest.param("a=0&k=1&b=%20", ["1"], "a=0&b=%20", id="among others, which keep their spelling"),
        pytest.param("k=1&k=2", ["1", "2"], "", id="twice"),
        pytest.param("%6B=a+b%26", ["a b&"], "", id="spelt otherwise"),
        pytest.param("k&kk=1", [""], "kk=1", id="without a value"),
        pytest.param("a==k=1", [], "a==k=1", id="in another's value"),
    ],
)
def test_by_name(query, found, rest):
    assert parameters(query, "k") == found
    assert without_parameter(query, "k") == rest


@given(st.text("ak=&%+6B", max_size=20))
def test_what_was_taken_out_is_not_found(query):
    rest = without_parameter(query, "k")
    assert parameters(rest, "k") == []
    assert parameters(rest, "a") == parameters(query, "a")
