"""The keys match, rewrite, redirect, split and override: shorthands, refusals, and that what is accepted compiles."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.config.routing import (
    Match,
    Override,
    Overrides,
    PathMatch,
    Redirect,
    Rewrite,
    Share,
    Split,
    StickyKey,
    ValueMatch,
    doubts,
    mistakes,
)
from gateway.route import RouteTable, compile_redirect, compile_rewrite, policy_of


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        pytest.param("/orders", "exact", id="plain"),
        pytest.param("/orders/", "prefix", id="ends in a slash"),
        pytest.param("/", "prefix", id="the root"),
        pytest.param("/users/{id}", "template", id="with a parameter"),
        pytest.param("/users/{id}/", "prefix", id="with a parameter and a slash"),
        pytest.param({"exact": "/orders/"}, "exact", id="said"),
        pytest.param({"regex": "/v[0-9]"}, "regex", id="a regular expression"),
    ],
)
def test_a_path_is_read_by_its_look(value, kind):
    assert PathMatch.model_validate(value).kind == kind


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("x", {"exact": "x"}, id="text"),
        pytest.param(5, {"exact": "5"}, id="a number"),
        pytest.param(1.5, {"exact": "1.5"}, id="a fraction"),
        pytest.param(True, {"exact": "true"}, id="a truth value"),
        pytest.param({"present": False}, {"present": False}, id="absent"),
    ],
)
def test_a_value_in_short(value, expected):
    assert ValueMatch.model_validate(value).model_dump(exclude_none=True) == expected


def test_one_or_many():
    match = Match.model_validate({"host": "a.example", "path": "/a", "methods": "get"})
    assert (match.host, match.path, match.methods) == (("a.example",), (PathMatch(exact="/a"),), ("GET",))
    overrides = TypeAdapter(Overrides).validate_python({"header": "X", "upstream": "a"})
    assert overrides == (Override(header="X", upstream="a"),)


@pytest.mark.parametrize(
    ("model", "value", "location", "expected"),
    [
        pytest.param(Match, {"path": "orders"}, ("path", 0), "begins with /", id="a path without slash"),
        pytest.param(Match, {"path": ["/a", "/*"]}, ("path", 1), "prefix", id="the second of a list"),
        pytest.param(Match, {"path": {}}, ("path", 0), "exactly one", id="no kind of path"),
        pytest.param(Match, {"path": {"exact": "/a", "regex": "/b"}}, ("path", 0), "exactly one", id="two kinds"),
        pytest.param(Match, {"path": {"exact": "a"}}, ("path", 0, "exact"), "begins with /", id="inside the mapping"),
        pytest.param(Match, {"path": 5}, ("path", 0), "valid", id="a number for a path"),
        pytest.param(Match, {"paths": "/a"}, ("paths",), "not permitted", id="an unknown key"),
        pytest.param(Match, {"path": "/a%2Fb"}, (), "encoded_slash", id="an encoded slash that is refused"),
        pytest.param(Match, {"path": "/a;b"}, (), "path_parameters", id="a semicolon that is refused"),
        pytest.param(Match, {"headers": {"X": {}}}, ("headers", "X"), "exactly one", id="nothing asked of a header"),
        pytest.param(Match, {"headers": {"X": "1", "x": "2"}}, ("headers",), "once", id="a header twice"),
        pytest.param(Match, {"headers": {"X": {"regex": "("}}}, ("headers", "X", "regex"), "regular", id="a bad regex"),
        pytest.param(Match, {"host": "a:80"}, ("host", 0), "port", id="a host with port"),
        pytest.param(Rewrite, {"path": "/a", "add_prefix": "/b"}, (), "either", id="path and prefix"),
        pytest.param(Rewrite, {"strip_prefix": "a"}, ("strip_prefix",), "begins with /", id="a prefix without slash"),
        pytest.param(Redirect, {}, (), "at least one", id="a redirect to nowhere"),
        pytest.param(Redirect, {"to": "https://a/", "host": "b"}, (), "either", id="two hosts"),
        pytest.param(Redirect, {"host": "*.a"}, (), "wildcard", id="a wildcard to go to"),
        pytest.param(Redirect, {"to": "/", "status": 200}, ("status",), "301", id="a status that is none"),
        pytest.param(Override, {"upstream": "a"}, (), "exactly one", id="an override by nothing"),
        pytest.param(Override, {"header": "A", "cookie": "b", "upstream": "a"}, (), "exactly one", id="by two things"),
        pytest.param(Share, {"upstream": "a", "weight": -1}, ("weight",), "0", id="a negative weight"),
    ],
)
def test_refuses(model, value, location, expected):
    with pytest.raises(ValidationError) as caught:
        model.model_validate(value)
    assert any(error["loc"] == location and expected in error["msg"] for error in caught.value.errors())


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        pytest.param([("a", 0), ("b", 0)], "above 0", id="no weight at all"),
        pytest.param([("a", 1), ("a", 2)], "once", id="an upstream twice"),
    ],
)
def test_a_split_that_cannot_be(shares, expected):
    with pytest.raises(ValidationError, match=expected):
        TypeAdapter(Split).validate_python([{"upstream": name, "weight": weight} for name, weight in shares])


@pytest.mark.parametrize(
    ("value", "good"),
    [
        pytest.param("client_ip", True, id="address"),
        pytest.param("header:X-User", True, id="header"),
        pytest.param("cookie:session", True, id="cookie"),
        pytest.param("header:", False, id="no name"),
        pytest.param("header:a b", False, id="a name that is none"),
        pytest.param("ip", False, id="another word"),
    ],
)
def test_sticky(value, good):
    try:
        assert TypeAdapter(StickyKey).validate_python(value) == value
    except ValidationError:
        assert not good
    else:
        assert good


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param(
            {"match": {"path": "/u/{id}"}, "rewrite": {"path": "/v/{id}"}}, [], id="a parameter that is there"
        ),
        pytest.param(
            {"match": {"path": "/u/{id}"}, "rewrite": {"path": "/v/{uid}"}}, [("rewrite", "path")], id="that is not"
        ),
        pytest.param(
            {"match": {"path": ["/u/{id}", "/w"]}, "rewrite": {"path": "/v/{id}"}},
            [("rewrite", "path")],
            id="in one pattern only",
        ),
        pytest.param({"match": {"path": {"regex": "/(?P<a>b)"}}, "redirect": {"to": "/{a}"}}, [], id="a regex group"),
        pytest.param({"match": {}, "redirect": {"to": "/{a}"}}, [("redirect", "to")], id="without any path"),
        pytest.param({"match": {"path": "/orders/"}, "rewrite": {"strip_prefix": "/orders"}}, [], id="its own prefix"),
        pytest.param(
            {"match": {"path": "/orders/"}, "rewrite": {"strip_prefix": "/order"}},
            [("rewrite", "strip_prefix")],
            id="a prefix that no request has",
        ),
        pytest.param({"match": {"path": "/a"}, "rewrite": {"strip_prefix": "/a/"}}, [], id="the whole path"),
        pytest.param({"match": {}, "rewrite": {"strip_prefix": "/a"}}, [], id="any path may have it"),
        pytest.param({"match": {"path": "/"}, "rewrite": {"strip_prefix": "/a"}}, [], id="so may one below /"),
        pytest.param({"match": {"path": "/{x}/b"}, "rewrite": {"strip_prefix": "/a"}}, [], id="a parameter may be it"),
        pytest.param(
            {"match": {"path": "/f/{r...}"}, "rewrite": {"strip_prefix": "/f/a"}}, [], id="the rest may be it"
        ),
        pytest.param(
            {"match": {"path": "/a"}, "rewrite": {"strip_prefix": "/a/b"}},
            [("rewrite", "strip_prefix")],
            id="a prefix longer than the path",
        ),
    ],
)
def test_mistakes_between_keys(keys, expected):
    match = Match.model_validate(keys["match"])
    rewrite = Rewrite(**keys["rewrite"]) if "rewrite" in keys else None
    redirect = Redirect(**keys["redirect"]) if "redirect" in keys else None
    assert [location for location, _ in mistakes(match, rewrite, redirect)] == expected


def test_a_slow_regex_is_doubted():
    match = Match.model_validate(
        {"path": ["/a", {"regex": "/(a+)+"}], "headers": {"X": {"regex": "(a*)*"}}, "query": {"q": {"regex": "a+"}}}
    )
    assert [location for location, _ in doubts(match)] == [("path", 1, "regex"), ("headers", "X", "regex")]


def test_every_field_is_described():
    for model in (Match, PathMatch, ValueMatch, Rewrite, Redirect, Share, Override):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


def test_the_schema_takes_the_shorthands():
    schema = Match.model_json_schema()
    path = schema["properties"]["path"]["anyOf"]
    assert path[0] == path[1]["items"]
    assert schema["$defs"]["PathMatch"]["anyOf"][0]["type"] == "string"
    assert "number" in schema["$defs"]["ValueMatch"]["anyOf"][0]["type"]


PIECES = "/ / / a b .. . ; : %2F %2f %5C %25 %2e %41 %C3%A9 %E9 %00 % é { } {id} {rest...} * ? # | \\ ~ 2F 2e"
TEXT = st.lists(st.sampled_from([*PIECES.split(), " ", "\n", "\ud800"]), max_size=7).map(lambda p: "/" + "".join(p))
KEYS = st.one_of(TEXT, st.tuples(st.sampled_from(PathMatch.kinds), TEXT).map(lambda pair: dict([pair])))


@settings(max_examples=200)
@given(path=KEYS, slash=st.sampled_from(["refuse", "keep"]), parameters=st.sampled_from(["refuse", "keep"]))
def test_a_match_that_is_accepted_compiles(path, slash, parameters):
    try:
        match = Match.model_validate({"path": path, "encoded_slash": slash, "path_parameters": parameters})
    except ValidationError:
        return
    table = RouteTable([(0, match)])
    rule = table.rules[0]
    if rule.pattern.exact is not None:
        assert table.find("h", table.normalize(match.path[0].text), "GET", None).route == 0


@settings(max_examples=200)
@given(text=TEXT)
def test_a_rewrite_or_redirect_that_is_accepted_compiles(text):
    for model, key in ((Rewrite, "strip_prefix"), (Rewrite, "add_prefix"), (Rewrite, "path"), (Redirect, "to")):
        try:
            accepted = model.model_validate({key: text})
        except ValidationError:
            continue
        if isinstance(accepted, Rewrite):
            compile_rewrite(accepted, policy_of(Match()))
        else:
            compile_redirect(accepted, policy_of(Match()))
