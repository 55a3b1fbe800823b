"""Store URLs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.services.store.address import Address, StoreUrlError, parse_store_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("memory://", Address("memory"), id="memory"),
        pytest.param("memory://?keys=500", Address("memory", keys=500), id="memory with a bound"),
        pytest.param("redis://localhost", Address("tcp", (("localhost", 6379),)), id="the usual port"),
        pytest.param("redis://h:7000/3", Address("tcp", (("h", 7000),), db=3), id="a database in the path"),
        pytest.param("redis://h?db=3", Address("tcp", (("h", 6379),), db=3), id="a database as option"),
        pytest.param("redis://[::1]:7000", Address("tcp", (("::1", 7000),)), id="IPv6"),
        pytest.param(
            "redis://app:p%40ss%3Aword@h",
            Address("tcp", (("h", 6379),), username="app", password="p@ss:word"),
            id="credentials, escaped",
        ),
        pytest.param("redis://:secret@h", Address("tcp", (("h", 6379),), password="secret"), id="a password alone"),
        pytest.param(
            "rediss://h?ca=/ca.pem&verify=none",
            Address("tcp", (("h", 6379),), tls=True, options=(("ca", "/ca.pem"), ("verify", "none"))),
            id="TLS with options",
        ),
        pytest.param("unix:///run/redis.sock?db=2", Address("unix", path="/run/redis.sock", db=2), id="a unix socket"),
        pytest.param(
            "redis+sentinel://a:1,b/main/2",
            Address("sentinel", (("a", 1), ("b", 26379)), master="main", db=2),
            id="sentinels, master and database",
        ),
        pytest.param(
            "redis+sentinel://u:p@a/main?sentinel_password=q",
            Address(
                "sentinel",
                (("a", 26379),),
                master="main",
                username="u",
                password="p",
                options=(("sentinel_password", "q"),),
            ),
            id="sentinels with credentials of their own",
        ),
        pytest.param("redis+cluster://a,b:7001", Address("cluster", (("a", 6379), ("b", 7001))), id="a cluster"),
        pytest.param("rediss+cluster://a", Address("cluster", (("a", 6379),), tls=True), id="a cluster over TLS"),
    ],
)
def test_a_url_that_names_a_store(url: str, expected: Address):
    assert parse_store_url(url) == expected


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("", "it has no scheme", id="nothing"),
        pytest.param("localhost:6379", "it has no scheme", id="no scheme"),
        pytest.param("http://h", "'http' is no kind of store", id="another scheme"),
        pytest.param("redis://", "a host is missing", id="no host"),
        pytest.param("redis://h:0", "between 1 and 65535", id="port zero"),
        pytest.param("redis://h:x", "between 1 and 65535", id="a port that is a word"),
        pytest.param("redis://a,b", "one host", id="two hosts without a kind"),
        pytest.param("redis://h/x", "not a number", id="a database that is a word"),
        pytest.param("redis://h/1/2", "more than a database", id="two path segments"),
        pytest.param("redis://h?timeout=3", "no option 'timeout'; it takes db", id="an unknown option"),
        pytest.param("redis://h?ca=/x", "no option 'ca'", id="a TLS option without TLS"),
        pytest.param("rediss://h?verify=maybe", "full (the default) or none", id="a verify that is neither"),
        pytest.param("redis+sentinel://a", "the master's name", id="sentinels without a master"),
        pytest.param("redis+cluster://a/1", "no numbered databases", id="a cluster with a database"),
        pytest.param("redis+cluster://a,,b", "a host is missing", id="an empty host in a list"),
        pytest.param("unix://run/redis.sock", "an absolute path", id="a relative socket"),
        pytest.param("memory://h", "no host", id="memory with a host"),
        pytest.param("memory://?keys=0", "at least 1", id="memory for no key"),
        pytest.param("redis://[::1", "malformed", id="an open bracket"),
        pytest.param("redis://:sec#ret@h", "no '#'", id="an unescaped hash in the password"),
        pytest.param("redis://:sec/ret@h", "written %2F", id="an unescaped slash in the password"),
    ],
)
def test_a_url_that_names_none(url: str, message: str):
    with pytest.raises(StoreUrlError) as caught:
        parse_store_url(url)
    assert message in str(caught.value)
    assert "ret" not in str(caught.value)
    assert "sec" not in str(caught.value)


def test_no_secret_is_shown():
    address = parse_store_url("rediss+sentinel://app:hunter2@a:1,[::1]:2/main/3?sentinel_password=hunter3")
    assert str(address) == "rediss+sentinel://a:1,[::1]:2/main"
    assert "hunter" not in repr(address)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["redis://", "redis+sentinel://", "redis+cluster://", "unix://", "memory://", ""]), st.text())
def test_any_text_is_an_address_or_a_clear_error(scheme: str, rest: str):
    try:
        parse_store_url(scheme + rest)
    except StoreUrlError as error:
        assert str(error)


@pytest.mark.parametrize("wait", ["x", "-1", "100", "1.5", "²"])
def test_wait_is_a_number_of_replicas(wait: str):
    assert parse_store_url("redis://host?wait=2").replicas == 2
    assert parse_store_url("redis+cluster://host").replicas == 0
    with pytest.raises(StoreUrlError, match="replicas"):
        parse_store_url(f"redis+sentinel://host/master?wait={wait}")
