"""Listeners as a configuration asks for them: plain, unix, TLS with client certificates, behind PROXY headers."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.testing import origin, running

CONFIG = """
trusted_proxies: [127.0.0.0/8]
limits: {url: 100B}
listeners:
  - {bind: "127.0.0.1:0"}
  - {bind: "unix:${SOCKET}", permissions: "0600"}
  - bind: "127.0.0.1:0"
    tls: {cert: "${CERT}", key: "${KEY}", client_ca: "${CERT}", client_auth: optional}
  - {bind: "127.0.0.1:0", proxy_protocol: true, limits: {url: 1000B}}
admin: off
upstreams: {service: {targets: ["${TARGET}"]}}
routes: [{name: all, upstream: service}]
"""
GET = b"GET /%b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that vouches for itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "tls.crt", folder / "tls.key"


async def ask(data: bytes, port: int | None = None, path: Path | None = None, **options: Any) -> bytes:
    if path is not None:
        reader, writer = await asyncio.open_unix_connection(str(path))
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return answer


async def test_four_listeners(tmp_path: Path, pair: tuple[Path, Path]):
    socket_path = tmp_path / "gateway.sock"
    context = ssl.create_default_context(cafile=pair[0])
    context.load_cert_chain(*pair)
    async with (
        origin(body=b"hello") as service,
        running(CONFIG, SOCKET=str(socket_path), CERT=str(pair[0]), KEY=str(pair[1]), TARGET=service.url) as gateway,
    ):
        plain, _, tls, proxied = gateway.listeners
        assert (await ask(GET % b"plain", plain.port)).endswith(b"hello")
        assert (await ask(GET % b"unix", path=socket_path)).endswith(b"hello")
        assert (await ask(GET % b"tls", tls.port, ssl=context, server_hostname="localhost")).endswith(b"hello")
        header = b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n"
        assert (await ask(header + GET % b"proxied", proxied.port)).endswith(b"hello")
        assert (await ask(GET % (b"x" * 200), plain.port)).startswith(b"HTTP/1.1 414 ")
        assert (await ask(header + GET % (b"x" * 200), proxied.port)).endswith(b"hello")  # a limit of its own
        exchanges = {each.request.path: each.request for each in await gateway.ended(6)}
        seen = {request.path: request.headers for request in service.requests}
    assert exchanges["/tls"].scheme == "https"
    assert exchanges["/tls"].peer.certificate["subject"] == ((("commonName", "localhost"),),)
    assert exchanges["/plain"].peer.certificate is None
    assert exchanges["/proxied"].client_ip == "203.0.113.7"
    assert seen["/proxied"]["X-Forwarded-For"] == "203.0.113.7"
    assert seen["/tls"]["X-Forwarded-Proto"] == "https"
    assert seen["/unix"]["X-Forwarded-For"] == "unknown"
    assert not socket_path.exists()


async def test_options_of_the_server_as_a_whole_is_answered_here():
    config = """
    admin: off
    upstreams: {service: {targets: ["${TARGET}"]}}
    routes: [{name: all, upstream: service}]
    """
    async with origin() as service, running(config, TARGET=service.url) as gateway:
        whole = await ask(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", gateway.listeners[0].port)
        one = await ask(b"OPTIONS /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", gateway.listeners[0].port)
        asked = [request.path for request in service.requests]
    assert whole.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Length: 0\r\n" in whole
    assert one.startswith(b"HTTP/1.1 200 ")
    assert asked == ["/x"]


async def test_trace_is_taken_where_a_listener_says_so_until_a_reload_says_otherwise():
    config = """
    admin: off
    listeners: [{bind: "127.0.0.1:0", trace: "${TRACE}"}]
    upstreams: {service: {targets: ["${TARGET}"]}}
    routes: [{name: all, upstream: service}]
    """
    async with origin() as service, running(config, TARGET=service.url, TRACE="true") as gateway:
        taken = await gateway.fetch("TRACE", "/x")
        tunnel = await ask(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", gateway.listeners[0].port)
        await gateway.reload(config, TARGET=service.url, TRACE="false")
        refused = await gateway.fetch("TRACE", "/x")
        asked = [(request.method, request.path) for request in service.requests]
    assert taken.status == 200
    assert tunnel.startswith(b"HTTP/1.1 405 ")
    assert refused.status == 405
    assert asked == [("TRACE", "/x")]
