"""What is not YAML is told by its usual causes, where the cause stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.plugin.yaml import compose


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        pytest.param("a:\n\tb: 1", "2:1", "a tab in the indentation", id="a tab"),
        pytest.param("a:\n  - b: 1\n  \tc: 2", "3:3", "a tab in the indentation", id="a tab behind spaces"),
        pytest.param("a:\n  b: 1\n   c: 2", "3:4", "3 spaces, and line 2, which has its value, by 2", id="in"),
        pytest.param("a:\n  b:\n    c: 1\n   d: 2", "4:4", "indented by 3 spaces, which fits no line above", id="out"),
        pytest.param("a:\n  - b: 1\n   - c: 1", "3:4", "indented by 3 spaces", id="items of one list"),
        pytest.param("a:\n  - b: 1\n  c: 2", "3:3", "expected `- ` here", id="no dash"),
        pytest.param("a: 1\nb\n", "2:1", "there is no `: ` in this line", id="no colon at the end"),
        pytest.param("a:\n  b 1\n  c: 2\n", "2:3", "there is no `: ` in this line", id="no colon"),
        pytest.param("a: b: c", "1:5", "a second `: ` in one line", id="two colons"),
        pytest.param("a: {b: c: d}", "1:9", "a second `: ` before the next comma", id="two colons in braces"),
        pytest.param("a: [1, 2\nb: 3\n", "1:4", "not closed before line 2", id="a bracket open, and a key"),
        pytest.param("x: 1\na: [1, 2\n", "2:4", "[ is opened here and not closed", id="a bracket that is not closed"),
        pytest.param("a: {b: [1}", "1:10", "expected a comma or ] here, for the [ in line 1", id="the other bracket"),
        pytest.param('a: "b\nc: d\n', "1:4", "a quote is opened here and not closed", id="a quote"),
        pytest.param("a: [${B}]", "1:5", "within [ ] a variable stands in quotes", id="a variable in a list"),
        pytest.param("a: {b: ${B}}", "1:8", "within { } a variable stands in quotes", id="a variable in a mapping"),
        pytest.param("a: @b", "1:4", "begins with @ stands in quotes", id="an at sign"),
        pytest.param("a: `b`", "1:4", "begins with ` stands in quotes", id="a backtick"),
        pytest.param("a: %b", "1:4", "begins with % stands in quotes", id="a percent sign"),
        pytest.param("a: *\n", "1:4", "begins with * stands in quotes", id="a star"),
        pytest.param("a: 1\nb: \x01", "2:4", "a control character", id="a control character"),
    ],
)
def test_usual_mistakes(text, place, says):
    tree = compose(text, "f")
    assert not tree.complete
    (problem,) = tree.problems
    assert str(problem.position) == f"f:{place}"
    assert says in problem.message
    assert "<block" not in problem.message, "no words of the grammar"


@given(st.text(alphabet="ab:-[]{}\"' \t\n*&@,#$", max_size=60))
def test_whatever_is_wrong_has_a_place_in_the_text(text):
    tree = compose(text, "f")
    for problem in tree.problems:
        assert problem.message
        assert 1 <= problem.position.line <= text.count("\n") + 1
        assert problem.position.column >= 1
