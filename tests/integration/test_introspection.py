"""introspection over real connections: a gateway, a service behind it, and a provider that is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

from gateway.testing import origin, running
from gateway.testing.provider import provider

CONFIG = """
listeners: [{bind: 127.0.0.1:0}]
upstreams: {orders: {targets: ["${TARGET}"]}}
routes:
  - name: orders
    upstream: orders
    plugins:
      - plugin: introspection
        with:
          endpoint: ${ISSUER}/introspect
          client: {id: shop, secret: "a secret of the shop's", auth: client_secret_post}
          claims_to_headers: {X-User: sub}
          remember: {refused: 0}
          timeout: 500ms
"""


@contextlib.asynccontextmanager
async def guarded():
    async with (
        provider() as idp,
        origin(200, body="hi") as service,
        running(CONFIG, TARGET=service.url, ISSUER=idp.url) as gateway,
    ):
        yield gateway, service, idp


def bearer(token, **more):
    return {"Authorization": f"Bearer {token}", **more}


async def test_who_gets_to_the_service():
    async with guarded() as (gateway, service, idp):
        token = idp.opaque()
        for _ in range(3):
            assert (await gateway.fetch("GET", "/", headers=bearer(token, **{"X-User": "root"}))).body == b"hi"
        assert service.requests[-1].headers.getall("X-User") == ["ada"]
        assert idp.calls["/introspect"] == 1
        for headers in ({}, bearer("unknown"), bearer(idp.opaque(exp=1))):
            refused = await gateway.fetch("GET", "/", headers=headers)
            assert (refused.status, refused.headers["Content-Type"]) == (401, "application/problem+json")
            assert refused.headers["WWW-Authenticate"].startswith('Bearer realm="orders"')
        assert len(service.requests) == 3


async def test_a_provider_that_hangs_or_is_down():
    async with guarded() as (gateway, service, idp):
        known, new = idp.opaque(), idp.opaque()
        assert (await gateway.fetch("GET", "/", headers=bearer(known))).status == 200
        idp.hold = asyncio.Event()
        hung = await gateway.fetch("GET", "/", headers=bearer(new))
        assert (hung.status, hung.headers["Retry-After"]) == (503, "1")
        idp.hold.set()
        idp.down = True
        assert (await gateway.fetch("GET", "/", headers=bearer(new))).status == 503
        assert (await gateway.fetch("GET", "/", headers=bearer(known))).status == 200
        idp.down = False
        assert (await gateway.fetch("GET", "/", headers=bearer(new))).status == 200
        assert len(service.requests) == 3


async def test_the_example_with_jwt_beside_it_says_where_tokens_are_to_be_had():
    text = (Path(__file__).parents[2] / "config" / "examples" / "introspection.yaml").read_text()
    async with provider() as idp, origin(200, body="hi") as service:
        config = text.replace("https://id.example.com/oauth2/introspect", f"{idp.url}/introspect")
        config = config.replace("https://id.example.com", idp.url).replace("http://127.0.0.1:9000", service.url)
        idp.client = {"id": "gateway", "secret": "s3cret"}
        async with running(config, OIDC_CLIENT_SECRET="s3cret") as gateway:
            refused = await gateway.fetch("GET", "/orders/1")
            pointer = 'resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/orders"'
            assert (refused.status, pointer in refused.headers["WWW-Authenticate"]) == (401, True)
            metadata = await gateway.fetch("GET", "/.well-known/oauth-protected-resource/orders")
            assert json.loads(metadata.body)["authorization_servers"] == [idp.url]
            assert metadata.headers["Access-Control-Allow-Origin"] == "*"
            for token in (idp.token(), idp.opaque(aud="orders")):
                assert (await gateway.fetch("GET", "/orders/1", headers=bearer(token))).body == b"hi"
            assert idp.calls["/introspect"] == 1
            assert (await gateway.fetch("GET", "/orders/1", headers=bearer(idp.opaque(aud="x")))).status == 401
