"""Numbers of persons, by country."""

from __future__ import annotations

import pytest

from gateway.plugin import Context
from gateway.testing import ports, settings_of
from plugins.pii_masking import PiiMasking
from plugins.pii_masking.government import COUNTRIES


def masks(**given_settings):
    context = Context(ports(), route="r", plugin="pii_masking", id="p")
    return PiiMasking(settings_of(PiiMasking, given_settings), context).log_processor()


@pytest.mark.parametrize(
    ("country", "right", "wrong"),
    [
        ("us", "078-05-1120", "900-05-1120"),
        ("gb", "AB 12 34 56 C", "GB 12 34 56 C"),
        ("de", "Steuer-ID 86095742719", "Steuer-ID 86095742718"),
        ("fr", "255081416802538", "255081416802539"),
        ("es", "12345678Z", "12345678A"),
        ("it", "RSSMRA85T10A562S", "RSSMRA85T10A562T"),
        ("pl", "PESEL 44051401359", "PESEL 44051401358"),
        ("nl", "BSN 111222333", "BSN 111222334"),
        ("se", "811218-9876", "811218-9875"),
        ("fi", "131052-308T", "131052-308U"),
        ("be", "85.07.30-033.28", "85.07.30-033.29"),
        ("br", "529.982.247-25", "529.982.247-26"),
        ("ca", "130 692 544", "130 692 545"),
        ("ch", "756.9217.0769.85", "756.9217.0769.84"),
        ("cn", "11010519491231002X", "110105194912310021"),
        ("sg", "S1234567D", "S1234567A"),
        ("in", "ABCPE1234F", "ABCXE1234F"),
    ],
)
def test_numbers_of_persons_by_country(country, right, wrong):
    only = masks(countries=[country])
    assert "[government_id]" in only.text(right)
    assert "[government_id]" not in only.text(wrong)
    assert "[government_id]" not in masks(countries=[]).text(right)


def test_each_country_has_its_row():
    assert set(COUNTRIES) == {
        "us",
        "gb",
        "de",
        "fr",
        "es",
        "it",
        "pl",
        "nl",
        "se",
        "fi",
        "be",
        "br",
        "ca",
        "ch",
        "cn",
        "sg",
        "in",
    }
