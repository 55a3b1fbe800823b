"""Which processors a line goes through."""

from __future__ import annotations

import sys

import pytest

from gateway.config import load_text
from gateway.plugin import Plugin, Settings
from gateway.runtime import log_processors, masking_of, processors_of
from gateway.testing import running


class Same:
    """Equal to all of its kind."""

    def __call__(self, line):
        return line

    def __eq__(self, other):
        return isinstance(other, Same)

    def __hash__(self):
        return 1


class Alike(Plugin[Settings]):
    def log_processor(self):
        return Same()


class Own(Plugin[Settings]):
    def log_processor(self):
        return self.mark

    def mark(self, line):
        return {**line, "by": self.context.route}


class Tries(Own):
    on_attempt = True


CONFIG = """
defaults: {plugins: [{plugin: "marking:Alike"}], masking: off}
upstreams:
  app: {targets: ["http://127.0.0.1:1"], attempt: [{plugin: "marking:Tries"}]}
routes:
  - {name: a, match: {path: /a/}, upstream: app}
  - {name: b, match: {path: /b/}, upstream: app, plugins: [{plugin: "marking:Own"}]}
  - {name: c, match: {path: /c/}, upstream: app, without: [Alike]}
"""


@pytest.fixture(autouse=True)
def plugins(monkeypatch):
    monkeypatch.setitem(sys.modules, "marking", sys.modules[__name__])


async def test_a_route_has_its_own_and_the_rest_goes_through_all_once():
    async with running(CONFIG.replace("[Alike]", '["marking:Alike"]')) as gateway:
        everywhere, of_routes = log_processors(gateway.runtime)
    told = {
        name: [each({}).get("by", "alike") if not isinstance(each, Same) else "alike" for each in processors]
        for name, processors in {"everywhere": everywhere, **of_routes}.items()
    }
    assert {name: sorted(each) for name, each in told.items()} == {
        "everywhere": ["alike", "b", "upstream:app"],
        "a": ["alike", "upstream:app"],
        "b": ["alike", "b", "upstream:app"],
        "c": ["upstream:app"],
    }


async def test_without_a_runtime_it_is_the_same():
    text = CONFIG.replace("[Alike]", '["marking:Alike"]')
    async with running(text) as gateway:
        live = log_processors(gateway.runtime)
    built = processors_of(load_text(text).config)
    told = [
        [len(everywhere), {name: [type(each) for each in every] for name, every in of_routes.items()}]
        for everywhere, of_routes in (live, built)
    ]
    assert told[0] == told[1]


def test_a_command_can_mask_what_it_shows():
    masking = masking_of(load_text(CONFIG.replace("[Alike]", '["marking:Alike"]')).config)
    assert masking.line({}, "b") == {"by": "b"}
    assert masking.line({}, "c") == {"by": "upstream:app"}
    assert masking.fields([("Authorization", "x")], "c") == [("Authorization", "[secret]")]


async def test_the_runtime_in_force_fills_what_plugins_and_services_hold():
    async with running(CONFIG.replace("[Alike]", '["marking:Alike"]')) as gateway:
        masking = gateway.services.masking
        assert next(iter(gateway.runtime.instances.values())).plugin.context.masking is masking
        assert masking.processors("b") == log_processors(gateway.runtime)[1]["b"]


ROUTES = """
routes:
  - {name: a, match: {path: /a/}, plugins: [{plugin: respond}]}
  - {name: b, match: {path: /b/}, plugins: [{plugin: pii_masking, with: {countries: []}}, {plugin: respond}]}
  - {name: c, match: {path: /c/}, plugins: [{plugin: pii_masking, mode: off}, {plugin: respond}]}
"""


@pytest.mark.parametrize(
    ("defaults", "counts"),
    [
        pytest.param("", {"a": 1, "b": 1, "c": 0, None: 2}, id="without a word"),
        pytest.param("defaults: {masking: off}", {"a": 0, "b": 1, "c": 0, None: 1}, id="off"),
        pytest.param("defaults: {plugins: [{plugin: pii_masking}]}", {"a": 1, "b": 2, "c": 1, None: 2}, id="by name"),
        pytest.param("defaults: {plugins: [{plugin: pii_masking, mode: off}]}", {"a": 0, "b": 1, None: 1}, id="not"),
        pytest.param("defaults: {plugins: [{plugin: headers}]}", {"a": 1, "c": 0}, id="other defaults"),
    ],
)
def test_masking_is_built_in_where_nothing_is_said_of_it(defaults, counts):
    masking = masking_of(load_text(defaults + ROUTES).config)
    assert {route: len(masking.processors(route)) for route in counts} == counts


def test_a_route_may_be_without_what_is_built_in():
    text = ROUTES.replace("path: /a/}", "path: /a/}, without: [pii_masking]")
    assert masking_of(load_text(text).config).processors("a") == ()


async def test_what_is_built_in_masks_the_lines_of_a_running_gateway():
    async with running(ROUTES) as gateway:
        masking = gateway.services.masking
        line = {"msg": "mail from ada@shop.example", "client": "203.0.113.9"}
        assert masking.line(dict(line), "a") == {"msg": "mail from [email]", "client": "203.0.113.0"}
        assert masking.line(dict(line), "c") == line
        assert masking.line(dict(line))["msg"] == "mail from [email]"
