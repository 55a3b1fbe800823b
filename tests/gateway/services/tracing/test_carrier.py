"""Trace context in header fields, as others write it and as nobody should."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.services.tracing.carrier import Given, baggage_of, from_b3, tracestate_of, write_b3

T128, T64, S = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312", "0020000000000001"
PADDED = "0" * 16 + T64


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"b3": f"{T128}-{S}-1-05e3ac9a4f6e3b90"}, Given(T128, S, True), id="one field, all of it"),
        pytest.param({"b3": f"{T64}-{S}-0"}, Given(PADDED, S, False), id="an id of 64 bits is extended"),
        pytest.param({"b3": f"{T128}-{S}"}, Given(T128, S, None), id="the decision is left to us"),
        pytest.param({"b3": f"{T128}-{S}-d"}, Given(T128, S, True), id="debug means sampled"),
        pytest.param({"b3": f"{T128.upper()}-{S}-1"}, Given(T128, S, True), id="capitals are read"),
        pytest.param({"b3": "0"}, Given(None, None, False), id="a decision and no ids"),
        pytest.param({"b3": f"{'0' * 32}-{S}-1"}, None, id="a trace id of zeros"),
        pytest.param({"b3": f"{T128}-{'0' * 16}-1"}, None, id="a span id of zeros"),
        pytest.param({"b3": f"{T128}-{S}-2"}, None, id="a state there is not"),
        pytest.param({"b3": f"{T128[:20]}-{S}-1"}, None, id="an id of a length there is not"),
        pytest.param({"b3": f"{T128}-{S}-1\u0661"}, None, id="a digit that is not ASCII"),
        pytest.param(
            {"b3": "rubbish", "X-B3-TraceId": T128, "X-B3-SpanId": S}, None, id="one field goes before several"
        ),
        pytest.param(
            {"X-B3-TraceId": T64, "X-B3-SpanId": S, "X-B3-Sampled": "1"}, Given(PADDED, S, True), id="several fields"
        ),
        pytest.param(
            {"X-B3-TraceId": T128, "X-B3-SpanId": S, "X-B3-Sampled": "false"},
            Given(T128, S, False),
            id="a decision in words, as old senders write it",
        ),
        pytest.param(
            {"X-B3-TraceId": T128, "X-B3-SpanId": S, "X-B3-Flags": "1", "X-B3-Sampled": "0"},
            Given(T128, S, True),
            id="debug goes before the decision",
        ),
        pytest.param({"X-B3-Sampled": "0"}, Given(None, None, False), id="several fields, a decision only"),
        pytest.param({"X-B3-TraceId": T128}, None, id="a trace without a span"),
        pytest.param({"X-B3-TraceId": T128, "X-B3-SpanId": "xyz"}, None, id="a span id that is none"),
        pytest.param({"X-B3-Sampled": "perhaps"}, None, id="a decision that is none"),
    ],
)
def test_b3(headers, found):
    assert from_b3(CIMultiDict(headers)) == found


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(["b3", "X-B3-TraceId", "X-B3-SpanId", "X-B3-Sampled", "X-B3-Flags"]), st.text()))
def test_whatever_comes_is_nothing_or_well_formed(headers):
    found = from_b3(CIMultiDict(headers))
    if found is not None and found.trace is not None:
        assert (len(found.trace), len(found.span)) == (32, 16)
        assert int(found.trace, 16)
        assert int(found.span, 16)


@pytest.mark.parametrize("several", [False, True])
def test_what_is_written_is_read_back_and_replaces_what_the_caller_wrote(several):
    headers = CIMultiDict([("B3", "0"), ("b3", "1"), ("X-B3-TraceId", T64), ("x-b3-flags", "1"), ("Other", "stays")])
    write_b3(headers, f"00-{T128}-{S}-03".encode(), "05e3ac9a4f6e3b90", several=several)
    assert from_b3(headers) == Given(T128, S, True)
    assert headers["Other"] == "stays"
    assert len(headers) == (5 if several else 2)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        pytest.param(["tenant=acme,user=anna"], {"tenant": "acme"}, id="only what is wanted"),
        pytest.param([" tenant = acme ;prop=1 , x=y"], {"tenant": "acme"}, id="spaces and properties"),
        pytest.param(["tenant=a%20b%C3%A9"], {"tenant": "a bé"}, id="percent-encoded"),
        pytest.param(["tenant=1,tenant=2"], {"tenant": "1"}, id="the first of a key"),
        pytest.param(["x=y", "tenant=z"], {"tenant": "z"}, id="several fields"),
        pytest.param(["tenant"], {}, id="no value"),
        pytest.param(["tenant=" + "x" * 9000], {}, id="more than anybody must pass on"),
        pytest.param([",".join(["x=1"] * 64 + ["tenant=late"])], {}, id="more members than anybody must pass on"),
    ],
)
def test_baggage(values, found):
    assert baggage_of(values, frozenset({"tenant"})) == found


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        pytest.param((), "", id="none"),
        pytest.param(("a=1,b=2",), "a=1,b=2", id="one field"),
        pytest.param(("a=1", "b=2"), "a=1,b=2", id="several fields are one list"),
        pytest.param(("a=1," + "b=" + "x" * 200, "c=" + "y" * 400 + ",d=4"), "a=1,d=4", id="long members go first"),
        pytest.param(
            tuple(f"k{n:02}={'v' * 96}" for n in range(9)),
            ",".join(f"k{n:02}={'v' * 96}" for n in range(5)),
            id="then the last",
        ),
        pytest.param(("," * 100_000,), "," * 512, id="nothing but commas"),
    ],
)
def test_tracestate(values, kept):
    assert tracestate_of(values) == kept
