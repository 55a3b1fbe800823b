"""gateway token: what it makes is taken by a route that trusts the key, and by no other."""

from __future__ import annotations

import json
import stat
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.cli.foreign import run_foreign
from gateway.services.clock import ManualClock
from gateway.testing import answering, opened, ports, request
from plugins.jwt import Jwt

PEOPLE = ("--audience", "orders", "--subject", "ada", "--scope", "read", "--scope", "write", "--role", "admin")


def trusting(**keys):
    return {"issuers": [{"issuer": "https://id.example.com", "audience": "orders", **keys}]}


async def asked(settings, token):
    target, made = answering(200), ports()
    made.clock = ManualClock(wall=time.time())  # as the command's
    async with opened(Jwt, settings, ports=made) as live:
        response = await live(request(headers={"Authorization": f"Bearer {token}"}), target)
    return response.status, target.request.principal if target.calls else None


async def test_a_newcomer_makes_a_key_and_is_let_in(tmp_path, capsys):
    key, public = tmp_path / "key.pem", tmp_path / "public.pem"
    assert run_foreign("token", ["--new-key", str(key), "--public", str(public), *PEOPLE, "--claim", "plan=gold"]) == 0
    token = capsys.readouterr().out.strip()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    settings = trusting(algorithms=["EdDSA"], public_keys=[public.read_text()])
    status, who = await asked(settings, token)
    assert (status, who.id, who.scopes, who.roles) == (200, "ada", {"read", "write"}, {"admin"})
    assert who.claims["plan"] == "gold"

    assert run_foreign("token", ["--key", str(key), "--audience", "others"]) == 0
    assert (await asked(settings, capsys.readouterr().out.strip()))[0] == 401
    assert run_foreign("token", ["--new-key", str(tmp_path / "another.pem"), *PEOPLE]) == 0
    assert (await asked(settings, capsys.readouterr().out.strip()))[0] == 401


@pytest.mark.parametrize(
    ("made", "algorithm"),
    [
        pytest.param(lambda: rsa.generate_private_key(65537, 2048), "RS256", id="RSA"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP256R1()), "ES256", id="P-256"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP521R1()), "ES512", id="P-521"),
    ],
)
async def test_a_key_that_is_there(made, algorithm, tmp_path, capsys):
    key, public = tmp_path / "key.pem", tmp_path / "public.pem"
    key.write_bytes(made().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert run_foreign("token", ["--key", str(key), "--public", str(public), *PEOPLE, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["head"]["alg"], shown["claims"]["sub"]) == (algorithm, "ada")
    settings = trusting(algorithms=[algorithm], public_keys=[public.read_text()])
    assert (await asked(settings, shown["token"]))[0] == 200


async def test_a_secret(monkeypatch, capsys):
    secret = "0123456789abcdef0123456789abcdef"
    monkeypatch.setenv("TOKEN_SECRET", secret)
    assert run_foreign("token", ["--secret-env", "TOKEN_SECRET", *PEOPLE]) == 0
    token = capsys.readouterr().out.strip()
    assert (await asked(trusting(algorithms=["HS256"], secrets=[secret]), token))[0] == 200


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--key", "none.pem"], "none.pem", id="a file that is not there"),
        pytest.param(["--key", "text.pem"], "holds no private key", id="a file that holds something else"),
        pytest.param(["--new-key", "text.pem"], "exists", id="a key is never overwritten"),
        pytest.param(["--secret-env", "NOT_SET"], "NOT_SET holds no secret", id="a variable that is not set"),
        pytest.param(["--new-key", "k.pem", "--expires", "soon"], "a duration", id="a duration that is none"),
        pytest.param(["--new-key", "k.pem", "--claim", "plan"], "NAME=VALUE", id="a claim without a value"),
        pytest.param(["--new-key", "k.pem", "--claim", "sub=x"], "option of its own", id="a claim with an option"),
        pytest.param(["--new-key", "k.pem", "--algorithm", "RS256"], "", id="an algorithm that does not fit"),
    ],
)
def test_what_it_cannot_do(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pem").write_text("hello")
    assert run_foreign("token", arguments) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("gateway token: ") and said in shown.err
