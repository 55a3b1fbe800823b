"""Every example loads, without a warning, and editors find nothing wrong with it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import jsonschema_rs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.config import load
from gateway.plugin.document import plain
from gateway.plugin.yaml import compose
from gateway.runtime.review import findings

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "config" / "examples"
FILES = [ROOT / "gateway.yaml", *sorted(EXAMPLES.rglob("*.yaml"))]
# What is loaded together. A file of an environment need not stand alone.
SETS = [[file] for file in FILES if file.name != "prod.yaml"]
SETS.append([EXAMPLES / "environments" / "base.yaml", EXAMPLES / "environments" / "prod.yaml"])
ENVIRON = {
    "OIDC_CLIENT_SECRET": "a secret",
    "OIDC_SESSION_KEY": "a key of thirty-two bytes or more",
    "ADMIN_TOKEN": "a token",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "CACHE_KEY": "a key of thirty-two bytes or more",
    "STRIPE_API_KEY": "sk_test_1",
    "TELNYX_API_KEY": "KEY1",
    "PARTNER_CLIENT_ID": "us",
    "PARTNER_CLIENT_SECRET": "ours",
    "PARTNER_WEBHOOK_SECRET": "theirs",
    "STRIPE_WHSEC": "whsec_1",
    "STRIPE_WHSEC_OLD": "whsec_0",
    "TELNYX_PUBLIC_KEY": "1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
    "TWILIO_AUTH_TOKEN": "12345",
    "X_CONSUMER_SECRET": "ours",
    "QUEUE_KEY": "a key of thirty-two bytes or more",
}


def name(files: list[Path]) -> str:
    return " and ".join(str(file.relative_to(ROOT)) for file in files)


@pytest.fixture(scope="session")
def tls_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of its own making, under the names that the TLS example uses."""
    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = builder.serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (directory / "tls.crt").write_bytes(pem)
    (directory / "ca.crt").write_bytes(pem)
    (directory / "tls.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return directory


@pytest.mark.parametrize("files", SETS, ids=name)
def test_it_loads(files: list[Path], tls_directory: Path):
    loaded = load(files, {**ENVIRON, "TLS_DIR": str(tls_directory)}, review=findings)
    assert [str(problem) for problem in loaded.problems] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_editors_agree(file: Path):
    first = file.read_text().splitlines()[0]
    pointer = first.removeprefix("# yaml-language-server: $schema=")
    assert pointer != first, "the first line points editors at the schema"
    schema = json.loads((file.parent / pointer).read_text())
    validator = jsonschema_rs.Draft202012Validator(schema)
    assert [str(error) for error in validator.iter_errors(plain(compose(file.read_text(), file.name).root))] == []


def test_there_is_an_example_of_each_kind():
    assert {file.stem for file in EXAMPLES.glob("*.yaml")} >= {"minimal", "canary", "tls", "websocket"}
