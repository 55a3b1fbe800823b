"""Several files become one."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.merge import merge
from gateway.plugin.document import plain
from gateway.plugin.yaml import compose


def merged(*texts: str) -> Any:
    roots = [compose(text, f"{number}.yaml").root for number, text in enumerate(texts)]
    result = roots[0]
    for root in roots[1:]:
        result = merge(result, root)
    return result


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param(["a: 1", "b: 2"], {"a": 1, "b": 2}, id="keys come together"),
        pytest.param(["a: 1", "a: 2"], {"a": 2}, id="the later wins"),
        pytest.param(["a: 1", "a: 2", "a: 3"], {"a": 3}, id="the last of three wins"),
        pytest.param(["a: {b: {c: 1, d: 2}}", "a: {b: {d: 3}}"], {"a": {"b": {"c": 1, "d": 3}}}, id="at every depth"),
        pytest.param(["a: {b: 1, c: 2}", "a: {b: }"], {"a": {"c": 2}}, id="nothing takes a key out"),
        pytest.param(["a: {b: 1}", "a: off"], {"a": "off"}, id="a word replaces a mapping"),
        pytest.param(["a: off", "a: {b: 1}"], {"a": {"b": 1}}, id="a mapping replaces a word"),
        pytest.param(["a: [1, 2]", "a: [3]"], {"a": [3]}, id="a list is replaced"),
        pytest.param(
            ["routes: [{name: a, x: 1, p: [1]}, {name: b}]", "routes: [{name: c}, {name: a, y: 2, p: [2]}]"],
            {"routes": [{"name": "a", "x": 1, "y": 2, "p": [2]}, {"name": "b"}, {"name": "c"}]},
            id="routes are merged by name, in the place of the first; new ones follow",
        ),
        pytest.param(
            ["routes: [{name: a, x: 1}]", "routes: [{name: a, x: null}]"],
            {"routes": [{"name": "a"}]},
            id="a route loses a key",
        ),
        pytest.param(
            ["routes: [{x: 1}]", "routes: [{x: 2}]"],
            {"routes": [{"x": 1}, {"x": 2}]},
            id="routes without a name stay apart",
        ),
        pytest.param(
            ["a: {routes: [{name: a}]}", "a: {routes: [{name: b}]}"],
            {"a": {"routes": [{"name": "b"}]}},
            id="only the routes at the top are merged by name",
        ),
        pytest.param(["routes: [{name: a}]", "routes: off"], {"routes": "off"}, id="routes that are no list"),
        pytest.param(["a: {file: x}", "a: {file: y}"], {"a": {"file": "y"}}, id="a reference to a file"),
    ],
)
def test_merged(texts: list[str], expected: Any):
    assert plain(merged(*texts)) == expected


def test_each_value_keeps_its_place():
    root = merged("a: {b: 1, c: 2}\nroutes:\n  - {name: r, x: 1}", "\na: {b: 3}\nroutes: [{name: r, y: 2}]")
    a = root.step("a")
    assert [str(a.step(key).position) for key in "bc"] == ["1.yaml:2:8", "0.yaml:1:14"]
    assert [str(a.keys[key]) for key in "bc"] == ["1.yaml:2:5", "0.yaml:1:11"]
    route = root.step("routes").step(0)
    assert [str(route.step(key).position) for key in "xy"] == ["0.yaml:3:18", "1.yaml:3:23"]


def test_the_files_themselves_are_left_as_they_are():
    one, other = compose("a: {b: 1}", "0").root, compose("a: {c: 2}", "1").root
    merge(one, other)
    assert (plain(one), plain(other)) == ({"a": {"b": 1}}, {"a": {"c": 2}})
