"""Where the gateway listens."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config.listener import Admin, AdminCors, Limits, Listener, ListenerTls, limits_for
from gateway.plugin.settings import Settings


def test_a_unix_socket_and_who_may_use_it():
    listener = Listener.model_validate({"bind": "unix:/run/a.sock", "permissions": "0666"})
    assert (listener.address.path, listener.unix_mode) == ("/run/a.sock", 0o666)
    assert Listener(bind=":1").unix_mode == 0o660


@pytest.mark.parametrize(
    ("model", "written"),
    [
        pytest.param(Listener, {}, id="a listener nowhere"),
        pytest.param(Listener, {"bind": "8080"}, id="a port alone"),
        pytest.param(Listener, {"bind": ":1", "permissions": "rw"}, id="permissions in letters"),
        pytest.param(Listener, {"bind": ":1", "permissions": 660}, id="permissions that YAML made a number"),
        pytest.param(ListenerTls, {"cert": "a"}, id="a certificate without its key"),
        pytest.param(ListenerTls, {"cert": "a", "key": "b", "min_version": "1.1"}, id="an old TLS"),
        pytest.param(ListenerTls, {"cert": "a", "key": "b", "client_auth": "maybe"}, id="half an authentication"),
        pytest.param(Admin, {"public": ["/config"]}, id="the configuration for everybody"),
        pytest.param(AdminCors, {"origins": ["*"]}, id="every origin"),
        pytest.param(AdminCors, {"origins": ["https://a/"]}, id="an origin with a path"),
        pytest.param(AdminCors, {"origins": []}, id="no origin"),
        pytest.param(Limits, {"connections": 0}, id="no connection"),
        pytest.param(Limits, {"head": "0s"}, id="no time for a head"),
    ],
)
def test_refused(model: type[Settings], written: Any):
    with pytest.raises(ValidationError):
        model.model_validate(written)


@pytest.mark.parametrize(("bind", "expected"), [("127.0.0.1:1", True), ("unix:/a", True), (":1", False)])
def test_whether_admin_is_open_to_others(bind: str, expected: bool):
    assert Admin(bind=bind).loopback is expected


def test_limits_of_a_listener_where_it_has_its_own():
    general = Limits(url=1, headers=2)
    assert limits_for(general, Listener(bind=":1")) == general
    own = Listener.model_validate({"bind": ":1", "limits": {"headers": "3B"}})
    assert limits_for(general, own) == Limits(url=1, headers=3)
