"""The rules that the plugin contract keeps (DESIGN §4), one test each: where a rule is broken, its number is read here.

Each test shows the heart of its rule from outside, through a whole gateway where that is what the rule is about. The
cases around it stand in the tests of the modules that keep it.
"""

import asyncio
import contextlib
import json

import aiohttp
import pytest
from aiohttp import web

from gateway import registry
from gateway.config import ConfigurationError, load_text
from gateway.errors import Forbidden, InternalError, Unauthorized
from gateway.http import Body, Principal, Response
from gateway.plugin import AdminView, Authenticator, Command, Endpoint, Plugin, Scope, Settings
from gateway.reload import Succession
from gateway.runtime import BuildError, Services
from gateway.services.store import MemoryStore, Script
from gateway.testing import Chunks, answering, exchange, opened, origin, ports, read, request, running


def config(*plugins, upstreams="service: {targets: ['${TARGET}']}", attempt="", more=""):
    """One route with these plugins, as ``module:Class`` of this file or bundled ones."""
    service = upstreams if not attempt else f"service: {{targets: ['${{TARGET}}'], attempt: [{attempt}]}}"
    return f"""
upstreams: {{{service}}}
routes:
  - name: all
    upstream: service
    plugins: [{", ".join(plugins)}]
{more}
"""


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """The plugins of this file, as ``rules:Class``."""
    import sys
    import types

    module = types.ModuleType("rules")
    module.__dict__.update({name: value for name, value in globals().items() if isinstance(value, type)})
    monkeypatch.setitem(sys.modules, "rules", module)
    registry.find.cache_clear()
    yield
    registry.find.cache_clear()


class Refuses(Plugin[Settings]):
    refuses = True

    async def __call__(self, request, proceed):
        if "Bad" in request.headers:
            self.refuse(Forbidden(reason="bad"))
        return await proceed(request)


class Named(Authenticator[Settings]):
    """Takes a caller at their word; a principal who may not come is one who does not hold."""

    async def authenticate(self, request):
        name = request.headers.get("Name")
        if name == "mallory":
            raise Unauthorized(headers=(("WWW-Authenticate", self.challenge()),))
        return Principal(name) if name else None

    def challenge(self):
        return "Name"


class Keyed(Authenticator[Settings]):
    async def authenticate(self, request):
        return Principal("by-key") if request.headers.get("Key") == "k" else None

    def challenge(self):
        return "Key"


# -- 1 -----------------------------------------------------------------------------------------------------------------


async def test_rule_1_a_refusal_is_a_response_to_the_layers_outside():
    dress = "{plugin: headers, with: {response: {set: {Dressed: 'yes'}}}}"
    async with origin() as service, running(config(dress, "{plugin: 'rules:Refuses'}"), TARGET=service.url) as gateway:
        refused = await gateway.fetch("GET", "/", headers={"Bad": "1"})
        assert (refused.status, refused.headers["Dressed"]) == (403, "yes")
        assert json.loads(refused.body)["code"] == "forbidden"
        assert service.requests == []


async def test_rule_1_only_those_that_say_so_get_errors_raised():
    class Catches(Plugin[Settings]):
        async def __call__(self, request, proceed):
            try:
                return await proceed(request)
            except Forbidden:
                return Response(299)

    class Recovers(Catches):
        recovers = True

    assert (await exchange(Catches, None, None, answering(error=Forbidden()))).status == 403
    assert (await exchange(Recovers, None, None, answering(error=Forbidden()))).status == 299


# -- 2 -----------------------------------------------------------------------------------------------------------------


async def test_rule_2_shadow_is_a_decision_not_a_caught_exception():
    given, target = ports(), answering()
    bad = request(headers={"Bad": "1"})
    assert (await exchange(Refuses, None, bad, target, mode="shadow", ports=given)).status == 200
    assert (target.calls, given.would_refuse, given.refused) == (1, ["forbidden"], [])
    # an error that is not a refusal of its own is an error in shadow as well
    failed = await exchange(Refuses, None, request(), answering(error=Forbidden()), mode="shadow", ports=given)
    assert failed.status == 403


async def test_rule_2_in_shadow_a_plugin_still_does_its_duties():
    target = answering()
    await exchange(Named, None, request(headers={"Name": "ann"}), target, mode="shadow")
    assert target.request.principal.id == "ann"


async def test_rule_2_shadow_is_counted_and_logged(caplog):
    caplog.set_level("INFO", "gateway")
    text = config("{plugin: 'rules:Refuses', mode: shadow}")
    async with origin() as service, running(text, TARGET=service.url) as gateway:
        assert (await gateway.fetch("GET", "/", headers={"Bad": "1"})).status == 200
        families = {family["name"]: family for family in gateway.services.metrics.snapshot()}
        assert families["plugin_refusals_total"]["samples"] == [[["all", "rules:Refuses", "forbidden", "shadow"], 1]]
    assert "would_refuse all" in caplog.text


def test_rule_2_shadow_of_what_never_refuses_is_a_load_error():
    with pytest.raises(ConfigurationError, match="never refuses"):
        load_text(config("{plugin: headers, mode: shadow}"), {"TARGET": "http://127.0.0.1:1"})


# -- 3 -----------------------------------------------------------------------------------------------------------------


class Shout:
    def feed(self, chunk):
        return chunk.upper()

    def finish(self):
        return b"!"


async def test_rule_3_body_filters_are_plain_objects_and_trailers_go_with_changed_bytes():
    whole, streamed = Body(b"abc"), Body(None, Chunks([b"a", b"bc"], trailers={"Sum": "1"}))
    kept = Body(None, Chunks([b"abc"], trailers={"Sum": "1"}))
    whole.filter(Shout())
    assert whole.whole == b"ABC!", "on a whole body it has run by now, and nothing is suspended"
    streamed.filter(Shout())
    assert await streamed.read(10) == b"ABC!"
    assert streamed.trailers is None
    await kept.read(10)
    assert kept.trailers["sum"] == "1"


# -- 4 -----------------------------------------------------------------------------------------------------------------


async def test_rule_4_work_that_outlives_its_client_is_detached_and_done_fires_per_segment():
    class Fetch(Plugin[Settings]):
        async def __call__(self, request, proceed):
            work = self.context.detached(request, proceed, 5.0)
            return await asyncio.shield(self.context.spawn(work, "fetch"))

    ended, arrived, go = [], asyncio.Event(), asyncio.Event()

    async def rest(asked):
        asked.when_done(lambda one: ended.append((one.status, one.aborted)))
        arrived.set()
        await go.wait()
        return Response(200, body=Body(None, Chunks([b"late"])))

    async with opened(Fetch) as live:
        client = asyncio.ensure_future(live(request(), rest))
        await arrived.wait()
        (fetch,) = live.ports._tasks
        client.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client
        assert [(one.status, one.aborted) for one in live.exchanges] == [(499, True)]
        assert ended == [], "what stands inside is not done when the client is"
        go.set()
        assert await read(await fetch) == b"late"
        assert ended == [(200, False)]


async def test_rule_4_proceed_runs_once_unless_the_body_can_be_replayed():
    class Twice(Plugin[Settings]):
        async def __call__(self, request, proceed):
            await proceed(request)
            return await proceed(request)

    async def pulling(asked):
        async for _chunk in asked.body:
            pass
        return Response(200)

    assert (await exchange(Twice, None, request("POST", body="x"), pulling)).status == 200
    assert (await exchange(Twice, None, request("POST", chunks=[b"x"]), pulling)).status == 500


# -- 5 -----------------------------------------------------------------------------------------------------------------


class Elsewhere(Plugin[Settings]):
    """Sends what asks for it to an upstream that it knows by name, or around again."""

    async def __call__(self, request, proceed):
        name = request.headers.get("Elsewhere")
        if name == "around":
            return await self.context.dispatch(request)
        return await (self.context.upstream(name)(request) if name else proceed(request))


async def test_rule_5_names_are_resolved_at_the_call():
    two = "service: {targets: ['${TARGET}']}, other: {targets: ['${OTHER}']}"
    text = config("{plugin: 'rules:Elsewhere'}", upstreams=two)
    async with (
        origin(body="one") as one,
        origin(body="two") as second,
        origin(body="three") as third,
        running(text, TARGET=one.url, OTHER=second.url) as gateway,
    ):
        (instance,) = gateway.runtime.instances.values()
        assert (await gateway.fetch("GET", "/")).body == b"one"
        assert (await gateway.fetch("GET", "/", headers={"Elsewhere": "other"})).body == b"two"
        await gateway.reload(text, TARGET=one.url, OTHER=third.url)
        (kept,) = gateway.runtime.instances.values()
        assert kept.plugin is instance.plugin, "the same instance, which reaches the new upstream"
        assert (await gateway.fetch("GET", "/", headers={"Elsewhere": "other"})).body == b"three"


async def test_rule_5_a_dispatched_request_is_an_exchange_of_its_own_one_level_deep():
    text = config("{plugin: 'rules:Elsewhere'}")
    async with origin(body="x") as service, running(text, TARGET=service.url) as gateway:
        answer = await gateway.fetch("GET", "/", headers={"Elsewhere": "around"})
        assert (answer.status, json.loads(answer.body)["code"]) == (500, "internal_error")
        inner, outer = await gateway.ended(2)
        assert isinstance(inner.error, InternalError) and "dispatched another" in inner.error.reason
        assert outer.request is not inner.request


# -- 6 -----------------------------------------------------------------------------------------------------------------


class Surfaces(Plugin[Settings]):
    async def __call__(self, request, proceed):
        return await proceed(request)

    def endpoints(self):
        return (Endpoint("/.well-known/own", self.answer),)

    def admin(self):
        return (AdminView("state", self.state),)

    async def state(self, query):
        return {"asked": query}

    def log_processor(self):
        return lambda line: {**line, "path": "masked"}

    async def answer(self, request):
        return Response(200, body=b"own")

    @classmethod
    def commands(cls):
        return (Command("own", "does something of its own", lambda _arguments: 7),)


async def test_rule_6_a_plugin_brings_its_own_surfaces():
    text = config("{plugin: 'rules:Surfaces'}")
    async with origin(body="theirs") as service, running(text, TARGET=service.url) as gateway:
        assert (await gateway.fetch("GET", "/.well-known/own")).body == b"own"
        assert (await gateway.fetch("POST", "/.well-known/own")).status == 405
        assert (await gateway.fetch("GET", "/")).body == b"theirs"
        (instance,) = gateway.runtime.instances.values()
        (view,) = instance.plugin.admin()
        assert await view.answer({"a": "1"}) == {"asked": {"a": "1"}}
        assert instance.plugin.log_processor()({"path": "/secret"})["path"] == "masked"
        assert Surfaces.commands()[0].run(None) == 7


async def test_rule_6_two_that_answer_the_same_path_are_a_load_error():
    text = config("{plugin: 'rules:Surfaces'}", "{plugin: 'rules:Surfaces', id: again}")
    with pytest.raises(BuildError, match=r"answers /\.well-known/own itself"):
        async with running(text, TARGET="http://127.0.0.1:1"):
            pass


# -- 7 -----------------------------------------------------------------------------------------------------------------


class Tries(Plugin[Settings]):
    """Notes each attempt, and marks it."""

    on_attempt = True
    seen: list = []  # noqa: RUF012

    async def __call__(self, request, proceed):
        attempt = request.attempt
        self.seen.append(
            (attempt.upstream, attempt.number, attempt.target, attempt.deadline > self.context.clock.now())
        )
        request.edit_headers()["Attempt"] = str(attempt.number)
        return await proceed(request)


async def test_rule_7_each_attempt_has_its_own_headers_and_says_which_it_is():
    Tries.seen.clear()
    async with origin(503) as bad, origin(200) as good:
        text = f"""
upstreams:
  service:
    targets: [{{url: "{bad.url}", priority: 0}}, {{url: "{good.url}", priority: 0}}]
    retry: {{attempts: 3, backoff: {{base: 1ms, max: 1ms}}, budget: 100%}}
    attempt: [{{plugin: "rules:Tries"}}]
routes: [{{name: all, upstream: service}}, {{name: again, match: {{path: /again}}, upstream: service}}]
"""
        async with running(text) as gateway:
            instances = [each for each in gateway.runtime.instances.values() if each.name == "rules:Tries"]
            assert len(instances) == 1, "one instance an upstream, however many routes lead there"
            for _ in range(2):
                assert (await gateway.fetch("GET", "/")).status == 200
        asked = [each.headers.getall("Attempt") for each in (*bad.requests, *good.requests)]
        assert sorted(asked) == sorted([str(number)] for _, number, _, _ in Tries.seen), "no mark of an attempt before"
        assert {upstream for upstream, *_ in Tries.seen} == {"service"}
        assert {number for _, number, _, _ in Tries.seen} == {1, 2}
        assert {target for _, _, target, _ in Tries.seen} == {bad.url, good.url}
        assert all(ahead for *_, ahead in Tries.seen)


async def test_rule_7_a_gate_is_read_before_a_target_is_chosen():
    class Shut:
        def admits(self):
            return False

    async with origin(200) as one, origin(200) as other:
        text = config(upstreams=f"service: {{targets: ['{one.url}', '{other.url}']}}")
        async with running(text) as gateway:
            upstream = gateway.runtime.upstreams["service"]
            upstream.publish(lambda url: Shut() if url == one.url else None)
            for _ in range(4):
                assert (await gateway.fetch("GET", "/")).status == 200
        assert (len(one.requests), len(other.requests)) == (0, 4)


# -- 8 -----------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def echoing():
    """A target that speaks WebSocket and says everything again; gives its URL."""

    async def echo(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data + "?")
        return socket

    app = web.Application()
    app.router.add_get("/{rest:.*}", echo)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def test_rule_8_a_switch_of_protocols_passes_the_chain_as_an_answer_and_is_done_at_its_end():
    """A whole WebSocket through the gateway, with a plugin that would filter any body."""
    Shouting.ended.clear()
    text = config("{plugin: 'rules:Shouting'}")
    async with echoing() as url, running(text, TARGET=url) as gateway:
        async with aiohttp.ClientSession() as session, session.ws_connect(gateway.url) as socket:
            await socket.send_str("x" * 5000)
            assert await socket.receive_str(timeout=30) == "x" * 5000 + "?"
            assert gateway.exchanges == [], "it is under way as long as the connection is"
        (ended,) = await gateway.ended(1)
        assert (ended.status, Shouting.ended) == (101, [101])


async def test_rule_8_a_reload_closes_only_the_tunnels_whose_route_is_gone_and_politely():
    both = """
upstreams: {service: {targets: ["${TARGET}"]}}
routes:
  - {name: stays, match: {path: /stays}, upstream: service}
"""
    more = "  - {name: goes, match: {path: /goes}, upstream: service}\n"
    async with (
        echoing() as url,
        running(both + more, TARGET=url) as gateway,
        aiohttp.ClientSession() as session,
        session.ws_connect(gateway.url + "/stays") as stays,
        session.ws_connect(gateway.url + "/goes") as goes,
    ):
        await gateway.reload(both, TARGET=url)
        closed = await goes.receive(timeout=30)
        assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        await stays.send_str("still here")
        assert await stays.receive_str(timeout=30) == "still here?"


async def said(reader, until):
    """What a peer says, up to and including ``until``."""
    return await asyncio.wait_for(reader.readuntil(until), 30)


async def test_rule_8_early_hints_pass_through():
    async def target(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.read()
        writer.close()
        ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_server(target, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with running(config(), TARGET=f"http://127.0.0.1:{port}") as gateway:
        reader, writer = await asyncio.open_connection(*gateway.listeners[0].name.rsplit(":", 1))
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        hints = await said(reader, b"\r\n\r\n")
        assert hints.startswith(b"HTTP/1.1 103 ") and b"Link: </a.css>; rel=preload" in hints
        assert (await said(reader, b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await writer.wait_closed()
    await asyncio.wait_for(ended.wait(), 30)
    server.close()
    await server.wait_closed()


async def test_rule_8_the_first_pull_of_a_body_sends_100_and_a_refusal_does_not():
    ask = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n%b\r\n"
    async with origin() as service, running(config("{plugin: 'rules:Refuses'}"), TARGET=service.url) as gateway:
        for extra, first in ((b"Bad: 1\r\n", b"HTTP/1.1 403 "), (b"", b"HTTP/1.1 100 ")):
            reader, writer = await asyncio.open_connection(*gateway.listeners[0].name.rsplit(":", 1))
            writer.write(ask % extra)
            assert (await said(reader, b"\r\n\r\n")).startswith(first)
            if not extra:
                writer.write(b"hi")
                assert (await said(reader, b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            writer.close()
            await writer.wait_closed()
        assert service.bodies == [b"hi"]


class Shouting(Plugin[Settings]):
    ended: list = []  # noqa: RUF012

    async def __call__(self, request, proceed):
        response = await proceed(request)
        if response.tunnel is None:
            response.body.filter(Shout())
        return response

    def done(self, exchange):
        self.ended.append(exchange.status)


# -- 9 -----------------------------------------------------------------------------------------------------------------


async def test_rule_9_authenticators_work_alone_and_as_any():
    both = "{any: [{plugin: 'rules:Named'}, {plugin: 'rules:Keyed'}]}"
    seen = "{plugin: headers, with: {request: {set: {Who: '{principal}'}}}}"
    async with origin() as service, running(config(both, seen), TARGET=service.url) as gateway:
        assert (await gateway.fetch("GET", "/", headers={"Name": "ann"})).status == 200
        assert (await gateway.fetch("GET", "/", headers={"Name": "mallory", "Key": "k"})).status == 200
        assert [each.headers["Who"] for each in service.requests] == ["ann", "by-key"]
        nobody = await gateway.fetch("GET", "/")
        assert (nobody.status, nobody.headers["WWW-Authenticate"]) == (401, "Name, Key")
        assert (await gateway.fetch("GET", "/", headers={"Name": "mallory"})).status == 401
        assert len(service.requests) == 2


class Canary(Plugin[Settings]):
    async def __call__(self, request, proceed):
        request.upstream = request.headers.get("To")
        return await proceed(request)


async def test_rule_9_a_plugin_may_send_a_request_to_another_upstream():
    async with origin(body="a") as one, origin(body="b") as other:
        two = "service: {targets: ['${TARGET}']}, canary: {targets: ['${OTHER}']}"
        text = config("{plugin: 'rules:Canary'}", upstreams=two)
        async with running(text, TARGET=one.url, OTHER=other.url) as gateway:
            assert (await gateway.fetch("GET", "/")).body == b"a"
            assert (await gateway.fetch("GET", "/", headers={"To": "canary"})).body == b"b"
            assert (await gateway.fetch("GET", "/", headers={"To": "nowhere"})).status == 500


# -- 10 ----------------------------------------------------------------------------------------------------------------


async def test_rule_10_what_has_not_changed_survives_a_reload_and_counters_survive_a_changed_limit():
    text = config("{plugin: size_limit, with: {other: '${LIMIT}'}}", "{plugin: 'rules:Refuses'}")
    async with origin() as service, running(text, TARGET=service.url, LIMIT="10B") as gateway:
        before = {each.name: each.plugin for each in gateway.runtime.instances.values()}
        upstream = gateway.runtime.upstreams["service"]
        await gateway.fetch("POST", "/", body="x" * 11)
        await gateway.reload(text, TARGET=service.url, LIMIT="5B")
        after = {each.name: each.plugin for each in gateway.runtime.instances.values()}
        assert after["rules:Refuses"] is before["rules:Refuses"], "nothing of it has changed"
        assert after["size_limit"] is not before["size_limit"]
        assert gateway.runtime.upstreams["service"] is upstream
        await gateway.fetch("POST", "/", body="x" * 6)
        assert len(await gateway.ended(2)) == 2
        families = {family["name"]: family for family in gateway.services.metrics.snapshot()}
        assert families["plugin_refusals_total"]["samples"] == [
            [["all", "size_limit", "payload_too_large", "enforce"], 2]
        ]
        assert [["all", "413"], 2] in families["requests_total"]["samples"]


async def test_rule_10_a_refused_configuration_leaves_the_old_one_serving():
    async with origin() as service, running(config(), TARGET=service.url) as gateway:
        runtime = gateway.runtime
        with pytest.raises(ConfigurationError):
            await gateway.reload(config("{plugin: nothing_such}"), TARGET=service.url)
        with pytest.raises(BuildError):
            await gateway.reload(
                config("{plugin: 'rules:Surfaces'}", "{plugin: 'rules:Surfaces', id: b}"), TARGET=service.url
            )
        assert gateway.runtime is runtime
        assert (await gateway.fetch("GET", "/")).status == 200


# -- 11 ----------------------------------------------------------------------------------------------------------------


class Counting(Plugin[Settings]):
    scope = Scope.FLEET


def test_rule_11_state_that_reaches_less_far_than_it_should_is_flagged():
    text = config("{plugin: 'rules:Counting'}", more="workers: 2")
    loaded = load_text(text, {"TARGET": "http://127.0.0.1:1"})
    assert any("approximate" in str(problem) for problem in loaded.problems)
    alone = load_text(config("{plugin: 'rules:Counting'}"), {"TARGET": "http://127.0.0.1:1"})
    assert not any("approximate" in str(problem) for problem in alone.problems)


async def test_rule_11_a_limit_in_memory_is_divided_by_the_workers():
    services = Services(workers=4)
    succession = Succession(services, lambda _runtime: None)
    try:
        await succession.prepare(load_text(config(), {"TARGET": "http://127.0.0.1:1"}).config)
        succession.commit()
        store = services.store()
        assert (store.approximate, store.share) == (True, 0.25)
    finally:
        await succession.close()
        await services.close()


# -- 12 ----------------------------------------------------------------------------------------------------------------


async def test_rule_12_one_worker_owns_what_is_done_once():
    owner, other = Services(workers=2, owner=True), Services(workers=2, owner=False)
    try:
        assert [each.ports.owner for each in (owner, other)] == [True, False]
        assert [each.ports.workers for each in (owner, other)] == [2, 2]
    finally:
        await owner.close()
        await other.close()


async def test_rule_12_active_health_checks_are_made_by_the_owner_alone():
    text = config(upstreams="service: {targets: ['${TARGET}'], health: {active: {path: /healthz, interval: 100ms}}}")
    async with origin() as asked, origin() as spared:
        made = []
        try:
            for owner, service in ((False, spared), (True, asked)):
                services = Services(workers=2, owner=owner)
                succession = Succession(services, lambda _runtime: None)
                made.append((succession, services))
                await succession.prepare(load_text(text, {"TARGET": service.url}).config)
                succession.commit()
            async with asyncio.timeout(30):
                while len(asked.requests) < 3:
                    await asyncio.sleep(0.01)
        finally:
            for succession, services in made:
                await succession.close()
                await services.close()
        assert spared.requests == []


# -- 13 ----------------------------------------------------------------------------------------------------------------

FIRST = Script(
    "first",
    lua="return redis.call('SET', KEYS[1], ARGV[1], 'NX') and 1 or 0",
    local=lambda table, keys, args, now: (
        0 if table.get(keys[0]) is not None else (table.put(keys[0], args[0], 0), 1)[1]
    ),
)


async def test_rule_13_a_script_has_two_sides_that_agree(redis_server):
    from gateway.services.store import open_store

    redis = await open_store(redis_server.url, timeout=5.0)
    memory = MemoryStore()
    try:
        for store in (redis, memory):
            assert [await store.run(FIRST, (b"k",), (b"v",)) for _ in range(3)] == [1, 0, 0]
            assert await store.get(b"k") == b"v"
    finally:
        await redis.close()
        await memory.close()


def test_every_rule_has_its_test():
    tested = {name.split("_")[2] for name in globals() if name.startswith("test_rule_")}
    assert tested == {str(number) for number in range(1, 14)}
