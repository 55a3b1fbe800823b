"""Digests; values of RFC 9530 appendix D."""

import pytest
from multidict import CIMultiDict

from plugins.http_signature.digest import drop_stale, make_digest, matches

WORLD = b'{"hello": "world"}\n'
SHA256 = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"


def test_made():
    assert make_digest(WORLD) == SHA256
    assert matches(make_digest(WORLD, "sha-512"), WORLD)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (SHA256, True),
        (f"md5=:AAAA:, {SHA256}", True),
        (f"{SHA256}, sha-512=:AAAA:", False),
        ("sha-256=:AAAA:", False),
        ("md5=:AAAA:", None),
        ("sha-256=abc", None),
        ("sha-256", None),
        ("(", None),
        ("", None),
        ("é", None),
    ],
)
def test_matches(value, found):
    assert matches(value, WORLD) is found


def test_what_is_stale_goes():
    headers = CIMultiDict({"Content-Digest": "sha-256=:AAAA:", "Repr-Digest": "sha-256=:AAAA:"})
    drop_stale(headers, WORLD, whole=False)
    assert list(headers) == ["Repr-Digest"]
    drop_stale(headers, WORLD, whole=True)
    assert not headers
    fresh = CIMultiDict({"Content-Digest": SHA256})
    drop_stale(fresh, WORLD, whole=True)
    assert list(fresh) == ["Content-Digest"]
