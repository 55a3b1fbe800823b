"""Upstreams that plugins' settings name are found wherever they stand."""

from collections.abc import Mapping

import pytest
from pydantic import Field, ValidationError

from gateway.plugin import Settings
from gateway.plugin.upstream import UpstreamName, upstreams_in


class Inner(Settings):
    to: UpstreamName | None = None


class Outer(Settings):
    plain: str = "orders"
    from_: UpstreamName = Field(default=UpstreamName("a"), alias="from")
    rows: tuple[Inner, ...] = ()
    named: Mapping[str, UpstreamName] = {}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param({}, {("from",): "a"}, id="by its key in YAML"),
        pytest.param({"from": "b"}, {("from",): "b"}, id="as given"),
        pytest.param({"rows": [{}, {"to": "c"}]}, {("from",): "a", ("rows", 1, "to"): "c"}, id="in a list"),
        pytest.param({"named": {"x": "d"}}, {("from",): "a", ("named", "x"): "d"}, id="in a mapping"),
    ],
)
def test_upstreams_in(given, found):
    assert dict(upstreams_in(Outer.model_validate(given))) == found


@pytest.mark.parametrize("name", ["", "a b", "-a", 5, None])
def test_what_cannot_be_a_name(name):
    with pytest.raises(ValidationError):
        Outer.model_validate({"from": name})


def test_it_is_text_in_the_schema():
    assert Outer.model_json_schema()["properties"]["from"]["type"] == "string"
