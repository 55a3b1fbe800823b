"""Which Python is chosen, and what it says of itself."""

import os
import sys
from pathlib import Path

import pytest

from bench import interpreter
from bench.install import CannotHave
from bench.interpreter import Interpreter, build_of, fastest, probed, stamp, versions


def one(path: str, version: str, loop: float) -> Interpreter:
    return Interpreter(Path(path), version, loop, "built somehow")


@pytest.mark.parametrize(
    ("found", "best"),
    [
        pytest.param([one("/a", "3.11.7", 60), one("/b", "3.11.2", 47)], "/b", id="the fastest"),
        pytest.param([one("/a", "3.11.7", 60), one("/b", "3.9.2", 40)], "/a", id="an old one does not count"),
        pytest.param([one("/a", "3.13.0", 59), one("/b", "3.12.1", 66)], "/a", id="3.13 is newer than 3.9"),
    ],
)
def test_the_fastest_that_is_new_enough_is_chosen(found: list[Interpreter], best: str) -> None:
    assert fastest(found).path == Path(best)


@pytest.mark.parametrize("found", [[], [one("/a", "3.10.13", 60)]], ids=["none", "only an old one"])
def test_without_a_python_the_bench_says_so(found: list[Interpreter]) -> None:
    with pytest.raises(CannotHave, match=r"no Python from 3\.11 on"):
        fastest(found)


def test_a_python_says_what_it_is() -> None:
    said = probed(Path(sys.executable))
    assert said.version == sys.version.split()[0]
    assert said.path.samefile(sys.executable)
    assert said.loop > 0
    assert said.suits
    assert "libpython" in said.build


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        pytest.param("#!/bin/sh\nexit 127\n", 0o755, id="ends with an error"),
        pytest.param("#!/bin/sh\necho hello\n", 0o755, id="is no Python"),
        pytest.param("", 0o644, id="cannot be executed"),
    ],
)
def test_what_is_no_python_is_left_out_but_refused_when_asked_for(
    text: str, mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python3"
    broken.write_text(text)
    broken.chmod(mode)
    monkeypatch.setattr(interpreter, "candidates", lambda: [broken, Path(sys.executable), Path(sys.executable)])
    best, tried = interpreter.choose(None, core=min(os.sched_getaffinity(0)))
    assert [best] == tried
    with pytest.raises(CannotHave, match="no Python that runs"):
        interpreter.choose(broken, core=min(os.sched_getaffinity(0)))


def test_the_build_is_told_as_far_as_it_is_known() -> None:
    said = {"shared": False, "optimized": True, "lto": True, "compiler": "GCC 12"}
    assert build_of(said) == "libpython linked in, built with PGO+LTO, GCC 12"
    assert "neither" in build_of(said | {"optimized": False, "lto": False, "shared": True})


def test_another_interpreter_or_project_is_another_environment() -> None:
    first = one("/a", "3.11.7", 60)
    stamps = {
        stamp(first, b"1"),
        stamp(first, b"2"),
        stamp(one("/b", "3.11.7", 60), b"1"),
        stamp(one("/a", "3.11.8", 1), b"1"),
    }
    assert len(stamps) == 4
    assert stamp(first, b"1") == stamp(one("/a", "3.11.7", 59), b"1")


def test_a_home_is_not_told() -> None:
    assert one(str(Path.home() / "x" / "python3"), "3.11.7", 60).shown == "~/x/python3"
    assert one("/usr/bin/python3", "3.11.7", 60).shown == "/usr/bin/python3"


def test_versions_are_those_of_the_environment() -> None:
    import aiohttp

    assert versions(Path(sys.executable), ["aiohttp"]) == {"aiohttp": aiohttp.__version__}
    with pytest.raises(CannotHave, match="no-such-distribution"):
        versions(Path(sys.executable), ["no-such-distribution"])
