"""Every style of every place, as the table in OpenAPI §4.8.12.4 writes them."""

import pytest

from gateway.plugin.openapi import Misspelt, Parameter, decode_pairs, decode_text, pairs_of, shape_of

TEXT, LIST = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
COLOR = {"type": "object", "properties": {name: {"type": "integer"} for name in "RGB"}}
COLORS, RGB = ["blue", "black", "brown"], {"R": 100, "G": 200, "B": 150}


@pytest.mark.parametrize(
    ("style", "explode", "schema", "raw", "value"),
    [
        ("matrix", False, TEXT, ";color=blue", "blue"),
        ("matrix", False, LIST, ";color=blue,black,brown", COLORS),
        ("matrix", False, COLOR, ";color=R,100,G,200,B,150", RGB),
        ("matrix", True, LIST, ";color=blue;color=black;color=brown", COLORS),
        ("matrix", True, COLOR, ";R=100;G=200;B=150", RGB),
        ("label", False, TEXT, ".blue", "blue"),
        ("label", False, LIST, ".blue,black,brown", COLORS),
        ("label", True, LIST, ".blue.black.brown", COLORS),
        ("label", False, COLOR, ".R,100,G,200,B,150", RGB),
        ("label", True, COLOR, ".R=100.G=200.B=150", RGB),
        ("simple", False, TEXT, "bl%2Cue", "bl,ue"),
        ("simple", False, LIST, "blue,black,brown", COLORS),
        ("simple", False, COLOR, "R,100,G,200,B,150", RGB),
        ("simple", True, COLOR, "R=100,G=200,B=150", RGB),
        ("simple", False, LIST, "a%2Cb,c", ["a,b", "c"]),
    ],
)
def test_paths(style, explode, schema, raw, value):
    parameter = Parameter("color", "path", True, style, explode, schema)
    assert decode_text(parameter, shape_of({}, schema), raw)[0] == value


@pytest.mark.parametrize(
    ("style", "explode", "schema", "query", "value"),
    [
        ("form", True, TEXT, "color=blue", "blue"),
        ("form", True, LIST, "color=blue&color=black&x=1&color=brown", COLORS),
        ("form", False, LIST, "color=blue,black,brown", COLORS),
        ("form", True, COLOR, "R=100&G=200&B=150", RGB),
        ("form", False, COLOR, "color=R,100,G,200,B,150", RGB),
        ("spaceDelimited", False, LIST, "color=blue%20black+brown", COLORS),
        ("pipeDelimited", False, LIST, "color=blue|black%7Cbrown", COLORS),
        ("deepObject", True, COLOR, "color[R]=100&color%5BG%5D=200&color[B]=150", RGB),
        ("deepObject", True, {"type": "array", "items": COLOR}, "color[0][R]=1&color[1][G]=2", [{"R": 1}, {"G": 2}]),
        ("form", True, TEXT, "color=a+b%2B", "a b+"),
        ("form", True, LIST, "x=1", None),
    ],
)
def test_queries(style, explode, schema, query, value):
    parameter = Parameter("color", "query", False, style, explode, schema)
    found = decode_pairs(parameter, shape_of({}, schema), pairs_of(query))
    assert (found and found[0]) == value


@pytest.mark.parametrize(
    ("style", "schema", "query"),
    [
        pytest.param("form", TEXT, "color=1&color=2", id="twice"),
        pytest.param("deepObject", COLOR, "color=1&color[R]=2", id="a value and an object"),
        pytest.param("deepObject", COLOR, "color[R]=1&color[R][x]=2", id="a value and an object inside"),
        pytest.param("deepObject", COLOR, "color" + "[a]" * 9 + "=1", id="too deep"),
        pytest.param("form", TEXT, "&".join(["a=1"] * 1001), id="too many"),
    ],
)
def test_misspelt(style, schema, query):
    parameter = Parameter("color", "query", False, style, True, schema)
    with pytest.raises(Misspelt):
        decode_pairs(parameter, shape_of({}, schema), pairs_of(query))


@pytest.mark.parametrize(
    ("style", "raw"), [("label", "blue"), ("matrix", "blue"), ("matrix", ";other=1"), ("matrix", ";color=1;color=2")]
)
def test_misspelt_paths(style, raw):
    with pytest.raises(Misspelt):
        decode_text(Parameter("color", "path", True, style, False, TEXT), shape_of({}, TEXT), raw)
