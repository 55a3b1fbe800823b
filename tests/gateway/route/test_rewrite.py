import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.routing import Rewrite
from gateway.errors import MalformedPath
from gateway.http.path import STRICT, PathPolicy, normalize
from gateway.route.rewrite import compile_rewrite

KEEP = PathPolicy(encoded_slash=True)


@pytest.mark.parametrize(
    ("rewrite", "path", "params", "expected"),
    [
        pytest.param({"strip_prefix": "/orders"}, "/orders/5", None, "/5", id="strip"),
        pytest.param({"strip_prefix": "/orders/"}, "/orders/5", None, "/5", id="strip, written with a slash"),
        pytest.param({"strip_prefix": "/orders"}, "/orders", None, "/", id="strip all"),
        pytest.param({"strip_prefix": "/orders"}, "/orders/", None, "/", id="strip all but a slash"),
        pytest.param({"strip_prefix": "/orders"}, "/orders-old/5", None, "/orders-old/5", id="on a boundary only"),
        pytest.param({"strip_prefix": "/a/b"}, "/a/b/c/", None, "/c/", id="strip two segments"),
        pytest.param({"strip_prefix": "/v1:x"}, "/v1%3Ax/a%3Ab", None, "/a%3Ab", id="strip what is spelt otherwise"),
        pytest.param({"strip_prefix": "/v1%3Ax"}, "/v1:x/a", None, "/a", id="and the other way"),
        pytest.param({"strip_prefix": "/caf%c3%a9"}, "/caf%C3%A9", None, "/", id="strip UTF-8"),
        pytest.param({"strip_prefix": "/café"}, "/caf%C3%A9/x", None, "/x", id="strip raw UTF-8"),
        pytest.param({"add_prefix": "/v2"}, "/orders", None, "/v2/orders", id="add"),
        pytest.param({"add_prefix": "/v2/"}, "/orders/", None, "/v2/orders/", id="add, written with a slash"),
        pytest.param({"add_prefix": "/v2"}, "/", None, "/v2/", id="add before the root"),
        pytest.param({"strip_prefix": "/a", "add_prefix": "/b"}, "/a/x", None, "/b/x", id="replace"),
        pytest.param({"strip_prefix": "/a", "add_prefix": "/b"}, "/a", None, "/b", id="replace all"),
        pytest.param({"strip_prefix": "/a", "add_prefix": "/b"}, "/a/", None, "/b/", id="replace all but a slash"),
        pytest.param({"path": "/v2/{id}"}, "/users/5", {"id": "5"}, "/v2/5", id="template"),
        pytest.param({"path": "/v2/{id}"}, "/users/a%20b", {"id": "a%20b"}, "/v2/a%20b", id="encoded as it came"),
        pytest.param({"path": "/u-{id}.json"}, "/x", {"id": "5"}, "/u-5.json", id="in a part of a segment"),
        pytest.param({"path": "/{rest}/x"}, "/files", {"rest": ""}, "/x", id="nothing in it makes no //"),
        pytest.param({"path": "/{rest}"}, "/f/a/b", {"rest": "a/b/"}, "/a/b/", id="the rest"),
        pytest.param({"path": "/a;v=1/{id}"}, "/x", {"id": "1"}, "/a;v=1/1", id="the template's own semicolon"),
        pytest.param({"path": "/a%2fb/{id}"}, "/x", {"id": "1"}, "/a%2Fb/1", id="the template's own encoded slash"),
        pytest.param({"path": "/fixed"}, "/x", None, "/fixed", id="fixed"),
        pytest.param({"path": "/é/{id}"}, "/x", {"id": "1"}, "/%C3%A9/1", id="raw UTF-8 in the template"),
    ],
)
def test_rewrites(rewrite, path, params, expected):
    assert compile_rewrite(Rewrite(**rewrite), STRICT)(path, params) == expected


def test_ignoring_case():
    rewrite = compile_rewrite(Rewrite(strip_prefix="/Api"), STRICT, ignore_case=True)
    assert rewrite("/aPI/Users", None) == "/Users"


@pytest.mark.parametrize(
    "rewrite",
    [
        pytest.param(None, id="none"),
        pytest.param(Rewrite(host="preserve"), id="of the host only"),
        pytest.param(Rewrite(strip_prefix="/"), id="of nothing"),
    ],
)
def test_nothing_to_do_costs_nothing(rewrite):
    assert compile_rewrite(rewrite, STRICT) is None


def test_values_cannot_make_a_slash_between_them():
    """Groups of a regular expression may cut an escape in two."""
    rewrite = compile_rewrite(Rewrite(path="/x/{a}{b}"), STRICT)
    with pytest.raises(MalformedPath):
        rewrite("/", {"a": "%2", "b": "F"})
    assert rewrite("/", {"a": ".", "b": "."}) == "/"


SEGMENT = st.sampled_from(["a", "b", "a%3A", "a:", "%C3%A9", ".x", "x%20", "%2F", "v1"])
NORMAL = st.builds(
    lambda segments, end: "/" + "/".join(segments) + (end if segments else ""),
    st.lists(SEGMENT, max_size=5),
    st.sampled_from(["", "/"]),
)


@settings(max_examples=200)
@given(path=NORMAL, strip=NORMAL, add=NORMAL, ignore_case=st.booleans())
def test_the_result_is_in_normal_form(path, strip, add, ignore_case):
    rewrite = compile_rewrite(Rewrite(strip_prefix=strip, add_prefix=add), KEEP, ignore_case=ignore_case)
    if rewrite is not None:
        result = rewrite(path, None)
        assert normalize(result, KEEP) == result
        assert result.startswith(add.rstrip("/"))
