import pytest

from gateway.route.host import normal_host, suffixes


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        pytest.param("example.com", "example.com", id="a name"),
        pytest.param("Example.COM:80", "example.com", id="case and port go"),
        pytest.param("example.com.:80", "example.com", id="the dot of a full name goes"),
        pytest.param("[2001:DB8::1]:443", "[2001:db8::1]", id="IPv6 keeps its brackets"),
        pytest.param("[::1", "", id="a broken address is none"),
        pytest.param("", "", id="nothing"),
        pytest.param("a" * 1000, "", id="too long to be a name"),
    ],
)
def test_normal_host(authority, expected):
    assert normal_host(authority) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param("a.b.c", [".b.c", ".c"], id="longest first"),
        pytest.param("localhost", [], id="one label has none"),
        pytest.param(".b.c", [".c"], id="an empty label is no label"),
    ],
)
def test_suffixes(host, expected):
    assert list(suffixes(host)) == expected
