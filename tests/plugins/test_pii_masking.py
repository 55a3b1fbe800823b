"""pii_masking: its settings, and that it says what it lets through."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.plugin import Context
from gateway.testing import ports, settings_of
from plugins.pii_masking import PiiMasking


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"actions": {"email": "hash"}}, id="tokens without a key"),
        pytest.param({"key": "short"}, id="a short key"),
        pytest.param({"countries": ["xx"]}, id="a country nobody knows"),
        pytest.param({"actions": {"mail": "drop"}}, id="a category nobody knows"),
        pytest.param({"budget": 1}, id="no budget"),
    ],
)
def test_refused(given):
    with pytest.raises(ValidationError):
        settings_of(PiiMasking, given)


def test_what_is_kept_is_told():
    assert not PiiMasking.check(settings_of(PiiMasking, {}))
    assert PiiMasking.check(settings_of(PiiMasking, {"actions": {"card": "keep"}}))


def test_hits_are_counted_by_category():
    services = ports()
    made = PiiMasking(settings_of(PiiMasking, {}), Context(services, route="r", plugin="pii_masking", id="p"))
    made.log_processor()({"msg": "ada@shop.example and bob@shop.example", "token": "x"})
    (family,) = (each for each in services.metrics.snapshot() if each["name"] == "masking_hits_total")
    counted = {labels[0]: value for labels, value in family["samples"] if value}
    assert counted == {"email": 2, "credential": 1}


def test_equal_settings_make_equal_processors():
    def made(**given):
        context = Context(ports(), route="r", plugin="pii_masking", id="p")
        return PiiMasking(settings_of(PiiMasking, given), context).log_processor()

    assert made() == made()
    assert made() != made(budget="2KB")
    assert len({made(), made()}) == 1


def test_leaks_are_what_nobody_said_would_be_there():
    services = ports()
    made = PiiMasking(settings_of(PiiMasking, {}), Context(services, route="r", plugin="pii_masking", id="p"))
    made.log_processor()({"msg": "ada@shop.example, email=bob@shop.example", "email": "eve@shop.example"})
    assert services.value("masking_hits_total", "email") == 3
    assert services.value("masking_leaks_total", "email") == 1


def test_a_document_must_be_there_at_the_load():
    with pytest.raises(ValidationError, match="at the load"):
        settings_of(PiiMasking, {"document": {"url": "https://shop.example/openapi.json"}})
