"""What a plugin is: its settings' type, refusing in enforce and in shadow, authenticating, and its defaults."""

import argparse
from typing import Generic, TypeVar

import pytest

from gateway.errors import Forbidden, StoreUnavailable, Unauthorized
from gateway.http import Principal
from gateway.plugin import Authenticator, Command, Endpoint, Plugin, Settings
from gateway.testing import answering, exchange, opened, ports, request


class OwnSettings(Settings):
    limit: int = 1


class Own(Plugin[OwnSettings]):
    pass


class Refusing(Plugin[Settings]):
    refuses = True

    async def __call__(self, request, proceed):
        self.refuse(Forbidden("No.", reason="because"))
        response = await proceed(request)
        response.edit_headers()["Duty"] = "done"
        return response


S = TypeVar("S", bound=Settings)


class Family(Plugin[S], Generic[S]):
    pass


class Member(Family[OwnSettings]):
    pass


class Heir(Own):
    pass


@pytest.mark.parametrize(
    ("plugin", "settings"),
    [
        pytest.param(Own, OwnSettings, id="named in brackets"),
        pytest.param(Heir, OwnSettings, id="inherited"),
        pytest.param(Member, OwnSettings, id="through a generic class between"),
        pytest.param(Family, Settings, id="not yet named"),
        pytest.param(Authenticator, Settings, id="the authenticator's own"),
    ],
)
def test_settings_type(plugin, settings):
    assert plugin.settings_type is settings


async def test_enforce_raises_and_counts():
    given = ports()
    target = answering()
    response = await exchange(Refusing, None, request(), target, ports=given)
    assert (response.status, response.error.detail, target.calls) == (403, "No.", 0)
    assert (given.refused, given.would_refuse) == (["forbidden"], [])


async def test_shadow_counts_and_goes_on():
    given = ports()
    target = answering()
    response = await exchange(Refusing, None, request(), target, mode="shadow", ports=given)
    assert (response.status, response.headers["Duty"], target.calls) == (200, "done", 1)
    assert (given.refused, given.would_refuse) == ([], ["forbidden"])
    assert given.refusals[0].error.reason == "because"


class Knows(Authenticator[Settings]):
    async def authenticate(self, request):
        name = request.headers.get("Name")
        if name == "bad":
            raise Unauthorized("bad name", headers=(("WWW-Authenticate", self.challenge()),))
        if name == "away":
            raise StoreUnavailable
        return Principal(name) if name else None

    def challenge(self):
        return 'Name realm="x"'


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        pytest.param("ann", 200, None, id="known"),
        pytest.param("", 401, "unauthorized", id="no credentials"),
        pytest.param("bad", 401, "unauthorized", id="bad ones"),
        pytest.param("away", 503, "store_unavailable", id="cannot tell"),
    ],
)
@pytest.mark.parametrize("mode", ["enforce", "shadow"])
async def test_an_authenticator_alone(name, status, code, mode):
    given, target = ports(), answering()
    asked = request(headers={"Name": name} if name else {})
    response = await exchange(Knows, None, asked, target, mode=mode, ports=given)
    assert [each.code for each in given.refusals] == ([code] if code else [])
    if mode == "shadow":
        assert (response.status, target.calls) == (200, 1)
        assert target.request.principal == (Principal("ann") if name == "ann" else None)
    else:
        assert (response.status, target.calls) == (status, 1 if status == 200 else 0)
        if status == 401:
            assert response.headers["WWW-Authenticate"] == 'Name realm="x"'


async def test_an_authenticator_must_say_how():
    async with opened(Authenticator) as live:
        with pytest.raises(NotImplementedError):
            await live.plugin.authenticate(request())
        with pytest.raises(NotImplementedError):
            live.plugin.challenge()


async def test_a_plugin_that_overrides_nothing_does_nothing():
    async with opened(Own, {"limit": 3}) as live:
        assert live.plugin.settings.limit == 3
        assert (await live(request(), answering(204))).status == 204
        plugin = live.plugin
        assert (plugin.endpoints(), plugin.admin(), plugin.log_processor()) == ((), (), None)
        assert (Own.commands(), Own.check(plugin.settings)) == ((), ())


async def test_surfaces_have_sensible_defaults():
    parser = argparse.ArgumentParser()
    command = Command("keys", "show keys", lambda _arguments: 0)
    command.arguments(parser)
    assert command.run(parser.parse_args([])) == 0
    assert Endpoint("/x", answering()).methods == {"GET"}
    assert (Plugin.reference(), Plugin.scope_of(Settings())) == ("", Plugin.scope)


@pytest.mark.parametrize(
    ("on_attempt", "on_route", "words"),
    [
        pytest.param(False, False, "`plugins` of a route", id="a route's"),
        pytest.param(True, False, "`attempt` of an upstream", id="an attempt's"),
        pytest.param(True, True, "`attempt` of an upstream or `plugins` of a route", id="of both"),
    ],
)
def test_where_a_plugin_belongs(on_attempt, on_route, words):
    kind = type("Kind", (Plugin,), {"on_attempt": on_attempt, "on_route": on_route})
    assert kind.belongs() == words
