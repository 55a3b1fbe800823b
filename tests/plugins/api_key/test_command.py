"""gateway keys: add, list, revoke."""

from __future__ import annotations

import datetime as dt
import hashlib

import pytest

from gateway.cli.foreign import run_foreign
from gateway.testing import exchange, request
from plugins.api_key import ApiKey
from plugins.api_key.command import new_key
from plugins.api_key.file import read_keys


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys.yaml"


def keys(*arguments, file):
    return run_foreign("keys", [*arguments, "--file", str(file)])


async def test_a_key_from_its_making_to_its_end(file, capsys):
    options = ["--tenant", "acme", "--role", "a", "--role", "b", "--rate-class", "gold", "--expires", "90d"]
    assert keys("add", "billing", *options, file=file) == 0
    key = capsys.readouterr().out.strip()
    (entry,) = read_keys(file).keys
    assert key.startswith(f"sgk_{entry.id}_")
    assert key not in file.read_text()
    assert entry.hash == f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
    assert (entry.principal, entry.tenant, entry.roles, entry.rate_class) == ("billing", "acme", ("a", "b"), "gold")
    assert dt.timedelta(days=89) < entry.expires - dt.datetime.now(dt.UTC) <= dt.timedelta(days=90)

    assert keys("list", file=file) == 0
    listed = capsys.readouterr().out
    assert entry.id in listed and "valid" in listed and key not in listed and entry.hash not in listed

    assert keys("revoke", entry.id, file=file) == 0
    assert keys("list", file=file) == 0
    assert "revoked" in capsys.readouterr().out
    response = await exchange(ApiKey, {"keys": {"file": str(file)}}, request(headers={"X-API-Key": key}))
    assert response.error.reason == f"key {entry.id} is revoked"


async def test_a_made_key_lets_in(file, capsys):
    assert keys("add", "billing", "--expires", "2030-01-01T00:00:00Z", file=file) == 0
    key = capsys.readouterr().out.strip()
    response = await exchange(ApiKey, {"keys": {"file": str(file)}}, request(headers={"X-API-Key": key}))
    assert response.status == 200


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        pytest.param(["revoke", "nobody"], "no key", id="revoke what is not there"),
        pytest.param(["list"], "cannot read", id="list a file that is not there"),
        pytest.param(["add", "x", "--expires", "soon"], "soon", id="an end that is no time"),
        pytest.param(["add", "x", "--expires", "2030-01-01"], "time zone", id="an end without time zone"),
    ],
)
def test_mistakes(file, capsys, arguments, why):
    assert keys(*arguments, file=file) == 1
    assert why in capsys.readouterr().err
    assert not file.exists()


def test_keys_differ():
    assert len({new_key() for _ in range(100)}) == 100
