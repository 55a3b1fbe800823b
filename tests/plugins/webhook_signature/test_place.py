"""Places: which values stand there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.testing import request
from plugins.webhook_signature.look import MOST_VALUES, Look
from plugins.webhook_signature.members import Members
from plugins.webhook_signature.place import decoder, encoder, reader
from plugins.webhook_signature.scheme import Place


def values(place, headers=(), path="/", body=b""):
    asked = request("POST", path, headers=headers, body=body)
    return reader(Place.model_validate(place))(Look(asked, body, Members([("a", "b")])))


@pytest.mark.parametrize(
    ("place", "given", "found"),
    [
        pytest.param({"header": "S"}, {"headers": {"S": "x"}}, ["x"], id="a field"),
        pytest.param({"header": "S"}, {"headers": [("S", "x"), ("s", "y")]}, ["x", "y"], id="two lines"),
        pytest.param({"header": "S", "prefix": "v1="}, {"headers": {"S": "v1=x"}}, ["x"], id="a prefix"),
        pytest.param({"header": "S", "prefix": "v1="}, {"headers": {"S": "v2=x"}}, [], id="another prefix"),
        pytest.param(
            {"header": "S", "split": ",", "prefix": "v="}, {"headers": {"S": "t=1, v=a ,v=b"}}, ["a", "b"], id="several"
        ),
        pytest.param({"header": "S-*"}, {"headers": {"S-1": "x", "S-2": "y", "S-4": "z"}}, ["x", "y"], id="numbered"),
        pytest.param({"query": "q"}, {"path": "/?q=a%20b&q=c"}, ["a b", "c"], id="parameters"),
        pytest.param({"json": "a.b"}, {"body": b'{"a":{"b":"x"}}'}, ["x"], id="a member"),
        pytest.param({"json": "a.b"}, {"body": b"{}"}, [], id="no member"),
    ],
)
def test_values(place, given, found):
    assert values(place, **given) == found


def test_no_more_than_can_be_tried():
    assert len(values({"header": "S", "split": ","}, {"S": "x," * 5000})) == MOST_VALUES


@given(st.binary(max_size=64), st.sampled_from(["hex", "base64", "base64url"]))
def test_what_is_written_is_read(data, encoding):
    assert decoder(encoding)(encoder(encoding)(data)) == data


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("hex", "0"),
        ("hex", "0g"),
        ("hex", "00 00"),
        ("base64", "YQ"),
        ("base64", "Y Q=="),
        ("base64", "YQ==x"),
        ("hex", "é"),
    ],
)
def test_what_is_not_written_so(encoding, text):
    with pytest.raises(ValueError):
        decoder(encoding)(text)
