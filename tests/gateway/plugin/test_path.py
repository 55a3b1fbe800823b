"""Path patterns of plugins: what they match, what covers what, and that they agree with those of routes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.routing import PathMatch
from gateway.http.path import normalize
from gateway.plugin.path import Path, key_of
from gateway.route import path_test


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        pytest.param("/a", "/a", True, id="the same"),
        pytest.param("/a", "/a/", False, id="a slash at the end counts"),
        pytest.param("/a", "/A", False, id="case counts"),
        pytest.param("/a/", "/a", True, id="a prefix takes the path itself"),
        pytest.param("/a/", "/a/b/c", True, id="and all below"),
        pytest.param("/a/", "/ab", False, id="on a segment boundary"),
        pytest.param("/", "/x/y", True, id="the root takes all"),
        pytest.param("/", "/", True, id="and itself"),
        pytest.param("/u/{id}", "/u/5", True, id="any one segment"),
        pytest.param("/u/{id}", "/u/", False, id="which is not empty"),
        pytest.param("/u/{id}", "/u/5/x", False, id="and only one"),
        pytest.param("/u/{id}/", "/u/5/x", True, id="a prefix with a name in it"),
        pytest.param("/u/{rest...}", "/u/5/x", True, id="the rest"),
        pytest.param("/u/{rest...}", "/u", True, id="which may be nothing"),
        pytest.param("/v1/items:delete", "/v1/items%3Adelete", True, id="another spelling is no way around"),
        pytest.param("/a b", "/a%20b", None, id="a space is written encoded"),
    ],
)
def test_matches(pattern, path, matches):
    if matches is None:
        with pytest.raises(ValueError, match="expected a path"):
            Path(pattern)
        return
    assert Path(pattern).matches(key_of(normalize(path))) is matches


def test_case_may_be_ignored():
    assert Path("/Admin/", ignore_case=True).matches(key_of("/aDMIN/x", ignore_case=True))


@pytest.mark.parametrize(
    "text", ["", "a", "/a//b", "/a/../b", "/a?b", "/{a}b", "/{a...}/b", "/*", "/%zz", "/" + "a" * 2048]
)
def test_refused(text):
    with pytest.raises(ValueError, match="expected"):
        Path(text)


SEGMENT = st.sampled_from(["a", "b", "A", "a:b", "a%3Ab", "%C3%A9", "x.y"])
PATHS = st.lists(SEGMENT, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
ENDS = st.sampled_from(["", "/"])
PATTERNS = st.tuples(
    st.lists(SEGMENT | st.just("{}"), min_size=1, max_size=3).map(
        lambda parts: "/" + "/".join(f"{{n{at}}}" if part == "{}" else part for at, part in enumerate(parts))
    ),
    st.sampled_from(["", "/", "/{rest...}"]),
).map("".join)


@settings(max_examples=100, deadline=None)
@given(pattern=PATTERNS, path=PATHS, end=ENDS, fold=st.booleans())
def test_as_routes_compare(pattern, path, end, fold):
    asked = normalize(path + end)
    mine = Path(pattern, ignore_case=fold).matches(key_of(asked, ignore_case=fold))
    assert mine == path_test(PathMatch.model_validate(pattern), ignore_case=fold)(asked)


@settings(max_examples=100, deadline=None)
@given(one=PATTERNS, other=PATTERNS, path=PATHS, end=ENDS)
def test_what_is_covered_is_matched(one, other, path, end):
    key = key_of(normalize(path + end))
    wide, narrow = Path(one), Path(other)
    if wide.covers(narrow) and narrow.matches(key):
        assert wide.matches(key)
    assert narrow.covers(narrow)
