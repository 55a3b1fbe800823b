"""What answers are found by."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http import Principal
from gateway.testing import request, settings_of
from plugins.cache import Cache
from plugins.cache.key import KeyMaker, compile_parts, is_of


def keys(**settings: object) -> KeyMaker:
    return KeyMaker(settings_of(Cache, settings))


@pytest.mark.parametrize(
    ("scheme", "host", "key"),
    [
        pytest.param("http", "A.test", "http://a.test/x", id="case"),
        pytest.param("http", "a.test:80", "http://a.test/x", id="the usual port"),
        pytest.param("https", "a.test:443", "https://a.test/x", id="the usual port of https"),
        pytest.param("http", "a.test:443", "http://a.test:443/x", id="that of the other"),
        pytest.param("http", "[::1]", "http://[::1]/x", id="an address"),
        pytest.param("http", "[::80]", "http://[::80]/x", id="an address that ends like a port"),
        pytest.param("http", "[::1]:80", "http://[::1]/x", id="an address with the usual port"),
        pytest.param("http", "", "http:///x", id="no host"),
    ],
)
def test_hosts(scheme: str, host: str, key: str):
    assert keys().of(request("GET", "/x", host=host, scheme=scheme))[0] == key


@given(st.tuples(st.text(max_size=8), st.text(max_size=8)), st.tuples(st.text(max_size=8), st.text(max_size=8)))
@settings(max_examples=100)
def test_parts_never_run_into_each_other(one: tuple[str, str], other: tuple[str, str]):
    def made(values: tuple[str, str]) -> str:
        read = compile_parts([("a", lambda _request: values[0]), ("b", lambda _request: values[1])])
        assert read is not None
        return read(request())

    assert (made(one) == made(other)) is (one == other)


@given(st.text(max_size=6), st.text(min_size=1, max_size=6), st.text(max_size=6), st.text(min_size=1, max_size=6))
@settings(max_examples=100)
def test_callers_of_two_tenants_never_meet(tenant: str, name: str, other_tenant: str, other_name: str):
    maker = keys()
    one = maker.of(request(principal=Principal(name, tenant=tenant)))
    other = maker.of(request(principal=Principal(other_name, tenant=other_tenant)))
    assert (one == other) is ((tenant, name) == (other_tenant, other_name))


@pytest.mark.parametrize(
    ("partition", "shared"),
    [pytest.param("auto", False, id="by itself"), pytest.param("none", True, id="unless all share")],
)
def test_tenants_without_credentials_do_not_share(partition: str, shared: bool):
    """Found from a host or a header field, by `tenant`."""
    made = [keys(partition=partition).of(request("GET", "/x", tenant=name)) for name in ("acme", "umbrella", "acme")]
    assert made[0] == made[2]
    assert (made[0] == made[1]) is shared


def test_what_a_purge_names_is_not_the_key():
    found = keys(key={"headers": ["X"]}).of(request("GET", "/a?b=1", principal="ann", headers={"X": "y"}))
    assert found is not None and found[1] == "gateway.test/a?b=1"
    assert found[0].startswith("http://gateway.test/a?b=1\n")


@pytest.mark.parametrize(
    ("query", "named", "kept"),
    [
        pytest.param({}, "a.test/x?b=1", "a.test/x?b=1", id="as it is"),
        pytest.param({"ignore": ["utm_*"]}, "a.test/x?utm_a=1&b=1", "a.test/x?b=1", id="without what is ignored"),
        pytest.param({"ignore": ["utm_*"]}, "a.test/x?utm_a=1", "a.test/x", id="with nothing left"),
        pytest.param({"ignore": ["utm_*"]}, "/x?utm_a*", "/x?utm_a*", id="a prefix stays one"),
        pytest.param({"sort": True}, "/x?b=1&a=1", "/x?a=1&b=1", id="in its order"),
    ],
)
def test_a_purge_speaks_of_what_is_kept(query: dict[str, object], named: str, kept: str):
    assert keys(key={"query": query}).kept_as(named) == kept


@pytest.mark.parametrize(
    ("key", "found"),
    [
        pytest.param("h/a\np=0:5:alice", True, id="one without a tenant"),
        pytest.param("h/a\np=4:acme5:alice", True, id="one of a tenant"),
        pytest.param("h/a\np=0:5:alice,5:admin,0:\nPOST=00", True, id="one with roles, by its body"),
        pytest.param("h/a\np=0:6:alicex", False, id="one that begins alike"),
        pytest.param("h/a?p=0:5:alice", False, id="a query that looks like it"),
        pytest.param("h/a\nt=5:alice", False, id="a tenant of that name"),
        pytest.param("h/a\np=" + "9" * 5000 + ":", False, id="a length beyond all measure"),
        pytest.param("h/a", False, id="one for all"),
    ],
)
def test_whose_a_key_is(key, found):
    assert is_of(key, "alice") is found
