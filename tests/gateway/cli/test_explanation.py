"""What is worked out about a request, without printing it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cli.explanation import Explanation, asked
from gateway.config.load import load_text
from gateway.forward.sticky import _digest

SERVICES = """
upstreams:
  one: {targets: ["http://10.0.0.1:80"]}
  two: {targets: ["http://10.0.0.1:80", "http://10.0.0.2:80"]}
"""


def told(text: str, method: str, url: str, *headers: tuple[str, str], client: str = "127.0.0.1") -> dict[str, Any]:
    return Explanation(load_text(text, {}), asked(method, url, headers, client)).told


@pytest.mark.parametrize(
    ("url", "host", "scheme", "path", "query"),
    [
        pytest.param("http://a.example:8080/x?y=1", "a.example:8080", "http", "/x", "y=1", id="a whole URL"),
        pytest.param("HTTPS://a.example/x", "a.example", "https", "/x", "", id="https, in capitals"),
        pytest.param("http://a.example", "a.example", "http", "/", "", id="no path"),
        pytest.param("http://a.example?y", "a.example", "http", "/", "y", id="no path, but a query"),
        pytest.param("/x/../y", "", "http", "/x/../y", "", id="a path as it is sent"),
        pytest.param("/x#part", "", "http", "/x", "", id="a fragment is not sent"),
        pytest.param("/x%00\\", "", "http", "/x%00\\", "", id="nothing is tidied up"),
        pytest.param("http://[::1]:80/x", "[::1]:80", "http", "/x", "", id="IPv6"),
    ],
)
def test_asked(url: str, host: str, scheme: str, path: str, query: str):
    request = asked("GET", url)
    assert (request.host, request.scheme, request.path, request.query) == (host, scheme, path, query)


@pytest.mark.parametrize("url", ["orders", "", "ftp://x/y", "?x"])
def test_not_a_url(url: str):
    with pytest.raises(ValueError, match="expected a URL"):
        asked("GET", url)


def test_a_host_header_wins_over_the_url():
    assert asked("GET", "http://127.0.0.1/x", [("host", "shop.example.com")]).host == "shop.example.com"


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        pytest.param("GET", "/" + "x" * 9000, 414, id="a path beyond limits.url"),
        pytest.param("TRACE", "/", 405, id="TRACE"),
        pytest.param("CONNECT", "/", 405, id="CONNECT"),
        pytest.param("GET", "/a/%252e", 400, id="encoded twice"),
        pytest.param("GET", "/b", 404, id="no route"),
        pytest.param("PUT", "/a/", 405, id="no method"),
    ],
)
def test_refused(method: str, url: str, status: int):
    text = SERVICES + "routes: [{name: a, match: {path: /a/, methods: GET}, upstream: one}]"
    found = told(text, method, url)
    assert found["refused"]["status"] == status
    assert "ways" not in found


def test_trace_where_a_listener_takes_it():
    text = SERVICES + "listeners: [{bind: :8080}, {bind: :8081, trace: true}]\nroutes: [{name: a, upstream: one}]"
    assert "refused" not in told(text, "TRACE", "/")


def test_the_nearest_candidate_comes_first():
    text = (
        SERVICES
        + """
routes:
  - {name: far, match: {path: /other}, upstream: one}
  - {name: near, match: {path: /a/, headers: {X-A: "1"}}, upstream: one}
  - {name: all, upstream: one}
"""
    )
    found = told(text, "GET", "/a/b")
    assert found["route"]["name"] == "all"
    assert [each["route"] for each in found["candidates"]] == ["near", "far"]
    assert found["candidates"][0]["why_not"] == "header does not hold: X-A: 1"


@pytest.mark.parametrize(
    ("split", "headers", "ways"),
    [
        pytest.param("upstream: one", [], [("one", 1.0)], id="one upstream"),
        pytest.param(
            "split: [{upstream: one, weight: 3}, {upstream: two, weight: 1}]",
            [],
            [("one", 0.75), ("two", 0.25)],
            id="drawn: each with its share",
        ),
        pytest.param(
            "split: [{upstream: one, weight: 3}, {upstream: two, weight: 0}]",
            [],
            [("one", 1.0)],
            id="no weight, no way",
        ),
        pytest.param(
            "upstream: one, override: {cookie: canary, upstream: two}",
            [("Cookie", "a=b; canary=yes")],
            [("two", 1.0)],
            id="an override by cookie",
        ),
        pytest.param(
            "upstream: one, override: {cookie: canary, value: x, upstream: two}",
            [("Cookie", "canary=yes")],
            [("one", 1.0)],
            id="an override that wants another value",
        ),
        pytest.param(
            "split: [{upstream: one, weight: 1}, {upstream: two, weight: 1}], sticky: principal",
            [],
            [("one", 0.5), ("two", 0.5)],
            id="sticky by somebody who is not known before the chain has run",
        ),
    ],
)
def test_upstreams(split: str, headers: list[tuple[str, str]], ways: list[tuple[str, float]]):
    found = told(SERVICES + f"routes: [{{name: a, {split}}}]", "GET", "/", *headers)
    assert [(way["upstream"], way["share"]) for way in found["ways"]] == ways


def test_sticky_by_client_is_decided():
    text = SERVICES + (
        "routes: [{name: a, split: [{upstream: one, weight: 1}, {upstream: two, weight: 1}], sticky: client_ip}]"
    )
    decided = {told(text, "GET", "/", client=f"10.0.0.{number}")["ways"][0]["upstream"] for number in range(40)}
    assert decided == {"one", "two"}
    assert all(len(told(text, "GET", "/", client=f"10.0.0.{number}")["ways"]) == 1 for number in range(5))


def test_the_sticky_cookie_names_a_target():
    text = """
upstreams: {two: {targets: ["http://10.0.0.1:80", "http://10.0.0.2:80"], sticky: {cookie: at}}}
routes: [{name: a, upstream: two}]
"""
    (way,) = told(text, "GET", "/", ("Cookie", f"at={_digest('two', 'http://10.0.0.2:80')}"))["ways"]
    assert [target["share"] for target in way["targets"]] == [0, 1]
    assert way["choice"] == "cookie at names it"


def test_the_chain_says_where_each_plugin_comes_from():
    text = (
        SERVICES
        + """
defaults: {plugins: [{plugin: size_limit, with: {json: 1KB}}]}
routes:
  - name: a
    upstream: one
    plugins:
      - {plugin: headers, id: mark, when: {path: /a/}, with: {request: {set: {X-A: b}}}}
"""
    )
    first, second = told(text, "GET", "/b")["chain"]
    assert (first["number"], first["from"], first["runs"]) == (1, "defaults", True)
    assert (second["id"], second["plugin"], second["from"], second["runs"]) == ("mark", "headers", "route", False)
    assert second["place"] == "gateway.yaml:11:9"
