"""What is under way when a certificate expires."""

from __future__ import annotations

import datetime as dt

import pytest

from gateway.errors import GatewayError
from gateway.http import Principal, Response
from gateway.http.peer import Peer
from gateway.testing import answering, opened, read, request
from gateway.testing.authority import Authority
from plugins.mtls import InvalidCertificate, Mtls
from plugins.mtls.certificate import read as read_certificate
from plugins.mtls.expiry import EndingTunnel, Expiry

NOW = dt.datetime.fromtimestamp(1_800_000_000, dt.UTC)
ADA = Authority().issue("ada", begins=NOW - dt.timedelta(days=1), ends=NOW + dt.timedelta(hours=1)).der
CUT = {"cut_at_expiry": True}


def asking(principal=None):
    made = request(principal=principal)
    made.peer = Peer("192.0.2.1", 1, certificate={"serialNumber": "01"}, chain=(ADA,))
    return made


class Tunnel:
    """A target's side that says what a test gives it."""

    def __init__(self):
        self.gone, self.closed, self.written = False, 0, []

    async def read(self):
        return b"news"

    async def write(self, data):
        self.written.append(data)

    def wake(self):
        self.written.append("wake")

    def end(self):
        self.written.append("end")

    def close(self):
        self.closed += 1


async def halfway(live, asked):
    """An answer of two chunks, the certificate expiring between them."""
    response = await live.head(asked, answering(200, chunks=[b"a", b"b"]))
    first = await response.body.pull()
    live.ports.clock.advance(3600)
    return response, first


BOUND = Principal("bob", claims={"cnf": {"x5t#S256": read_certificate(ADA).thumbprint}})


@pytest.mark.parametrize(
    ("given", "principal", "cut"),
    [
        pytest.param(CUT, None, True, id="a stream ends"),
        pytest.param({}, None, False, id="unless that is not wanted"),
        pytest.param({**CUT, "bound_tokens": "required"}, BOUND, True, id="of a bound token, too"),
    ],
)
async def test_a_stream(given, principal, cut):
    async with opened(Mtls, given) as live:
        response, first = await halfway(live, asking(principal))
        assert first == b"a"
        if cut:
            with pytest.raises(InvalidCertificate):
                await read_rest(response)
            assert live.ports.refused == ["invalid_certificate"]
        else:
            assert await read_rest(response) == b"b"
        response.body.close()


async def read_rest(response):
    found = b""
    while chunk := await response.body.pull():
        found += chunk
    return found


async def test_shadow_counts_once_and_cuts_nothing():
    async with opened(Mtls, CUT, mode="shadow") as live:
        response, _ = await halfway(live, asking())
        assert await read_rest(response) == b"b"
        assert live.ports.would_refuse == ["invalid_certificate"]


async def test_a_whole_answer_and_a_refusal_are_left_alone():
    async with opened(Mtls, CUT) as live:
        response = await live.head(asking(), answering(200, body="whole"))
        live.ports.clock.advance(3600)
        assert await read(response) == b"whole"
        assert (await live(asking(), answering(200, chunks=[b"a"]))).status == 401


async def test_a_tunnel_ends_with_the_next_bytes():
    inner = Tunnel()

    async def switching(_request):
        response = Response(101)
        response.tunnel = inner
        return response

    async with opened(Mtls, CUT) as live:
        response = await live.head(asking(), switching)
        tunnel = response.tunnel
        assert isinstance(tunnel, EndingTunnel) and not tunnel.gone
        assert await tunnel.read() == b"news"
        await tunnel.write(b"more")
        tunnel.wake()
        tunnel.end()
        assert inner.written == [b"more", "wake", "end"]
        live.ports.clock.advance(3600)
        for _ in range(2):
            with pytest.raises(InvalidCertificate):
                await tunnel.read()
            with pytest.raises(InvalidCertificate):
                await tunnel.write(b"x")
        assert inner.closed == 1 and inner.written[-1] == "end"
        tunnel.close()


async def test_in_shadow_a_tunnel_goes_on():
    told = []
    tunnel = EndingTunnel(Tunnel(), Expiry(0.0, lambda: 1.0, told.append))
    assert await tunnel.read() == await tunnel.read() == b"news"
    assert [type(each) for each in told] == [InvalidCertificate] and issubclass(InvalidCertificate, GatewayError)
