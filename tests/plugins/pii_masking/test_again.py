"""The second look: what is found when everything is decoded, counted and withheld."""

from __future__ import annotations

import base64

import pytest

from gateway.plugin import Context
from gateway.testing import ports, settings_of
from plugins.pii_masking import PiiMasking
from plugins.pii_masking.again import decoded

BASIC = base64.b64encode(b"mail ada@shop.example").decode()


def masks(services, **given):
    context = Context(services, route="r", plugin="pii_masking", id="p")
    return PiiMasking(settings_of(PiiMasking, given), context).log_processor()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("plain", [], id="nothing"),
        pytest.param("ada%2540shop", ["ada@shop"], id="percent signs, twice"),
        pytest.param("a\\u0040b", ["a@b"], id="a backslash"),
        pytest.param(f"x={BASIC}", ["mail ada@shop.example"], id="base64"),
        pytest.param("deadbeefdeadbeefdead", [], id="what only looks like base64"),
    ],
)
def test_decoded(text, found):
    assert list(decoded(text)) == found


@pytest.mark.parametrize(
    ("message", "left", "missed"),
    [
        pytest.param(f"got {BASIC}", "[email]", 1, id="base64"),
        pytest.param("to=ada%2540shop.example", "[email]", 1, id="encoded twice"),
        pytest.param("to=ada%40shop.example", "to=[email]", 0, id="masked already"),
        pytest.param("all is well %20", "all is well %20", 0, id="nothing in it"),
    ],
)
def test_it_is_counted_and_withheld(message, left, missed):
    services = ports()
    mask = masks(services, second_look=1)
    assert mask({"msg": message}) == {"msg": left}
    assert services.value("masking_missed_total", "email") == missed


def test_one_of_so_many_lines():
    services = ports()
    mask = masks(services, second_look=10)
    for _ in range(30):
        mask({"msg": f"got {BASIC}"})
    assert services.value("masking_missed_total", "email") == 3


def test_none_if_switched_off():
    services = ports()
    mask = masks(services, second_look=0)
    assert mask({"msg": f"got {BASIC}"}) == {"msg": f"got {BASIC}"}


def test_lines_that_take_the_shorter_way_are_sampled_too():
    mask = masks(ports(), second_look=3)
    line = {"request_id": "0" * 32, "host": "h", "target": "t", "path": "/a", "method": "GET"}
    mask(dict(line))
    given = [mask.quick("0" * 32, "::1", "/a", ("h", "t"), ("GET",)) for _ in range(2)]
    assert given == ["::1", None]
