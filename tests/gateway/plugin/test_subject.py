"""Whom a request is counted by."""

import pytest

from gateway.http import Principal
from gateway.plugin.subject import compile_subject, network_of
from gateway.testing import request

ANN = Principal("ann", tenant="acme", claims={"key": "k1", "org": "o", "n": 7, "deep": {"x": 1}})
BOB = Principal("bob")


@pytest.mark.parametrize(
    ("key", "asked", "subject"),
    [
        pytest.param("client_ip", {"client_ip": "192.0.2.9"}, "192.0.2.9", id="address"),
        pytest.param("client_ip", {"client_ip": "2001:db8:1:2:3::4"}, "2001:db8:1:2::/64", id="IPv6 by its /64"),
        pytest.param("client_ip", {"client_ip": "::ffff:192.0.2.9"}, "192.0.2.9", id="IPv4 in IPv6"),
        pytest.param("principal", {"principal": ANN}, "ann", id="principal"),
        pytest.param("principal", {}, "", id="no principal"),
        pytest.param("tenant", {"principal": ANN}, "acme", id="the principal's tenant"),
        pytest.param("tenant", {"principal": ANN, "tenant": "t"}, "t", id="the tenant worked out"),
        pytest.param("api_key", {"principal": ANN}, "k1", id="the key that the authenticator names"),
        pytest.param("api_key", {"principal": BOB}, "bob", id="else the principal"),
        pytest.param("claim:org", {"principal": ANN}, "o", id="claim"),
        pytest.param("claim:n", {"principal": ANN}, "7", id="a claim that is a number"),
        pytest.param("claim:deep", {"principal": ANN}, "", id="a claim that is no value"),
        pytest.param("header:X-Device", {"headers": {"x-device": "d"}}, "d", id="header"),
        pytest.param("header:X-Device", {}, "", id="no header"),
        pytest.param("path", {"path": "/a/b?c"}, "/a/b", id="path"),
        pytest.param("route", {}, "test", id="route"),
        pytest.param("{tenant}:{header.X}", {"principal": ANN, "headers": {"X": "1"}}, "acme\0001", id="template"),
        pytest.param("{tenant}:{header.X}", {"principal": ANN}, "", id="a template misses what any part misses"),
        pytest.param("{client_ip}", {"client_ip": "2001:db8::1"}, "2001:db8::/64", id="an address in a template"),
        pytest.param("{{{path.id}}}", {"params": {"id": "7"}}, "7", id="braces of its own"),
    ],
)
def test_subjects(key, asked, subject):
    assert compile_subject(key).read(request(**asked)) == subject


def test_no_two_mixtures_meet():
    read = compile_subject("{header.A}:{header.B}").read
    assert read(request(headers={"A": "x:y", "B": "z"})) != read(request(headers={"A": "x", "B": "y:z"}))


@pytest.mark.parametrize(
    ("address", "prefix", "network"),
    [
        ("2001:db8:a:b::1", 48, "2001:db8:a::/48"),
        ("2001:db8::1", 128, "2001:db8::1/128"),
        ("fe80::1%eth0", 64, "fe80::/64"),
        ("not:an:address", 64, "not:an:address"),
    ],
)
def test_networks(address, prefix, network):
    assert network_of(address, prefix) == network


@pytest.mark.parametrize("key", ["", "header:", "claim:", "nobody", "{", "text", "{{x}}"])
def test_no_key(key):
    with pytest.raises(ValueError, match="expected"):
        compile_subject(key)
