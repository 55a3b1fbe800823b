"""What the target is told of the client's connection."""

import pytest

from gateway.http.peer import NOWHERE, Peer


@pytest.mark.parametrize(
    ("peer", "host", "lines"),
    [
        pytest.param(
            Peer("192.0.2.1"),
            "a.example",
            b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a.example",
            id="IPv4",
        ),
        pytest.param(
            Peer("2001:db8::1", scheme="https"),
            "a.example:8443",
            b"X-Forwarded-For: 2001:db8::1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example:8443",
            id="IPv6 over TLS",
        ),
        pytest.param(
            NOWHERE,
            "",
            b"X-Forwarded-For: unknown\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: ",
            id="the gateway itself",
        ),
    ],
)
def test_lines(peer, host, lines):
    assert peer.lines(host) == lines
    assert peer.lines(host) is peer.lines(host), "made once for one host"


def test_another_host_on_the_same_connection_gets_its_own_lines():
    peer = Peer("192.0.2.1")
    assert b"Host: a" in peer.lines("a")
    assert b"Host: b" in peer.lines("b")
    assert b"Host: a" in peer.lines("a")


@pytest.mark.parametrize(
    ("peer", "element"),
    [
        (Peer("192.0.2.1"), b'for=192.0.2.1;host="h";proto=http'),
        (Peer("2001:db8::1"), b'for="[2001:db8::1]";host="h";proto=http'),
        (Peer("", scheme="https"), b'for=unknown;host="h";proto=https'),
    ],
)
def test_an_element_of_forwarded(peer, element):
    """RFC 7239 §6: IPv6 stands in brackets and quotes."""
    assert peer.element("h") == element


BALANCER = Peer("10.0.0.1", trusted=True)


@pytest.mark.parametrize(
    ("peer", "trusted", "address", "believed"),
    [
        pytest.param(Peer("192.0.2.1"), {"192.0.2.1"}, "192.0.2.1", True, id="now trusted"),
        pytest.param(Peer("192.0.2.1", trusted=True), set(), "192.0.2.1", False, id="no longer trusted"),
        pytest.param(Peer("192.0.2.1", balancer=BALANCER), {"10.0.0.1"}, "192.0.2.1", False, id="behind a balancer"),
        pytest.param(
            Peer("192.0.2.1", balancer=BALANCER),
            {"10.0.0.1", "192.0.2.1"},
            "192.0.2.1",
            True,
            id="trusted behind a balancer",
        ),
        pytest.param(
            Peer("192.0.2.1", balancer=BALANCER),
            {"192.0.2.1"},
            "10.0.0.1",
            False,
            id="the balancer may no longer speak for others",
        ),
        pytest.param(
            Peer("10.0.0.1", known=False, balancer=BALANCER),
            {"10.0.0.1"},
            "10.0.0.1",
            False,
            id="a client that the balancer did not name is not the balancer",
        ),
    ],
)
def test_trust_is_judged_anew(peer, trusted, address, believed):
    judged = peer.judged(trusted.__contains__)
    assert (judged.address, judged.trusted) == (address, believed)
    assert judged.judged(trusted.__contains__) is judged
