import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.routing import PathMatch
from gateway.errors import UriTooLong
from gateway.http.path import comparable
from gateway.route.pattern import compile_path, literal_start, path_test, tried


@pytest.mark.parametrize(
    ("regex", "expected"),
    [
        pytest.param("/api/v[0-9]+/.*", ["api"], id="whole segments only"),
        pytest.param("/api/v1/.*", ["api", "v1"], id="several"),
        pytest.param("/api/", ["api"], id="a plain path"),
        pytest.param("/api", [], id="a last segment may go on"),
        pytest.param("/api/?", [], id="an optional slash"),
        pytest.param("/ap*/x", [], id="a repeated character"),
        pytest.param("/a{2}/x", [], id="a counted character"),
        pytest.param("/a/x|/b/x", [], id="alternatives"),
        pytest.param("/a/(x|y)", [], id="alternatives inside, when in doubt"),
        pytest.param("(?i)/a/x", [], id="options"),
        pytest.param("/a/(?i:x)", [], id="options inside"),
        pytest.param("/a/(?P<n>x)", ["a"], id="a named group"),
        pytest.param("/a\\.b/x", [], id="an escape"),
        pytest.param(".*", [], id="anything"),
    ],
)
def test_literal_start(regex, expected):
    assert literal_start(regex) == expected


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(["/", "a", "b", "[ab]", ".", "*", "+", "?", "{2}", "(", ")", "|", "\\."]), max_size=8),
    st.lists(st.sampled_from(["/", "a", "b", "."]), max_size=8),
)
def test_every_match_begins_with_the_literal_start(pieces, text):
    regex, path = "/" + "".join(pieces), "/" + "".join(text)
    try:
        matched = re.compile(regex).fullmatch(path)
    except re.error:
        return
    start = literal_start(regex)
    if matched and start:
        assert path.split("/")[1 : 1 + len(start)] == start


def test_a_long_path_is_not_tried():
    assert tried(re.compile("/a+"), "/" + "a" * 2000)
    with pytest.raises(UriTooLong):
        tried(re.compile("/a+"), "/" + "a" * 2048)


def test_a_template_without_parameters_is_exact():
    assert compile_path(PathMatch(template="/a/b")).exact == "/a/b"


@pytest.mark.parametrize(
    "pattern",
    ["/", "/a", "/a/", "/a:b/", "/{x}", "/a/{x}/", "/{r...}", {"exact": "/a/"}, {"regex": "/a:?b?"}],
    ids=str,
)
@pytest.mark.parametrize("path", ["/", "/a", "/a/", "/a/b", "/ab", "/a:b", "/a%3Ab", "/a%3Ab/c", "/a/b/c"])
def test_a_path_test_says_what_the_pattern_says(pattern, path):
    match = PathMatch.model_validate(pattern)
    assert path_test(match)(path) is compile_path(match).matches(comparable(path))


def test_a_path_test_may_ignore_case():
    assert path_test(PathMatch(prefix="/Admin/"), ignore_case=True)("/aDMIN/x")
    assert not path_test(PathMatch(prefix="/Admin/"))("/aDMIN/x")
