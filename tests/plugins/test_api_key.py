"""api_key: which keys let in, where they may stand, and how a changed file is taken up."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.testing import answering, exchange, opened, request, settings_of
from plugins.api_key import ApiKey

FILE = Path(__file__).parent / "api_key" / "keys.yaml"
EXAMPLE = {"keys": {"file": str(FILE)}}
ANYWHERE = {**EXAMPLE, "from": {"scheme": "Bearer", "cookie": "k", "query": "k"}}


def asking(key, **more):
    return request(headers={"X-API-Key": key}, **more)


async def test_a_good_key_says_who_it_is_and_is_hidden():
    target = answering(200)
    given_headers = {"x-api-key": "sesame", "A": "1"}
    assert (await exchange(ApiKey, EXAMPLE, request(headers=given_headers), target)).status == 200
    found = target.request.principal
    assert (found.id, found.tenant, found.rate_class) == ("billing", "acme", "gold")
    assert (found.roles, found.scopes) == ({"reader", "writer"}, {"orders"})
    assert found.claims == {"key": "first"}
    assert dict(target.request.headers) == {"A": "1", "Host": "gateway.test"}
    assert b"sesame" not in repr(target.request.fields).encode()
    assert not target.request.edited


async def test_a_key_without_owner_is_its_own():
    target = answering(200)
    await exchange(ApiKey, EXAMPLE, asking("plain"), target)
    assert target.request.principal.id == "plain"
    assert target.request.principal.expires is None


async def test_the_key_goes_on_where_that_is_wanted():
    target = answering(200)
    await exchange(ApiKey, {**EXAMPLE, "hide": False}, asking("sesame"), target)
    assert target.request.headers["X-API-Key"] == "sesame"


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        pytest.param("Sesame", "unknown", id="another case"),
        pytest.param("sesame ", "unknown", id="a space more"),
        pytest.param("sesam", "unknown", id="a letter less"),
        pytest.param("first", "unknown", id="its id"),
        pytest.param("sha256:d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272", "unknown", id="a hash"),
        pytest.param("gone", "key gone is revoked", id="revoked"),
        pytest.param("late", "key late has expired", id="expired"),
        pytest.param("x" * 513, "longer than any key", id="larger than anybody needs"),
        pytest.param("é", "unknown", id="letters of other alphabets"),
        pytest.param("\udcff", "unknown", id="bytes that are not text"),
        pytest.param("' OR 1=1 --", "unknown", id="SQL"),
    ],
)
async def test_an_attack_gets_a_401_and_no_hint(key, reason):
    target = answering(200)
    response = await exchange(ApiKey, EXAMPLE, asking(key), target)
    assert (response.status, response.error.code, target.calls) == (401, "invalid_api_key", 0)
    assert (response.error.detail, response.error.reason) == ("The key is not valid here.", reason)
    assert response.headers["WWW-Authenticate"] == 'ApiKey realm="test"'


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        pytest.param([("X-API-Key", "sesame"), ("X-API-Key", "plain")], "/", id="two fields"),
        pytest.param([("X-API-Key", "sesame"), ("X-API-Key", "sesame")], "/", id="the same twice"),
        pytest.param([("X-API-Key", "sesame"), ("Authorization", "Bearer sesame")], "/", id="two places"),
        pytest.param([("Authorization", "Basic x"), ("Authorization", "Bearer sesame")], "/", id="two schemes"),
        pytest.param([("Cookie", "k=sesame; k=plain")], "/", id="two cookies"),
        pytest.param([], "/?k=sesame&%6b=plain", id="two parameters, one disguised"),
    ],
)
async def test_keys_that_could_be_read_in_two_ways(headers, path):
    target = answering(200)
    response = await exchange(ApiKey, ANYWHERE, request(path=path, headers=headers), target)
    assert (response.status, target.calls) == (400, 0)


@pytest.mark.parametrize("path", ["/", "/?k=sesame"])
@pytest.mark.parametrize("headers", [{}, {"X-API-Key": ""}, {"Authorization": "Bearer sesame"}, {"Cookie": "k=sesame"}])
async def test_no_key_where_one_is_looked_for(path, headers):
    response = await exchange(ApiKey, EXAMPLE, request(path=path, headers=headers))
    assert (response.status, response.error.code) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("headers", "path", "left", "query"),
    [
        pytest.param({"Authorization": "bearer  sesame"}, "/", {}, "", id="a scheme"),
        pytest.param({"Cookie": "a=1; k=sesame; b=2"}, "/", {"Cookie": "a=1; b=2"}, "", id="a cookie"),
        pytest.param({"Cookie": "k=sesame"}, "/", {}, "", id="the only cookie"),
        pytest.param({"Authorization": "Basic x"}, "/?a=1&k=sesame&b=%20", {"Authorization": "Basic x"}, "a=1&b=%20",
                     id="the query, another scheme stays"),
    ],
)  # fmt: skip
async def test_places(headers, path, left, query):
    target = answering(200)
    response = await exchange(ApiKey, ANYWHERE, request(path=path, headers=headers), target)
    assert response.status == 200, response.error.reason
    assert {name: value for name, value in target.request.headers.items() if name != "Host"} == left
    assert target.request.query == query


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(key=st.text(min_size=1, max_size=60).filter(lambda text: text not in ("sesame", "plain")))
async def test_no_other_text_gets_in(key):
    assert (await exchange(ApiKey, EXAMPLE, asking(key))).status == 401


# -- a file that changes -----------------------------------------------------------------------------------------------


def entry(name, digest="d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272", more=""):
    return f"keys:\n  - id: {name}\n    hash: sha256:{digest}\n{more}"


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys.yaml"
    path.write_text(entry("one"))  # of sesame
    return path


async def test_a_change_is_taken_up(keys):
    async with opened(ApiKey, {"keys": {"file": str(keys)}}) as live:
        assert (await live(asking("sesame"))).status == 200
        keys.write_text(entry("one", more="    disabled: true\n"))
        await live.plugin.watched.refresh()
        assert (await live(asking("sesame"))).error.reason == "key one is revoked"
        assert live.ports.reports["api_key"]() == {"from": str(keys), "ok": True, "keys": 1}


async def test_a_change_is_taken_up_without_being_asked(keys):
    async with opened(ApiKey, {"keys": {"file": str(keys)}, "reread": "100ms"}) as live:
        keys.write_text(entry("one", more="    disabled: true\n"))
        async with asyncio.timeout(30):
            while (await live(asking("sesame"))).status == 200:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_text("keys: [{id: x}]"), id="an entry without hash"),
        pytest.param(lambda path: path.write_text("keys: ["), id="half a file"),
        pytest.param(lambda path: path.unlink(), id="no file"),
        pytest.param(lambda path: path.write_text("#" * 2_000_000), id="a file without end"),
        pytest.param(lambda path: (path.unlink(), os.mkfifo(path)), id="a pipe"),
    ],
)
async def test_a_file_that_cannot_be_read_leaves_the_keys_as_they_were(keys, damage):
    async with opened(ApiKey, {"keys": {"file": str(keys)}}) as live:
        damage(keys)
        for _ in range(3):
            await live.plugin.watched.refresh()
        assert (await live(asking("sesame"))).status == 200
        assert live.ports.reports["api_key"]()["ok"] is False
        assert len([line for line in live.ports.lines if "keys stay as they were" in line]) == 1
        keys.unlink(missing_ok=True)
        keys.write_text("keys: []")
        await live.plugin.watched.refresh()
        assert (await live(asking("sesame"))).status == 401


async def test_a_file_that_did_not_change_is_not_read_again(keys):
    async with opened(ApiKey, {"keys": {"file": str(keys)}}) as live:
        before = live.plugin._keys
        await live.plugin.watched.refresh()
        assert live.plugin._keys is before


def test_a_file_that_cannot_be_read_does_not_load(tmp_path):
    with pytest.raises(ValidationError, match="No such file"):
        settings_of(ApiKey, {"keys": {"file": str(tmp_path / "none.yaml")}})
