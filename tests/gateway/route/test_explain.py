"""Why a route took a request, and which can take none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.config.routing import Match
from gateway.route.explain import explain, unreachable
from gateway.route.table import Found, RouteTable


def routes(**matches):
    return [(name, Match.model_validate(match)) for name, match in matches.items()]


def reasons(table, path="/", host="a.example", method="GET", headers=(), query=""):
    verdicts = explain(table, host, path, method, CIMultiDict(headers), query=query)
    return {verdict.route: verdict.reason for verdict in verdicts}


def test_every_route_gets_its_reason():
    table = RouteTable(
        routes(
            taken={"path": "/orders/{id}"},
            wider={"path": "/orders/"},
            elsewhere={"host": "b.example"},
            other={"path": "/users/"},
            post={"path": "/orders/5", "methods": ["POST"]},
            canary={"path": "/orders/", "headers": {"X-Canary": "1"}},
            second={"path": "/orders/", "query": {"v": {"present": True}}},
        )
    )
    assert reasons(table, "/orders/5") == {
        "taken": "takes the request",
        "wider": "matches too, but another comes first: its path is more specific",
        "elsewhere": "host is a.example, not b.example",
        "other": "path /orders/5 does not match /users/",
        "post": "method is GET, not POST",
        "canary": "header does not hold: X-Canary: 1",
        "second": "query does not hold: v is present",
    }


@pytest.mark.parametrize(
    ("loser", "winner", "expected"),
    [
        pytest.param({}, {"host": "a.example"}, "its host is more specific", id="host"),
        pytest.param({"path": "/a/"}, {"path": "/a"}, "its path is exact", id="exact"),
        pytest.param({}, {"methods": "GET"}, "it names methods", id="methods"),
        pytest.param({}, {"headers": {"X": {"present": False}}}, "it names more headers", id="headers"),
        pytest.param({}, {"query": {"x": {"present": False}}}, "it names more query parameters", id="query"),
    ],
)
def test_why_another_comes_first(loser, winner, expected):
    told = reasons(RouteTable(routes(loser=loser, winner=winner)), "/a")
    assert told["winner"] == "takes the request"
    assert told["loser"] == f"matches too, but another comes first: {expected}"


def test_of_several_patterns_the_nearest_is_told():
    table = RouteTable(routes(one={"path": ["/a", "/b"], "methods": "PUT"}))
    assert reasons(table, "/b") == {"one": "method is GET, not PUT"}


@pytest.mark.parametrize(
    ("matches", "expected"),
    [
        pytest.param([{"path": "/a"}, {"path": "/a"}], [(1, 0)], id="the same path again"),
        pytest.param([{"path": "/a"}, {"path": "/b"}], [], id="another path"),
        pytest.param([{"path": "/a/"}, {"path": {"prefix": "/a"}}], [(1, 0)], id="the same prefix, written otherwise"),
        pytest.param([{"path": "/u/{id}"}, {"path": "/u/{name}"}], [(1, 0)], id="a parameter of another name"),
        pytest.param([{"path": "/f/"}, {"path": "/f/{rest...}"}], [(1, 0)], id="a prefix and the rest"),
        pytest.param([{}, {"path": "/"}], [(1, 0)], id="no path and /"),
        pytest.param([{"path": "/%7Ea"}, {"path": "/~a"}], [(1, 0)], id="the same normal form"),
        pytest.param([{"path": "/a"}, {"path": "/a", "methods": "GET"}], [], id="methods come first"),
        pytest.param([{"methods": ["GET", "PUT"]}, {"methods": "PUT"}], [(1, 0)], id="all methods are taken"),
        pytest.param([{"methods": "GET"}, {"methods": "HEAD"}], [(1, 0)], id="HEAD goes with GET"),
        pytest.param(
            [{"methods": "GET"}, {"methods": "PUT"}, {"methods": ["GET", "PUT"]}], [(2, 1)], id="by two together"
        ),
        pytest.param([{"methods": "GET"}, {"methods": ["GET", "PUT"]}], [], id="one method is left"),
        pytest.param([{}, {"headers": {"X": "1"}}], [], id="headers come first"),
        pytest.param([{"headers": {"X": "1"}}, {"headers": {"x": "1"}}], [(1, 0)], id="the same header"),
        pytest.param([{"headers": {"X": "1"}}, {"headers": {"X": "2"}}], [], id="another value"),
        pytest.param([{"host": "a.b"}, {"host": "A.B."}], [(1, 0)], id="the same host"),
        pytest.param([{"host": "a.b"}, {}], [], id="another host"),
        pytest.param([{"path": ["/a", "/b"]}, {"path": ["/b", "/c"]}], [], id="one pattern is left"),
        pytest.param([{"path": "/a"}, {"path": "/b"}, {"path": ["/a", "/b"]}], [(2, 0)], id="no pattern is left"),
        pytest.param([{"path": ["/a", "/a"]}], [], id="a pattern twice in one route does not kill it"),
        pytest.param([{"path": {"regex": "/a+"}}, {"path": {"regex": "/a+"}}], [(1, 0)], id="the same regex"),
    ],
)
def test_unreachable(matches, expected):
    assert unreachable([(n, Match.model_validate(match)) for n, match in enumerate(matches)]) == expected


MATCHES = st.fixed_dictionaries(
    {"path": st.lists(st.sampled_from(["/", "/a", "/a/", "/{x}", "/{y}"]), max_size=2)},
    optional={
        "methods": st.sampled_from([["GET"], ["GET", "PUT"], ["PUT"]]),
        "headers": st.sampled_from([{}, {"X": "1"}]),
        "host": st.sampled_from(["a.example", "*.example"]),
    },
)


@settings(max_examples=100, deadline=None)
@given(st.lists(MATCHES, max_size=6))
def test_a_dead_route_takes_nothing_and_every_other_takes_something(matches):
    pairs = [(n, Match.model_validate(match)) for n, match in enumerate(matches)]
    table = RouteTable(pairs)
    taken = set()
    for host in ("a.example", "b.example", "other"):
        for path in ("/", "/a", "/a/b", "/a/", "/c", "/c/d"):
            for method in ("GET", "PUT", "DELETE", "HEAD"):
                for headers in ({}, {"X": "1"}):
                    found = table.find(host, path, method, CIMultiDict(headers))
                    if isinstance(found, Found):
                        taken.add(found.route)
    dead = {route for route, _ in unreachable(pairs)}
    assert not dead & taken
    # What specific routes leave over is found too, but where several together leave nothing.
    assert set(range(len(pairs))) - taken >= dead
