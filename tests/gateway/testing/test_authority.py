"""Certificates for tests lead to their authority, as OpenSSL sees it."""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl

import pytest

from gateway.testing.authority import Authority


def handshake(server, client):
    """Two ends in memory; what the server knows of the client."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname="localhost"),
        server.wrap_bio(up, down, server_side=True),
    ]
    for _ in range(6):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ends[1].getpeercert(binary_form=True)


@pytest.mark.parametrize("between", [False, True])
def test_what_it_signs_is_taken_by_whoever_trusts_it(tmp_path, between):
    root = Authority()
    signer = Authority("between", above=root) if between else root
    issued = signer.issue("ada", uri=("spiffe://test/ada",))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*root.issue("localhost", dns=("localhost",), ip=("127.0.0.1",)).write(tmp_path, "server"))
    server.load_verify_locations(root.write(tmp_path))
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=root.write(tmp_path))
    client.load_cert_chain(*issued.write(tmp_path, "client"))
    assert handshake(server, client) == issued.der
    assert len(issued.chain) == between

    client = ssl.create_default_context(cafile=root.write(tmp_path))
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    late = signer.issue("ada", begins=past, ends=past + dt.timedelta(days=1))
    client.load_cert_chain(*late.write(tmp_path, "late"))
    with pytest.raises(ssl.SSLError, match="expired"):
        handshake(server, client)
