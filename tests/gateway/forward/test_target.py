from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("since", "share"),
    [
        pytest.param(0, 1.0, id="it begins with a tenth"),
        pytest.param(0.5, 1.0, id="and stays there while that is more"),
        pytest.param(5, 5.0, id="it grows evenly"),
        pytest.param(10, 10.0, id="to all of it"),
        pytest.param(1000, 10.0, id="and no further"),
    ],
)
def test_slow_start(target, since, share):
    live = target("a", 10)
    live.started = 100.0
    assert live.share(100.0 + since, 10.0) == pytest.approx(share)
    assert live.share(100.0 + since, 0.0) == 10  # without a slow start it is there at once


@pytest.mark.parametrize(
    ("probed", "ejected", "well"), [(True, False, True), (False, False, False), (True, True, False)]
)
def test_well(target, probed, ejected, well):
    live = target("a")
    live.probed, live.ejected = probed, ejected
    assert live.well is well


def test_its_place_in_hashing_depends_on_its_url_only(target):
    assert target("a", 1).seed == target("a", 9).seed != target("b").seed
