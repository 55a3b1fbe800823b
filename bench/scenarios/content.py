"""Answers that are worked on: compressed."""

from functools import partial

from bench.scenario import Bar, Scenario
from bench.scenarios.throughput import FIGURES, saturate

SCENARIOS = (
    Scenario(
        name="compression",
        title="100 KB of JSON, gzip at level 6, over 64 connections",
        measure=partial(saturate, variant="compression", path="/json/100k.json", field="Accept-Encoding: gzip"),
        figures=FIGURES,
        bars=(
            Bar("CPU per request, of nginx's", "gateway.cpu / nginx.cpu", at_most=1.2),
            Bar("errors", "gateway.errors", at_most=0),
        ),
        subjects=("gateway", "nginx"),
        variant="compression",
        rounds=3,
    ),
)
