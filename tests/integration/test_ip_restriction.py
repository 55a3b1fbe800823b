"""ip_restriction over real connections: who the client is behind trusted proxies, and a list that changes."""

from __future__ import annotations

from pathlib import Path

from gateway.testing import origin, running

CONFIG = """
trusted_proxies: [127.0.0.1]
upstreams: {app: {targets: ["${TARGET}"]}}
routes:
  - name: app
    match: {path: /}
    plugins: [{plugin: ip_restriction, with: {deny: [{file: "${LIST}"}]}}]
    upstream: app
"""


async def test_the_client_behind_a_trusted_proxy_is_judged_and_the_list_is_read_again(tmp_path: Path):
    denied = tmp_path / "deny.txt"
    denied.write_text("203.0.113.0/24\n")
    async with origin(200) as service:
        variables = {"TARGET": service.url, "LIST": str(denied)}
        async with running(CONFIG, **variables) as gateway:

            async def status(address: str) -> int:
                return (await gateway.fetch("GET", "/", headers={"X-Forwarded-For": address})).status

            assert [await status("203.0.113.9"), await status("198.51.100.9"), await status("127.0.0.1")] == [
                403,
                200,
                200,
            ]
            assert await status("203.0.113.9, 198.51.100.9") == 200, "the one that the trusted proxy saw"
            denied.write_text("198.51.100.0/24\n")
            await gateway.reload(CONFIG, **variables)
            assert [await status("203.0.113.9"), await status("198.51.100.9")] == [200, 403]
    assert len(service.requests) == 4
