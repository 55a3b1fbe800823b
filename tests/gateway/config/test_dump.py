"""The configuration as it is shown."""

from __future__ import annotations

import json

from gateway.config import dump_masked, load_text

TEXT = """\
admin: {token: hunter2}
access_log: stderr
stores: {shared: "redis://u:hunter2@h", deadline: 30ms}
upstreams:
  a: {targets: ["http://h:1"], balance: {consistent_hash: client_ip}, timeout: {total: off}, pool: {idle: 90s}}
routes:
  - name: r
    upstream: a
    plugins:
      - {plugin: "kinds:Guard", with: {secret: hunter2, inner: {secrets: [hunter2], wait: 5m}, limit: 1MB}}
"""


def test_secrets_are_masked_and_the_rest_is_as_written():
    dumped = dump_masked(load_text(TEXT, {}).config)
    assert "hunter2" not in json.dumps(dumped)
    assert dumped["admin"]["token"] == "**********"
    assert dumped["access_log"] == "stderr"
    assert (dumped["stores"]["shared"], dumped["stores"]["deadline"]) == ("redis://u:***@h", "30ms")
    upstream = dumped["upstreams"]["a"]
    assert upstream["balance"] == {"consistent_hash": "client_ip"}
    assert upstream["timeout"]["total"] is None
    assert upstream["pool"]["idle"] == "90s"
    given = dumped["routes"][0]["plugins"][0]["with"]
    assert (given["limit"], given["inner"]["wait"], given["secret"]) == ("1MB", "5m", "**********")
