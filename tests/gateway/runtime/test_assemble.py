"""Building a runtime: what is opened, what is taken over, and that a failure leaves nothing open."""

import sys
import types

import pytest

from gateway import registry
from gateway.config import load_text
from gateway.errors import StoreUnavailable
from gateway.http import Response
from gateway.plugin import Authenticator, Endpoint, Plugin, Settings
from gateway.runtime import BuildError, Services, build
from gateway.testing import request

NOTES: list[str] = []


class NotingSettings(Settings):
    word: str = ""


class Noting(Plugin[NotingSettings]):
    """Notes its life; `word` makes it fail in some way."""

    refuses = True

    def __init__(self, settings, context):
        super().__init__(settings, context)
        if settings.word == "no init":
            raise ValueError("no init")

    async def open(self):
        NOTES.append(f"open {self.context.route} {self.context.id}")
        if self.settings.word == "no open":
            raise OSError("no open")
        if self.settings.word == "no store":
            raise StoreUnavailable(reason="no store")

    async def close(self):
        NOTES.append(f"close {self.context.route} {self.context.id}")
        if self.settings.word == "no close":
            raise OSError("no close")

    def endpoints(self):
        path, _, shared = self.settings.word.partition(" ")
        return [Endpoint(path, self.answer, shared=shared)] if path.startswith("/") else []

    async def answer(self, request):
        return Response(200, body=self.context.id.encode())


class OnAttempt(Noting):
    on_attempt = True


class Knows(Authenticator[NotingSettings]):
    async def open(self):
        NOTES.append(f"open {self.context.route} {self.context.id}")

    async def close(self):
        NOTES.append(f"close {self.context.route} {self.context.id}")


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """The plugins of this file, as ``own:Class``."""
    module = types.ModuleType("own")
    module.__dict__.update({kind.__name__: kind for kind in (Noting, OnAttempt, Knows)})
    monkeypatch.setitem(sys.modules, "own", module)
    registry.find.cache_clear()
    NOTES.clear()
    yield
    registry.find.cache_clear()


@pytest.fixture
async def services():
    made = Services()
    yield made
    await made.close()


def config(*words, attempt=(), more="", route="all"):
    entries = ", ".join(
        word if word.startswith("{") else f"{{plugin: 'own:Noting', with: {{word: '{word}'}}}}" for word in words
    )
    around = ", ".join(f"{{plugin: 'own:OnAttempt', with: {{word: '{word}'}}}}" for word in attempt)
    text = f"""
upstreams: {{service: {{targets: ["http://127.0.0.1:1"], attempt: [{around}]}}}}
routes:
  - {{name: {route}, upstream: service, plugins: [{entries}]}}
{more}
"""
    return load_text(text, {}).config


async def test_everything_is_opened_in_order_and_closed_in_reverse(services):
    runtime = await build(config("a", "b", attempt=("c",)), services)
    runtime.commit()
    assert NOTES == ["open upstream:service own:OnAttempt", "open all own:Noting", "open all own:Noting_2"]
    NOTES.clear()
    await runtime.close()
    await runtime.close()
    assert NOTES == ["close all own:Noting_2", "close all own:Noting", "close upstream:service own:OnAttempt"]


async def test_off_is_left_out(services):
    runtime = await build(config("{plugin: 'own:Noting', mode: off}", "b"), services)
    assert [instance.id for instance in runtime.chains["all"]] == ["own:Noting"]
    await runtime.close()


@pytest.mark.parametrize("word", ["no init", "no open", "no store"])
async def test_a_failure_closes_what_was_opened_and_says_where(services, word):
    with pytest.raises(BuildError, match=f"all: own:Noting_2: {word}"):
        await build(config("a", word, "c"), services)
    closed = [note for note in NOTES if note.startswith("close")]
    expected = ["close all own:Noting"] if word == "no init" else ["close all own:Noting_2", "close all own:Noting"]
    assert closed == expected, "what failed to open is closed as well"
    assert "open all own:Noting_3" not in NOTES


async def test_a_close_that_fails_does_not_keep_the_others_open(services, caplog):
    runtime = await build(config("a", "no close", "c"), services)
    NOTES.clear()
    await runtime.close()
    assert len(NOTES) == 3
    assert "all: own:Noting_2 did not close cleanly" in caplog.text


async def test_what_has_not_changed_is_taken_over_and_closed_once(services):
    first = await build(config("same", "old"), services)
    first.commit()
    NOTES.clear()
    second = await build(config("same", "new"), services, old=first)
    second.commit()
    assert NOTES == ["open all own:Noting_2"]
    one, other = first.chains["all"], second.chains["all"]
    assert one[0].plugin is other[0].plugin
    assert one[1].plugin is not other[1].plugin
    assert first.upstreams["service"] is second.upstreams["service"]
    await first.close(second)
    assert NOTES == ["open all own:Noting_2", "close all own:Noting_2"]
    NOTES.clear()
    await second.close()
    assert NOTES == ["close all own:Noting_2", "close all own:Noting"]


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(("b", {}), id="settings"),
        pytest.param(("{plugin: 'own:Noting', with: {word: a}, mode: shadow}", {}), id="mode"),
        pytest.param(("{plugin: 'own:Noting', with: {word: a}, id: x}", {}), id="id"),
        pytest.param(("a", {"route": "other"}), id="route"),
    ],
)
async def test_a_change_of_any_part_of_its_key_makes_another(services, changed):
    entry, more = changed
    first = await build(config("a"), services)
    first.commit()
    second = await build(config(entry, **more), services, old=first)
    (one,), (other,) = first.instances.values(), second.instances.values()
    assert one.plugin is not other.plugin
    await second.close(first)
    await first.close()


async def test_a_refused_successor_leaves_what_it_shared_open(services):
    first = await build(config("same"), services)
    first.commit()
    NOTES.clear()
    with pytest.raises(BuildError):
        await build(config("same", "no open"), services, old=first)
    assert NOTES == ["open all own:Noting_2", "close all own:Noting_2"]
    await first.close()


async def test_a_member_of_any_that_is_off_lets_nobody_in(services):
    two = "{any: [{plugin: 'own:Knows', mode: off}, {plugin: 'own:Knows', id: used}]}"
    runtime = await build(config(two), services)
    (entry,) = runtime.chains["all"]
    assert [member.id for member in entry.members] == ["any.used.2"]
    assert entry.plugin.members == (entry.members[0].plugin,)
    await runtime.close()


async def test_any_is_one_instance_with_members_that_are_opened(services):
    both = "{any: [{plugin: 'own:Knows'}, {plugin: 'own:Knows'}]}"
    runtime = await build(config(both), services)
    (entry,) = runtime.chains["all"]
    assert (entry.name, entry.id, len(entry.members)) == ("any", "any", 2)
    assert len({note for note in NOTES if note.startswith("open all any.")}) == 2
    NOTES.clear()
    await runtime.close()
    assert len(NOTES) == 2


async def test_an_endpoint_is_answered_under_its_route(services):
    runtime = await build(config("/login"), services)
    runtime.commit()
    asked = request("GET", "/x/../login")
    response = await runtime.handle(asked)
    assert (response.body.whole, asked.route.name, runtime.in_flight) == (b"own:Noting", "all", 1)
    await runtime.close()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param(
            {"words": ("/login", "/login")}, "own:Noting_2.* on route all answers /login itself", id="two plugins"
        ),
        pytest.param(
            {"words": ("/login",), "more": "  - {name: b, match: {path: /login}, upstream: service}"},
            "answers /login itself, and so does route b",
            id="a plugin and a route",
        ),
        pytest.param({"words": ("/a", "/b/../a")}, "answers /a itself", id="another spelling"),
    ],
)
async def test_a_collision_of_endpoints_is_a_load_error(services, given, words):
    with pytest.raises(BuildError, match=words):
        await build(config(*given["words"], more=given.get("more", "")), services)
    assert [note for note in NOTES if note.startswith("close")], "and what was open is closed"


async def test_endpoints_that_say_that_they_are_one(services):
    runtime = await build(config("/login ours", "/login ours"), services)
    assert list(runtime.endpoints) == ["/login"]
    await runtime.close()
    with pytest.raises(BuildError, match="answers /login itself"):
        await build(config("/login ours", "/login theirs"), services)


async def test_the_same_endpoint_of_the_same_settings_on_two_routes_is_one(services):
    more = "  - {name: b, match: {path: /b/}, upstream: service, plugins: [{plugin: 'own:Noting', with: {word: %s}}]}"
    runtime = await build(config("/login", more=more % "/login"), services)
    assert list(runtime.endpoints) == ["/login"]
    await runtime.close()
