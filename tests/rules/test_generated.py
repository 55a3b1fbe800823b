"""What is generated is what stands in the tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.schema import generated

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["config/schema.json", "config/reference.md"])
def test_it_is_not_stale(name: str):
    made = generated()
    assert (ROOT / name).read_text(encoding="utf-8") == made[name], f"{name} is stale: run `gateway schema --write`"


def test_nothing_else_is_generated():
    assert set(generated()) == {"config/schema.json", "config/reference.md"}
