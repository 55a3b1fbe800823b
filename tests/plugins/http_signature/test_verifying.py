"""Signatures found in fields."""

import pytest
from multidict import CIMultiDict

from plugins.http_signature.component import Unusable
from plugins.http_signature.verifying import signatures_of


def fields(inputs, values):
    return CIMultiDict([*(("Signature-Input", each) for each in inputs), *(("Signature", each) for each in values)])


def test_several_lines_are_one_dictionary():
    found = signatures_of(fields(['a=();tag="x"', 'b=("@path");tag="y"'], ["b=:AA==:", "a=:AQ==:"]), 4, None)
    assert [(each.label, each.value) for each in found] == [("a", b"\1"), ("b", b"\0")]
    assert found[1].text == '("@path");tag="y"'
    assert [
        each.label for each in signatures_of(fields(['a=();tag="x"', "b=()"], ["b=:AA==:", "a=:AQ==:"]), 4, "x")
    ] == ["a"]
    assert len(signatures_of(fields(["a=(), b=()"], ["b=:AA==:, a=:AQ==:"]), 1, None)) == 1


@pytest.mark.parametrize(
    ("inputs", "values"),
    [
        (["a=()"], []),
        (["a=()"], ["a=1"]),
        (["a=1"], ["a=:AA==:"]),
        (["a=();keyid=tok"], ["a=:AA==:"]),
        (["a=();created=1.5"], ["a=:AA==:"]),
        (["a=(1)"], ["a=:AA==:"]),
        (["a=(tok)"], ["a=:AA==:"]),
        (["a=();created=1;created=2"], ["a=:AA==:"]),
        (["a=(", ")"], ["a=:AA==:"]),
        (["é=()"], ["a=:AA==:"]),
    ],
)
def test_what_is_none(inputs, values):
    with pytest.raises(Unusable):
        signatures_of(fields(inputs, values), 4, None)
