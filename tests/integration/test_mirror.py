"""mirror over real connections: the copy arrives elsewhere, rewritten alike, and hurts nobody."""

import asyncio

import pytest

from gateway.config import ConfigurationError
from gateway.testing import origin, running

CONFIG = """
upstreams:
  old: {targets: ["${OLD}"]}
  new: {targets: ["${NEW}"], timeout: {connect: 1s}}
listeners: [{bind: 127.0.0.1:0}]
routes:
  - name: shop
    match: {path: /shop/}
    rewrite: {strip_prefix: /shop}
    upstream: old
    plugins:
      - plugin: mirror
        with:
          upstream: new
          methods: [GET, POST]
          remove: [Authorization]
          compare: {ignore_paths: [/took]}
        when: {headers: {X-Try: "*"}}
"""
JSON = {"Content-Type": "application/json"}


def compared(gateway):
    families = {family["name"]: family for family in gateway.services.metrics.snapshot()}
    return {labels[-1]: value for labels, value in families["mirror_compared_total"]["samples"] if value}


async def test_the_copy_arrives_and_is_compared():
    async with (
        origin(200, JSON, '{"took":1,"n":1}') as old,
        origin(200, JSON, '{"took":2,"n":1}') as new,
        running(CONFIG, OLD=old.url, NEW=new.url) as gateway,
    ):
        headers = {"X-Try": "1", "Authorization": "secret", "Cookie": "c"}
        answer = await gateway.fetch("POST", "/shop/a?b=c", headers=headers, body="x" * 100_000)
        assert (answer.status, answer.body) == (200, b'{"took":1,"n":1}')
        await gateway.fetch("GET", "/shop/b")
        while compared(gateway) != {"same": 1}:
            await asyncio.sleep(0.01)
        (copy,) = new.requests
        assert (copy.method, copy.path_qs, new.bodies) == ("POST", "/a?b=c", [b"x" * 100_000])
        assert (copy.headers["X-Mirrored"], copy.headers["Cookie"]) == ("shop", "c")
        assert "Authorization" not in copy.headers
        assert len(old.requests) == 2
        assert len(await gateway.ended(2)) == 2, "copies are no exchanges of the route"


async def test_an_upstream_that_is_down_hurts_nobody(unused_tcp_port):
    async with (
        origin(200, body="hi") as old,
        running(CONFIG, OLD=old.url, NEW=f"http://127.0.0.1:{unused_tcp_port}") as gateway,
    ):
        for _ in range(5):
            assert (await gateway.fetch("GET", "/shop/", headers={"X-Try": "1"})).body == b"hi"
        while compared(gateway) != {"skipped": 5}:
            await asyncio.sleep(0.01)


def test_a_misspelt_upstream_is_found_at_load():
    from gateway.config import load_text
    from gateway.runtime.review import findings

    with pytest.raises(ConfigurationError, match="no upstream is called 'nwe'"):
        load_text(
            CONFIG.replace("upstream: new", "upstream: nwe"),
            {"OLD": "http://h:1", "NEW": "http://h:2"},
            review=findings,
        )
