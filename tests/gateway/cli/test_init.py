"""The starting file is sound, as it is and with its examples taken in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.cli.init import scalar
from gateway.config import load, load_text
from gateway.plugin.yaml import compose
from gateway.runtime.review import findings


@pytest.mark.parametrize(
    ("upstream", "listen", "bound"),
    [
        pytest.param("http://127.0.0.1:9000", None, "127.0.0.1:8080", id="a port of this machine"),
        pytest.param("https://api.example.com/", None, "127.0.0.1:8080", id="a name, with a slash"),
        pytest.param("http://127.0.0.1:8080", None, "127.0.0.1:8081", id="a service on our own port: another is taken"),
        pytest.param("http://[::1]:9000", "[::]:80", "[::]:80", id="IPv6"),
        pytest.param("unix:/run/a b#c/${X}.sock", "unix:/run/front.sock", "unix:/run/front.sock", id="unix sockets"),
    ],
)
def test_it_is_sound(here: Path, capsys: Any, upstream: str, listen: str | None, bound: str):
    words = ["--listen", listen] if listen else []
    assert main(["init", "--upstream", upstream, *words]) == 0
    loaded = load(["gateway.yaml"], {}, review=findings)
    assert loaded.problems == ()
    assert [str(listener.address) for listener in loaded.config.listeners] == [bound]
    (target,) = loaded.config.upstreams["service"].targets
    assert target.url == upstream.rstrip("/")


def test_its_examples_are_sound_too(here: Path):
    assert main(["init", "--upstream", "http://127.0.0.1:9000"]) == 0
    text = (here / "gateway.yaml").read_text()
    head, _, rest = text.partition("\n\n")
    assert head.startswith("# Sidegate in front of http://127.0.0.1:9000")
    taken_in = re.sub(r"(?m)^( *)#(?! [A-Z])", r"\1", rest)
    assert taken_in != rest
    loaded = load_text(taken_in, {}, review=findings)
    assert [str(problem) for problem in loaded.problems] == []
    assert {route.name for route in loaded.config.routes} == {"api", "all"}
    assert loaded.config.workers == "auto"
    assert len(loaded.config.upstreams["service"].targets) == 2
    assert loaded.config.upstreams["service"].health.active is not None


def test_a_file_is_not_replaced_unasked(here: Path, capsys: Any):
    (here / "gateway.yaml").write_text("mine")
    assert main(["init", "--upstream", "http://127.0.0.1:9000"]) == 1
    assert "is there already; --force" in capsys.readouterr().err
    assert (here / "gateway.yaml").read_text() == "mine"
    assert main(["init", "--upstream", "http://127.0.0.1:9000", "--force"]) == 0
    assert (here / "gateway.yaml").read_text() != "mine"


def test_another_file(here: Path, capsys: Any):
    assert main(["init", "--upstream", "http://app:9000", "--output", "other.yaml"]) == 0
    assert "gateway run other.yaml" in capsys.readouterr().out
    assert "gateway check other.yaml" in (here / "other.yaml").read_text()


def test_standard_output(here: Path, capsys: Any):
    assert main(["init", "--upstream", "http://app:9000", "--output", "-"]) == 0
    assert load_text(capsys.readouterr().out, {}).config.routes[0].name == "all"
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        pytest.param([], 2, "--upstream", id="no upstream"),
        pytest.param(["--upstream", "http://a/b"], 2, "add_prefix", id="an upstream with a path"),
        pytest.param(["--upstream", "a:9000"], 2, "expected a target such as", id="an upstream that is none"),
        pytest.param(
            ["--upstream", "http://a", "--listen", "8080"], 2, "expected an address such as", id="a port alone"
        ),
        pytest.param(["--upstream", "http://a", "--output", "no/such/dir"], 1, "cannot write", id="no such directory"),
    ],
)
def test_mistakes(here: Path, capsys: Any, words: list[str], code: int, told: str):
    assert main(["init", *words]) == code
    assert told in capsys.readouterr().err
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["127.0.0.1:80", "[::1]:80", "http://a:1", "unix:/a b", "a#b", "${X}", '"', "- a", ":80"]
)
def test_a_scalar_means_itself(text: str):
    node = compose(f"a: {scalar(text)}", "x", lambda given: (given.replace("$${", "${"), ())).root
    assert isinstance(node.value, dict)
    assert node.value["a"].value == text
