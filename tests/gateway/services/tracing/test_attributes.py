"""What spans say of an exchange, by the semantic conventions."""

import pytest

from gateway.errors import TooManyRequests
from gateway.http import Exchange, Response
from gateway.services.tracing.attributes import host_of, method_of, server_attributes, server_name
from gateway.services.tracing.options import Collector, Options, RouteTracing
from gateway.testing import request

ROUTE = RouteTracing(pattern="/orders/{id}")


def options(**more):
    return Options(Collector("http://127.0.0.1/v1/traces"), **more)


@pytest.mark.parametrize(
    ("authority", "found"),
    [
        pytest.param("shop.example", ("shop.example", 80), id="the scheme's port"),
        pytest.param("shop.example:8080", ("shop.example", 8080), id="a port"),
        pytest.param("[::1]", ("::1", 80), id="an address in brackets"),
        pytest.param("[::1]:8443", ("::1", 8443), id="and its port"),
        pytest.param("", ("", 80), id="no Host"),
        pytest.param("shop.example:", ("shop.example:", 80), id="a colon and no port"),
    ],
)
def test_host(authority, found):
    assert host_of(authority, 80) == found


def test_a_method_that_nobody_knows_makes_no_name():
    asked = request("FROBNICATE" * 20, "/")
    assert method_of(asked)["http.request.method"] == "_OTHER"
    assert len(method_of(asked)["http.request.method_original"]) == 64
    assert server_name(asked, ROUTE) == "HTTP /orders/{id}"
    assert server_name(request("GET", "/"), RouteTracing()) == "GET"


def test_what_is_said_of_an_exchange_and_what_is_not():
    asked = request(
        "POST",
        "/orders/5?token=s3cret",
        headers={"User-Agent": "x" * 300, "Authorization": "s3cret", "X-Kind": "a", "Baggage": "tenant=acme,u=s3cret"},
        host="shop.example:8443",
        client_ip="192.0.2.7",
        principal="s3cret-anna",
    )
    answer = Response(429, headers={"X-Left": "0"})
    exchange = Exchange(asked, answer, 429, 0.1, sent_bytes=10, received_bytes=2, error=TooManyRequests())
    more = {"request_headers": ("x-kind",), "response_headers": ("x-left",), "baggage": frozenset({"tenant"})}
    said = server_attributes(exchange, ROUTE, options(**more))
    assert said["http.request.method"] == "POST"
    assert said["http.route"] == "/orders/{id}"
    assert said["url.path"] == "/orders/5"
    assert (said["server.address"], said["server.port"]) == ("shop.example", 8443)
    assert said["client.address"] == "192.0.2.7"
    assert said["http.response.status_code"] == 429
    assert (said["http.request.body.size"], said["http.response.body.size"]) == (2, 10)
    assert said["sidegate.error.code"] == "rate_limited"
    assert len(said["user_agent.original"]) == 256
    assert said["http.request.header.x-kind"] == ["a"]
    assert said["http.response.header.x-left"] == ["0"]
    assert said["baggage.tenant"] == "acme"
    assert "s3cret" not in str(said)


def test_an_exchange_without_an_answer_has_no_status():
    said = server_attributes(Exchange(request(), None, 499, 0.1, aborted=True), RouteTracing(), options())
    assert "http.response.status_code" not in said
    assert "http.route" not in said
