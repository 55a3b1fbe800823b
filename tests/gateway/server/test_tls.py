"""TLS towards clients: versions, ALPN, client certificates, renewal, and behind the PROXY protocol."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.config.listener import Listener, ListenerTls
from gateway.http import Request, Response
from gateway.server.edge import Edge, EdgeLimits
from gateway.server.listener import OpenListener, open_listener
from gateway.server.tls import ServerTls, make_context, renewing_context
from gateway.services.clock import Wheel

CLOSING = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Authority:
    """Signs certificates into files."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._build(self._name, self._key).add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _build(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
        )

    def issue(self, name: str, *, cert: Path | None = None, key: Path | None = None, password: bytes = b"") -> Any:
        made = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signed = (
            self._build(subject, made)
            .add_extension(x509.SubjectAlternativeName(names), False)
            .sign(self._key, hashes.SHA256())
        )
        cert = cert or self.folder / f"{name}.crt"
        key = key or self.folder / f"{name}.key"
        cert.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        secrecy = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        key.write_bytes(made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secrecy))
        return cert, key


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "authority")


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> tuple[Path, Path]:
    cert, key = authority.issue("server", cert=tmp_path / "server.crt", key=tmp_path / "server.key")
    return cert, key


async def told(request: Request) -> Response:
    certificate = request.peer.certificate
    name = dict(each[0] for each in certificate["subject"])["commonName"] if certificate else "nobody"
    if request.path == "/chain":
        return Response(200, body=b" ".join(each.hex().encode() for each in request.peer.chain))
    return Response(200, body=f"{request.scheme} {name} {request.client_ip}".encode())


@pytest.fixture
async def listen(stub_runtime) -> AsyncIterator[Callable[..., Any]]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(tls: ListenerTls, **options: Any) -> OpenListener:
            wheel = Wheel()
            trusted = [ipaddress.ip_network("127.0.0.0/8")] if options.get("proxy_protocol") else []
            edge = Edge(stub_runtime(told), EdgeLimits(linger=0.05), wheel, trusted)
            opened = await open_listener(Listener(bind="127.0.0.1:0", tls=tls, **options), edge)

            async def end() -> None:
                await opened.close()
                for connection in list(edge.connections):
                    connection.abort()
                async with asyncio.timeout(60):
                    while edge.connections:
                        await asyncio.sleep(0.001)
                wheel.close()

            stack.push_async_callback(end)
            return opened

        yield start


def client(authority: Authority, identity: Any = None, **attributes: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.path)
    if identity:
        context.load_cert_chain(*identity)
    for name, value in attributes.items():
        setattr(context, name, value)
    return context


async def ask(port: int, context: ssl.SSLContext, path: bytes = b"/") -> tuple[bytes, ssl.SSLObject]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found = writer.get_extra_info("ssl_object")
    writer.write(CLOSING.replace(b" / ", b" %b " % path))
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return answer.partition(b"\r\n\r\n")[2], found


def serial(found: ssl.SSLObject) -> str:
    return found.getpeercert()["serialNumber"]  # type: ignore[index, return-value]


async def test_tls(listen, authority, files):
    opened = await listen(ListenerTls(cert=files[0], key=files[1]))
    context = client(authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    body, found = await ask(opened.port, context)
    assert body == b"https nobody 127.0.0.1"
    assert found.selected_alpn_protocol() == "http/1.1"
    assert found.version() == "TLSv1.3"


async def test_an_older_version_is_refused(listen, authority, files):
    opened = await listen(ListenerTls(cert=files[0], key=files[1], min_version="1.3"))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await ask(opened.port, client(authority, maximum_version=ssl.TLSVersion.TLSv1_2))


async def test_1_2_is_taken_by_default(listen, authority, files):
    opened = await listen(ListenerTls(cert=files[0], key=files[1]))
    _, found = await ask(opened.port, client(authority, maximum_version=ssl.TLSVersion.TLSv1_2))
    assert found.version() == "TLSv1.2"


@pytest.mark.parametrize(
    ("auth", "who", "expected"),
    [
        pytest.param("required", "alice", b"https alice 127.0.0.1", id="required and given"),
        pytest.param("required", None, None, id="required and not given"),
        pytest.param("required", "stranger", None, id="required, signed by another authority"),
        pytest.param("optional", "alice", b"https alice 127.0.0.1", id="optional and given"),
        pytest.param("optional", None, b"https nobody 127.0.0.1", id="optional and not given"),
        pytest.param("optional", "stranger", None, id="optional, signed by another authority"),
    ],
)
async def test_client_certificates(listen, authority, files, tmp_path, auth, who, expected):
    opened = await listen(ListenerTls(cert=files[0], key=files[1], client_ca=authority.path, client_auth=auth))
    signer = Authority(tmp_path, "other") if who == "stranger" else authority
    identity = signer.issue(who) if who else None
    if expected is None:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            body, _ = await ask(opened.port, client(authority, identity))
            raise ConnectionError if body == b"" else AssertionError(body)
    else:
        body, _ = await ask(opened.port, client(authority, identity))
        assert body == expected


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_chain_of_a_client_certificate(listen, authority, files, version):
    opened = await listen(ListenerTls(cert=files[0], key=files[1], client_ca=authority.path, client_auth="optional"))
    identity = authority.issue("alice")
    body, _ = await ask(opened.port, client(authority, identity, maximum_version=version), b"/chain")
    wanted = [ssl.PEM_cert_to_DER_cert(path.read_text()) for path in (identity[0], authority.path)]
    assert [bytes.fromhex(each.decode()) for each in body.split()] == wanted
    body, _ = await ask(opened.port, client(authority), b"/chain")
    assert body == b""


async def test_a_renewed_certificate_is_taken_up(listen, authority, files):
    settings = ListenerTls(cert=files[0], key=files[1])
    opened = await listen(settings)
    context = client(authority)
    reader, writer = await asyncio.open_connection("127.0.0.1", opened.port, ssl=context)
    _, before = await ask(opened.port, context)
    authority.issue("server", cert=files[0], key=files[1])
    assert opened._tls.check()
    after = before
    async with asyncio.timeout(60):
        while serial(after) == serial(before):
            _, after = await ask(opened.port, context)
    writer.write(CLOSING)
    assert (await reader.read()).endswith(b"https nobody 127.0.0.1")  # the old connection goes on
    writer.close()


@pytest.mark.parametrize("proxied", [False, True], ids=["plain", "behind the PROXY protocol"])
async def test_other_settings_are_taken_up(listen, authority, files, proxied):
    """What a reload changed goes for handshakes from then on; an open connection stays."""
    opened = await listen(ListenerTls(cert=files[0], key=files[1]), proxy_protocol=proxied)
    header = b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n" if proxied else b""
    settings = ListenerTls(cert=files[0], key=files[1], client_ca=authority.path, min_version="1.3")
    changed = opened.listener.model_copy(update={"tls": settings})
    who = authority.issue("alice")
    assert b"nobody" in await asyncio.to_thread(speak, opened.port, client(authority), header, True)
    opened.configure(changed, opened.prepare(changed))
    async with asyncio.timeout(60):
        while b"alice" not in await asyncio.to_thread(speak, opened.port, client(authority, who), header, True):
            await asyncio.sleep(0.01)  # the server in its place is not there yet
    for refused in (client(authority), client(authority, who, maximum_version=ssl.TLSVersion.TLSv1_2)):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(speak, opened.port, refused, header, True)


async def test_settings_that_cannot_be_used_change_nothing(listen, authority, files, tmp_path):
    opened = await listen(ListenerTls(cert=files[0], key=files[1]))
    before = opened._tls
    with pytest.raises(OSError):
        opened.prepare(opened.listener.model_copy(update={"tls": ListenerTls(cert=tmp_path / "no", key=files[1])}))
    assert opened._tls is before
    assert (await ask(opened.port, client(authority)))[0] == b"https nobody 127.0.0.1"


async def test_half_a_renewal_is_not_taken_up(listen, authority, files, caplog):
    settings = ListenerTls(cert=files[0], key=files[1])
    opened = await listen(settings)
    key = files[1].read_bytes()
    authority.issue("server", cert=files[0], key=files[1])
    renewed = files[1].read_bytes()
    files[1].write_bytes(key)
    tls = opened._tls
    assert not tls.check()
    assert not tls.check()
    assert [each.levelname for each in caplog.records].count("ERROR") == 1
    body, _ = await ask(opened.port, client(authority))
    assert body == b"https nobody 127.0.0.1"
    files[1].write_bytes(renewed)
    assert tls.check()


async def test_a_missing_file_is_not_taken_up(listen, files):
    settings = ListenerTls(cert=files[0], key=files[1])
    opened = await listen(settings)
    files[0].unlink()
    assert not opened._tls.check()


async def test_listeners_share_what_is_the_same(listen, files):
    settings = ListenerTls(cert=files[0], key=files[1])
    first = await listen(settings)
    second = await listen(ListenerTls(cert=files[0], key=files[1]))
    assert first._tls is second._tls
    assert first._tls is not None


async def test_files_are_looked_at_while_somebody_listens(files, monkeypatch, authority):
    monkeypatch.setattr("gateway.server.tls.POLL", 0.01)
    tls = ServerTls(ListenerTls(cert=files[0], key=files[1]))
    renewed = asyncio.Event()
    tls.watch(renewed.set)
    authority.issue("server", cert=files[0], key=files[1])
    await asyncio.wait_for(renewed.wait(), 60)
    tls.forget(renewed.set)
    assert tls._timer is None


async def test_a_server_that_keeps_its_context_has_renewed_files_too(files, monkeypatch, authority):
    """The admin listener is aiohttp's, whose context cannot be replaced."""
    monkeypatch.setattr("gateway.server.tls.POLL", 0.01)
    context, forget = renewing_context(ListenerTls(cert=files[0], key=files[1], client_ca=authority.path))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port, asking = server.sockets[0].getsockname()[1], client(authority, authority.issue("alice"))
    _, before = await ask(port, asking)
    authority.issue("server", cert=files[0], key=files[1])
    after = before
    async with asyncio.timeout(60):
        while serial(after) == serial(before):
            _, after = await ask(port, asking)
    forget()
    forget()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("what", ["a key of another certificate", "an encrypted key", "no PEM", "no file"])
def test_files_that_cannot_be_used(files, authority, tmp_path, what):
    if what == "a key of another certificate":
        _, key = authority.issue("else", cert=tmp_path / "else.crt", key=tmp_path / "else.key")
    elif what == "an encrypted key":
        _, key = authority.issue("else", cert=files[0], key=tmp_path / "else.key", password=b"secret")
    else:
        key = tmp_path / "no.key"
        if what == "no PEM":
            key.write_text("hello")
    with pytest.raises((OSError, ssl.SSLError, ValueError)):
        make_context(ListenerTls(cert=files[0], key=key))


@pytest.mark.parametrize("coalesced", [True, False], ids=["in one packet with the handshake", "in a packet of its own"])
async def test_proxy_protocol_comes_before_the_handshake(listen, authority, files, coalesced):
    opened = await listen(ListenerTls(cert=files[0], key=files[1]), proxy_protocol=True)
    header = b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n"
    assert (
        await asyncio.to_thread(speak, opened.port, client(authority), header, coalesced) == b"https nobody 203.0.113.7"
    )


async def test_proxy_protocol_and_tls_without_a_header_is_turned_away(listen, authority, files):
    opened = await listen(ListenerTls(cert=files[0], key=files[1]), proxy_protocol=True)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.to_thread(speak, opened.port, client(authority), b"", True)
    assert opened.edge.refused_connections == 1


async def test_what_is_queued_is_served_before_closing(listen, authority, files):
    opened = await listen(ListenerTls(cert=files[0], key=files[1]))
    with socket.create_connection(("127.0.0.1", opened.port)) as raw:
        raw.setblocking(False)
        opened.stop_accepting()
        reader, writer = await asyncio.open_connection(sock=raw, ssl=client(authority), server_hostname="localhost")
        writer.write(CLOSING)
        assert (await asyncio.wait_for(reader.read(), 60)).endswith(b"https nobody 127.0.0.1")
        writer.close()


def speak(port: int, context: ssl.SSLContext, header: bytes, coalesced: bool) -> bytes:
    """A client whose header and first TLS record leave in one packet, or byte by byte."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.settimeout(60)
        if not coalesced:
            for at in range(len(header)):
                raw.sendall(header[at : at + 1])
            header = b""

        def pump(step: Callable[[], Any]) -> Any:
            nonlocal header
            while True:
                try:
                    result = step()
                except ssl.SSLWantReadError:
                    result = None
                raw.sendall(header + outgoing.read())
                header = b""
                if result is not None:
                    return result
                data = raw.recv(65536)
                if not data:
                    raise ConnectionError
                incoming.write(data)

        pump(lambda: tls.do_handshake() or True)
        pump(lambda: tls.write(CLOSING))
        answer = b""
        while b"https" not in answer:
            answer += pump(lambda: tls.read(65536))
        return answer.partition(b"\r\n\r\n")[2]
