"""Metrics as one set, and what ops deploy over them: rules and dashboards that parse and speak of what exists.

Names follow Prometheus' conventions. Each alert was seen to fire: promtool is asked where there is one, and
SIDEGATE_TEST_PROMTOOL=required, as CI sets it, fails where there is none.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import string
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from gateway.config.measures import measures
from gateway.services.metrics import render

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("counter", "gauge", "histogram")
UNITS = ("seconds", "bytes", "ratio")
FOREIGN = ("milliseconds", "ms", "kb", "mb", "percent", "minutes", "hours", "kilobytes")


class Declared(NamedTuple):
    """A metric as the source declares it."""

    name: str
    kind: str
    help: str
    place: str


@cache
def declared() -> dict[str, Declared]:
    """Every metric that the source names beside its kind: calls such as ``metrics.counter("name", "help")`` and
    ``alone("name", "kind", …)``, families written out, and rows of tables that begin ``("name", "help.", …)``.
    """
    found: dict[str, Declared] = {}
    for path in sorted([*ROOT.glob("gateway/**/*.py"), *ROOT.glob("plugins/**/*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                texts = [each.value for each in node.args[:3] if isinstance(each, ast.Constant)]
            elif isinstance(node, ast.Tuple):
                called = "row"
                texts = [each.value for each in node.elts[:2] if isinstance(each, ast.Constant)]
            elif isinstance(node, ast.Dict):
                row = {
                    getattr(key, "value", None): getattr(value, "value", None)
                    for key, value in zip(node.keys, node.values, strict=True)
                }
                called, texts = "alone", [row.get(key) for key in ("name", "kind", "help")]
            else:
                continue
            made = _declared(called, texts, f"{path.relative_to(ROOT)}:{node.lineno}")
            if made is not None:
                found.setdefault(made.name, made)
    return found


def _declared(called: str, texts: list[object], place: str) -> Declared | None:
    name, *rest = texts or [None]
    if not isinstance(name, str) or not re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", name):
        return None
    words = [each for each in rest if isinstance(each, str)]
    if called in KINDS:
        return Declared(name, called, words[0] if words else "-", place)
    if called in ("alone", "family") and words and words[0] in KINDS:
        return Declared(name, words[0], words[1] if len(words) > 1 else "-", place)
    if called == "_info":
        return Declared(name, "gauge", words[0] if words else "-", place)
    if called == "row" and words and " " in words[0] and "_" in name and words[0].endswith("."):
        return Declared(name, "gauge", words[0], place)
    return None


def names() -> list[str]:
    return sorted(declared())


def test_the_source_was_read() -> None:
    assert {"requests_total", "request_duration_seconds", "upstream_attempts_total", "cache_memory_bytes"} <= {*names()}
    assert len(names()) > 60


@pytest.mark.parametrize("name", names())
def test_its_name_says_kind_and_unit(name: str) -> None:
    """https://prometheus.io/docs/practices/naming/: counters end in _total, base units, the unit at the end."""
    metric = declared()[name]
    assert name.endswith("_total") == (metric.kind == "counter"), metric
    assert not name.endswith(("_count", "_sum", "_bucket")), "histograms make these"
    words = name.removesuffix("_total").split("_")
    assert not {*words} & {*FOREIGN}, "seconds, bytes and ratios only"
    for unit in UNITS:
        assert unit not in words or words[-1] == unit or metric.kind == "counter", f"{unit} stands at the end"
    if metric.kind == "histogram":
        assert words[-1] in UNITS, "a histogram measures something in a unit"


@pytest.mark.parametrize("name", names())
def test_its_help_is_a_sentence(name: str) -> None:
    metric = declared()[name]
    assert metric.help == "-" or (
        metric.help[0] in string.ascii_uppercase + string.digits and metric.help.endswith((".", ":"))
    ), metric


ONE_WORD = {"by": "outcome", "why": "reason", "cause": "reason", "result": "outcome", "answer": "outcome"}
"""Labels that would say what another label says elsewhere, and that one."""


def labels() -> dict[str, set[str]]:
    """What stands as text in the labels of the metrics that the source declares by a call, by place."""
    found: dict[str, set[str]] = {}
    for path in sorted([*ROOT.glob("gateway/**/*.py"), *ROOT.glob("plugins/**/*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") not in KINDS or len(node.args) < 3:
                continue
            texts = {each.value for each in ast.walk(node.args[2]) if isinstance(each, ast.Constant)}
            found.setdefault(f"{path.relative_to(ROOT)}:{node.lineno}", set()).update(map(str, texts))
    return found


def test_labels_have_one_word_for_one_thing() -> None:
    assert len(labels()) > 40
    wrong = {place: sorted(words & {*ONE_WORD}) for place, words in labels().items() if words & {*ONE_WORD}}
    assert not wrong, "outcome: how it ended; reason: why"


# -- rules and dashboards -------------------------------------------------------------------------------------------

CONFIG = ROOT / "config"
RULES = [CONFIG / "prometheus" / "recording.yaml", CONFIG / "prometheus" / "alerts.yaml"]
CASES = sorted(Path(__file__).with_name("prometheus").glob("*.yaml"))
DASHBOARDS = sorted((CONFIG / "grafana").glob("*.json"))
_METRIC = re.compile(r"(?<![a-z_:])sidegate_[a-z0-9_]+")
_SERIES = re.compile(r"_(bucket|count|sum)$")


@cache
def rules(kind: str) -> dict[str, dict[str, Any]]:
    """By name, the rules of a kind: ``alert`` or ``record``."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return {rule[kind]: rule for group in groups for rule in group["rules"] if kind in rule}


def expressions(dashboard: Path) -> list[tuple[str, str]]:
    """Title and expression of every query of a dashboard, with its variables filled in."""
    made = json.loads(dashboard.read_text())
    return [
        (panel["title"], re.sub(r"\$(job|route)\b", ".*", target["expr"]))
        for panel in made["panels"]
        for target in panel.get("targets", ())
    ]


@cache
def cases_of_promtool() -> list[dict[str, Any]]:
    return [case for path in CASES for case in yaml.safe_load(path.read_text())["tests"]]


@pytest.fixture(scope="session")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get("SIDEGATE_TEST_PROMTOOL") == "required":
            pytest.fail("promtool is required here (Debian: apt-get install prometheus)")
        pytest.skip("there is no promtool (Debian: apt-get install prometheus)")
    return found


def ran(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_rules_and_the_configuration(promtool: str) -> None:
    ran(promtool, "check", "rules", *map(str, RULES))
    ran(promtool, "check", "config", "--syntax-only", str(CONFIG / "prometheus" / "prometheus.yaml"))


def test_promtool_takes_all_that_the_gateway_shows(promtool: str) -> None:
    """https://prometheus.io/docs/practices/naming/ as its linter has it: help, units, reserved names and labels."""
    shown: list[dict[str, Any]] = []
    for each in measures():
        bounds = [1.0] if each.kind == "histogram" else []
        value: Any = [1, 1.0, [1, 0]] if bounds else 1
        family = {"name": each.name, "kind": each.kind, "help": each.help, "labels": [*each.labels]}
        samples = [[["x"] * len(each.labels), value]]
        shown.append({**family, "rule": "sum", "bounds": bounds, "samples": samples})
    text, _ = render(shown)
    assert text.count(b"# TYPE") >= len(measures()) > 120
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_each_alert_fires_on_what_it_is_for_and_on_nothing_else(promtool: str) -> None:
    ran(promtool, "test", "rules", *map(str, CASES))


@pytest.mark.parametrize("name", rules("alert"))
def test_no_alert_is_left_out_of_the_cases(name: str) -> None:
    cases = cases_of_promtool()
    fired = {case["alertname"] for test in cases for case in test.get("alert_rule_test", ()) if case.get("exp_alerts")}
    expected = " ".join(
        sample["labels"]
        for test in cases
        for case in test.get("promql_expr_test", ())
        for sample in case.get("exp_samples", ())
    )
    assert name in fired or f'alertname="{name}"' in expected


@pytest.mark.parametrize("name", rules("alert"))
def test_an_alert_says_how_bad_it_is_what_happened_and_where_to_look(name: str) -> None:
    rule = rules("alert")[name]
    assert name.startswith("Sidegate")
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["summary"]
    assert len(rule["annotations"]["description"]) > 30


@pytest.mark.parametrize(
    ("place", "expression"),
    [
        *(pytest.param(name, rule["expr"], id=name) for name, rule in {**rules("alert"), **rules("record")}.items()),
        *(
            pytest.param(path.name, expression, id=f"{path.stem}: {title} ({number})")
            for path in DASHBOARDS
            for number, (title, expression) in enumerate(expressions(path))
        ),
    ],
)
def test_it_speaks_of_metrics_that_exist(place: str, expression: str) -> None:
    known = {f"sidegate_{name}" for name in declared()}
    recorded = rules("record")
    for metric in _METRIC.findall(re.sub(r'"[^"]*"', '""', expression)):
        assert metric in known or _SERIES.sub("", metric) in known, f"{place}: {metric}"
    for name in re.findall(r"[a-z_]+:[a-z_0-9]+:[a-z_0-9]+", expression):
        assert name in recorded, f"{place}: {name}"


def test_promtool_takes_every_expression_of_the_dashboards(promtool: str, tmp_path: Path) -> None:
    asked = [expression for path in DASHBOARDS for _, expression in expressions(path)]
    assert len(asked) > 30
    made = {"groups": [{"name": "d", "rules": [{"record": f"d{n}", "expr": each} for n, each in enumerate(asked)]}]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(made))
    ran(promtool, "check", "rules", "--lint=none", str(tmp_path / "rules.yaml"))


UNWATCHED = {
    "api_keys": "a size, asked after a change of the file",
    "api_version_requests_total": "asked before a version is taken away",
    "batch_parts_total": "parts are requests of their routes, and watched there",
    "cache_age_seconds": "asked when a lifetime is chosen",
    "cache_bytes_total": "asked for what a cache saves",
    "cache_entries": "their bytes are watched",
    "cache_fetches": "shown by the attempts under way",
    "cache_hit_ratio": "for people without rules; the panel has it from the counters",
    "compression_ratio": "the panel has it from the bytes",
    "config_last_reload_seconds": "asked when a reload seems slow",
    "connections_total": "open and refused ones are watched",
    "delivery_in_flight": "bounded by `concurrency`; what waits is watched",
    "deprecation_calls_total": "asked before a route is taken away",
    "error_reports_total": "the errors themselves are watched",
    "inbox_accepted_bytes_total": "the queue's size is watched",
    "mirror_duration_seconds": "asked when two services are compared",
    "process_gc_collections_total": "its effect is the loop's lag, which is watched",
    "process_start_time_seconds": "restarts are watched by the supervisor's count",
    "queue_swept_total": "housekeeping",
    "tenant_request_seconds_total": "asked for bills and for the largest tenants",
    "trace_spans_waiting": "those that are given up are watched",
}
"""Metrics that no alert and no panel speaks of, and why."""


def test_each_metric_is_watched_or_has_a_reason_not_to_be() -> None:
    asked = [rule["expr"] for kind in ("alert", "record") for rule in rules(kind).values()]
    for path in DASHBOARDS:
        asked += [expression for _, expression in expressions(path)]
        asked += [each.get("expr", "") for each in json.loads(path.read_text())["annotations"]["list"]]
    families = re.compile(r"sidegate_\(([a-z_|]+)\)([a-z_]*)")
    watched = set()
    for expression in asked:
        watched |= {f"{name}{rest}" for names, rest in families.findall(expression) for name in names.split("|")}
        for metric in _METRIC.findall(re.sub(r'"[^"]*"', '""', expression)):
            watched |= {metric.removeprefix("sidegate_"), _SERIES.sub("", metric).removeprefix("sidegate_")}
    assert {*names()} - watched == {*UNWATCHED}
    written = {name for name in watched if not _SERIES.search(name)}
    assert written <= {*names()}, "names within a regular expression, too"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_no_panel_lies_upon_another(path: Path) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in json.loads(path.read_text())["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    assert len(taken) > 1000


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_can_be_imported_anywhere(path: Path) -> None:
    made = json.loads(path.read_text())
    ids = [panel["id"] for panel in made["panels"]]
    assert len(set(ids)) == len(ids)
    assert made["uid"] == path.stem
    for panel in made["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}", "bound to no data source of somebody's"
            assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
