from __future__ import annotations

import pytest

from gateway.config.upstream import Sticky
from gateway.forward.sticky import Stickiness
from gateway.http import Request, Response


def stickiness(target, **settings):
    targets = [target("10.0.0.1:80"), target("10.0.0.2:80")]
    return Stickiness(Sticky(cookie="srv", **settings), "svc", targets), targets


def bound(sticky, to, *, cookie="", scheme="http"):
    request = Request("GET", "/", fields=[(b"Cookie", cookie.encode())] if cookie else [], scheme=scheme)
    response = Response(200)
    sticky.bind(request, response, to)
    return response.headers.get("Set-Cookie")


@pytest.mark.parametrize(
    ("settings", "scheme", "attributes"),
    [
        pytest.param({}, "http", "Path=/; HttpOnly; SameSite=Lax", id="plain"),
        pytest.param({}, "https", "Path=/; HttpOnly; SameSite=Lax; Secure", id="over TLS it is Secure"),
        pytest.param({"max_age": 90}, "http", "Path=/; HttpOnly; SameSite=Lax; Max-Age=90", id="kept for a time"),
        pytest.param({"same_site": "none"}, "http", "Path=/; HttpOnly; SameSite=None; Secure", id="None needs Secure"),
    ],
)
def test_the_cookie(target, settings, scheme, attributes):
    sticky, targets = stickiness(target, **settings)
    line = bound(sticky, targets[0], scheme=scheme)
    name, _, rest = line.partition("; ")
    assert rest == attributes
    assert name.startswith("srv=")
    assert "10.0" not in line


def test_a_client_that_has_the_cookie_gets_no_other(target):
    sticky, targets = stickiness(target)
    pair = bound(sticky, targets[0]).partition(";")[0]
    assert bound(sticky, targets[0], cookie=f"a=b; {pair}") is None
    assert bound(sticky, targets[1], cookie=pair) is not None


def test_the_cookie_leads_to_its_target(target):
    sticky, targets = stickiness(target)
    for each in targets:
        pair = bound(sticky, each).partition(";")[0]
        assert sticky.target(Request("GET", "/", fields=[(b"Cookie", pair.encode())])) is each


@pytest.mark.parametrize("cookie", ["srv=nobody", "srv=", "srv", "other=1"])
def test_a_cookie_of_nobody_leads_nowhere(target, cookie):
    sticky, _ = stickiness(target)
    assert sticky.target(Request("GET", "/", fields=[(b"Cookie", cookie.encode())])) is None


def test_another_gateway_makes_the_same_cookie(target):
    first, targets = stickiness(target)
    second, others = stickiness(target)
    assert bound(first, targets[1]) == bound(second, others[1])
