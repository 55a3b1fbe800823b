"""`gateway pseudonym`: the same that a line of the log has."""

from __future__ import annotations

import io

import pytest

from gateway.cli import main
from gateway.plugin import Context
from gateway.testing import ports, settings_of
from plugins.pii_masking import PiiMasking

KEY = "0123456789abcdef"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("MASKING_KEY", KEY)


def test_it_is_the_token_of_the_log(capsys):
    settings = settings_of(PiiMasking, {"actions": {"email": "hash", "phone": "hash"}, "key": KEY})
    context = Context(ports(), route="r", plugin="pii_masking", id="p")
    mask = PiiMasking(settings, context).log_processor()
    assert main(["pseudonym", "Ada@Shop.example"]) == 0
    assert capsys.readouterr().out.strip() == mask.text("ada@shop.example")
    assert main(["pseudonym", "--as", "phone", "+49 30 23125000"]) == 0
    assert capsys.readouterr().out.strip() == mask.text("+493023125000")


def test_values_of_stdin_and_the_key_of_a_file(capsys, monkeypatch, tmp_path):
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("ada@shop.example\n\nbob@shop.example\n"))
    assert main(["pseudonym", "--key-file", str(file)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2
    assert all(line.startswith("<email:") for line in out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--key-env", "NOT_THERE", "x"], "NOT_THERE is not set", id="no key"),
        pytest.param(["--key-env", "SHORT", "x"], "at least 16 bytes", id="a short key"),
        pytest.param(["--key-file", "/nowhere/key", "x"], "No such file", id="no file"),
    ],
)
def test_without_a_key_there_is_none(capsys, monkeypatch, words, said):
    monkeypatch.setenv("SHORT", "x")
    assert main(["pseudonym", *words]) == 1
    assert said in capsys.readouterr().err
