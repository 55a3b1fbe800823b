"""Which files are meant."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import files
from gateway.cli.files import NoFile, chosen, define_files, read


@pytest.mark.parametrize(
    ("words", "named"),
    [
        pytest.param([], [], id="none"),
        pytest.param(["a"], ["a"], id="one by itself"),
        pytest.param(["-c", "a"], ["a"], id="one by option"),
        pytest.param(["-c", "a", "--config", "b", "-c", "c"], ["a", "b", "c"], id="several, in order"),
        pytest.param(["a", "b"], ["a", "b"], id="several by themselves"),
        pytest.param(["a", "-c", "b"], ["a", "b"], id="both ways"),
        pytest.param(["-c", "b", "a"], ["b", "a"], id="both ways, the other way round"),
    ],
)
def test_named(words: list[str], named: list[str]):
    parser = argparse.ArgumentParser()
    define_files(parser)
    assert parser.parse_args(words).files == [Path(name) for name in named]
    assert parser.parse_args([]).files == []


def test_the_usual_places_in_order(here: Path, monkeypatch: Any, capsys: Any):
    elsewhere = here / "etc" / "gateway.yaml"
    monkeypatch.setattr(files, "USUAL", (Path("gateway.yaml"), elsewhere))
    with pytest.raises(NoFile) as ended:
        chosen([])
    assert ended.value.code == 2
    elsewhere.parent.mkdir()
    elsewhere.write_text("")
    assert chosen([], tell=True) == [elsewhere]
    assert f"configuration from {elsewhere}" in capsys.readouterr().err
    (here / "gateway.yaml").write_text("")
    assert chosen([]) == [Path("gateway.yaml")]
    assert capsys.readouterr().err == ""
    assert chosen([Path("named")]) == [Path("named")]


def test_what_routes_and_chains_show_is_told_with_the_rest(here: Path, small: str):
    first = "plugins: [{plugin: respond}, {plugin: size_limit}]"
    (here / "a.yaml").write_text(small.replace("upstream: service", f"upstream: servise, {first}"))
    loaded, problems = read([here / "a.yaml"])
    assert loaded is None
    assert any("no upstream is called 'servise'" in problem.message for problem in problems)
    (here / "b.yaml").write_text(small.replace("upstream: service", f"upstream: service, {first}"))
    loaded, problems = read([here / "b.yaml"])
    assert loaded is None
    assert [problem.path for problem in problems] == ["routes[0].plugins[0]"]
