"""Tables, and what a new run leaves of an old RESULTS.md."""

from bench.report import HEAD, Ran, figures_table, merge, section
from bench.scenario import Bar, Figure, Scenario

SCENARIO = Scenario(
    name="small",
    title="Small",
    measure=lambda _stage, _subject: {},
    figures=(Figure("cpu", "CPU", 1, ratio=True),),
    bars=(Bar("of Envoy's", "gateway.cpu / envoy.cpu", at_most=0.8), Bar("errors", "gateway.errors", at_most=0)),
)
RAN = Ran(SCENARIO, {"gateway": [{"cpu": 40.0}, {"cpu": 42.0}], "envoy": [{"cpu": 40.0}, {"cpu": 50.0}]}, {}, {})


def test_a_table_has_medians_spread_and_ratios_taken_round_by_round() -> None:
    assert figures_table(RAN).splitlines() == [
        "|                 |                CPU |",
        "|-----------------|-------------------:|",
        "| gateway         | 41.0 (40.0 … 42.0) |",
        "| envoy           | 45.0 (40.0 … 50.0) |",
        "| gateway ÷ envoy | 0.92 (0.84 … 1.00) |",
    ]


def test_a_missed_bar_and_one_that_was_not_measured_are_told_apart() -> None:
    assert [row[1:] for row in RAN.bars()] == [("≤ 0.8", "0.92 (0.84 … 1.00)", False), ("≤ 0", "not measured", None)]
    assert "**missed**" in section(RAN)


def test_a_run_replaces_its_own_sections_and_keeps_the_others_and_the_notes() -> None:
    first = merge("", {"start": "## start: old\n", "small": "## small: old\n"}, ["small", "start"])
    written = first.replace("## Notes\n", "## Notes\n\nBy hand.\n")
    again = merge(written, {"small": "## small: new\n"}, ["small", "start"])
    assert again == (
        f"{HEAD}\n<!-- scenario: small -->\n## small: new\n\n<!-- scenario: start -->\n## start: old\n\n"
        "## Notes\n\nBy hand.\n"
    )
    assert merge(again, {"small": "## small: new\n"}, ["small", "start"]) == again
