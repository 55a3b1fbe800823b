"""The route table: what matches, who comes first, and that the fast ways agree with the definition."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.config.routing import Match
from gateway.errors import BadRequest, MalformedPath, UriTooLong
from gateway.route.explain import host_matches
from gateway.route.host import normal_host
from gateway.route.table import Found, NotAllowed, RouteTable

NOTHING = CIMultiDict()


def table(*matches, **options):
    """A table whose routes are the matches' numbers."""
    return RouteTable([(number, Match.model_validate(match)) for number, match in enumerate(matches)], **options)


def find(routes, path="/", host="example.com", method="GET", headers=(), query=""):
    found = routes.find(host, routes.normalize(path), method, CIMultiDict(headers), query)
    return found.route if isinstance(found, Found) else found


@pytest.mark.parametrize(
    ("match", "path", "expected"),
    [
        pytest.param("/orders", "/orders", True, id="exact"),
        pytest.param("/orders", "/orders/", False, id="an exact path has no slash at its end"),
        pytest.param({"exact": "/orders/"}, "/orders/", True, id="unless it is written so"),
        pytest.param({"exact": "/orders/"}, "/orders/5", False, id="exact with a slash is no prefix"),
        pytest.param({"exact": "/"}, "/", True, id="the root alone"),
        pytest.param({"exact": "/"}, "/x", False, id="and nothing else"),
        pytest.param("/", "/any/thing", True, id="a slash takes everything"),
        pytest.param("/orders/", "/orders/5", True, id="prefix"),
        pytest.param("/orders/", "/orders/", True, id="prefix itself"),
        pytest.param("/orders/", "/orders", True, id="prefix without its slash"),
        pytest.param("/orders/", "/orders-old", False, id="prefix on a segment boundary"),
        pytest.param({"prefix": "/orders"}, "/orders/5", True, id="prefix spelt out"),
        pytest.param({"prefix": "/orders"}, "/orders-old", False, id="spelt out, on a boundary too"),
        pytest.param("/users/{id}", "/users/5", True, id="template"),
        pytest.param("/users/{id}", "/users/", False, id="a parameter is not empty"),
        pytest.param("/users/{id}", "/users/5/", False, id="a template has no slash at its end"),
        pytest.param("/users/{id}", "/users/5/x", False, id="a parameter is one segment"),
        pytest.param("/users/{id}/", "/users/5/x/y", True, id="prefix with a parameter"),
        pytest.param("/users/{id}/", "/users/5", True, id="prefix with a parameter, itself"),
        pytest.param("/users/{id}/", "/users/", False, id="prefix with a parameter that is missing"),
        pytest.param({"template": "/users/{id}/"}, "/users/5/", True, id="template with a slash"),
        pytest.param({"template": "/users/{id}/"}, "/users/5/x", False, id="template with a slash is no prefix"),
        pytest.param("/files/{rest...}", "/files/a/b", True, id="the rest"),
        pytest.param("/files/{rest...}", "/files", True, id="the rest may be nothing"),
        pytest.param("/files/{rest...}", "/filesystem", False, id="the rest begins on a boundary"),
        pytest.param({"regex": "/v[0-9]+/.*"}, "/v12/x", True, id="regex"),
        pytest.param({"regex": "/v[0-9]+"}, "/v12/x", False, id="a regex matches the whole path"),
        pytest.param({"regex": "/v[0-9]+"}, "/x/v12", False, id="from its beginning"),
        pytest.param({"regex": "/a|/b"}, "/b", True, id="either of two"),
        pytest.param(["/a", "/b/"], "/b/c", True, id="one of a list"),
        pytest.param("/v1/items:delete", "/v1/items%3Adelete", True, id="an encoded delimiter is the delimiter"),
        pytest.param("/v1/items%3Adelete", "/v1/items:delete", True, id="in the file too"),
        pytest.param("/café/", "/caf%C3%A9/x", True, id="UTF-8 in the file"),
        pytest.param("/%7Euser/", "/~user/x", True, id="an encoded tilde in the file"),
        pytest.param("/admin", "/x/../%61dmin", True, id="the normal form is what matches"),
        pytest.param("/admin", "/Admin", False, id="case matters"),
        pytest.param([], "/any", True, id="no path is every path"),
    ],
)
def test_path(match, path, expected):
    assert (find(table({"path": match}), path) == 0) is expected


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        pytest.param("api.example.com", "api.example.com", True, id="exact"),
        pytest.param("api.example.com", "API.Example.COM", True, id="without case"),
        pytest.param("API.example.com.", "api.example.com", True, id="without case in the file"),
        pytest.param("api.example.com", "api.example.com:8080", True, id="without port"),
        pytest.param("api.example.com", "api.example.com.:8080", True, id="with the dot of a full name"),
        pytest.param("api.example.com", "example.com", False, id="not its parent"),
        pytest.param("*.example.com", "a.example.com", True, id="wildcard"),
        pytest.param("*.example.com", "a.b.example.com", True, id="wildcard over several labels"),
        pytest.param("*.example.com", "example.com", False, id="wildcard needs a label"),
        pytest.param("*.example.com", ".example.com", False, id="that is not empty"),
        pytest.param("*.example.com", "aexample.com", False, id="on a label's boundary"),
        pytest.param("[::1]", "[::1]:8080", True, id="IPv6"),
        pytest.param("münchen.example", "xn--mnchen-3ya.example", True, id="an international name"),
        pytest.param("*.example.com", "a" * 300 + ".example.com", False, id="a name too long to be one"),
        pytest.param(["a.example", "b.example"], "b.example", True, id="one of a list"),
        pytest.param([], "any.example", True, id="none is every host"),
        pytest.param("a.example", "", False, id="no host given"),
    ],
)
def test_host(pattern, host, expected):
    routes = table({"host": pattern})
    assert (find(routes, host=host) == 0) is expected
    assert (find(routes, host=host) == 0) is expected, "a second time, from memory"


def test_memory_for_hosts_is_bounded():
    routes = table({"host": "*.example.com"})
    for number in range(3000):
        assert find(routes, host=f"h{number}.example.com") == 0
    assert len(routes._memo) <= 1024


@pytest.mark.parametrize(
    ("condition", "request_", "expected"),
    [
        pytest.param({"methods": ["GET"]}, {"method": "GET"}, True, id="method"),
        pytest.param({"methods": ["GET"]}, {"method": "HEAD"}, True, id="GET takes HEAD"),
        pytest.param({"methods": ["POST"]}, {"method": "HEAD"}, False, id="POST does not"),
        pytest.param({"methods": "get"}, {"method": "GET"}, True, id="one, in small letters"),
        pytest.param({"methods": ["GET"]}, {"method": "get"}, False, id="a request's method has case"),
        pytest.param(
            {"methods": ["PUT"]},
            {"method": "OPTIONS", "headers": {"Origin": "https://a", "Access-Control-Request-Method": "PUT"}},
            True,
            id="a preflight goes where its method goes",
        ),
        pytest.param(
            {"methods": ["PUT"]},
            {"method": "OPTIONS", "headers": {"Origin": "https://a", "Access-Control-Request-Method": "GET"}},
            False,
            id="a preflight for another method does not",
        ),
        pytest.param({"methods": ["PUT"]}, {"method": "OPTIONS"}, False, id="OPTIONS that is no preflight"),
        pytest.param({"headers": {"X-A": "1"}}, {"headers": {"x-a": "1"}}, True, id="header"),
        pytest.param({"headers": {"X-A": 1}}, {"headers": {"x-a": "1"}}, True, id="a number in the file"),
        pytest.param({"headers": {"X-A": True}}, {"headers": {"x-a": "true"}}, True, id="a truth value in the file"),
        pytest.param({"headers": {"X-A": "1"}}, {"headers": {"x-a": "12"}}, False, id="header that is another"),
        pytest.param({"headers": {"X-A": "1"}}, {}, False, id="header that is absent"),
        pytest.param({"headers": {"X-A": "1"}}, {"headers": [("X-A", "0"), ("X-A", "1")]}, True, id="one of several"),
        pytest.param({"headers": {"X-A": {"present": True}}}, {"headers": {"X-A": ""}}, True, id="present"),
        pytest.param({"headers": {"X-A": {"present": True}}}, {}, False, id="not present"),
        pytest.param({"headers": {"X-A": {"present": False}}}, {}, True, id="absent"),
        pytest.param({"headers": {"X-A": {"present": False}}}, {"headers": {"X-A": "1"}}, False, id="not absent"),
        pytest.param({"headers": {"X-A": {"regex": "v[12]"}}}, {"headers": {"X-A": "v2"}}, True, id="header regex"),
        pytest.param({"headers": {"X-A": {"regex": "v[12]"}}}, {"headers": {"X-A": "v23"}}, False, id="in whole"),
        pytest.param({"query": {"v": "2"}}, {"query": "a=1&v=2"}, True, id="query"),
        pytest.param({"query": {"v": "a b"}}, {"query": "v=a+b"}, True, id="query, decoded"),
        pytest.param({"query": {"v": "é"}}, {"query": "%76=%C3%A9"}, True, id="query, name and value encoded"),
        pytest.param({"query": {"v": "2"}}, {"query": "v=1&v=2"}, True, id="one of several in the query"),
        pytest.param({"query": {"v": "2"}}, {"query": "V=2"}, False, id="a query's names have case"),
        pytest.param({"query": {"v": {"present": True}}}, {"query": "v"}, True, id="present without value"),
        pytest.param({"query": {"v": {"present": False}}}, {"query": "v="}, False, id="empty is not absent"),
        pytest.param({"query": {"v": {"regex": "[0-9]+"}}}, {"query": "v=12"}, True, id="query regex"),
    ],
)
def test_condition(condition, request_, expected):
    assert (find(table({"path": "/", **condition}), **request_) == 0) is expected


@pytest.mark.parametrize(
    ("first", "second", "request_"),
    [
        pytest.param({"host": "a.example"}, {"host": "*.example"}, {"host": "a.example"}, id="exact host, wildcard"),
        pytest.param(
            {"host": "*.a.example"}, {"host": "*.example"}, {"host": "x.a.example"}, id="longer wildcard, shorter one"
        ),
        pytest.param({"host": "*.example"}, {"path": "/x"}, {"host": "a.example", "path": "/x"}, id="host before path"),
        pytest.param({"path": "/a/b"}, {"path": "/a/{x}"}, {"path": "/a/b"}, id="exact, template"),
        pytest.param({"path": {"exact": "/a/"}}, {"path": "/a/"}, {"path": "/a/"}, id="exact, prefix"),
        pytest.param({"path": "/a/b/"}, {"path": "/a/"}, {"path": "/a/b/c"}, id="longer prefix, shorter one"),
        pytest.param({"path": "/a/{x}"}, {"path": "/a/"}, {"path": "/a/b"}, id="template, prefix"),
        pytest.param({"path": "/a/{x}"}, {"path": "/{y}/b"}, {"path": "/a/b"}, id="the earlier literal"),
        pytest.param({"path": "/a/"}, {"path": "/{y}/b"}, {"path": "/a/b"}, id="a literal prefix, a parameter"),
        pytest.param({"path": "/a/{x}"}, {"path": {"regex": "/a/b"}}, {"path": "/a/b"}, id="template, regex"),
        pytest.param(
            {"path": {"regex": "/a/b.*"}}, {"path": "/a/"}, {"path": "/a/b"}, id="regex, prefix it begins with"
        ),
        pytest.param({"path": {"regex": "/b+"}}, {"path": "/"}, {"path": "/b"}, id="regex, everything"),
        pytest.param({"path": "/a/"}, {"path": {"regex": ".*[.]png"}}, {"path": "/a/x.png"}, id="prefix, vague regex"),
        pytest.param({"path": "/a/b"}, {"path": "/a", "methods": "GET"}, {"path": "/a/b"}, id="path before method"),
        pytest.param({"methods": "GET"}, {"headers": {"A": "1"}}, {"headers": {"A": "1"}}, id="method before headers"),
        pytest.param(
            {"headers": {"A": "1", "B": "1"}},
            {"headers": {"A": "1"}},
            {"headers": {"A": "1", "B": "1"}},
            id="two headers, one",
        ),
        pytest.param(
            {"headers": {"A": "1"}},
            {"query": {"a": "1", "b": "1"}},
            {"headers": {"A": "1"}, "query": "a=1&b=1"},
            id="headers before query",
        ),
        pytest.param({"query": {"a": "1"}}, {}, {"query": "a=1"}, id="query, nothing"),
    ],
)
def test_the_more_specific_wins(first, second, request_):
    assert find(table(first, second), **request_) == 0
    assert find(table(second, first), **request_) == 1, "in whichever order they stand"


def test_of_equals_the_first_wins():
    assert find(table({"path": "/a"}, {"path": "/a"}), "/a") == 0


def test_a_route_that_does_not_hold_gives_way():
    routes = table(
        {"path": "/a/b", "methods": "POST"},
        {"path": "/a/{x}", "headers": {"X": "1"}},
        {"path": "/a/", "query": {"q": "1"}},
        {"path": "/"},
    )
    assert find(routes, "/a/b", method="POST") == 0
    assert find(routes, "/a/b", headers={"X": "1"}) == 1
    assert find(routes, "/a/b", query="q=1") == 2
    assert find(routes, "/a/b") == 3


@pytest.mark.parametrize(
    ("specific", "path"),
    [
        pytest.param("/a/b", "/a/b", id="exact"),
        pytest.param("/a/{x}", "/a/b", id="template"),
        pytest.param("/a/{x}/", "/a/b/c", id="prefix with a parameter"),
        pytest.param("/a/b/", "/a/b/c", id="prefix"),
        pytest.param({"regex": "/a/b+"}, "/a/b", id="regex"),
    ],
)
def test_a_condition_is_looked_at_before_the_sure_answer_of_a_wider_route(specific, path):
    routes = table({"path": "/a/"}, {"path": specific, "methods": "GET"}, {"path": specific, "methods": "PUT"})
    assert find(routes, path) == 1
    assert find(routes, path, method="PUT") == 2
    assert find(routes, path, method="DELETE") == 0


def test_a_dead_end_is_left_again():
    routes = table({"path": "/a/b/c"}, {"path": "/a/b/{x}/y"}, {"path": "/{k}/b/{x}/z"}, {"path": "/a/"})
    assert find(routes, "/a/b/c/y") == 1
    assert find(routes, "/a/b/c/z") == 3, "the literal prefix comes before the parameter in the first segment"
    assert find(table({"path": "/a/b/c/y"}, {"path": "/{k}/b/{x}/z"}), "/a/b/c/z") == 1


def test_no_route():
    assert find(table({"path": "/a"}), "/b") is None
    assert find(table({"host": "a.example"}), "/", host="b.example") is None
    assert find(table(), "/") is None


@pytest.mark.parametrize(
    ("matches", "request_", "expected"),
    [
        pytest.param([{"methods": ["GET", "PUT"]}], {"method": "POST"}, "GET, HEAD, PUT", id="of one route"),
        pytest.param(
            [{"path": "/a", "methods": "GET"}, {"path": "/", "methods": "DELETE"}, {"path": "/b", "methods": "PUT"}],
            {"path": "/a", "method": "POST"},
            "DELETE, GET, HEAD",
            id="of all routes for the path",
        ),
        pytest.param(
            [{"host": "example.com", "methods": "GET"}, {"methods": "PUT"}, {"host": "b.example", "methods": "PATCH"}],
            {"method": "POST"},
            "GET, HEAD, PUT",
            id="of all routes for the host",
        ),
        pytest.param(
            [{"methods": "GET"}, {"methods": "PUT", "headers": {"X": "1"}}],
            {"method": "POST"},
            "GET, HEAD",
            id="but not of one that would not hold anyway",
        ),
    ],
)
def test_method_not_allowed(matches, request_, expected):
    found = find(table(*matches), **request_)
    assert isinstance(found, NotAllowed)
    assert found.allow == expected


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        pytest.param("/users/{id}", "/users/5", {"id": "5"}, id="one"),
        pytest.param("/{a}/x/{b}", "/1/x/2", {"a": "1", "b": "2"}, id="two"),
        pytest.param("/users/{id}/", "/users/5/x", {"id": "5"}, id="in a prefix"),
        pytest.param("/files/{rest...}", "/files/a/b/", {"rest": "a/b/"}, id="the rest"),
        pytest.param("/files/{rest...}", "/files", {"rest": ""}, id="no rest"),
        pytest.param("/{u}/files/{rest...}", "/me/files/a", {"u": "me", "rest": "a"}, id="one and the rest"),
        pytest.param("/users/{id}", "/users/a%3Ab%20c", {"id": "a%3Ab%20c"}, id="encoded as it came"),
        pytest.param({"regex": "/v(?P<v>[0-9]+)(?P<x>/x)?"}, "/v2", {"v": "2", "x": ""}, id="groups of a regex"),
        pytest.param("/users/", "/users/5", None, id="none"),
        pytest.param({"regex": "/(a|b)"}, "/a", None, id="a group without name is none"),
    ],
)
def test_parameters(pattern, path, expected):
    found = table({"path": pattern}).find("h", path, "GET", NOTHING)
    assert found.params == expected


def test_what_has_no_parameters_is_shared():
    routes = table({"path": "/a"}, {"path": "/b/", "methods": "GET"})
    for path in ("/a", "/b/c"):
        assert routes.find("h", path, "GET", NOTHING) is routes.find("h", path, "GET", NOTHING)


def test_ignoring_case():
    routes = table({"path": "/Admin/"}, {"path": "/Users/{id}"}, {"path": {"regex": "/V[0-9]/.*"}}, ignore_case=True)
    assert find(routes, "/aDMIN/x") == 0
    assert find(routes, "/v1/x") == 2
    found = routes.find("h", "/USERS/Me", "GET", NOTHING)
    assert (found.route, found.params) == (1, {"id": "Me"}), "the value keeps its case"


def test_a_route_that_keeps_slashes_does_not_open_the_others():
    routes = table({"path": "/queues/{name}", "encoded_slash": "keep"}, {"path": "/"})
    assert routes.find("h", routes.normalize("/queues/%2f"), "GET", NOTHING).params == {"name": "%2F"}
    with pytest.raises(MalformedPath):
        find(routes, "/other/%2f")
    with pytest.raises(MalformedPath):
        find(routes, "/queues/a;b")
    with pytest.raises(MalformedPath):
        find(table({"path": "/"}), "/queues/%2f")


def test_parameters_of_a_path():
    routes = table({"path": "/matrix/", "path_parameters": "keep"}, {"path": "/admin"}, {"path": "/"})
    assert find(routes, "/matrix/a;v=1") == 0
    with pytest.raises(MalformedPath):
        find(routes, "/admin;x")


def test_what_is_too_long_for_a_regex_is_refused_and_not_passed_on():
    long = "a" * 3000
    with pytest.raises(UriTooLong):
        find(table({"path": {"regex": "/a+"}}, {"path": "/"}), "/" + long)
    with pytest.raises(BadRequest):
        find(table({"headers": {"X": {"regex": "a+"}}}, {"path": "/"}), headers={"X": long})
    assert find(table({"path": {"regex": "/b/a+"}}, {"path": "/"}), "/" + long) == 1, "not tried, not refused"


# -- the definition: the first rule by rank that matches by itself -----------------------------------------------------

SEGMENT = st.sampled_from(["a", "b", "{x}", "a:b"])
TEXT_PATTERN = st.builds(
    lambda segments, end: (
        "/" + "/".join(s.replace("x", f"x{n}") if "{" in s else s for n, s in enumerate(segments)) + end
    ),
    st.lists(SEGMENT, min_size=1, max_size=3),
    st.sampled_from(["", "", "/", "/{rest...}"]),
)
PATTERN = st.one_of(
    TEXT_PATTERN,
    st.sampled_from(["/", {"exact": "/a/"}, {"template": "/a/{x}/"}]),
    st.sampled_from(["/a/.*", "/a/b?", "/(a|b)/.*", ".*b", "/a/(?P<v>[ab])/a", "/a|/b/a", "/a/b+/.*", "/a:b/.*"]).map(
        lambda regex: {"regex": regex}
    ),
)
ONE_VALUE = st.sampled_from([{}, {"X": "1"}, {"X": {"present": False}}, {"X": {"present": True}, "Y": "1"}])
MATCH = st.fixed_dictionaries(
    {"path": st.lists(PATTERN, max_size=2)},
    optional={
        "host": st.sampled_from(["a.example", "*.example", "*.a.example"]),
        "methods": st.sampled_from([["GET"], ["POST", "PUT"]]),
        "headers": ONE_VALUE,
        "query": ONE_VALUE,
    },
)
PATH = st.builds(
    lambda segments, end: "/" + "/".join(segments) + end,
    st.lists(st.sampled_from(["a", "b", "c", "a:b", "a%3Ab"]), max_size=4),
    st.sampled_from(["", "/"]),
)


@settings(max_examples=200, deadline=None)
@given(
    matches=st.lists(MATCH, max_size=8),
    path=PATH,
    host=st.sampled_from(["a.example", "b.example:80", "x.a.example", "other"]),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    headers=st.sampled_from([{}, {"X": "1"}, {"X": "2", "Y": "1"}]),
    query=st.sampled_from(["", "X=1", "X=2&Y=1"]),
    ignore_case=st.booleans(),
)
def test_the_fast_ways_find_what_the_definition_says(matches, path, host, method, headers, query, ignore_case):
    routes = table(*matches, ignore_case=ignore_case)
    path = routes.normalize(path)
    headers = CIMultiDict(headers)
    fitting = [
        rule
        for rule in routes.rules
        if (rule.host is None or host_matches(rule.host, normal_host(host))) and rule.pattern.matches(routes.key(path))
    ]
    holding = [rule for rule in fitting if rule.condition is None or rule.condition.holds(method, headers, query)]
    found = routes.find(host, path, method, headers, query)
    if holding:
        assert (found.route, found.pattern) == (holding[0].route, holding[0].pattern.text)
    else:
        allowed = {
            name
            for rule in fitting
            if rule.condition and rule.condition.holds_but_method(headers, query)
            for name in rule.condition.methods or ()
        }
        assert (found.allow if found else "") == ", ".join(sorted(allowed))
