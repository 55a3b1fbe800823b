"""What every bundled plugin keeps to; a new one is judged here before a person looks at it.

A plugin that cannot be built from its defaults names what it needs in its own test, as ``EXAMPLE``: settings as under
``with:`` that are enough to open it without a network.
"""

import asyncio
import importlib.util
import inspect
import json
import random
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from gateway import registry
from gateway.errors import Forbidden, TruncatedAnswer
from gateway.http import Body, Request, Response
from gateway.plugin import Authenticator, Context, Mode, Plugin, Settings
from gateway.testing import Chunks, answering, opened, ports, request, settings_of

ROOT = Path(__file__).resolve().parents[2]
NAMES = registry.bundled()
SECRET_WORDS = {"secret", "secrets", "password", "token", "private_key", "client_secret", "api_key"}

pytestmark = pytest.mark.parametrize("name", NAMES)


def plugin_of(name):
    return registry.find(name)


def test_file_of(name):
    return ROOT / f"tests/plugins/test_{name}.py"


test_file_of.__test__ = False


def example_of(name):
    """Settings that are enough to build it."""
    path = test_file_of(name)
    if "\nEXAMPLE = " not in path.read_text():
        return {}
    spec = importlib.util.spec_from_file_location(f"example_of_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.EXAMPLE


def models_of(model, seen=None):
    """A settings model and all models in it."""
    seen = seen if seen is not None else {}
    if model not in seen:
        seen[model] = None
        for field in model.model_fields.values():
            for inner in _classes(field.annotation):
                if issubclass(inner, BaseModel):
                    models_of(inner, seen)
    return list(seen)


def _classes(annotation):
    if inspect.isclass(annotation) and not getattr(annotation, "__args__", None):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _classes(inner)
    if hasattr(annotation, "__value__"):
        yield from _classes(annotation.__value__)


# -- what it is called and says of itself ------------------------------------------------------------------------------


def test_names_follow_the_module(name):
    module = importlib.import_module(f"plugins.{name}")
    plugin = plugin_of(name)
    assert plugin.__name__ == registry.class_name(name)
    assert plugin.settings_type.__name__ == f"{plugin.__name__}Settings"
    assert plugin.settings_type.__module__.startswith(module.__name__)


def test_the_module_begins_with_one_sentence(name):
    doc = importlib.import_module(f"plugins.{name}").__doc__
    first = (doc or "").partition("\n\n")[0].replace("\n", " ")
    assert first.endswith((".", ":")) and len(first) > 20, first
    assert first[0].isupper()


def test_it_has_its_test(name):
    assert test_file_of(name).is_file()


def test_it_says_what_its_body_needs(name):
    """What holds a body says so: `explain` shows it, and `buffers_body` is what a reviewer looks for."""
    source = "".join(path.read_text() for path in _files(name))
    if ".body.read(" in source:
        assert plugin_of(name).buffers_body


def _files(name):
    folder = ROOT / "plugins" / name
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def test_it_refuses_only_if_it_says_so(name):
    source = "".join(path.read_text() for path in _files(name))
    plugin = plugin_of(name)
    assert plugin.refuses == ("self.refuse(" in source or ".refuse(" in source or issubclass(plugin, Authenticator))


def test_it_is_not_larger_than_can_be_read_at_once(name):
    assert all(len(path.read_text().splitlines()) <= 400 for path in _files(name))


# -- settings ----------------------------------------------------------------------------------------------------------


def test_settings_refuse_what_they_do_not_know(name):
    with pytest.raises(ValidationError) as caught:
        settings_of(plugin_of(name), {**example_of(name), "no_such_key": 1})
    assert "no_such_key" in str(caught.value)


def test_settings_are_frozen_through_and_through(name):
    for model in models_of(plugin_of(name).settings_type):
        assert issubclass(model, Settings), model
        assert model.model_config["frozen"] and model.model_config["extra"] == "forbid"


def test_every_setting_is_described(name):
    for model in models_of(plugin_of(name).settings_type):
        for key, field in model.model_fields.items():
            text = field.description or ""
            assert len(text) >= 15 and text.rstrip().endswith((".", ")", "`")), f"{model.__name__}.{key}: {text!r}"


def test_secrets_cannot_be_shown(name):
    for model in models_of(plugin_of(name).settings_type):
        for key, field in model.model_fields.items():
            if key in SECRET_WORDS:
                shown = list(_classes(field.annotation))
                assert SecretStr in shown or not {str, bytes} & set(shown), f"{model.__name__}.{key} must be a Secret"


def test_defaults_build_it_or_say_what_is_missing(name):
    plugin = plugin_of(name)
    try:
        settings_of(plugin, {})
    except ValidationError as error:
        fields = plugin.settings_type.model_fields.items()
        required = {field.alias or key for key, field in fields if field.is_required()}
        assert {str(each["loc"][0]) for each in error.errors() if each["loc"]} <= required
        assert example_of(name), f"tests/plugins/test_{name}.py must have an EXAMPLE"
    settings_of(plugin, example_of(name))


def test_it_is_in_the_schema_and_the_reference(name):
    """That these files are up to date as a whole is looked at elsewhere; this is about being in them at all."""
    assert f'"{name}"' in json.dumps(json.loads((ROOT / "config/schema.json").read_text()))
    assert f"`{name}`" in (ROOT / "config/reference.md").read_text()


# -- life --------------------------------------------------------------------------------------------------------------


def live(name, mode=Mode.ENFORCE, given=None):
    return opened(plugin_of(name), example_of(name), mode=mode, ports=given)


async def test_it_opens_and_closes_more_than_once(name):
    async with live(name) as it:
        pass
    await it.plugin.close()
    await it.plugin.close()


async def test_it_closes_without_having_been_opened(name):
    """`close` is called after an `open` that failed, at whatever point it failed."""
    plugin = plugin_of(name)
    settings = settings_of(plugin, example_of(name))
    made = plugin(settings, Context(ports(), route="test", plugin=name, id=name))
    await made.close()


async def test_it_acquires_nothing_before_it_is_opened(name):
    plugin = plugin_of(name)
    before = asyncio.all_tasks()
    plugin(settings_of(plugin, example_of(name)), Context(ports(), route="test", plugin=name, id=name))
    assert asyncio.all_tasks() == before


async def test_shadow_never_refuses(name):
    if not plugin_of(name).refuses:
        pytest.skip("never refuses")
    target = answering(200)
    async with live(name, Mode.SHADOW) as it:
        response = await it(request("POST", "/x", body="{}", headers={"Content-Type": "application/json"}), target)
    assert response.error is None, response.error
    assert target.calls == 1 or plugin_of(name).ends


# -- in a chain --------------------------------------------------------------------------------------------------------


@pytest.fixture
def mode(name):
    """One in which the plugin does not stand in the way of what is looked at."""
    return Mode.SHADOW if plugin_of(name).refuses else Mode.ENFORCE


def skip_if_it_ends(name):
    if plugin_of(name).ends:
        pytest.skip("answers by itself")


async def test_a_stream_passes_without_being_held(name, mode):
    """10 MB each way that no compressor makes smaller: what was pulled and has not come out stays small."""
    skip_if_it_ends(name)
    if plugin_of(name).buffers_body:
        pytest.skip("may hold a body, under a limit of its settings")
    size, count = 65536, 160
    noise = random.Random(name).randbytes(size)
    down, up = Chunks([noise] * count), Chunks([noise] * count)
    held = {"down": 0, "up": 0}
    passed = {"down": 0, "up": 0}

    async def rest(asked: Request) -> Response:
        async for chunk in asked.body:
            held["down"] = max(held["down"], down.given - passed["down"])
            passed["down"] += len(chunk)
        return Response(200, headers={"Content-Type": "text/plain"}, body=Body(None, up))

    async with live(name, mode) as it:
        response = await it.head(request("POST", "/x", chunks=down), rest)
        assert response.body.whole is None, "the answer was held"
        async for chunk in response.body:
            held["up"] = max(held["up"], up.given - passed["up"])
            passed["up"] += len(chunk)
    assert passed["down"] == size * count
    assert passed["up"] > size * count * 0.9
    assert max(held.values()) <= 8 * size


async def test_an_abort_after_the_first_byte_closes_the_stream(name, mode):
    skip_if_it_ends(name)
    target = answering(200, {"Content-Type": "text/plain"}, chunks=[b"x" * 65536] * 20)
    async with live(name, mode) as it:
        asked = request("GET", "/x")
        response = await it.head(asked, target)
        if response.body.whole is None:
            await response.body.pull()
        it.leave(asked, response)
        await it.ports.settled()
    source = target.sources[0]
    assert source.closed or source.ended


async def test_an_error_from_inside_is_not_swallowed(name, mode):
    skip_if_it_ends(name)
    if plugin_of(name).recovers:
        pytest.skip("recovers from errors")
    async with live(name, mode) as it:
        response = await it(request("GET", "/x"), answering(error=Forbidden("inside")))
    assert (response.status, response.error.detail) == (403, "inside")


async def test_a_body_that_breaks_off_stays_broken(name, mode):
    skip_if_it_ends(name)
    target = answering(200, {"Content-Type": "text/plain"}, chunks=[b"x" * 100], error=TruncatedAnswer())
    async with live(name, mode) as it:
        with pytest.raises(TruncatedAnswer):
            response = await it(request("GET", "/x"), target)
            assert response.error is not None, "half a body was passed on as a whole one"
            raise response.error


async def test_cancellation_passes_through(name, mode):
    skip_if_it_ends(name)
    arrived = asyncio.Event()

    async def rest(_asked: Request) -> Response:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with live(name, mode) as it:
        client = asyncio.ensure_future(it(request("GET", "/x"), rest))
        await arrived.wait()
        client.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client


async def test_many_exchanges_leave_nothing_behind(name, mode):
    """No task and no callback outlives a hundred exchanges that ended."""
    async with live(name, mode) as it:
        for _ in range(100):
            asked = request("GET", "/x")
            await it(asked, answering(200))
            assert asked._done is None
        await it.ports.settled()


async def test_its_endpoints_do_not_collide_and_answer(name):
    async with live(name) as it:
        paths = [endpoint.path for endpoint in it.plugin.endpoints()]
        assert len(set(paths)) == len(paths)
        assert all(path.startswith("/") for path in paths)
        assert isinstance(it.plugin, Plugin)
