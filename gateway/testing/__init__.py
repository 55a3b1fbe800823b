"""Everything to try a plugin with, and no socket in it.

A test of a plugin is three lines: a request, the rest of the chain, and what must come of them.

    from gateway.testing import answering, exchange, request
    from plugins.size_limit import SizeLimit

    async def test_a_body_over_the_limit_is_refused():
        target = answering(200)
        response = await exchange(SizeLimit, {"other": "10B"}, request("POST", "/", body=b"x" * 11), target)
        assert (response.status, target.calls) == (413, 0)

`exchange` runs the plugin as the gateway does: its settings are checked as YAML's are, it is opened, stands in a
composed chain, its refusals are rendered, the answer is read to the end, ``done`` fires, it is closed. For several
requests to one instance, and to look at what it left behind, there is `opened`:

    from gateway.testing import opened

    async def test_shadow_lets_pass_what_it_would_refuse():
        async with opened(SizeLimit, {"other": "10B"}, mode="shadow") as limit:
            response = await limit(request("POST", "/", chunks=[b"x" * 6, b"y" * 5]))
            assert response.status == 200
            assert limit.ports.would_refuse == ["payload_too_large"]

A plugin that keeps work (`Plugin.durable`) finds a `MemoryQueue` on the same clock, and delivers to `TestPorts.rest`;
``await ports.clock.elapse(3600)`` lets an hour pass, with all that happens in it.

`request` and `answering` take ``chunks=[…]`` for bodies that stream; `ports` gives a clock that a test turns, a store,
and canned answers for a plugin's own calls; `read` pulls a body. For the one test through real HTTP that every plugin
should have, `running` is a whole gateway and `origin` a service behind it, both on free ports:

    from gateway.testing import origin, running

    async def test_over_a_real_connection():
        async with origin(200, body="hi") as service, running(CONFIG, TARGET=service.url) as gateway:
            assert (await gateway.fetch("GET", "/")).body == b"hi"
"""

from gateway.testing.exchange import Opened, exchange, opened, settings_of
from gateway.testing.message import Answering, Chunks, answering, read, request
from gateway.testing.ports import Call, CannedClient, Refusal, TestDestination, TestPorts, ports
from gateway.testing.queue import MemoryQueue
from gateway.testing.running import Origin, Running, origin, running

__all__ = [
    "Answering",
    "Call",
    "CannedClient",
    "Chunks",
    "MemoryQueue",
    "Opened",
    "Origin",
    "Refusal",
    "Running",
    "TestDestination",
    "TestPorts",
    "answering",
    "exchange",
    "opened",
    "origin",
    "ports",
    "read",
    "request",
    "running",
    "settings_of",
]
