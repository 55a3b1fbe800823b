"""Path templates: which one a path is of."""

import pytest

from gateway.plugin.openapi import OpenApiError
from gateway.plugin.openapi.paths import PathIndex

TEMPLATES = [
    "/",
    "/a",
    "/a/{x}",
    "/a/b",
    "/{y}/c",
    "/r/{f}.json",
    "/r/{f}",
    "/d/{b}...{h}",
    "/t/{x}/{rest}",
    "/a/{x}/z",
]


@pytest.mark.parametrize(
    ("path", "template", "values"),
    [
        pytest.param("/", "/", {}, id="the root"),
        pytest.param("/a/b", "/a/b", {}, id="concrete goes first"),
        pytest.param("/a/c", "/a/{x}", {"x": "c"}, id="the longer literal goes first"),
        pytest.param("/q/c", "/{y}/c", {"y": "q"}, id="a template at the front"),
        pytest.param("/a/b/z", "/a/{x}/z", {"x": "b"}, id="a way back"),
        pytest.param("/r/x.json", "/r/{f}.json", {"f": "x"}, id="text around an expression"),
        pytest.param("/r/x.xml", "/r/{f}", {"f": "x.xml"}, id="no text around it"),
        pytest.param("/d/v1...v2", "/d/{b}...{h}", {"b": "v1", "h": "v2"}, id="two expressions"),
        pytest.param("/t/1/2/3/4", "/t/{x}/{rest}", {"x": "1", "rest": "2/3/4"}, id="the rest of a path"),
        pytest.param("/a/", None, None, id="an empty value is none"),
        pytest.param("/b", None, None, id="nothing"),
        pytest.param("/" + "a/" * 500, None, None, id="a long path"),
    ],
)
def test_find(path, template, values):
    index = PathIndex()
    for each in TEMPLATES:
        index.put(each, each, {"rest"})
    found = index.find(path)
    assert found == (None if template is None else (template, values))


def test_the_first_of_two_that_are_the_same_stays():
    index = PathIndex()
    assert index.put("/a/{x}", 1) == 1
    assert index.put("/a/{y}", 2) == 1


@pytest.mark.parametrize("template", ["a", "/{x}/{x}", "/a{", "/a}b"])
def test_templates_that_cannot_be(template):
    with pytest.raises(OpenApiError):
        PathIndex().put(template, 1)
