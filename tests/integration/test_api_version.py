"""api_version over real connections: each version at its own upstream; a name that is none is found at load."""

from __future__ import annotations

import json

import pytest

from gateway.testing import origin, running

CONFIG = """
upstreams:
  old: {targets: ["${OLD}"]}
  new: {targets: ["${NEW}"]}
routes:
  - name: api
    match: {path: /}
    plugins:
      - plugin: api_version
        with: {from: {path: "v{version}", query: version}, versions: {1: {upstream: old}, 2: {}}, strip: true}
    upstream: new
"""


async def test_over_a_real_connection():
    async with (
        origin(200, body="old") as old,
        origin(200, body="new") as new,
        running(CONFIG, OLD=old.url, NEW=new.url) as gateway,
    ):
        assert (await gateway.fetch("GET", "/v1/items")).body == b"old"
        assert (await gateway.fetch("GET", "/items?version=2&a=b")).body == b"new"
        assert [each.path for each in old.requests] == ["/items"]
        answer = await gateway.fetch("GET", "/v3/items")
        assert (answer.status, json.loads(answer.body)["supported"]) == (400, ["1", "2"])


async def test_an_upstream_that_there_is_not():
    with pytest.raises(Exception, match=r"versions\.1\.upstream: no upstream is called 'odl'"):
        async with running(CONFIG.replace("upstream: old", "upstream: odl"), OLD="http://a", NEW="http://b"):
            pass
