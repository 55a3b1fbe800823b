from __future__ import annotations

import pytest

from gateway.services.queue.sqlite.sealing import Sealing, purpose_of

KEY, OTHER = b"k" * 32, b"o" * 32


def test_without_keys_things_stay_as_they_are():
    sealing = Sealing(())
    assert sealing.stored(b"x", b"p") == (b"x", False)
    assert sealing.opened(b"x", b"p", sealed=False) == b"x"
    assert sealing.opened(Sealing((KEY,)).stored(b"x", b"p")[0], b"p", sealed=True) is None


def test_what_was_sealed_for_one_topic_opens_for_no_other():
    sealing = Sealing((KEY,))
    stored, sealed = sealing.stored(b"plain", purpose_of("a"))
    assert sealed
    assert b"plain" not in stored
    assert sealing.opened(stored, purpose_of("a"), sealed=True) == b"plain"
    assert sealing.opened(stored, purpose_of("b"), sealed=True) is None


def test_keys_may_change():
    sealing = Sealing((KEY,))
    stored, _ = sealing.stored(b"plain", b"p")
    sealing.configure((OTHER, KEY))
    assert sealing.opened(stored, b"p", sealed=True) == b"plain"
    sealing.configure((OTHER,))
    assert sealing.opened(stored, b"p", sealed=True) is None


def test_a_key_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="at least"):
        Sealing((b"short",))
