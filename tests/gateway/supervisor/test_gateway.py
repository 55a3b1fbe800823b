"""The gateway as a whole in this process; signals and several workers stand in ``tests/integration``."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.config.load import load, load_text
from gateway.supervisor.gateway import RunningGateway

TEXT = """
listeners: [{{bind: "127.0.0.1:0"}}]
admin: {{bind: "127.0.0.1:0"{admin}}}
access_log: off
reload: {{watch: false}}
routes: [{{name: r, match: {{path: /}}, plugins: [{{plugin: respond, with: {{body: {body}}}}}]}}]
"""


def text(body: str = "one", admin: str = "") -> str:
    return TEXT.format(body=body, admin=admin)


async def get(address: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}/") as answer:
        return await answer.text()


async def test_it_serves_reloads_and_ends(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(text())
    gateway = RunningGateway([file], load([file]))
    await gateway.start()
    (address,) = gateway.addresses
    assert await get(address) == "one"
    file.write_text(text("two"))
    assert await gateway.reload()
    assert await get(address) == "two"
    file.write_text("routs: 1")
    assert not await gateway.reload()
    assert await get(address) == "two"
    assert gateway.reload_outcome()["ok"] is False
    names = {family["name"] for snapshot in await gateway.snapshots() for family in snapshot}
    assert names >= {"config_reloads_total", "config_reloads_refused_total", "check_up", "requests_total"}
    assert await gateway.shut_down() is True
    assert gateway.stopping
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(address)
    await gateway.close()


async def test_an_admin_address_that_is_taken_leaves_nothing_open() -> None:
    first = RunningGateway([], load_text(text(), {}))
    await first.start()
    before = len(list(Path("/proc/self/fd").iterdir()))
    second = RunningGateway(
        [], load_text(text().replace('admin: {bind: "127.0.0.1:0"', f'admin: {{bind: "{first.admin_address}"'), {})
    )
    with pytest.raises(OSError, match=r"address|Address"):
        await second.start()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    await first.close()


async def test_stop_ends_run() -> None:
    gateway = RunningGateway([], load_text(text(), {}))
    await gateway.start()
    gateway.stop()
    assert await gateway.run() is True


async def test_the_admin_listener_speaks_tls_where_it_should(tmp_path: Path) -> None:
    cert, key = _certificate(tmp_path)
    gateway = RunningGateway([], load_text(text(admin=f', tls: {{cert: "{cert}", key: "{key}"}}'), {}))
    await gateway.start()
    trusting = ssl.create_default_context(cafile=str(cert))
    async with aiohttp.ClientSession() as session:
        url = f"{gateway.admin_address.replace('127.0.0.1', 'localhost')}/healthz"
        async with session.get(f"https://{url}", ssl=trusting) as answer:
            assert json.loads(await answer.read()) == {"status": "ok"}
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"http://{url}")
    await gateway.close()


def _certificate(directory: Path) -> tuple[Path, Path]:
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    secret: Any = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, secret.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    cert, key = directory / "cert.pem", directory / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert, key
