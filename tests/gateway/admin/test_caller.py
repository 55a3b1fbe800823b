"""Who is on the other end of a connection, as the kernel knows it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.caller import caller_of


@contextlib.contextmanager
def connected(family: int, address: Any, to: Any = None, via: int | None = None) -> Iterator[socket.socket]:
    """The server's end of a connection."""
    with socket.socket(family) as server:
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(address)
        server.listen()
        where = server.getsockname()
        with socket.socket(via if via is not None else family) as client:
            client.connect((to, where[1]) if to is not None else where)
            accepted, _ = server.accept()
            with accepted:
                yield accepted


@pytest.mark.parametrize(
    ("family", "address", "to", "via"),
    [
        pytest.param(socket.AF_INET, ("127.0.0.1", 0), None, None, id="IPv4"),
        pytest.param(socket.AF_INET6, ("::1", 0), None, None, id="IPv6"),
        pytest.param(socket.AF_INET6, ("::", 0), "127.0.0.1", socket.AF_INET, id="IPv4 to a listener of both"),
    ],
)
def test_a_user_of_this_machine(family: int, address: Any, to: Any, via: Any):
    try:
        with connected(family, address, to, via) as accepted:
            assert caller_of(accepted) == f"loopback:uid={os.getuid()}"
    except OSError as error:
        if family != socket.AF_INET6:
            raise
        pytest.skip(f"no IPv6 here: {error}")


def test_a_unix_socket(tmp_path: Path):
    with connected(socket.AF_UNIX, str(tmp_path / "s")) as accepted:
        assert caller_of(accepted) == f"unix:uid={os.getuid()},pid={os.getpid()}"


def test_one_that_is_gone_and_none_at_all():
    assert caller_of(None) == ""
    with socket.socket() as alone:
        assert caller_of(alone) == ""


def test_without_the_tables_it_is_somebody_of_this_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.admin.caller._TABLES", ("/nowhere",))
    with connected(socket.AF_INET, ("127.0.0.1", 0)) as accepted:
        assert caller_of(accepted) == "loopback"


def test_of_another_machine_nothing_is_known():
    class Far:
        family = socket.AF_INET

        def getpeername(self) -> tuple[str, int]:
            return "192.0.2.1", 1

        def getsockname(self) -> tuple[str, int]:
            return "192.0.2.2", 2

    assert caller_of(Far()) == ""
