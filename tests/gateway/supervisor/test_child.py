"""What a worker's process is told; the process itself is seen in ``tests/integration/test_workers.py``."""

from __future__ import annotations

import argparse
import socket
from typing import Any

import pytest

from gateway.config import load_text
from gateway.plugin.settings import identity
from gateway.supervisor.child import _Child, _unpacked, packed
from gateway.supervisor.processes import _bind

TEXT = """
listeners: [{bind: "127.0.0.1:0"}]
access_log: off
stores: {shared: "redis://u:${PASSWORD}@127.0.0.1:1/0"}
trusted_proxies: [10.0.0.0/8]
upstreams: {a: {targets: [http://127.0.0.1:1], retry: {budget: 20%}}}
routes:
  - name: r
    match: {path: "/a/{id}", headers: {X-A: b}}
    upstream: a
    plugins: [{plugin: size_limit, with: {json: 1KB}, when: {methods: [GET]}}, {plugin: headers}]
"""


def test_a_configuration_arrives_as_it_was_sent_secrets_included() -> None:
    config = load_text(TEXT, {"PASSWORD": "pw"}).config
    arrived = _unpacked(packed(config))
    assert arrived == config
    assert identity(arrived) == identity(config)
    assert arrived.stores.shared.get_secret_value() == "redis://u:pw@127.0.0.1:1/0"


async def test_it_answers_nothing_before_it_was_started() -> None:
    child = _Child(argparse.Namespace(index=0, workers=2, listener=[]))
    for what in ("snapshot", "commit", "anything"):
        with pytest.raises(LookupError):
            await child._answer(what, {})


async def test_the_questions_of_a_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    # The log of this process is pytest's.
    monkeypatch.setattr("gateway.supervisor.child.begin_own_log", lambda *_: None)
    config = load_text(TEXT.replace("redis://u:${PASSWORD}@127.0.0.1:1/0", "memory://"), {}).config
    (bound,) = _bind(config.listeners[0], 1)
    child = _Child(argparse.Namespace(index=1, workers=2, listener=[socket.dup(bound.fileno())]))

    async def ask(what: str, **arguments: Any) -> Any:
        return await child._answer(what, arguments)

    try:
        await ask("start", config=packed(config))
        assert (await ask("status"))["worker"] == 1
        assert {family["name"] for family in await ask("snapshot")} >= {"requests_total", "connections_total"}
        await ask("prepare", config=packed(config))
        await ask("abandon")
        await ask("prepare", config=packed(config))
        await ask("commit")
        assert await ask("probed") == {}
        await ask("told", found={})
        await ask("reopen")
        with pytest.raises(LookupError):
            await ask("view", route="r", id="none", name="none", method="GET", query={})
        with pytest.raises(LookupError):
            await ask("dance")
        assert await ask("drain", deadline=1.0) is True
    finally:
        assert child._worker is not None
        await child._worker.close()
        bound.close()
