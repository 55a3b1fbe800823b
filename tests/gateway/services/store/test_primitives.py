"""Times as Redis takes them. The scripts are in `test_script`, over both sides."""

import pytest

from gateway.services.store.primitives import micros, millis


@pytest.mark.parametrize(
    ("seconds", "us", "ms"),
    [
        pytest.param(1, 1_000_000, 1000, id="a second"),
        pytest.param(0.25, 250_000, 250, id="a fraction"),
        pytest.param(1e-9, 1, 1, id="next to nothing is not nothing"),
        pytest.param(86400 * 365, 31_536_000_000_000, 31_536_000_000, id="a year"),
    ],
)
def test_a_time_to_live(seconds: float, us: int, ms: int):
    assert (micros(seconds), millis(seconds)) == (us, ms)


@pytest.mark.parametrize("seconds", [pytest.param(0, id="zero"), pytest.param(-1, id="negative")])
def test_no_time_to_live(seconds: float):
    with pytest.raises(ValueError, match="above zero"):
        millis(seconds)
