"""``${VARIABLE}`` in the texts of a configuration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.variables import expander

ENVIRON = {"A": "1", "B_2": "two", "EMPTY": "", "TRICK": "${A} $${A}", "LINES": "a\nb: c"}


@pytest.mark.parametrize(
    ("text", "expected", "variables"),
    [
        pytest.param("${A}", "1", ("A",), id="a variable"),
        pytest.param("x-${A}-${B_2}", "x-1-two", ("A", "B_2"), id="several, in text"),
        pytest.param("${NO:-d}", "d", (), id="a default for what is unset"),
        pytest.param("${EMPTY:-d}", "d", (), id="and for what is empty"),
        pytest.param("${EMPTY}", "", ("EMPTY",), id="empty is a value without a default"),
        pytest.param("${NO:-}", "", (), id="an empty default"),
        pytest.param("${NO:-a:-b$c}", "a:-b$c", (), id="anything in a default"),
        pytest.param("$${A} ${A}", "${A} 1", ("A",), id="an escape"),
        pytest.param("^/a$ $1 $ $$", "^/a$ $1 $ $$", (), id="other dollars stay"),
        pytest.param("${TRICK}", "${A} $${A}", ("TRICK",), id="what is put in is not looked through again"),
        pytest.param("${LINES}", "a\nb: c", ("LINES",), id="what is put in is no structure"),
    ],
)
def test_replaced(text: str, expected: str, variables: tuple[str, ...]):
    assert expander(ENVIRON)(text) == (expected, variables)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("${NO}", "variable is not set: NO;", id="unset"),
        pytest.param("${NO} ${A} ${NAY}", "variables are not set: NO, NAY;", id="all that are unset"),
        pytest.param("${}", "expected ", id="no name"),
        pytest.param("${a-b}", "expected ", id="a name that is none"),
        pytest.param("${A", "expected ", id="not closed"),
        pytest.param("${9}", "expected ", id="a digit first"),
    ],
)
def test_refused(text: str, message: str):
    with pytest.raises(LookupError, match=message.replace("$", r"\$")):
        expander(ENVIRON)(text)


@given(st.text(alphabet=st.sampled_from("${}:-AB a"), max_size=20))
def test_any_text_is_replaced_or_refused(text: str):
    try:
        expanded, _ = expander({"A": "x"})(text)
    except LookupError:
        return
    if "$" not in text:
        assert expanded == text
