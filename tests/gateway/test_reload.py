"""Succession and reload decisions in process; real processes and load stand in ``tests/integration/test_reload.py``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config import load_text
from gateway.config.load import Loaded, load
from gateway.config.model import Config
from gateway.plugin import Plugin, Settings
from gateway.reload import Refused, Reloader, Succession
from gateway.runtime import BuildError, Runtime, Services
from gateway.testing.authority import Authority

LIFE: list[str] = []


class NoteSettings(Settings):
    """Settings of a plugin that notes its life."""

    word: str = "a"
    fails: bool = False


class Note(Plugin[NoteSettings]):
    """Notes when it is opened and closed."""

    async def open(self) -> None:
        if self.settings.fails:
            raise RuntimeError("cannot open")
        LIFE.append(f"open {self.settings.word}")
        self.context.report("note", lambda: {"word": self.settings.word})

    async def close(self) -> None:
        LIFE.append(f"close {self.settings.word}")


def config(word: str = "a", *, name: str = "r", fails: bool = False, store: str = "memory://") -> Config:
    entry = f'{{plugin: "{__name__}:Note", with: {{word: {word}, fails: {str(fails).lower()}}}}}'
    text = f"""
stores: {{shared: "{store}"}}
routes: [{{name: {name}, match: {{path: /}}, redirect: {{to: /b}}, plugins: [{entry}]}}]
"""
    return load_text(text, {}).config


@pytest.fixture
async def succession() -> AsyncIterator[Succession]:
    LIFE.clear()
    services = Services()
    published: list[Runtime] = []
    made = Succession(services, published.append)
    yield made
    await made.close()
    await services.close()


async def take_up(succession: Succession, wanted: Config) -> Runtime:
    await succession.prepare(wanted)
    succession.commit()
    assert succession.current is not None
    return succession.current


async def settled(succession: Succession, until: Any) -> None:
    await until(lambda: not succession._retiring)


async def test_an_unchanged_plugin_is_handed_over_and_a_changed_one_is_closed(
    succession: Succession, until: Any
) -> None:
    first = await take_up(succession, config())
    second = await take_up(succession, config())
    await settled(succession, until)
    assert next(iter(first.instances.values())).plugin is next(iter(second.instances.values())).plugin
    await take_up(succession, config("b"))
    await settled(succession, until)
    assert LIFE == ["open a", "open b", "close a"]


async def test_a_refused_one_leaves_plugins_store_and_reports_as_they_were(succession: Succession) -> None:
    current = await take_up(succession, config())
    store, reports = succession.services.store(), dict(succession.services.ports.reports)
    with pytest.raises(BuildError, match="cannot open"):
        await succession.prepare(config("b", fails=True, store="memory://?keys=1000"))
    assert succession.current is current
    assert succession.services.store() is store
    assert succession.services.ports.reports == reports
    assert LIFE == ["open a", "close b"]
    await succession.prepare(config("c", store="memory://?keys=1000"))
    assert succession.services.store() is store  # prepared is not in force
    await succession.abandon()
    assert succession.services.store() is store
    assert LIFE == ["open a", "close b", "open c", "close c"]
    assert succession.services.ports.reports == reports


async def test_another_store_is_another_plugin_even_with_the_same_settings(succession: Succession, until: Any) -> None:
    await take_up(succession, config())
    old = succession.services.store()
    await take_up(succession, config(store="memory://?keys=1000"))
    assert succession.services.store() is not old
    await settled(succession, until)
    assert LIFE == ["open a", "open a", "close a"]


async def test_a_plugin_is_closed_only_when_the_last_runtime_that_holds_it_is_done(
    succession: Succession, until: Any
) -> None:
    """An exchange on the first; the second shares its plugin and is done at once; the third does not."""
    first = await take_up(succession, config())
    first.routes[0].in_flight = 1
    await take_up(succession, config())
    await take_up(succession, config("b"))
    await until(lambda: len(succession._retiring) == 1)
    assert LIFE == ["open a", "open b"]
    first.routes[0].in_flight = 0
    await settled(succession, until)
    assert LIFE == ["open a", "open b", "close a"]


async def test_what_was_counted_for_a_route_goes_with_it_and_not_before(succession: Succession, until: Any) -> None:
    first = await take_up(succession, config(name="gone"))
    metrics = succession.services.metrics
    first.routes[0].in_flight = 1
    metrics.route("gone").in_flight = 1
    metrics.route("gone").of(200).record(0.1, 0, 0)
    refusals = metrics.counter("plugin_refusals_total", "", ("route", "plugin", "code", "mode"))
    refusals.child("gone", "p", "c", "enforce").inc()
    await take_up(succession, config(name="new"))
    await asyncio.sleep(0)
    assert "gone" in metrics._routes
    await take_up(succession, config(name="gone"))  # back again, before the first is done
    first.routes[0].in_flight = metrics.route("gone").in_flight = 0
    await settled(succession, until)
    assert metrics.route("gone").of(200).count == 1
    await take_up(succession, config(name="new"))
    await settled(succession, until)
    assert "gone" not in metrics._routes
    assert refusals.children == {}


async def test_closing_closes_what_still_retires(succession: Succession) -> None:
    first = await take_up(succession, config())
    first.routes[0].in_flight = 1
    await take_up(succession, config("b"))
    await succession.close()
    assert sorted(LIFE) == ["close a", "close b", "open a", "open b"]


# -- Reloader ------------------------------------------------------------------------------------------------------

TEXT = "routes: [{{name: {name}, match: {{path: /}}, redirect: {{to: /b}}}}]\n"


class Taker:
    def __init__(self) -> None:
        self.taken: list[str] = []
        self.refuses: Exception | None = None

    async def __call__(self, loaded: Loaded) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.taken.append(loaded.config.routes[0].name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(TEXT.format(name="one"))
    return path


async def test_the_files_are_taken_up_when_they_changed_or_it_is_insisted_on(file: Path) -> None:
    taker = Taker()
    reloader = Reloader([file], load([file]), taker)
    assert await reloader.reload()
    assert taker.taken == []
    assert await reloader.reload(even_if_unchanged=True)
    file.write_text(TEXT.format(name="two"))
    assert await reloader.reload()
    assert taker.taken == ["one", "two"]
    assert (reloader.outcome.successes, reloader.outcome.last_ok) == (2, True)


@pytest.mark.parametrize(
    ("text", "refuses", "problem"),
    [
        pytest.param("routs: []", None, "routs", id="a mistake"),
        pytest.param(TEXT.format(name="two") + "workers: 2", None, "workers changed", id="what needs a restart"),
        pytest.param(TEXT.format(name="two"), Refused(["no room", "no time"]), "no time", id="workers that refuse"),
        pytest.param(TEXT.format(name="two"), RuntimeError("a bug"), "a bug", id="a bug"),
    ],
)
async def test_what_is_refused_is_remembered_until_it_is_taken_back(
    file: Path, text: str, refuses: Exception | None, problem: str
) -> None:
    taker, before = Taker(), load([file])
    reloader = Reloader([file], before, taker)
    file.write_text(text)
    taker.refuses = refuses
    assert not await reloader.reload()
    assert reloader.loaded is before
    assert any(problem in each for each in reloader.outcome.problems)
    assert (reloader.outcome.failures, reloader.outcome.last_ok) == (1, False)
    file.write_text(TEXT.format(name="one"))
    assert await reloader.reload()
    assert (reloader.outcome.last_ok, reloader.outcome.problems) == (True, ())


async def test_limits_of_a_listener_need_no_restart_and_its_address_does(file: Path) -> None:
    taker = Taker()
    reloader = Reloader([file], load([file]), taker)
    file.write_text(TEXT.format(name="one") + "listeners: [{bind: '127.0.0.1:8080', limits: {url: 1KB}}]")
    assert await reloader.reload()
    file.write_text(TEXT.format(name="one") + "listeners: [{bind: '127.0.0.1:8081'}]")
    assert not await reloader.reload()


@pytest.mark.parametrize(
    ("before", "after", "needs"),
    [
        pytest.param("[{bind: ':1'}]", "[{bind: ':2'}]", "listeners[0].bind", id="an address"),
        pytest.param("[{bind: ':1'}]", "[{bind: ':1'}, {bind: ':2'}]", "the number of listeners", id="one more"),
        pytest.param("[{bind: ':1'}]", "[{bind: ':1', tls: TLS}]", "listeners[0].tls", id="TLS where there was none"),
        pytest.param("[{bind: ':1', tls: TLS}]", "[{bind: ':1'}]", "listeners[0].tls", id="no TLS any more"),
        pytest.param("[{bind: ':1', tls: TLS}]", "[{bind: ':1', tls: OTHER}]", None, id="other settings of TLS"),
        pytest.param("[{bind: ':1'}]", "[{bind: ':1', limits: {head: 1s}}]", None, id="limits"),
        pytest.param(
            "[{bind: 'unix:/x', permissions: '0600'}]",
            "[{bind: 'unix:/x', permissions: '0660'}]",
            "listeners[0].permissions",
            id="who may connect",
        ),
    ],
)
async def test_what_of_a_listener_needs_a_restart(
    tmp_path: Path, file: Path, before: str, after: str, needs: str | None
) -> None:
    Authority().issue("a").write(tmp_path, "a")

    def write(listeners: str) -> None:
        tls = f"cert: {tmp_path}/a.crt, key: {tmp_path}/a.key"
        listeners = listeners.replace("TLS", f"{{{tls}}}").replace("OTHER", f"{{{tls}, min_version: '1.3'}}")
        file.write_text(TEXT.format(name="one") + f"listeners: {listeners}")

    write(before)
    reloader = Reloader([file], load([file]), Taker())
    write(after)
    assert await reloader.reload() is (needs is None)
    assert reloader.outcome.problems == ((f"{needs} changed: this needs a restart",) if needs else ())


async def test_what_was_made_in_memory_has_nothing_to_reload() -> None:
    reloader = Reloader([], load_text(TEXT.format(name="one"), {}), Taker())
    reloader.watch()
    assert await reloader.reload(even_if_unchanged=True)
    await reloader.close()


@pytest.mark.parametrize("linked", [pytest.param(False, id="a file"), pytest.param(True, id="a link to another file")])
@pytest.mark.parametrize(
    "named", [pytest.param(False, id="the configuration"), pytest.param(True, id="a file that it names")]
)
async def test_what_changed_after_it_was_read_and_before_the_watch_began_is_taken_up(
    tmp_path: Path, until: Any, monkeypatch: pytest.MonkeyPatch, *, linked: bool, named: bool
) -> None:
    monkeypatch.setattr("gateway.reload.UNSEEN", 0.05)
    page, path = tmp_path / "page.html", tmp_path / "gateway.yaml"
    changing, contents = (page, ("a", "b")) if named else (path, (TEXT.format(name="one"), TEXT.format(name="two")))
    page.write_text("a")
    path.write_text(TEXT.format(name="one"))
    if named:
        path.write_text(TEXT.format(name="one") + "errors: {html: {file: page.html}}\n")
    for number, content in enumerate(contents):
        (tmp_path / f"{number}").write_text(content)
    if linked:
        changing.unlink()
        changing.symlink_to("0")
    taker = Taker()
    reloader = Reloader([path], load([path]), taker)
    if linked:
        (tmp_path / "new").symlink_to("1")
        (tmp_path / "new").replace(changing)
    else:
        changing.write_text(contents[1])
    reloader.watch()
    try:
        await until(lambda: taker.taken)
    finally:
        await reloader.close()
    assert taker.taken == ["one" if named else "two"]
