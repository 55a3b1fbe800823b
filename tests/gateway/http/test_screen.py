"""Nobody but a trusted proxy says who the client is, however it spells it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.peer import Peer
from gateway.http.screen import MOST_SPELLINGS, Screened, screen
from gateway.testing import request


def left(*names, trusted):
    asked = request(headers=[(name, "1") for name in names])
    asked.peer = Peer("192.0.2.1", trusted=trusted)
    screen(asked)
    assert [name for name in asked.headers if name != "Host"] == [
        name.decode() for name, _ in asked.fields if name != b"Host"
    ], "what plugins see is what is sent"
    return [name for name in asked.headers if name != "Host"]


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Ssl",
        "X-Forwarded-Scheme",
        "X-Forwarded-Server",
        "X-Forwarded-Path",
        "X-Forwarded-Uri",
        "X-Forwarded-User",
        "X-Forwarded-Client-Cert",
        "X-Forwarded-Anything-New",
        "x-fORWARDED-pREFIX",
        "X-Forwarded",
        "Forwarded",
        "X-Real-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Original-Host",
        "X-Url-Scheme",
        "Front-End-Https",
        "X-Envoy-External-Address",
        "Client-Cert",
        "SSL-Client-Verify",
        "X-SSL-Client-S-DN",
    ],
)
def test_only_a_trusted_proxy_may_say_it(name):
    assert left("Accept", name, trusted=False) == ["Accept"]
    assert left("Accept", name, trusted=True) == ["Accept", name]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("X_Forwarded_For", id="all of them underscores"),
        pytest.param("X-Forwarded_Prefix", id="one of them an underscore"),
        pytest.param("x_REAL_ip", id="in another case"),
        pytest.param("X_Request_Id", id="a field that the gateway writes"),
        pytest.param("Content_Length", id="framing"),
        pytest.param("Transfer_Encoding", id="framing, too"),
        pytest.param("Client_Cert", id="a certificate"),
        pytest.param("Proxy", id="what CGI makes HTTP_PROXY of"),
    ],
)
def test_nobody_may_say_it(name):
    assert left(name, "Accept", trusted=False) == ["Accept"]
    assert left(name, "Accept", trusted=True) == ["Accept"]


@pytest.mark.parametrize(
    "name", ["X-Forward", "X-Real-Ipx", "X_Custom", "Proxy-Authorization", "X-Request-Id", "Via", "Content-Type"]
)
def test_other_fields_stay(name):
    assert left(name, trusted=False) == [name]


def test_fields_in_order_are_noted_at_the_connection_and_others_are_not():
    asked = request(headers={"Accept": "*/*"})
    screen(asked)
    assert asked.peer.screened is asked.fields
    forged = request(headers={"X-Real-IP": "::1"})
    screen(forged)
    assert forged.peer.screened is None


def test_a_request_without_a_connection_is_a_clients():
    asked = request(headers={"X-Real-IP": "::1"})
    asked.peer = None
    screen(asked)
    assert "X-Real-IP" not in asked.headers


@given(st.text(alphabet="xX-_forwardedFORWARDED", max_size=20).map(str.encode))
def test_neither_case_nor_underscores_let_anything_through(name):
    folded = name.lower().replace(b"_", b"-")
    assert Screened()[name] >= Screened()[folded]


def test_a_sender_of_ever_new_names_does_not_make_it_grow():
    screened = Screened()
    for number in range(10_000):
        assert not screened[b"X-%d" % number]
    assert len(screened) <= MOST_SPELLINGS


@pytest.mark.parametrize(
    ("value", "gone"),
    [
        pytest.param("X-Tenant", {"X-Tenant"}, id="a field that a plugin would go by"),
        pytest.param("keep-alive, x-tenant", {"X-Tenant"}, id="beside what is meant, in another case"),
        pytest.param("close, Authorization , X-Tenant", {"Authorization", "X-Tenant"}, id="several"),
        pytest.param("keep-alive", set(), id="none"),
        pytest.param("Upgrade, Keep-Alive", set(), id="none, two words"),
        pytest.param("\xe9, X-Tenant", {"X-Tenant"}, id="beside what can be no field"),
    ],
)
def test_what_ends_at_this_hop_is_gone_before_anybody_looks(value, gone):
    asked = request(headers=[("X-Tenant", "a"), ("Authorization", "b"), ("Accept", "*/*"), ("Connection", value)])
    screen(asked)
    assert {"X-Tenant", "Authorization", "Accept"} - set(asked.headers) == gone
    assert (asked.peer.screened is None) is bool(gone)
    asked.edit_headers()["X-Tenant"] = "ours"
    assert asked.headers["X-Tenant"] == "ours"
