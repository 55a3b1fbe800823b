"""basic_auth: which credentials let in, what guessing costs, what is remembered, and how a changed file is taken up."""

from __future__ import annotations

import asyncio
import base64
import os
import threading
import unicodedata
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import plugins.basic_auth
from gateway.chain import AnyOf
from gateway.plugin import Context
from gateway.testing import answering, exchange, opened, ports, request, settings_of
from plugins.api_key import ApiKey
from plugins.basic_auth import BasicAuth
from plugins.basic_auth.file import verifies

HERE = Path(__file__).parent / "basic_auth"
EXAMPLE = {"users": str(HERE / "users.htpasswd")}
FULL = {**EXAMPLE, "groups": str(HERE / "groups"), "tenant": "acme", "rate_class": "gold", "prefix": "basic:"}


def encoded(text):
    raw = text if isinstance(text, bytes) else text.encode()
    return base64.b64encode(raw).decode()


def asking(text, scheme="Basic", **more):
    return request(headers={"Authorization": f"{scheme} {encoded(text)}"}, **more)


@pytest.fixture
def checks(monkeypatch):
    """Every hash that is computed, while it really is."""
    computed = []

    def counting(stored, password):
        computed.append((stored, password))
        return verifies(stored, password)

    monkeypatch.setattr(plugins.basic_auth, "verifies", counting)
    return computed


async def test_a_good_password_says_who_it_is_and_is_hidden():
    target = answering(200)
    asked = request(headers={"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "A": "1"})  # RFC 7617 §2
    assert (await exchange(BasicAuth, FULL, asked, target)).status == 200
    found = target.request.principal
    assert (found.id, found.tenant, found.rate_class) == ("basic:Aladdin", "acme", "gold")
    assert (found.roles, found.claims) == ({"readers", "writers"}, {"amr": ["pwd"]})
    assert dict(target.request.headers) == {"A": "1", "Host": "gateway.test"}
    assert b"QWxh" not in repr(target.request.fields).encode()


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(request(headers={"Authorization": "Basic dGVzdDoxMjPCow=="}), id="beyond ASCII (RFC 7617 §2.1)"),
        pytest.param(request(headers={"authorization": "bASIC   dGVzdDoxMjPCow== "}), id="the scheme in any case"),
        pytest.param(asking("lon:argon me"), id="Argon2"),
        pytest.param(asking("jo\u00e9:caf\u00e9"), id="a name beyond ASCII"),
        pytest.param(asking(unicodedata.normalize("NFD", "jo\u00e9:caf\u00e9")), id="typed in parts"),
        pytest.param(asking("long:" + "x" * 80), id="a password that bcrypt reads in part"),
    ],
)
async def test_lets_in(asked):
    response = await exchange(BasicAuth, EXAMPLE, asked)
    assert response.status == 200, response.error.reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(encoded("Aladdin:open sesam"), "wrong password", id="a letter less"),
        pytest.param(encoded("Aladdin:"), "wrong password", id="no password"),
        pytest.param(encoded("aladdin:open sesame"), "unknown user", id="another case"),
        pytest.param(encoded("Aladdin :open sesame"), "unknown user", id="a blank more"),
        pytest.param(encoded("nobody:ghost"), "unknown user", id="in a group only"),
        pytest.param(encoded("# made for tests:x"), "unknown user", id="a remark"),
        pytest.param(encoded("Aladdin"), "not a name and a password", id="no colon"),
        pytest.param(encoded(":open sesame"), "not a name and a password", id="no name"),
        pytest.param(encoded("Aladdin:open sesame\0x"), "not a name and a password", id="a null byte"),
        pytest.param(encoded("Aladdin:open sesame\n"), "not a name and a password", id="a line end"),
        pytest.param(encoded(b"Aladdin:\xff"), "not UTF-8 in base64", id="bytes that are not text"),
        pytest.param(encoded("test:123£".encode("latin-1")), "not UTF-8 in base64", id="Latin-1"),
        pytest.param("QWxhZGRpbjpvcGVuIHNlc2FtZQ", "not UTF-8 in base64", id="without padding"),
        pytest.param("QWxh!GRpbjpvcGVuIHNlc2FtZQ==", "not UTF-8 in base64", id="not base64"),
        pytest.param("é", "not UTF-8 in base64", id="not ASCII"),
        pytest.param("", "not a name and a password", id="nothing"),
        pytest.param(encoded("x" * 3000 + ":y"), "longer than credentials are", id="larger than anybody needs"),
    ],
)
async def test_an_attack_gets_a_401_and_no_hint(value, reason):
    target = answering(200)
    response = await exchange(BasicAuth, EXAMPLE, request(headers={"Authorization": f"Basic {value}"}), target)
    assert (response.status, response.error.code, target.calls) == (401, "invalid_credentials", 0)
    assert (response.error.detail, response.error.reason) == ("Name or password are not valid here.", reason)
    assert response.headers["WWW-Authenticate"] == 'Basic realm="test", charset="UTF-8"'
    assert b"laddin" not in response.body.whole


@pytest.mark.parametrize("value", ["Bearer x", "Basically x", "", "Negotiate QWxhZGRpbg=="])
async def test_credentials_of_another_kind_are_none(value):
    response = await exchange(BasicAuth, EXAMPLE, request(headers={"Authorization": value}))
    assert (response.status, response.error.code) == (401, "unauthorized")


async def test_two_fields_could_be_read_in_two_ways():
    good = ("Authorization", f"Basic {encoded('Aladdin:open sesame')}")
    for other in (good, ("Authorization", "Bearer x")):
        assert (await exchange(BasicAuth, EXAMPLE, request(headers=[good, other]))).status == 400


async def test_an_unknown_user_costs_what_a_known_one_does(checks):
    async with opened(BasicAuth, EXAMPLE) as live:
        for name in ("Aladdin", "nobody", "nobody else"):
            await live(asking(f"{name}:wrong"))
        assert len(checks) == 3
        hashes = {each.hash for each in live.plugin._users.values()}
        assert all(stored in hashes and password == b"wrong" for stored, password in checks)
        # Always the same one for a name, so that asking again tells nothing; and not one for all.
        await live(asking("nobody:again"))
        assert checks[3][0] == checks[1][0]
        assert len({live.plugin._decoy(f"user{number}") for number in range(200)}) == len(hashes)


async def test_the_password_of_a_decoy_opens_nothing(checks):
    async with opened(BasicAuth, EXAMPLE) as live:
        name = next(
            f"n{at}" for at in range(1000) if live.plugin._decoy(f"n{at}") == live.plugin._users["Aladdin"].hash
        )
        assert (await live(asking(f"{name}:open sesame"))).error.reason == "unknown user"


async def test_what_held_is_remembered_for_a_while(checks):
    async with opened(BasicAuth, EXAMPLE) as live:
        for _ in range(3):
            assert (await live(asking("Aladdin:open sesame"))).status == 200
        assert len(checks) == 1
        live.ports.clock.advance(61)
        assert (await live(asking("Aladdin:open sesame"))).status == 200
        assert len(checks) == 2
        assert b"sesame" not in repr(live.plugin._remembered).encode()
        outcomes = [
            live.ports.value("basic_auth_checks_total", "test", "basic_auth", each)
            for each in ("remembered", "verified")
        ]
        assert outcomes == [2, 2]


async def test_what_did_not_hold_is_not(checks):
    async with opened(BasicAuth, EXAMPLE) as live:
        for _ in range(3):
            assert (await live(asking("Aladdin:wrong"))).status == 401
        assert len(checks) == 3 and not live.plugin._remembered


async def test_no_more_are_remembered_than_may_be(checks):
    async with opened(BasicAuth, {**EXAMPLE, "remember_most": 1}) as live:
        for who in ("Aladdin:open sesame", "test:123£", "Aladdin:open sesame"):
            assert (await live(asking(who))).status == 200
        assert len(checks) == 3 and len(live.plugin._remembered) == 1
    async with opened(BasicAuth, {**EXAMPLE, "remember": 0}) as live:
        await live(asking("Aladdin:open sesame"))
        assert not live.plugin._remembered


@pytest.fixture
def held(monkeypatch):
    """Hashes are computed when the test says so."""
    gate, computed = threading.Event(), []

    def waiting(stored, password):
        computed.append(password)
        gate.wait(30)
        return verifies(stored, password)

    monkeypatch.setattr(plugins.basic_auth, "verifies", waiting)
    yield gate, computed
    gate.set()


async def test_the_loop_runs_on_and_the_same_is_checked_once(held):
    gate, computed = held
    async with opened(BasicAuth, EXAMPLE) as live:
        asked = [asyncio.ensure_future(live(asking("Aladdin:open sesame"))) for _ in range(5)]
        while not computed:
            await asyncio.sleep(0.001)
        asked[0].cancel()  # who began it leaves
        await asyncio.wait([asked[0]])
        gate.set()
        assert [(await each).status for each in asked[1:]] == [200] * 4
        assert len(computed) == 1 and not live.plugin._running


async def test_more_than_may_wait_are_sent_away(held):
    gate, computed = held
    async with opened(BasicAuth, {**EXAMPLE, "concurrency": 1, "waiting": 2}) as live:
        asked = [asyncio.ensure_future(live(asking(f"Aladdin:{number}"))) for number in range(2)]
        while len(live.plugin._running) < 2:
            await asyncio.sleep(0.001)
        refused = await live(asking("Aladdin:open sesame"))
        assert (refused.status, refused.error.code, refused.headers["Retry-After"]) == (503, "authentication_busy", "1")
        assert len(computed) == 1  # one at a time
        gate.set()
        assert [(await each).status for each in asked] == [401, 401]
        assert (await live(asking("Aladdin:open sesame"))).status == 200


# -- files that change -------------------------------------------------------------------------------------------------


def line(name, password):
    return f"{name}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n"


@pytest.fixture
def users(tmp_path):
    path = tmp_path / "users"
    path.write_text(line("ada", "one"))
    return path


async def test_a_change_is_taken_up_and_ends_what_was_remembered(users):
    async with opened(BasicAuth, {"users": str(users)}) as live:
        assert (await live(asking("ada:one"))).status == 200
        users.write_text(line("ada", "another"))
        await live.plugin.watched.refresh()
        assert (await live(asking("ada:one"))).error.reason == "wrong password"
        assert (await live(asking("ada:another"))).status == 200
        users.write_text("# nobody\n")
        await live.plugin.watched.refresh()
        assert (await live(asking("ada:another"))).error.reason == "the file is empty"
        assert live.ports.reports["basic_auth"]() == {"file": str(users), "ok": True, "users": 0}


async def test_a_change_of_groups_is_taken_up(users, tmp_path):
    groups = tmp_path / "groups"
    groups.write_text("a: ada\n")
    target = answering(200)
    async with opened(BasicAuth, {"users": str(users), "groups": str(groups)}) as live:
        await live(asking("ada:one"), target)
        groups.write_text("b: ada\nc: ada\n")
        await live.plugin.watched.refresh()
        await live(asking("ada:one"), target)
    assert [each.principal.roles for each in target.requests] == [{"a"}, {"b", "c"}]


async def test_a_password_that_is_changed_while_it_is_checked(users, held):
    gate, computed = held
    async with opened(BasicAuth, {"users": str(users)}) as live:
        asked = asyncio.ensure_future(live(asking("ada:one")))
        while not computed:
            await asyncio.sleep(0.001)
        users.write_text(line("ada", "another password"))
        await live.plugin.watched.refresh()
        gate.set()
        assert (await asked).error.reason == "the user was changed meanwhile"
        assert not live.plugin._remembered


async def test_a_change_is_taken_up_without_being_asked(users):
    async with opened(BasicAuth, {"users": str(users), "reread": "100ms"}) as live:
        users.write_text(line("eve", "two"))
        async with asyncio.timeout(30):
            while (await live(asking("ada:one"))).status == 200:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_text("eve:plain"), id="a password in the open"),
        pytest.param(lambda path: path.unlink(), id="no file"),
        pytest.param(lambda path: (path.unlink(), os.mkfifo(path)), id="a pipe"),
    ],
)
async def test_a_file_that_cannot_be_read_leaves_users_as_they_were(users, damage):
    async with opened(BasicAuth, {"users": str(users)}) as live:
        damage(users)
        for _ in range(3):
            await live.plugin.watched.refresh()
        assert (await live(asking("ada:one"))).status == 200
        assert live.ports.reports["basic_auth"]()["ok"] is False
        assert len([each for each in live.ports.lines if "users stay as they were" in each]) == 1


def test_what_does_not_load(tmp_path):
    (tmp_path / "users").write_text("eve:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=")
    with pytest.raises(ValidationError, match=r"users:1: \{SHA\} hashes are not taken"):
        settings_of(BasicAuth, {"users": str(tmp_path / "users")})
    with pytest.raises(ValidationError, match="No such file"):
        settings_of(BasicAuth, {"users": str(tmp_path / "none")})
    with pytest.raises(ValidationError, match="pattern"):
        settings_of(BasicAuth, {**EXAMPLE, "realm": 'a"b'})


def test_check_warns_of_a_file_that_everybody_reads(users):
    users.chmod(0o604)
    assert "can be read by every user" in BasicAuth.check(settings_of(BasicAuth, {"users": str(users)}))[0]
    users.chmod(0o600)
    assert not BasicAuth.check(settings_of(BasicAuth, {"users": str(users)}))


# -- with others -------------------------------------------------------------------------------------------------------


async def test_shadow_lets_everybody_through_and_still_knows_who_it_is():
    target = answering(200)
    async with opened(BasicAuth, EXAMPLE, mode="shadow") as live:
        assert (await live(asking("Aladdin:wrong"), target)).status == 200
        assert target.request.principal is None
        assert (await live(asking("Aladdin:open sesame"), target)).status == 200
        assert target.request.principal.id == "Aladdin"
        assert live.ports.would_refuse == ["invalid_credentials"]


async def test_within_any_the_challenges_are_one():
    given_ports = ports()
    keys = {"keys": {"file": str(HERE.parent / "api_key" / "keys.yaml")}}

    def member(kind, given_settings, name):
        return kind(settings_of(kind, given_settings), Context(given_ports, route="test", plugin=name, id=name))

    members = [member(ApiKey, keys, "api_key"), member(BasicAuth, EXAMPLE, "basic_auth")]
    for each in members:
        await each.open()
    both = AnyOf(members, Context(given_ports, route="test", plugin="any", id="any"))
    try:
        assert (await both.authenticate(asking("Aladdin:open sesame"))).id == "Aladdin"
        assert both.challenge() == 'ApiKey realm="test", Basic realm="test", charset="UTF-8"'
    finally:
        for each in members:
            await each.close()
        await given_ports.close()


@settings(max_examples=100, deadline=None)
@given(name=st.text(max_size=20), password=st.text(max_size=20))
async def test_no_other_text_gets_in(name, password):
    response = await exchange(BasicAuth, EXAMPLE, asking(f"{name}:{password}".encode("utf-8", "surrogatepass")))
    assert (response.status, response.error.code) == (401, "invalid_credentials")


@settings(max_examples=50, deadline=None)
@given(raw=st.binary(max_size=60), junk=st.sampled_from(["", "=", " ", "!"]))
async def test_no_bytes_break_it(raw, junk):
    value = f"Basic {base64.b64encode(raw).decode()}{junk}"
    assert (await exchange(BasicAuth, EXAMPLE, request(headers={"Authorization": value}))).status == 401
