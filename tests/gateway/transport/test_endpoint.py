from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import math
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.errors import ConnectFailed, ConnectTimeout
from gateway.http import Request
from gateway.transport.endpoint import Endpoint, Tls
from gateway.transport.exchange import send


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("http://a", ("http", "a", 80, b"a"), id="a name"),
        pytest.param("http://a:81", ("http", "a", 81, b"a:81"), id="with a port"),
        pytest.param("http://a:80/", ("http", "a", 80, b"a"), id="with the port that is meant anyway"),
        pytest.param("http://[::1]:81", ("http", "::1", 81, b"[::1]:81"), id="IPv6"),
        pytest.param("https://a", ("https", "a", 443, b"a"), id="TLS"),
        pytest.param("unix:/run/x.sock", ("unix", "", 0, b"localhost"), id="a unix socket"),
        pytest.param("unix:///run/x.sock", ("unix", "", 0, b"localhost"), id="a unix socket as a URL"),
    ],
)
def test_a_url_is_taken_apart(url, expected):
    endpoint = Endpoint(url)
    assert (endpoint.scheme, endpoint.host, endpoint.port, endpoint.authority) == expected
    assert endpoint.path == ("/run/x.sock" if url.startswith("unix") else "")


@pytest.mark.parametrize("url", ["ftp://a", "http://", "http://a/path", "http://a?b", "a:80"])
def test_other_urls_are_refused(url):
    with pytest.raises(ValueError, match="without a path"):
        Endpoint(url)


async def get(connections, timing):
    return await send(connections, Request("GET", "/"), "/", b"t", timing())


# -- names -----------------------------------------------------------------------------------------------------------


patchable = pytest.mark.asyncio(loop_factories=["asyncio"])
"""uvloop's own loop takes no other getaddrinfo."""


class Resolver:
    """Stands for the loop's getaddrinfo: answers with what it is told."""

    def __init__(self, monkeypatch, *addresses: tuple[str, int]) -> None:
        self.addresses: list[tuple[str, int]] = list(addresses)
        self.asked = 0
        self.broken = False
        loop = asyncio.get_running_loop()
        real = loop.getaddrinfo

        async def getaddrinfo(host, port, **how):
            if host != "svc.test":
                return await real(host, port, **how)
            self.asked += 1
            if self.broken:
                raise socket.gaierror("no answer")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in self.addresses]

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)


@patchable
async def test_all_addresses_of_a_name_are_used(service, pool, timing, monkeypatch):
    targets = [await service(), await service()]
    endpoint = Endpoint("http://svc.test")
    Resolver(monkeypatch, *[("127.0.0.1", each.port) for each in targets])
    for _ in range(40):
        connections = pool(endpoint)
        await get(connections, timing)
        connections.close()
    assert min(each.connections for each in targets) > 5


@patchable
async def test_another_address_serves_where_one_fails_and_the_failed_one_comes_last(
    service, pool, timing, monkeypatch, refused_url
):
    target = await service()
    endpoint = Endpoint("http://svc.test")
    dead = ("127.0.0.1", int(refused_url.rsplit(":", 1)[1]))
    Resolver(monkeypatch, dead, ("127.0.0.1", target.port))
    while not endpoint._failed:
        await get(pool(endpoint), timing)
    loop = asyncio.get_running_loop()
    assert {(await endpoint.addresses(loop))[0] for _ in range(30)} == {("127.0.0.1", target.port)}


@patchable
async def test_a_silent_address_leaves_time_for_the_next(service, pool, timing, monkeypatch):
    target = await service()
    endpoint = Endpoint("http://svc.test")
    Resolver(monkeypatch, ("192.0.2.1", 80), ("127.0.0.1", target.port))
    real = endpoint._connect_to

    async def connect_to(self, loop, connection, host, port):
        if host == "192.0.2.1":
            await asyncio.sleep(60)
        await real(loop, connection, host, port)

    monkeypatch.setattr(Endpoint, "_connect_to", connect_to)
    for _ in range(5):
        assert (await get(pool(endpoint, connect=0.4), timing)).status == 200


@patchable
async def test_all_addresses_silent_is_a_timeout(pool, timing, monkeypatch):
    endpoint = Endpoint("http://svc.test")
    Resolver(monkeypatch, ("192.0.2.1", 80), ("192.0.2.2", 80))

    async def never(*_):
        await asyncio.sleep(60)

    monkeypatch.setattr(Endpoint, "_connect_to", never)
    with pytest.raises(ConnectTimeout):
        await get(pool(endpoint, connect=0.1), timing)


@patchable
async def test_a_name_is_looked_up_again_by_ttl_beside_the_traffic(service, pool, timing, monkeypatch, until):
    old, new = await service(), await service()
    endpoint = Endpoint("http://svc.test", ttl=0.05)
    resolver = Resolver(monkeypatch, ("127.0.0.1", old.port))
    connections = pool(endpoint)
    await get(connections, timing)
    resolver.addresses = [("127.0.0.1", new.port)]
    # The kept connection leads to the old address: it is given up once the name says otherwise.
    await until(lambda: connections.total == 0)
    await get(connections, timing)
    assert (old.connections, new.connections) == (1, 1)


@patchable
async def test_a_look_up_that_fails_keeps_the_old_addresses(service, pool, timing, monkeypatch):
    target = await service()
    endpoint = Endpoint("http://svc.test", ttl=0.0)
    resolver = Resolver(monkeypatch, ("127.0.0.1", target.port))
    await get(pool(endpoint), timing)
    resolver.broken = True
    for _ in range(3):
        endpoint._expires = 0.0
        assert (await get(pool(endpoint), timing)).status == 200
        await asyncio.sleep(0)
    assert resolver.asked > 1


@patchable
async def test_a_name_without_addresses_is_an_error_and_asked_for_again(service, pool, timing, monkeypatch):
    endpoint = Endpoint("http://svc.test")
    resolver = Resolver(monkeypatch)
    resolver.broken = True
    with pytest.raises(ConnectFailed):
        await get(pool(endpoint), timing)
    target = await service()
    resolver.broken, resolver.addresses = False, [("127.0.0.1", target.port)]
    endpoint._expires = 0.0
    assert (await get(pool(endpoint), timing)).status == 200


@patchable
@pytest.mark.parametrize("broken", [pytest.param(True, id="it fails"), pytest.param(False, id="it has no address")])
async def test_a_name_that_leads_nowhere_is_the_same_error_each_time(pool, timing, monkeypatch, broken):
    resolver = Resolver(monkeypatch)
    resolver.broken = broken
    connections = pool(Endpoint("http://svc.test"))
    for _ in range(3):  # the later ones come before the name may be asked for again
        with pytest.raises(ConnectFailed) as caught:
            await get(connections, timing)
        assert ("no answer" if broken else "no addresses") in caught.value.reason


@patchable
async def test_a_dead_name_is_not_asked_for_at_each_request(pool, timing, monkeypatch, refused_url):
    endpoint = Endpoint("http://svc.test")
    resolver = Resolver(monkeypatch, ("127.0.0.1", int(refused_url.rsplit(":", 1)[1])))
    for _ in range(20):
        with pytest.raises(ConnectFailed):
            await get(pool(endpoint), timing)
    assert resolver.asked <= 3


def test_an_ip_address_is_never_looked_up():
    assert Endpoint("http://127.0.0.1:1")._expires == math.inf
    assert Endpoint("http://[::1]:1")._addresses == [("::1", 1)]


# -- unix sockets and TLS --------------------------------------------------------------------------------------------


async def test_a_unix_socket(service, pool, timing, tmp_path):
    target = await service(unix=str(tmp_path / "s"))
    assert (await get(pool(target.url), timing)).body.whole == b"ok"


async def test_a_unix_socket_that_is_not_there(pool, timing, tmp_path):
    with pytest.raises(ConnectFailed):
        await get(pool(f"unix:{tmp_path}/none"), timing)


class Authority:
    """A certificate authority of a test."""

    def __init__(self, directory) -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.certificate = self._sign(self.name, self.key, ca=True)
        self.file = directory / "ca.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, name, key, *, ca=False, names=()):
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if ca:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        else:
            uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name, *alternatives):
        """Files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, names=alternatives)
        cert_file, key_file = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(cert_file), str(key_file)

    def server(self, name, *alternatives, client_ca=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(name, *alternatives))
        if client_ca:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


async def test_tls_with_an_authority_of_ones_own(service, pool, timing, authority):
    target = await service(tls=authority.server("localhost", x509.DNSName("localhost")))
    endpoint = Endpoint(target.url, Tls(ca=str(authority.file)))
    connections = pool(endpoint)
    for _ in range(2):
        assert (await get(connections, timing)).body.whole == b"ok"
    assert target.connections == 1


async def test_tls_to_an_ip_address(service, pool, timing, authority):
    target = await service(tls=authority.server("ip", x509.IPAddress(ipaddress.ip_address("127.0.0.1"))))
    endpoint = Endpoint(target.url.replace("localhost", "127.0.0.1"), Tls(ca=str(authority.file)))
    assert (await get(pool(endpoint), timing)).status == 200


@pytest.mark.parametrize(
    ("tls", "works"),
    [
        pytest.param({}, False, id="an unknown authority is refused"),
        pytest.param({"ca": True}, False, id="another name is refused"),
        pytest.param({"ca": True, "sni": "api.internal"}, True, id="the name that is asked for is the one checked"),
        pytest.param({"verify": False}, True, id="unless nothing is to be checked"),
    ],
)
async def test_tls_names(service, pool, timing, authority, tls, works):
    asked = []
    context = authority.server("api", x509.DNSName("api.internal"))
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    target = await service(tls=context)
    if "ca" in tls:
        tls = {**tls, "ca": str(authority.file)}
    connections = pool(Endpoint(target.url, Tls(**tls)))
    if works:
        assert (await get(connections, timing)).status == 200
        assert asked == [tls.get("sni", "localhost")]
    else:
        with pytest.raises(ConnectFailed, match="Bad gateway") as refused:
            await get(connections, timing)
        assert "CERTIFICATE_VERIFY_FAILED" in refused.value.reason
        assert connections.total == 0


async def test_a_client_certificate(service, pool, timing, authority):
    context = authority.server("localhost", x509.DNSName("localhost"), client_ca=str(authority.file))
    seen = []

    async def conduct(request):
        seen.append(request.writer.get_extra_info("peercert")["subject"])
        await request.answer()

    target = await service(conduct, tls=context)
    cert, key = authority.issue("gateway")
    endpoint = Endpoint(target.url, Tls(ca=str(authority.file), cert=cert, key=key))
    assert (await get(pool(endpoint), timing)).status == 200
    assert seen == [((("commonName", "gateway"),),)]
