"""The reference on stdout."""

from __future__ import annotations

from typing import Any

from gateway.cli import main
from gateway.config.schema import generated


def test_printed(capsys: Any):
    assert main(["reference"]) == 0
    assert capsys.readouterr().out == generated()["config/reference.md"]
