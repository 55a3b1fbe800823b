"""Each rule of test_every_plugin.py is broken by some plugin: a rule that nothing breaks is worth nothing."""

import asyncio
import importlib.util
import inspect
import types
from pathlib import Path

import pytest
from pydantic import ConfigDict

from gateway.errors import Forbidden, GatewayError
from gateway.http import Body, Response
from gateway.plugin import Endpoint, Mode, Plugin, Settings

SPEC = importlib.util.spec_from_file_location("conformance", Path(__file__).with_name("test_every_plugin.py"))
CONFORMANCE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(CONFORMANCE)
RULES = {name for name, value in vars(CONFORMANCE).items() if name.startswith("test_") and value is not None}
RULES.discard("test_file_of")
ELSEWHERE = {  # about files, not about a class
    "test_names_follow_the_module",
    "test_the_module_begins_with_one_sentence",
    "test_it_has_its_test",
    "test_it_says_what_its_body_needs",
    "test_it_refuses_only_if_it_says_so",
    "test_it_is_not_larger_than_can_be_read_at_once",
    "test_defaults_build_it_or_say_what_is_missing",
    "test_it_is_in_the_schema_and_the_reference",
}


class Loose(Settings):
    model_config = ConfigDict(extra="allow")


class Thawed(Settings):
    model_config = ConfigDict(frozen=False)


class Silent(Settings):
    size: int = 1


class Open(Settings):
    password: str = ""


class LooseOne(Plugin[Loose]):
    pass


class ThawedOne(Plugin[Thawed]):
    pass


class SilentOne(Plugin[Silent]):
    pass


class OpenOne(Plugin[Open]):
    pass


class ClosesOnce(Plugin[Settings]):
    closed = False

    async def close(self):
        if self.closed:
            raise RuntimeError("closed twice")
        self.closed = True


class ClosesWhatItNeverOpened(Plugin[Settings]):
    async def close(self):
        self.handle.close()


class Eager(Plugin[Settings]):
    def __init__(self, settings, context):
        super().__init__(settings, context)
        self.task = asyncio.get_running_loop().create_task(asyncio.sleep(0))


class RefusesAnyway(Plugin[Settings]):
    refuses = True

    async def __call__(self, request, proceed):
        raise Forbidden


class HoldsRequest(Plugin[Settings]):
    async def __call__(self, request, proceed):
        await request.body.read(100_000_000)
        return await proceed(request)


class HoldsAnswer(Plugin[Settings]):
    async def __call__(self, request, proceed):
        response = await proceed(request)
        await response.body.read(100_000_000)
        return response


class KeepsOpen(Plugin[Settings]):
    async def __call__(self, request, proceed):
        # What a client's exchange holds is closed with it; what outlives the client is the plugin's own to close.
        self.kept = await self.context.spawn(self.context.detached(request, proceed, 5.0), "a fetch")
        return Response(self.kept.status, body=b"other")


class Swallows(Plugin[Settings]):
    async def __call__(self, request, proceed):
        response = await proceed(request)
        return Response(200) if response.error else response


class Mends(Plugin[Settings]):
    async def __call__(self, request, proceed):
        response = await proceed(request)
        try:
            data = b"".join([chunk async for chunk in response.body])
        except GatewayError:
            data = b"half"
        return Response(200, body=Body(data))


class Deaf(Plugin[Settings]):
    async def __call__(self, request, proceed):
        try:
            return await proceed(request)
        except asyncio.CancelledError:
            return Response(200)


class Lingers(Plugin[Settings]):
    async def __call__(self, request, proceed):
        self.context.spawn(self.fail(), "fails")
        return await proceed(request)

    async def fail(self):
        raise RuntimeError("nobody looks")


class Collides(Plugin[Settings]):
    def endpoints(self):
        return (Endpoint("/a", None), Endpoint("/a", None))


@pytest.mark.parametrize(
    ("rule", "plugin"),
    [
        ("test_settings_refuse_what_they_do_not_know", LooseOne),
        ("test_settings_are_frozen_through_and_through", ThawedOne),
        ("test_every_setting_is_described", SilentOne),
        ("test_secrets_cannot_be_shown", OpenOne),
        ("test_it_opens_and_closes_more_than_once", ClosesOnce),
        ("test_it_closes_without_having_been_opened", ClosesWhatItNeverOpened),
        ("test_it_acquires_nothing_before_it_is_opened", Eager),
        ("test_shadow_never_refuses", RefusesAnyway),
        ("test_a_stream_passes_without_being_held", HoldsRequest),
        ("test_a_stream_passes_without_being_held", HoldsAnswer),
        ("test_an_abort_after_the_first_byte_closes_the_stream", KeepsOpen),
        ("test_an_error_from_inside_is_not_swallowed", Swallows),
        ("test_a_body_that_breaks_off_stays_broken", Mends),
        ("test_cancellation_passes_through", Deaf),
        ("test_many_exchanges_leave_nothing_behind", Lingers),
        ("test_its_endpoints_do_not_collide_and_answer", Collides),
    ],
)
async def test_a_rule_is_noticed_when_broken(monkeypatch, rule, plugin):
    monkeypatch.setattr(CONFORMANCE, "plugin_of", lambda _name: plugin)
    monkeypatch.setattr(CONFORMANCE, "example_of", lambda _name: {})
    check = getattr(CONFORMANCE, rule)
    mode = Mode.SHADOW if plugin.refuses else Mode.ENFORCE
    wanted = {"name": "bad", "mode": mode}
    given = {key: wanted[key] for key in inspect.signature(check).parameters}
    failures = (AssertionError, RuntimeError, AttributeError, BaseExceptionGroup, pytest.fail.Exception)
    with pytest.raises(failures):
        done = check(**given)
        if inspect.isawaitable(done):
            async with asyncio.timeout(30):
                await done


def test_every_rule_about_a_class_is_broken_by_some_row():
    rows = test_a_rule_is_noticed_when_broken.pytestmark[0].args[1]
    functions = {name for name in RULES if isinstance(getattr(CONFORMANCE, name), types.FunctionType)}
    assert {rule for rule, _ in rows} | ELSEWHERE == functions
