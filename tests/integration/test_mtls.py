"""mtls over real TLS with real certificates: who gets in, what the target is told, bound tokens, a proxy, expiry."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
import time

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.testing import origin, running
from gateway.testing.authority import Authority
from plugins.mtls.certificate import chain_field_of, field_of, read

SECRET = "thirty-two bytes or even more of them"
CONFIG = """
trusted_proxies: [127.0.0.2/32]
listeners:
  - bind: 127.0.0.1:0
    tls: {cert: "${CERT}", key: "${KEY}", client_ca: "${CA}", client_auth: optional}
  - bind: 127.0.0.1:0
upstreams: {app: {targets: ["${TARGET}"]}}
routes:
  - name: services
    match: {path: /services/}
    upstream: app
    plugins:
      - plugin: mtls
        with:
          clients: [{uri: "spiffe://example.org/ns/prod/", roles: [service], tenant: acme}]
          forward: chain
          from_proxy: true
      - plugin: access
        with: {rules: [{name: services, require: {role: service, tenant: acme}}]}
  - name: bound
    match: {path: /bound/}
    upstream: app
    plugins:
      - plugin: jwt
        with: {issuers: [{issuer: me, audience: me, algorithms: [HS256], secrets: ["${SECRET}"]}]}
      - plugin: mtls
        with: {bound_tokens: required}
  - name: either
    match: {path: /either/}
    upstream: app
    plugins:
      - any:
          - plugin: mtls
          - plugin: jwt
            with: {issuers: [{issuer: me, audience: me, algorithms: [HS256], secrets: ["${SECRET}"]}]}
"""


def bearer(thumbprint=None):
    now = int(time.time())
    claims = {"iss": "me", "aud": "me", "sub": "bob", "iat": now, "exp": now + 60}
    confirmed = {"cnf": {"x5t#S256": thumbprint}} if thumbprint else {}
    return {"Authorization": f"Bearer {jwt.encode({**claims, **confirmed}, SECRET, 'HS256')}"}


async def test_certificates_over_real_tls(tmp_path):
    root = Authority()
    between = Authority("between", above=root)
    cert, key = root.issue("localhost", dns=("localhost",), ip=("127.0.0.1",)).write(tmp_path, "server")
    web = between.issue("web", uri=("spiffe://example.org/ns/prod/sa/web",))
    dev = between.issue("dev", uri=("spiffe://example.org/ns/dev/sa/web",))
    names = {"web": web, "dev": dev, "stranger": Authority("other").issue("web", uri=web_uri(web))}

    def session(name=None):
        context = ssl.create_default_context(cafile=root.write(tmp_path))
        if name is not None:
            context.load_cert_chain(*names[name].write(tmp_path, name))
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))

    variables = {"CERT": str(cert), "KEY": str(key), "CA": str(root.write(tmp_path)), "SECRET": SECRET}
    async with (
        contextlib.AsyncExitStack() as stack,
        origin(200) as service,
        running(CONFIG, TARGET=service.url, **variables) as gateway,
        session() as anybody,
        session("web") as ours,
        session("dev") as others,
        session("stranger") as stranger,
    ):
        secure, plain = gateway.urls

        async def ask(client, path, **headers):
            async with client.get(secure + path, headers=headers) as answer:
                return answer.status, answer.headers.get("WWW-Authenticate")

        # The one whose certificate ends soon comes while it holds, and stays on its connection.
        names["short"] = between.issue("short", ends=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=4))
        ending = await stack.enter_async_context(session("short"))
        assert (await ask(ending, "/either/"))[0] == 200

        forged = {"Client-Cert": field_of(web.der), "Client_Cert": "x", "X-Forwarded-Client-Cert": "y"}
        assert (await ask(ours, "/services/", **forged))[0] == 200
        sent = service.requests[-1].headers
        assert sent.getall("Client-Cert") == [field_of(web.der)]
        chain = (*(each.public_bytes(Encoding.DER) for each in web.chain), root.der)
        assert sent["Client-Cert-Chain"] == chain_field_of(chain)
        assert "Client_Cert" not in sent and "X-Forwarded-Client-Cert" not in sent
        assert (await ask(others, "/services/", **forged))[0] == 403
        assert await ask(anybody, "/services/", **forged) == (401, 'ClientCertificate realm="services"')
        with pytest.raises((aiohttp.ClientError, ssl.SSLError, ConnectionError)):  # turned away in the handshake
            await ask(stranger, "/services/")

        mine = read(web.der).thumbprint
        assert (await ask(ours, "/bound/", **bearer(mine)))[0] == 200
        for client, headers in ((others, bearer(mine)), (anybody, bearer(mine)), (ours, bearer())):
            status, challenge = await ask(client, "/bound/", **headers)
            assert (status, challenge) == (401, 'Bearer realm="bound", error="invalid_token"')

        assert (await ask(anybody, "/either/", **bearer()))[0] == 200
        assert await ask(anybody, "/either/") == (401, 'ClientCertificate realm="either", Bearer realm="either"')

        # In the clear: a trusted proxy is believed, and nobody else.
        for address, status in (("127.0.0.2", 200), ("127.0.0.1", 401)):
            connector = aiohttp.TCPConnector(local_addr=(address, 0))
            async with (
                aiohttp.ClientSession(connector=connector) as proxy,
                proxy.get(plain + "/services/", headers={"Client-Cert": field_of(web.der)}) as answer,
            ):
                assert answer.status == status

        async with asyncio.timeout(30):
            while (await ask(ending, "/either/"))[0] == 200:
                await asyncio.sleep(0.05)
        assert len({each.request.peer for each in gateway.exchanges if named(each) == "short"}) == 1
        assert gateway.exchanges[-1].error.reason == "expired"


def named(exchange):
    return exchange.request.principal.id if exchange.request.principal else ""


def web_uri(issued):
    return read(issued.der).uri
