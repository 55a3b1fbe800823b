"""``gateway webhook``: what it signs it verifies, and it finds the usual mistakes."""

import argparse
import shlex

import pytest

from plugins.webhook_signature.command import COMMAND
from plugins.webhook_signature.scheme import presets

BODY = b'{"id": "evt_1", "n": 1}'
SECRET = "It's a Secret"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WHSEC", SECRET)

    def go(step, *words, body=BODY, secret=None):
        file, key = tmp_path / "body", tmp_path / "secret"
        file.write_bytes(body)
        given = ["--secret-env", "WHSEC"]
        if secret is not None:
            key.write_text(secret + "\n")
            given = ["--secret-file", str(key)]
        parser = argparse.ArgumentParser()
        COMMAND.arguments(parser)
        places = [] if step == "providers" else [*given, "--body", str(file), "--at", "1800000000"]
        code = COMMAND.run(parser.parse_args([step, *places, *words]))
        out, err = capsys.readouterr()
        return code, out, err

    return go


def headers(out):
    return [word for line in out.splitlines() if ": " in line for word in ("--header", line)]


@pytest.mark.parametrize("name", ["stripe", "github", "slack", "square", "hubspot_v2", "hubspot_v3", "gitlab_token"])
def test_what_it_signs_it_verifies(run, name):
    code, out, _ = run("sign", "--provider", name)
    assert code == 0
    code, out, _ = run("verify", "--provider", name, *headers(out))
    assert (code, out.startswith("the signature holds")) == (0, True)


def test_standard_webhooks_get_an_id(run):
    _, out, _ = run("sign", "--provider", "svix", secret="whsec_YWJj")
    code, out, _ = run("verify", "--provider", "svix", *headers(out), secret="whsec_YWJj")
    assert (code, out) == (0, "the signature holds; event msg_1800000000\n")


def test_curl(run):
    _, out, _ = run("sign", "--provider", "stripe", "--curl", "--url", "http://127.0.0.1:1/x?y=1")
    words = shlex.split(out)
    assert (words[0], words[-1]) == ("curl", "http://127.0.0.1:1/x?y=1")
    assert any(word.startswith("Stripe-Signature: t=1800000000,v1=") for word in words)
    assert SECRET not in out


@pytest.mark.parametrize(
    ("body", "words", "secret", "hint"),
    [
        pytest.param(BODY + b"\n", [], None, "without the line end", id="an editor's line end"),
        pytest.param(b'{"id":"evt_1","n":1}', [], None, "written with blanks", id="JSON that was written anew"),
        pytest.param(BODY, ["--at", "1800000400"], None, "but for its age", id="an old one"),
        pytest.param(BODY, [], "  " + SECRET, "stripped of blanks", id="blanks around the secret"),
        pytest.param(b"{}", [], None, "signed should be", id="another body"),
    ],
)
def test_it_finds_the_mistake(run, body, words, secret, hint):
    _, out, _ = run("sign", "--provider", "slack")
    code, out, _ = run("verify", "--provider", "slack", *headers(out), *words, body=body, secret=secret)
    assert code == 1
    assert hint in out
    assert out.startswith("refused: ")


def test_it_knows_another_encoding(run):
    _, out, _ = run("sign", "--provider", "shopify")
    signature = out.partition("Shopify-Hmac-SHA256: ")[2].strip()
    code, out, _ = run("verify", "--provider", "github", "--header", f"X-Hub-Signature-256: sha256={signature}")
    assert (code, "is base64, not hex" in out) == (1, True)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        pytest.param(["--provider", "strip"], "no provider", id="no such provider"),
        pytest.param(["--provider", "plaid"], "signed tokens", id="tokens"),
        pytest.param(["--provider", "stripe", "--header", "x"], "Name: value", id="no header"),
        pytest.param(["--provider", "telnyx"], "not base64", id="no key of this provider"),
    ],
)
def test_what_cannot_be_done(run, words, wrong):
    code, _, err = run("verify", *words)
    assert (code, wrong in err, SECRET in err) == (2, True, False)


def test_providers(run):
    _, out, _ = run("providers")
    assert [line.split()[0] for line in out.splitlines()] == list(presets())
