"""The command as a whole: help, exit codes, and what it costs to start."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest

from gateway.cli import _WHOLE, COMMANDS, main

PLAIN = sorted(set(COMMANDS) - set(_WHOLE))


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]], ids=" ".join)
def test_help_names_every_command(words: list[str], capsys: Any):
    assert main(words) == 0
    out = capsys.readouterr().out
    for name, what in COMMANDS.items():
        assert name in out
        assert what in out
    assert "worker" not in out


@pytest.mark.parametrize("name", PLAIN)
def test_each_command_has_help_with_an_example(name: str, capsys: Any):
    for words in ([name, "--help"], ["help", name]):
        assert main(words) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"usage: gateway {name}")
        assert f"\n  gateway {name}" in out


def test_the_demo_reads_its_own_arguments(capsys: Any):
    assert main(["demo", "--help"]) == 0
    assert "--port" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param([], "usage: gateway COMMAND", id="nothing"),
        pytest.param(["chekc"], "no such command: 'chekc'; did you mean 'check'?", id="nearly a command"),
        pytest.param(["--verbose"], "no such command: '--verbose'", id="an option first"),
        pytest.param(["check", "--what"], "unrecognized arguments: --what", id="an option that a command has not"),
    ],
)
def test_usage_is_2_on_stderr(words: list[str], told: str, capsys: Any):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert told in err
    assert out == ""


def test_a_reader_that_leaves_is_no_traceback():
    """``gateway reference | head -1``: the pipe is closed long before all is written."""
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "reference"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 1


def test_an_interrupt_is_no_traceback(monkeypatch: Any):
    def interrupted(_options: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("gateway.cli.version"), "run", interrupted)
    assert main(["version"]) == 130


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        pytest.param(["--help"], {"pydantic", "aiohttp", "argparse", "asyncio"}, id="help"),
        pytest.param(["version"], {"pydantic", "aiohttp", "asyncio"}, id="version"),
        pytest.param(["check", "gone.yaml"], {"aiohttp", "uvloop", "redis", "cryptography"}, id="check"),
        pytest.param(["run", "gone.yaml"], {"aiohttp", "uvloop", "redis", "cryptography"}, id="run, with a mistake"),
    ],
)
def test_what_a_command_does_not_need_is_not_imported(words: list[str], absent: set[str]):
    ended = python(f"import sys; from gateway.cli import main; main({words!r}); print('modules', *sys.modules)")
    line = next(line for line in ended.stdout.splitlines() if line.startswith("modules "))
    assert not {name.partition(".")[0] for name in line.split()} & absent


def test_serving_does_not_import_other_commands():
    ended = python("import sys; import gateway.cli.run, gateway.supervisor.gateway; print(*sys.modules)")
    loaded = set(ended.stdout.split())
    own = {f"gateway.cli.{name}" for name in PLAIN} - {"gateway.cli.run"}
    assert not loaded & (own | {"gateway.demo", "gateway.config.schema", "gateway.config.reference", "jsonschema_rs"})


def test_the_entry_point_is_installed():
    ended = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "gateway"), "--version"],  # noqa: PTH118, PTH120
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.stdout.startswith("sidegate ")
