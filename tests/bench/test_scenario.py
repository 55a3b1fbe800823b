"""Expressions of bars, and that every scenario's bars and configurations are there."""

import pytest

from bench.scenario import Bar, Rounds, Scenario, load_all, per_round
from bench.subject import SUBJECTS

ROUNDS: dict[str, Rounds] = {
    "gateway": [{"cpu": 40.0, "rps": 8.0}, {"cpu": 50.0, "rps": 9.0}, {"cpu": 44.0, "rps": 8.5}],
    "envoy": [{"cpu": 50.0, "errors": 0.0}, {"cpu": 50.0, "errors": 0.0}, {"cpu": 40.0, "errors": 1.0}],
}


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        pytest.param("gateway.cpu", [40, 50, 44], id="a figure of each round"),
        pytest.param("gateway.cpu / envoy.cpu", [0.8, 1.0, 1.1], id="a ratio within each round"),
        pytest.param("gateway.cpu / nginx.cpu", [], id="a peer that was not measured"),
        pytest.param("gateway.nothing", [], id="a figure that nobody took"),
        pytest.param("gateway.rps / envoy.errors", [8.5], id="no division by nought"),
    ],
)
def test_an_expression_round_by_round(expression: str, values: list[float]) -> None:
    assert per_round(ROUNDS, expression) == pytest.approx(values)


@pytest.mark.parametrize(
    ("bar", "value", "met"),
    [
        pytest.param(Bar("", "", at_most=0.8), 0.8, True, id="a most is met by itself"),
        pytest.param(Bar("", "", at_most=0.8), 0.81, False, id="and missed above"),
        pytest.param(Bar("", "", at_least=4), 4, True, id="a least is met by itself"),
        pytest.param(Bar("", "", at_least=4), 3.9, False, id="and missed below"),
    ],
)
def test_a_bar(bar: Bar, value: float, met: bool) -> None:
    assert bar.met(value) is met


@pytest.mark.parametrize("scenario", load_all().values(), ids=load_all())
def test_bars_speak_of_figures_and_subjects_that_are_there(scenario: Scenario) -> None:
    keys = {figure.key for figure in scenario.figures}
    for bar in scenario.bars:
        assert (bar.at_most is None) != (bar.at_least is None)
        for term in bar.expression.split(" / "):
            subject, _, key = term.partition(".")
            assert subject in scenario.subjects
            assert key in keys
    for name in scenario.subjects:
        assert SUBJECTS[name].config(scenario.variant) is not None
