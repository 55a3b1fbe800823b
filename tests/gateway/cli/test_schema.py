"""The schema on stdout and in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs

from gateway.cli import main
from gateway.config.schema import generated


def test_printed(capsys: Any, small: str):
    assert main(["schema"]) == 0
    out = capsys.readouterr().out
    assert out == generated()["config/schema.json"]
    validator = jsonschema_rs.Draft202012Validator(json.loads(out))
    assert validator.is_valid({"routes": [{"name": "a", "upstream": "b"}]})
    assert not validator.is_valid({"routes": [{"nam": "a"}]})


def test_written(here: Path, capsys: Any):
    assert main(["schema", "--write"]) == 0
    assert capsys.readouterr().out.splitlines() == ["wrote config/schema.json", "wrote config/reference.md"]
    assert {str(path.relative_to(here)) for path in here.glob("*/*")} == set(generated())
    assert main(["schema", "--write", str(here)]) == 0
    assert capsys.readouterr().out == "nothing has changed\n"


def test_a_place_that_cannot_be_written(here: Path, capsys: Any):
    (here / "config").write_text("a file, not a folder")
    assert main(["schema", "--write"]) == 1
    assert "gateway schema: config" in capsys.readouterr().err
