"""What a field means to an intermediary."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.fields import KINDS, Kind, Kinds, named_by_connection


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"Connection", Kind.CONNECTION),
        (b"cONNECTION", Kind.CONNECTION),
        (b"Keep-Alive", Kind.HOP),
        (b"Proxy-Connection", Kind.HOP),
        (b"TE", Kind.HOP),
        (b"HTTP2-Settings", Kind.HOP),
        (b"Content-Length", Kind.CONTENT_LENGTH),
        (b"Transfer-Encoding", Kind.TRANSFER_ENCODING),
        (b"X-Forwarded-For", Kind.FORWARDED_FOR),
        (b"X-Forwarded-Host", Kind.FORWARDED_OTHER),
        (b"Forwarded", Kind.FORWARDED),
        (b"Proxy-Authorization", Kind.PASS),
        (b"X-Forwarded-For ", Kind.PASS),
        (b"", Kind.PASS),
        (b"\xff", Kind.PASS),
    ],
)
def test_kinds(name, kind):
    assert KINDS[name] == kind
    assert type(KINDS[name]) is int, "the path of a request compares plain ints"


def test_a_sender_of_ever_new_names_does_not_make_it_grow():
    kinds = Kinds()
    for number in range(20_000):
        assert kinds[b"X-%d" % number] == Kind.PASS
    assert len(kinds) <= 4096
    assert kinds[b"Connection"] == Kind.CONNECTION


@given(st.binary(max_size=40))
def test_the_case_of_a_name_does_not_matter(name):
    assert Kinds()[name] == Kinds()[name.lower()] == Kinds()[name.upper()]


@pytest.mark.parametrize(
    ("value", "names"),
    [
        pytest.param(b"close", set(), id="about the connection itself"),
        pytest.param(b"Keep-Alive, X-Secret", {b"x-secret"}, id="a field"),
        pytest.param(b" A ,, b,\tC", {b"a", b"b", b"c"}, id="several, with empty ones"),
        pytest.param(b"Upgrade", set(), id="an upgrade is dealt with elsewhere"),
        pytest.param(b"", set(), id="nothing"),
    ],
)
def test_names_in_connection(value, names):
    assert named_by_connection(value) == names
