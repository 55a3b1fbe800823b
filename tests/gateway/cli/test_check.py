"""Everything that is wrong, at once; what is said, where, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main

DOZEN = """\
listeners:
  - bind: 127.0.0.1
workers: many
admin: {bind: 0.0.0.0:9901}
acess_log: off
upstreams:
  a:
    target: http://127.0.0.1:9000
  b:
    targets: [http://127.0.0.1:9000]
    timeout: {connect: 2}
  c:
    targets: [http://127.0.0.1:9002]
routes:
  - name: one
    match: {path: orders}
    upstream: b
  - name: two
    upstream: nowhere
  - name: twice
    upstream: c
    plugins:
      - plugin: size_limit
        with: {jsn: 1KB}
  - name: three
    upstream: c
    plugins:
      - plugin: sise_limit
  - name: four
    match: {path: /four/}
    upstream: c
    plugins:
      - plugin: respond
      - plugin: size_limit
  - name: four
    match: {path: /fourth/}
    upstream: ${NOT_SET_ANYWHERE:-c}
  - name: five
    upstream: ${NOT_SET_ANYWHERE}
"""

EXPECTED = [
    ("2:11", "listeners[0].bind: expected an address"),
    ("3:10", "workers: expected a number of workers from 1 to 256, or auto"),
    ("4:15", "admin.bind: expected `admin.token`"),
    ("5:1", "did you mean 'access_log'?"),
    ("8:5", "did you mean 'targets'?"),
    ("7:3", "upstreams.a.targets: "),
    ("11:24", "upstreams.b.timeout.connect: expected a duration"),
    ("16:19", "expected a path that begins with /"),
    ("19:15", "no upstream is called 'nowhere'"),
    ("24:16", "did you mean 'json'?"),
    ("28:17", "no plugin is called 'sise_limit' (did you mean 'size_limit'?)"),
    ("33:9", "respond answers by itself, so what follows it can never run: size_limit"),
    ("35:11", "another route is called 'four' too"),
    ("39:15", "NOT_SET_ANYWHERE"),
]


def test_a_dozen_mistakes_are_all_told(here: Path, capsys: Any):
    (here / "bad.yaml").write_text(DOZEN)
    assert main(["check", "bad.yaml"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    told = [line for line in err.splitlines() if line.startswith("bad.yaml:")]
    missing = [
        f"{place}: {text}"
        for place, text in EXPECTED
        if not any(line.startswith(f"bad.yaml:{place}: ") and text in line for line in told)
    ]
    assert missing == [], err
    places = [tuple(map(int, line.split(":")[1:3])) for line in told]
    assert places == sorted(places)
    assert err.splitlines()[-1].split()[1] == "errors"


def test_a_sound_file(here: Path, small: str, capsys: Any):
    (here / "gateway.yaml").write_text(small)
    assert main(["check"]) == 0
    out, err = capsys.readouterr()
    assert out == "ok: 1 route, 1 upstream, 0 plugins\n"
    assert err == "gateway: configuration from gateway.yaml\n"


DOUBTFUL = """\
upstreams: {service: {targets: ["http://127.0.0.1:9"]}, spare: {targets: ["http://127.0.0.1:9"]}}
routes:
  - {name: all, match: {path: /}, upstream: service}
  - {name: never, match: {path: /}, upstream: service}
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param([], 0, id="warnings are told and pass"),
        pytest.param(["--strict"], 1, id="unless they are to count"),
    ],
)
def test_warnings(here: Path, capsys: Any, words: list[str], code: int):
    (here / "doubtful.yaml").write_text(DOUBTFUL)
    assert main(["check", "doubtful.yaml", *words]) == code
    out, err = capsys.readouterr()
    assert out == "ok: 2 routes, 2 upstreams, 0 plugins; 2 warnings\n"
    assert "doubtful.yaml:1:57: warning: upstreams.spare: no route and no plugin uses this upstream" in err
    assert (
        "doubtful.yaml:4:5: warning: routes[1]: no request can take this route: all that it matches go to 'all'" in err
    )


def test_the_line_is_shown_with_a_caret(here: Path, capsys: Any):
    (here / "doubtful.yaml").write_text(DOUBTFUL)
    main(["check", "doubtful.yaml"])
    lines = capsys.readouterr().err.splitlines()
    at = next(number for number, line in enumerate(lines) if "routes[1]" in line)
    assert lines[at + 1 : at + 3] == [
        "     4 |   - {name: never, match: {path: /}, upstream: service}",
        "       |     ^",
    ]


def test_for_scripts(here: Path, capsys: Any):
    (here / "bad.yaml").write_text(DOUBTFUL.replace("upstream: service}\n  -", "upstream: servce}\n  -"))
    assert main(["check", "--json", "-c", "bad.yaml"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    told = json.loads(out)
    assert (told["ok"], told["files"]) == (False, ["bad.yaml"])
    assert {
        "file": "bad.yaml",
        "line": 3,
        "column": 45,
        "severity": "error",
        "path": "routes[0].upstream",
        "message": "no upstream is called 'servce'",
        "hint": "did you mean 'service'?",
    } in told["problems"]


def test_files_are_merged_in_order(here: Path, small: str, capsys: Any):
    (here / "base.yaml").write_text(small)
    (here / "prod.yaml").write_text("routes: [{name: all, upstream: elsewhere}]\n")
    assert main(["check", "base.yaml"]) == 0
    assert main(["check", "-c", "base.yaml", "-c", "prod.yaml"]) == 1
    assert "prod.yaml:1:32: error: routes[0].upstream" in capsys.readouterr().err


def test_as_a_process(gateway: Callable[..., Any], here: Path, small: str):
    (here / "gateway.yaml").write_text(small)
    sound = gateway("check", "gateway.yaml")
    assert (sound.returncode, sound.stdout, sound.stderr) == (0, "ok: 1 route, 1 upstream, 0 plugins\n", "")
    (here / "gateway.yaml").write_text("{")
    broken = gateway("check")
    assert broken.returncode == 1
    assert "Traceback" not in broken.stderr
    assert "not YAML" in broken.stderr
