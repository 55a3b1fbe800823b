"""Numbers of persons, by country."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.plugin import Context
from gateway.testing import ports, settings_of
from plugins.pii_masking import Country, PiiMasking
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
        ("ca", "SIN 130 692 544", "SIN 130 692 545"),
        ("ch", "756.9217.0769.85", "756.9217.0769.84"),
        ("cn", "11010519491231002X", "110105194912310021"),
        ("sg", "S1234567D", "S1234567A"),
        ("in", "ABCPE1234F", "ABCXE1234F"),
        ("in", "Aadhaar 2341 2341 2346", "Aadhaar 2341 2341 2347"),
        ("us", "901-70-1234", "901-66-1234"),
        ("gb", "NHS 943 476 5919", "NHS 943 476 5918"),
        ("de", "65180539W001", "65180539W002"),
        ("at", "SVNR 1237 010180", "SVNR 1238 010180"),
        ("dk", "211062-5629", "211062-5628"),
        ("dk", "CPR 2110625628", "CPR 2113625628"),
        ("no", "15108695088", "15108695077"),
        ("pt", "NIF 123456789", "NIF 123456780"),
        ("ie", "PPSN 1234567T", "PPSN 1234567S"),
        ("ie", "PPSN 1234567FA", "PPSN 1234567GA"),
        ("cz", "710319/2745", "710319/2746"),
        ("ro", "CNP 1630615123457", "CNP 1630615123458"),
        ("gr", "AMKA 01013099997", "AMKA 01013099996"),
        ("tr", "TC kimlik 17291716060", "TC kimlik 17291716050"),
        ("mx", "BOXW310820HNERXN09", "BOXW310820HNERXN08"),
        ("ar", "20-05536168-2", "20-05536168-3"),
        ("cl", "12.531.909-2", "12.531.909-3"),
        ("za", "ID number 7503305044089", "ID number 8503305044089"),
        ("au", "TFN 123 456 782", "TFN 123 456 783"),
        ("au", "Medicare 2123 45670 1", "Medicare 2123 45671 1"),
        ("nz", "IRD 49-091-850", "IRD 49-091-851"),
        ("jp", "My Number 1234 5678 9018", "My Number 1234 5678 9017"),
        ("kr", "971013-9019902", "971313-9019902"),
        ("bg", "EGN 7523169263", "EGN 7523169264"),
        ("hr", "OIB 33392005961", "OIB 33392005962"),
        ("sk", "710319/2745", "710319/2746"),
        ("ee", "isikukood 36805280109", "isikukood 36805280108"),
        ("lt", "asmens kodas 33309240064", "asmens kodas 33309240065"),
        ("il", "teudat zehut 039337423", "teudat zehut 039337422"),
        ("th", "1-2345-45678-78-1", "1-2345-45678-78-2"),
        ("tw", "A123456789", "A123456788"),
    ],
)
def test_numbers_of_persons_by_country(country, right, wrong):
    only = masks(countries=[country])
    assert "[government_id]" in only.text(right)
    assert "[government_id]" not in only.text(wrong)
    assert "[government_id]" not in masks(countries=[]).text(right)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("order 123456782", id="as many digits as a tax file number"),
        pytest.param("order 12345678901", id="eleven digits"),
        pytest.param("HEAD is now at 558408b", id="a commit like an insurance number"),
        pytest.param("bytes 100 200 300", id="groups of three"),
        pytest.param("listing 86095742719", id="a word that ends like one that says so"),
        pytest.param("SVN r1237 010180", id="a word that begins alike and goes on"),
    ],
)
def test_no_number_of_a_person(text):
    assert masks().text(text) == text


def test_each_country_that_can_be_named_has_its_rules():
    assert set(COUNTRIES) == set(get_args(Country))


@pytest.mark.parametrize("country", COUNTRIES)
@given(data=st.data())
@settings(max_examples=25)
def test_no_rule_fails_on_what_has_its_shape(country, data):
    for kind in COUNTRIES[country]:
        for shape in kind.shapes:
            filled = "".join(
                data.draw(st.sampled_from("0123456789" if each == "0" else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
                if each in "0A"
                else each
                for each in shape
            )
            assert kind.holds("".join(each for each in filled if each.isalnum())) in {True, False}
