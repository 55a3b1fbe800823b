"""The JSON Schema of a configuration file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from gateway import registry
from gateway.config.schema import generated, schema, write_generated
from gateway.plugin.document import plain
from gateway.plugin.yaml import compose


@pytest.fixture(scope="module")
def validator() -> Any:
    return jsonschema_rs.Draft202012Validator(schema())


def accepts(validator: Any, text: str) -> bool:
    return bool(validator.is_valid(plain(compose(text, "g").root)))


ROUTE = "routes:\n  - {name: a, upstream: a"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("upstreams: {a: {targets: ['http://h:1']}}\n" + ROUTE + "}", id="the least"),
        pytest.param(
            "workers: ${WORKERS}\nlimits: {head: '${HEAD}', connections: '${C:-5}'}",
            id="variables where numbers belong",
        ),
        pytest.param("defaults:\nlimits:\nx-mine: {a: [1]}", id="empty sections, own keys"),
        pytest.param("admin: off\naccess_log: off\nworkers: auto", id="words"),
        pytest.param(
            "upstreams: {a: {targets: [{url: 'http://h', weight: 2}], retry: off, health: {passive: off}}}", id="off"
        ),
        pytest.param(
            "upstreams: {a: {targets: ['http://h'], balance: {consistent_hash: {header: X}}, timeout: {total: off}}}",
            id="forms of balance",
        ),
        pytest.param(
            ROUTE + ", plugins: [{plugin: size_limit, with: {json: 10KB}, mode: shadow}, {any: [{plugin: x}]}]}",
            id="plugins",
        ),
        pytest.param(
            ROUTE + ", plugins: [{plugin: size_limit, with: }, {plugin: 'acme:Audit', with: {any: thing}}]}",
            id="plugins from elsewhere",
        ),
        pytest.param(
            ROUTE + ", match: {path: /a/}}\n  - {name: b, match: {path: [/a, {regex: x}], host: [a, b]}}",
            id="forms of match",
        ),
        pytest.param("stores: {shared: 'redis://h', durable: 'sqlite:///x'}", id="stores"),
        pytest.param("errors: {html: {file: x.html}, messages: {file: m.yaml}}", id="files"),
    ],
)
def test_accepted(validator: Any, text: str):
    assert [str(error) for error in validator.iter_errors(plain(compose(text, "g").root))] == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("worker: 2", id="an unknown key"),
        pytest.param("workers: many", id="a word that is none"),
        pytest.param("limits: {head: 5}", id="a duration without a unit"),
        pytest.param("limits: {url: 5}", id="a size without a unit"),
        pytest.param("upstreams: {a: {}}", id="an upstream without targets"),
        pytest.param("upstreams: {a: {targets: []}}", id="an upstream with no target"),
        pytest.param("upstreams: {'a b': {targets: ['http://h']}}", id="a name with a blank"),
        pytest.param(ROUTE + ", plugins: [{plugin: size_limit, with: {jsn: 1KB}}]}", id="an unknown setting"),
        pytest.param(ROUTE + ", plugins: [{plugin: size_limit, with: {json: [1]}}]}", id="a wrong setting"),
        pytest.param(
            ROUTE + ", plugins: [{plugin: headers, with: {request: {sets: {}}}}]}", id="a wrong setting deep down"
        ),
        pytest.param(ROUTE + ", plugins: [{with: {}}]}", id="no plugin"),
        pytest.param(ROUTE + ", plugins: [{plugin: size_limit, mode: on}]}", id="a mode that is none"),
    ],
)
def test_refused(validator: Any, text: str):
    assert not accepts(validator, text)


def test_every_plugin_is_there():
    definitions = schema()["$defs"]
    assert {name for name in definitions if name.startswith("plugin.") and name.count(".") == 1} == {
        f"plugin.{name}" for name in registry.bundled()
    }


def test_every_reference_leads_somewhere():
    made = schema()

    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*map(references, value.values()))
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    assert {name.removeprefix("#/$defs/") for name in references(made)} <= set(made["$defs"])


def test_every_key_says_what_it_means():
    def silent(value: Any, path: str) -> list[str]:
        found = []
        for key, inner in value.get("properties", {}).items():
            described = "description" in inner or any(
                "$ref" in one or "description" in one for one in (inner, *inner.get("anyOf", ()))
            )
            found += [] if described else [f"{path}.{key}"]
        for form in value.get("anyOf", ()):
            found += silent(form, path)
        return found

    made = schema()
    ours = {name: item for name, item in made["$defs"].items() if not name.startswith("plugin.")}
    assert [key for name, item in {"": made, **ours}.items() for key in silent(item, name)] == []


def test_it_is_the_same_each_time():
    assert generated() == generated()


def test_writing_tells_what_changed(tmp_path: Path):
    assert {path.relative_to(tmp_path).as_posix() for path in write_generated(tmp_path)} == set(generated())
    assert write_generated(tmp_path) == []
    (tmp_path / "config/schema.json").write_text("{}")
    assert [path.name for path in write_generated(tmp_path)] == ["schema.json"]
    assert json.loads((tmp_path / "config/schema.json").read_text())["title"] == "Sidegate configuration"
