"""The Dockerfile keeps its promises, as far as reading it can tell: no Docker engine is asked for.

What only a build can show (that it builds, and runs on a read-only root) is seen in .github/workflows/ci.yml.
"""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Instruction = tuple[str, str]


def instructions(text: str) -> list[Instruction]:
    """Name and arguments of each instruction; comments are dropped, also within a continued line, as Docker does."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [
        (name.upper(), " ".join(rest.split())) for name, _, rest in (line.strip().partition(" ") for line in joined)
    ]


def stages(parsed: list[Instruction]) -> list[list[Instruction]]:
    """The instructions of each stage, ``FROM`` first; what stands before the first is left out."""
    found: list[list[Instruction]] = []
    for instruction in parsed:
        if instruction[0] == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


@pytest.fixture(scope="module")
def dockerfile() -> list[list[Instruction]]:
    return stages(instructions((ROOT / "Dockerfile").read_text()))


def only(stage: list[Instruction], name: str) -> str:
    found = [arguments for other, arguments in stage if other == name]
    assert len(found) == 1, f"{name} stands {len(found)} times"
    return found[0]


def test_two_stages_on_one_base_so_that_the_environment_can_be_copied(dockerfile):
    build, final = dockerfile
    assert re.fullmatch(r"python:\$\{PYTHON\} AS build", only(build, "FROM"))
    assert only(final, "FROM") == "python:${PYTHON}"
    assert re.search(r"^ARG PYTHON=3\.\d+-slim", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_it_runs_as_a_number_that_is_not_root_and_nothing_runs_after_that(dockerfile):
    names = [name for name, _ in dockerfile[-1]]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", only(dockerfile[-1], "USER"))
    assert "RUN" not in names
    assert names.index("USER") > max(index for index, name in enumerate(names) if name == "COPY")


def test_commands_are_lists_so_that_signals_reach_the_gateway(dockerfile):
    final = dockerfile[-1]
    health = only(final, "HEALTHCHECK").partition("CMD ")[2]
    assert json.loads(health) == ["gateway", "health", "-c", "/etc/sidegate/gateway.yaml"]
    assert json.loads(only(final, "ENTRYPOINT")) == ["gateway"]
    assert json.loads(only(final, "CMD")) == ["run", "/etc/sidegate/gateway.yaml"]
    assert only(final, "STOPSIGNAL") == "SIGTERM"


def test_what_is_written_is_a_volume_of_that_user(dockerfile):
    final = dockerfile[-1]
    assert only(final, "VOLUME") == "/var/lib/sidegate"
    user = only(final, "USER")
    assert any(f"--chown={user}" in rest and "/var/lib/sidegate" in rest for name, rest in final if name == "COPY")


def test_the_command_it_starts_is_the_one_the_project_installs():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert list(scripts) == ["gateway"]


def copied_from_context(dockerfile: list[list[Instruction]]) -> list[str]:
    found = []
    for name, arguments in (instruction for stage in dockerfile for instruction in stage):
        words = [word for word in shlex.split(arguments) if not word.startswith("--")]
        if name in {"COPY", "ADD"} and "--from=" not in arguments:
            found += words[:-1]
    return found


def test_what_is_copied_exists_and_is_let_through_by_dockerignore(dockerfile):
    sources = copied_from_context(dockerfile)
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(set(sources)) == ["LICENSE", "README.md", "gateway/", "plugins/", "pyproject.toml"]
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed), source


def test_dockerignore_begins_by_leaving_everything_out():
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"


def test_sources_are_built_where_nothing_was_built_before(dockerfile):
    """setuptools leaves ``build/lib`` behind and prefers what is newer: a stub built there would win over a source."""
    place, built = "/", []
    for name, arguments in dockerfile[0]:
        if name == "WORKDIR":
            place = arguments
        built += [place] * (name == "RUN" and "pip wheel" in arguments)
    assert len(built) == 2
    assert len(set(built)) == 2


def test_no_secret_is_baked_in(dockerfile):
    words = re.compile(r"(?i)(password|secret|token|api_?key|credential)")
    for stage in dockerfile:
        assert [
            arguments for name, arguments in stage if name in {"ARG", "ENV", "COPY"} and words.search(arguments)
        ] == []
