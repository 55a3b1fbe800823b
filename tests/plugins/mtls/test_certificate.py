"""What is read of a certificate, and what of header fields."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.testing.authority import Authority
from plugins.mtls.certificate import chain_field_of, chain_of, der_of, field_of, read

ROOT = Authority("Root")
# The leaf of RFC 9440 appendix A, as its example of Client-Cert has it.
RFC_9440 = (
    ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaW"
    "F0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXf"
    "aUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGD"
    "AWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW"
    "1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuyd"
    "BVoU4hBVZ1yhk=:"
)


def test_everything_that_it_says():
    issued = ROOT.issue("ada", uri=("spiffe://a/b",), dns=("A.example.com",), email=("Ada@Example.com",))
    found = read(issued.der)
    digest = hashlib.sha256(issued.der).digest()
    assert found.fingerprint == digest.hex()
    assert found.thumbprint == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert (found.cn, found.uri, found.dns, found.email) == (
        ("ada",),
        ("spiffe://a/b",),
        ("a.example.com",),
        ("Ada@example.com",),
    )
    assert (found.subject, found.issuer) == ("CN=ada", "CN=Root")
    assert found.ends - found.begins == 2 * 86400
    assert found.names("fingerprint") == (found.fingerprint,)
    assert found.claims()["certificate"]["uri"] == ["spiffe://a/b"]


def test_two_common_names_are_none():
    assert read(ROOT.issue("ada", "root").der).names("cn") == ()


@pytest.mark.parametrize(
    "der",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x30\x00", id="an empty sequence"),
        pytest.param(ROOT.der[:-1], id="half a certificate"),
        pytest.param(b"\x30" * 20_000, id="larger than any"),
        pytest.param(ROOT.issue("a\nb").der, id="a line break in a name"),
        pytest.param(ROOT.issue("admin", dns=("a\0.example.com",)).der, id="a null byte in a host"),
        pytest.param(ROOT.issue(uri=tuple(f"urn:x:{number}" for number in range(101))).der, id="names without end"),
    ],
)
def test_what_nobody_should_believe(der):
    with pytest.raises(ValueError, match="certificate"):
        read(der)


def test_the_example_of_rfc_9440():
    found = read(der_of(RFC_9440))
    assert (found.cn, found.email, found.issuer) == (
        ("BC",),
        ("bdc@example.com",),
        "CN=LA Intermediate CA,O=Let's Authenticate",
    )
    assert field_of(der_of(RFC_9440)) == RFC_9440


@pytest.mark.parametrize(
    "field",
    [
        "",
        ":",
        "::",
        "MIIB",
        ":MIIB",
        "MIIB:",
        ":M!IB:",
        ":MIIB:;a=1",
        ":MIIB:, :MIIB:",
        '":MIIB:"',
        ":MII:",
        ":\u00e9:",
    ],
)
def test_fields_that_hold_none(field):
    with pytest.raises(ValueError, match=r"not"):
        der_of(field)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=10))
def test_fields_come_back_as_they_were(items):
    assert der_of(field_of(items[0])) == items[0]
    assert chain_of([chain_field_of(tuple(items))]) == tuple(items)
    assert chain_of([field_of(item) for item in items]) == tuple(items)


def test_a_chain_has_an_end():
    with pytest.raises(ValueError, match="longer"):
        chain_of([":AA==:"] * 11)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_break_it(noise):
    with pytest.raises(ValueError, match="certificate"):
        read(noise)
