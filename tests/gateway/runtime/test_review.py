"""What only shows when routes and chains are looked at together."""

from __future__ import annotations

import pytest

from gateway.config import ConfigurationError, Severity, load_text
from gateway.plugin.tree import Problem
from gateway.runtime.review import entries_of, findings

HEAD = """\
upstreams: {a: {targets: ["http://10.0.0.1"]}}
defaults: {plugins: [{plugin: headers}]}
routes:
"""


def problems(text: str) -> list[Problem]:
    try:
        return list(load_text(HEAD + text, {}, review=findings).problems)
    except ConfigurationError as error:
        return list(error.problems)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("- {name: r, upstream: a, plugins: [{plugin: size_limit}]}\n", [], id="nothing"),
        pytest.param(
            "- {name: r, upstream: a, plugins: [{plugin: audit}, {plugin: audit, id: more}]}\n"
            "audit: {path: /tmp/audit, key: 0123456789abcdef}\n",
            [("4:53", Severity.WARNING, "routes[0].plugins[1]", "recorded twice")],
            id="two that record every request",
        ),
        pytest.param(
            "- {name: r, upstream: a, plugins: [{plugin: audit}, {plugin: audit, id: m, when: {methods: [PUT]}}]}\n"
            "audit: {path: /tmp/audit, key: 0123456789abcdef}\n",
            [],
            id="two that share them",
        ),
        pytest.param(
            "- {name: r, upstream: a}\n- {name: s, upstream: a}\n",
            [("5:3", Severity.WARNING, "routes[1]", "all that it matches go to 'r' before")],
            id="a route that nothing reaches",
        ),
        pytest.param(
            "- {name: r, upstream: a, plugins: [{plugin: respond}, {plugin: size_limit}]}\n",
            [("4:36", Severity.ERROR, "routes[0].plugins[0]", "what follows it can never run: size_limit")],
            id="a plugin behind one that answers",
        ),
        pytest.param(
            "- {name: r, upstream: a, plugins: [{plugin: respond, when: {path: /x}}, {plugin: size_limit}]}\n",
            [],
            id="one that answers some requests only ends nothing",
        ),
        pytest.param(
            "- {name: r, upstream: a, plugins: [{plugin: respond, mode: off}, {plugin: size_limit}]}\n",
            [],
            id="one that is off ends nothing",
        ),
        pytest.param(
            "- {name: r, upstream: a, plugins: [{plugin: size_limit}, {plugin: headers, id: late}]}\n",
            [("4:58", Severity.WARNING, "routes[0].plugins[1]", "late (dress) stands inside size_limit (limit)")],
            id="an order that is seldom meant",
        ),
        pytest.param(
            "- {name: r, upstream: a, match: {path: {regex: /(a+)+}}}\n",
            [("4:48", Severity.WARNING, "routes[0].match.path[0].regex", "repeats what repeats")],
            id="a regular expression that may take for ever",
        ),
        pytest.param(
            "- {name: bad, upstream: nowhere}\n- {name: r, upstream: a}\n- {name: s, upstream: a}\n",
            [
                ("4:25", Severity.ERROR, "routes[0].upstream", "no upstream is called 'nowhere'"),
                ("5:3", Severity.WARNING, "routes[1]", "go to 'bad' before"),
                ("6:3", Severity.WARNING, "routes[2]", "go to 'bad' before"),
            ],
            id="beside other mistakes, and in the order of the lines",
        ),
    ],
)
def test_findings(text: str, told: list[tuple[str, Severity, str, str]]):
    found = problems(text)
    assert [(f"{each.position.line}:{each.position.column}", each.severity, each.path) for each in found] == [
        each[:3] for each in told
    ]
    for problem, (*_, words) in zip(found, told, strict=True):
        assert words in problem.message


def test_a_defaults_mistake_is_told_once():
    text = "upstreams: {a: {targets: ['http://10.0.0.1']}}\ndefaults: {plugins: [{plugin: respond}]}\nroutes:\n"
    text += "".join(
        f"- {{name: r{n}, match: {{path: /{n}}}, upstream: a, plugins: [{{plugin: headers}}]}}\n" for n in range(3)
    )
    with pytest.raises(ConfigurationError) as refused:
        load_text(text, {}, review=findings)
    assert [problem.path for problem in refused.value.problems] == ["defaults.plugins[0]"]


def test_entries_of_tells_where_each_stands():
    loaded = load_text(
        HEAD + "- {name: r, upstream: a, plugins: [{plugin: size_limit, mode: off}, {plugin: size_limit}]}\n", {}
    )
    placed = entries_of(loaded.config, loaded.config.routes[0], 0)
    assert [path for path, _ in placed] == [("defaults", "plugins", 0), ("routes", 0, "plugins", 1)]


def test_what_does_nothing_to_exchanges_may_stand_anywhere():
    text = "routes: [{name: a, plugins: [{plugin: respond}, {plugin: pii_masking}]}]"
    assert load_text(text, review=findings).problems == ()
