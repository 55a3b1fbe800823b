"""websocket_limit: who may open one, with which words, and how many; what it does to them when they are open."""

import asyncio

import pytest
from pydantic import ValidationError

from gateway.http import Principal, Response
from gateway.testing import answering, opened, ports, request, settings_of
from plugins.websocket_limit import WebsocketLimit


class Wire:
    """The target's side of a tunnel."""

    def __init__(self):
        self.sent = b""
        self.closed = 0
        self.gone = False
        self._woken = asyncio.Event()

    def wake(self):
        self._woken.set()

    async def read(self):
        await self._woken.wait()
        self._woken.clear()
        return b""

    async def write(self, data):
        self.sent += data

    def end(self):
        pass

    def close(self):
        self.closed += 1


class Switching:
    """A target that agrees to everything, or to what it is told."""

    def __init__(self, **headers):
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.requests = []
        self.wires = []

    async def __call__(self, asked):
        self.requests.append(asked)
        self.wires.append(Wire())
        response = Response(101, headers=self.headers)
        response.tunnel = self.wires[-1]
        return response


def upgrade(headers=(), **more):
    asked = request(headers=headers, **more)
    asked.upgrade = "websocket"
    return asked


def message(payload, size=None):
    size = len(payload) if size is None else size
    assert size < 126
    return bytes([0x82, 0x80 | size]) + b"\0\0\0\0" + payload


PAGE = {"Origin": "https://app.example.com"}
EVIL = {"Origin": "https://evil.example"}
MINE = {"origins": ["https://app.example.com"]}


@pytest.mark.parametrize(
    ("settings", "headers", "code"),
    [
        pytest.param({}, EVIL, None, id="any page, if none is named"),
        pytest.param(MINE, PAGE, None, id="the page that is named"),
        pytest.param(MINE, EVIL, "origin_refused", id="another page"),
        pytest.param(MINE, {"Origin": "null"}, "origin_refused", id="a page without an origin"),
        pytest.param(MINE, {"Origin": "https://app.example.com.evil.example"}, "origin_refused", id="it begins alike"),
        pytest.param(MINE, {"Origin": "http://app.example.com"}, "origin_refused", id="without TLS"),
        pytest.param(MINE, [*PAGE.items(), *PAGE.items()], "origin_refused", id="two origins"),
        pytest.param(MINE, [*PAGE.items(), *EVIL.items()], "origin_refused", id="two origins, one of them good"),
        pytest.param(MINE, {}, None, id="a client that is no browser"),
        pytest.param({**MINE, "allow_no_origin": False}, {}, "origin_refused", id="unless browsers only are let in"),
        pytest.param({"origins": ["https://*.example.com"]}, PAGE, None, id="a subdomain"),
        pytest.param({"origins": ["*"]}, EVIL, None, id="any page, by name"),
    ],
)
async def test_pages(settings, headers, code):
    target = Switching()
    async with opened(WebsocketLimit, settings) as it:
        response = await it(upgrade(headers), target)
        assert (response.error and response.error.code, len(target.requests)) == (code, 0 if code else 1)
        assert response.status == (403 if code else 101)


@pytest.mark.parametrize(
    ("offer", "passed", "chosen", "status"),
    [
        pytest.param("chat, soap", "chat", "chat", 101, id="what is not spoken is taken out"),
        pytest.param("chat", "chat", None, 101, id="the target chooses none"),
        pytest.param(None, None, None, 101, id="nothing offered"),
        pytest.param("soap", None, None, 403, id="nothing that is spoken"),
        pytest.param("chat", "chat", "soap", 502, id="the target chooses what was not offered"),
        pytest.param(None, None, "chat", 502, id="the target chooses though nothing was offered"),
    ],
)
async def test_subprotocols(offer, passed, chosen, status):
    target = Switching(**({"Sec_WebSocket_Protocol": chosen} if chosen else {}))
    asked = upgrade({"Sec-WebSocket-Protocol": offer} if offer else {})
    async with opened(WebsocketLimit, {"subprotocols": ["chat", "graphql-ws"]}) as it:
        response = await it(asked, target)
        assert response.status == status
    if status != 403:
        assert asked.headers.get("Sec-WebSocket-Protocol") == passed
    assert [wire.closed for wire in target.wires] in ([], [1]), "left open"


@pytest.mark.parametrize("kept", [True, False])
async def test_extensions(kept):
    asked = upgrade({"Sec-WebSocket-Extensions": "permessage-deflate"})
    async with opened(WebsocketLimit, {"extensions": kept}) as it:
        await it(asked, Switching())
    assert ("Sec-WebSocket-Extensions" in asked.headers) is kept


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        pytest.param({"principal": "ann"}, {"principal": "ann", "client_ip": "192.0.2.9"}, 429, id="one principal"),
        pytest.param({"principal": "ann"}, {"principal": "bob"}, 101, id="two principals at one address"),
        pytest.param({}, {}, 429, id="one address"),
        pytest.param({"client_ip": "2001:db8::1"}, {"client_ip": "2001:db8::2"}, 429, id="one IPv6 household"),
        pytest.param({}, {"client_ip": "192.0.2.9"}, 101, id="two addresses"),
        pytest.param({"client_ip": "x"}, {"principal": "x"}, 101, id="who is called like an address"),
    ],
)
async def test_how_many(first, second, status):
    async with opened(WebsocketLimit, {"max_connections": 1}) as it:
        one = upgrade(**first)
        open_one = await it.head(one, Switching())
        assert it.ports.value("websocket_connections", "test", "websocket_limit") == 1
        refused = await it(upgrade(**second), Switching())
        assert refused.status == status
        if status == 429:
            assert refused.error.code == "too_many_websockets"
        it.leave(one, open_one)
        assert it.plugin._hold.thing.open == {}
        assert it.ports.value("websocket_connections", "test", "websocket_limit") == 0
        assert (await it(upgrade(**second), Switching())).status == 101


@pytest.mark.parametrize("declined", [answering(426), answering(200, chunks=[b"x"])])
async def test_one_that_did_not_come_about_is_not_counted(declined):
    async with opened(WebsocketLimit, {"max_connections": 1}) as it:
        for _ in range(3):
            assert (await it(upgrade(), declined)).status in (200, 426)
        assert it.plugin._hold.thing.open == {}


async def test_workers_share_the_number():
    async with opened(WebsocketLimit, {"max_connections": 5}, ports=ports(workers=2)) as it:
        made = [await it.head(upgrade(), Switching()) for _ in range(4)]
    assert [each.status for each in made] == [101, 101, 101, 429]


async def test_other_requests_are_not_looked_at():
    target = answering(200)
    async with opened(WebsocketLimit, {**MINE, "max_connections": 1, "subprotocols": []}) as it:
        for protocol in ("", "custom"):
            asked = request(headers=EVIL)
            asked.upgrade = protocol
            assert (await it(asked, target)).status == 200
        assert it.plugin._hold.thing.open == {}


@pytest.mark.parametrize(
    ("settings", "sent", "code", "by"),
    [
        pytest.param({"max_message": "10B"}, message(b"x" * 11), 1009, "size", id="too large"),
        pytest.param({"messages": {"rate": 1, "burst": 2}}, message(b"x") * 3, 1008, "rate", id="too many"),
        pytest.param({}, b"\x82\x01x", 1002, "protocol", id="no mask"),
    ],
)
async def test_what_is_too_much_ends_it_and_the_log_says_why(settings, sent, code, by):
    target, asked = Switching(), upgrade()
    async with opened(WebsocketLimit, settings) as it:
        response = await it.head(asked, target)
        await response.tunnel.write(sent)
        assert (await response.tunnel.read())[2:4] == code.to_bytes(2, "big")
        assert asked.error.code == "websocket_ended"
        assert str(code) in asked.error.reason
        assert it.ports.refused == ["websocket_ended"]
        assert it.ports.value("websocket_limit_ended_total", "test", "websocket_limit", by) == 1
        it.leave(asked, response)
    assert target.wires[0].closed


async def test_shadow_counts_each_limit_once_and_lets_everything_pass():
    settings = {**MINE, "max_connections": 1, "max_message": "1B", "subprotocols": ["a"], "messages": {"rate": 1}}
    target = Switching(Sec_WebSocket_Protocol="b")
    headers = {**EVIL, "Sec-WebSocket-Protocol": "b"}
    async with opened(WebsocketLimit, settings, mode="shadow") as it:
        held = [(asked := upgrade(headers), await it.head(asked, target)) for _ in range(2)]
        tunnel = held[0][1].tunnel
        await tunnel.write(message(b"xx") * 3)
        assert target.wires[0].sent == message(b"xx") * 3
        codes = ["origin_refused", "subprotocol_refused"]
        assert it.ports.would_refuse == [*codes, *codes, "too_many_websockets", *["websocket_ended"] * 2]
        for asked, response in held:
            it.leave(asked, response)
        assert asked.error is None
        assert target.requests[0].headers["Sec-WebSocket-Protocol"] == "b"


@pytest.mark.parametrize("closes", [True, False])
async def test_it_ends_with_the_credentials(closes):
    target = Switching()
    async with opened(WebsocketLimit, {"close_on_expiry": closes}) as it:
        wall = it.ports.clock.time()
        asked = upgrade(principal=Principal("ann", expires=wall + 0.01))
        response = await it.head(asked, target)
        it.ports.clock.advance(1)
        if closes:
            assert (await asyncio.wait_for(response.tunnel.read(), 60))[2:] == b"\x03\xf0credentials expired"
        else:
            assert response.tunnel._timer is None
        it.leave(asked, response)


async def test_messages_are_counted():
    target, asked = Switching(), upgrade()
    async with opened(WebsocketLimit) as it:
        response = await it.head(asked, target)
        await response.tunnel.write(message(b"a") * 3)
        assert it.ports.value("websocket_messages_total", "test", "websocket_limit", "client") == 3
        it.leave(asked, response)


@pytest.mark.parametrize("subprotocol", ["", "a b", "a,b", "ä"])
def test_subprotocols_are_tokens(subprotocol):
    with pytest.raises(ValidationError, match="tokens"):
        settings_of(WebsocketLimit, {"subprotocols": [subprotocol]})


def test_no_limit_at_all_is_doubtful():
    assert WebsocketLimit.check(settings_of(WebsocketLimit, {"max_message": "off"}))
    assert not WebsocketLimit.check(settings_of(WebsocketLimit, {}))
