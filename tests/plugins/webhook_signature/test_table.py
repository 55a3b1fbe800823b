"""The table of presets in the reference."""

from plugins.webhook_signature.scheme import presets
from plugins.webhook_signature.table import table


def test_a_row_for_each_preset_all_of_one_width():
    rows = [line for line in table().splitlines() if line.startswith("| `")]
    assert len(rows) == len(presets())
    assert {row.replace("\\|", "").count("|") for row in rows} == {10}


def test_what_a_row_says():
    (mailgun,) = [line for line in table().splitlines() if line.startswith("| `mailgun`")]
    assert "| secondary |" in mailgun and "**no**" in mailgun
    (github,) = [line for line in table().splitlines() if line.startswith("| `github`")]
    assert "(`{header.X-GitHub-Delivery}`)" in github, "not signed"
