"""What is sealed opens with its key and purpose, and in no other way."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.services.seal import LEAST_KEY, OVERHEAD, Broken, Seal

OLD, NEW = b"an old key of some length", "a new key of some length"
SEALED = Seal([NEW]).seal(b"secret", b"session")


@settings(max_examples=50)
@given(st.binary(max_size=300), st.binary(max_size=20))
def test_what_goes_in_comes_out(plain, purpose):
    seal = Seal([NEW])
    sealed = seal.seal(plain, purpose)
    assert len(sealed) == len(plain) + OVERHEAD
    assert seal.open(sealed, purpose) == plain


def test_the_same_is_never_sealed_in_the_same_way():
    seal = Seal([NEW])
    assert seal.seal(b"x", b"p") != seal.seal(b"x", b"p")


def test_a_new_key_in_front_still_opens_what_the_old_one_sealed():
    sealed = Seal([OLD]).seal(b"kept", b"p")
    both = Seal([NEW, OLD])
    assert both.open(sealed, b"p") == b"kept"
    assert Seal([NEW]).open(both.seal(b"x", b"p"), b"p") == b"x"


@pytest.mark.parametrize(
    ("keys", "sealed", "purpose"),
    [
        pytest.param([OLD], SEALED, b"session", id="another key"),
        pytest.param([NEW], SEALED, b"cache", id="another purpose"),
        pytest.param([NEW], b"", b"session", id="nothing"),
        pytest.param([NEW], SEALED[: OVERHEAD - 1], b"session", id="too short to be sealed"),
        pytest.param([NEW], SEALED[:-1], b"session", id="cut"),
        pytest.param([NEW], SEALED + b"\0", b"session", id="longer"),
        pytest.param([NEW], b"\x02" + SEALED[1:], b"session", id="another version"),
        pytest.param([NEW], b"secret" * 20, b"session", id="not sealed at all"),
    ],
)
def test_what_does_not_open(keys, sealed, purpose):
    with pytest.raises(Broken):
        Seal(keys).open(sealed, purpose)


@settings(max_examples=100)
@given(st.integers(0, len(SEALED) * 8 - 1))
def test_no_bit_can_be_turned(bit):
    changed = bytearray(SEALED)
    changed[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(Broken):
        Seal([NEW]).open(bytes(changed), b"session")


@pytest.mark.parametrize("keys", [[], [b"k" * (LEAST_KEY - 1)], [NEW, "short"]], ids=["none", "short", "one of them"])
def test_keys_that_protect_nothing_are_refused(keys):
    with pytest.raises(ValueError, match="key"):
        Seal(keys)
