"""Whatever a person can write ends in a configuration or in mistakes with their places: never in another exception."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.config import ConfigurationError, Severity, dump_masked, load, load_text
from gateway.config.model import Config
from gateway.plugin.yaml import compose

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "gateway.yaml").read_text()
ENVIRON = {"SET": "value", "NUMBER": "3", "EMPTY": "", "YAML": "{a: [b", "REDIS_URL": "redis://u:hunter2@h"}


def keys(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from keys(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from keys(value)


KEYS = sorted({*keys(json.loads((ROOT / "config" / "schema.json").read_text())), "file", "with", "x-mine", "orders"})
WORDS = [
    *(
        "off",
        "auto",
        "heartbeat",
        "demo",
        "round_robin",
        "size_limit",
        "headers",
        "enforce",
        "shadow",
        "GET",
        "/",
        "/a/{b}",
    ),
    *("http://127.0.0.1:9000", "unix:/run/x", "127.0.0.1:0", "redis://h", "10.0.0.0/8", "2s", "1MB", "20%", "2xx", "*"),
    *(
        "${SET}",
        "${NUMBER}",
        "${EMPTY}",
        "${UNSET}",
        "${UNSET:-off}",
        "${YAML}",
        "$${SET}",
        "${",
        "${9}",
        "{file: x}",
        "99999999999d",
    ),
    *(
        "http://[::1]:x",
        "https://user:hunter2@h",
        "/etc/hostname",
        "gateway.yaml",
        ".",
        "\0",
        "a:b",
        "gateway.errors:GatewayError",
        "os:path",
    ),
]
scalars = st.one_of(
    st.sampled_from(WORDS),
    st.none(),
    st.booleans(),
    st.integers(-(10**25), 10**25),
    st.integers(-2, 600),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
)
names = st.one_of(st.sampled_from(KEYS), st.text(max_size=6))
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=5)),
    max_leaves=30,
)


def judged(text: str) -> None:
    """Load it; whatever comes, it is one of two things."""
    try:
        loaded = load_text(text, ENVIRON, name="fuzz/gateway.yaml")
    except ConfigurationError as error:
        assert any(problem.severity is Severity.ERROR for problem in error.problems)
        lines = text.count("\n") + 2 + sum(text.count(other) for other in "\r\x85\u2028\u2029")
        for problem in error.problems:
            assert problem.position.file
            assert 1 <= problem.position.line <= lines
            assert problem.position.column >= 1
            assert problem.message
            assert "hunter2" not in str(problem), "a secret is shown"
    else:
        assert all(problem.severity is Severity.WARNING for problem in loaded.problems)
        shown = json.dumps(dump_masked(loaded.config))
        assert "hunter2" not in shown, "a secret is shown"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.one_of(st.sampled_from(sorted(Config.model_fields)), names), trees, max_size=6))
@example({"routes": [{"name": "a", "plugins": [{"plugin": "size_limit", "with": {"file": "x"}}]}]})
@example({"upstreams": {"file": "gateway.yaml"}})
@example({"routes": [{"name": "a", "upstream": "a", "plugins": [{"any": []}, {"any": 3}, 3, [], {}]}]})
def test_a_tree_of_known_and_unknown_keys(tree: Any):
    judged(json.dumps(tree))


def parsed() -> Any:
    def value(node: Any) -> Any:
        if isinstance(node.value, dict):
            return {key: value(inner) for key, inner in node.value.items()}
        return [value(inner) for inner in node.value] if isinstance(node.value, list) else node.value

    return value(compose(TEXT, "gateway.yaml").root)


def spots(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from spots(inner, (*path, key))


SPOTS = list(spots(parsed()))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_valid_file_with_a_few_things_changed(data: st.DataObject):
    tree = parsed()
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(SPOTS))
        around = tree
        try:
            for step in path:
                around = around[step]
            around[last]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
        if isinstance(around, str):
            continue  # an earlier change put a word there
        match data.draw(st.sampled_from(["replace", "remove", "rename", "wrap"])):
            case "replace":
                around[last] = data.draw(trees)
            case "remove":
                del around[last]
            case "rename" if isinstance(around, dict):
                around[data.draw(names)] = around.pop(last)
            case _:
                around[last] = [around[last]]
    judged(json.dumps(tree))


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-{}[],&*!|>'\"%@#?\\ \n\t0~<=$./"), max_size=60))
@example('a: "\\UFFFFFFFF"')
@example("a: &a [*a]")
@example("? [a]\n: b")
@example("? {a: b}\n: c\n*x : d")
@example("!!python/object:os.system {}")
@example("%YAML 9.9\n---\na")
@example("a: 1\n---\nb: 2")
@example("<<: {a: 1}\n<<: [{b: 2}, 3]")
@example("[" * 5000)
@example("{a: " * 1000)
@example("- " * 1000)
@example("a: 0x" + "f" * 5000)
@example("a: " + "9" * 5000)
@example("a: !!int x\nb: !!null y")
@example("\ufeffa: b")
@example("a: \x07")
@example("a: 1e99999")
@example("a: ${A:-${B}}")
def test_any_text(text: str):
    judged(text)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(TEXT)), st.integers(0, 8), st.sampled_from([*"{}[]:-,'\"\n #&*$", "  ", ""])),
        min_size=1,
        max_size=3,
    )
)
def test_a_valid_file_with_a_few_characters_changed(changes: list[tuple[int, int, str]]):
    text = TEXT
    for place, length, new in changes:
        text = text[:place] + new + text[place + length :]
    judged(text)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
@example(b"\xff\xfe")
@example(b"a: \xed\xa0\x80")
def test_any_bytes(tmp_path: Path, content: bytes):
    file = tmp_path / "gateway.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load([file], ENVIRON)
    assert caught.value.problems
    assert all(problem.position.file == str(file) for problem in caught.value.problems)


def test_a_few_lines_that_stand_for_billions_of_values():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(ConfigurationError, match="more than 2000000 values"):
        load_text("\n".join(lines), {})
