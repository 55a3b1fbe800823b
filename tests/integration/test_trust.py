"""What clients say of themselves, over real connections: believed from trusted proxies, and from nobody else."""

from __future__ import annotations

from gateway.testing import origin, running

CONFIG = """
trusted_proxies: ["${TRUSTED}"]
admin: off
upstreams: {service: {targets: ["${TARGET}"]}}
routes:
  - {name: all, upstream: service}
  - name: told
    match: {path: /told}
    plugins:
      - plugin: headers
        with: {request: {set: {X-Forwarded-Prefix: /told, X-Forwarded-Proto: https, X-User: gateway}}}
    upstream: service
"""
FORGED = {
    "X-Forwarded-For": "10.1.1.1",
    "X-Forwarded-Prefix": "/admin",
    "X-Forwarded-Proto": "ftp",
    "X-Real-IP": "127.0.0.1",
    "X_Forwarded_For": "127.0.0.1",
    "X_User": "root",
    "X-Kept": "1",
}


async def test_strangers_say_nothing_of_themselves_and_plugins_may():
    async with origin() as service, running(CONFIG, TRUSTED="192.0.2.0/24", TARGET=service.url) as gateway:
        for path in ("/a", "/a", "/told", "/told"):
            assert (await gateway.fetch("GET", path, headers=FORGED)).status == 200
        plain, again, told, _ = [request.headers for request in service.requests]
    assert plain.keys() == again.keys()
    assert plain["X-Forwarded-For"] == "127.0.0.1"
    assert not {"X-Forwarded-Prefix", "X-Real-IP", "X_Forwarded_For"} & set(plain)
    assert (plain["X-Kept"], plain["X_User"]) == ("1", "root")
    assert (told.getall("X-Forwarded-Prefix"), told.getall("X-User")) == (["/told"], ["gateway"])
    assert (plain.getall("X-Forwarded-Proto"), told.getall("X-Forwarded-Proto")) == (["http"], ["https"])
    assert told["X-Forwarded-For"] == "127.0.0.1"
    assert "X_User" not in told, "the same to WSGI"


async def test_a_trusted_proxy_is_believed_until_a_reload_says_otherwise():
    async with origin() as service, running(CONFIG, TRUSTED="127.0.0.0/8", TARGET=service.url) as gateway:
        await gateway.fetch("GET", "/", headers=FORGED)
        await gateway.reload(CONFIG, TRUSTED="192.0.2.0/24", TARGET=service.url)
        await gateway.fetch("GET", "/", headers=FORGED)
        before, after = [request.headers for request in service.requests]
        clients = [each.request.client_ip for each in await gateway.ended(2)]
    assert before["X-Forwarded-For"] == "10.1.1.1, 127.0.0.1"
    assert (before["X-Real-IP"], before["X-Forwarded-Prefix"]) == ("127.0.0.1", "/admin")
    assert "X_Forwarded_For" not in before, "no proxy writes it so"
    assert after["X-Forwarded-For"] == "127.0.0.1"
    assert "X-Real-IP" not in after
    assert clients == ["10.1.1.1", "127.0.0.1"]
