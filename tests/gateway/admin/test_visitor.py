"""The admin API is for who has the token, or for programs on this machine; not for pages that a browser shows."""

import pytest
from multidict import CIMultiDict

from gateway.admin.visitor import Visitors
from gateway.config.listener import Admin

OPEN = {"bind": "127.0.0.1:9901"}
LOCKED = {"bind": "127.0.0.1:9901", "token": "s3cret-s3cret-s3cret"}
REMOTE = {"bind": "0.0.0.0:9901", "token": "s3cret-s3cret-s3cret"}
DASHBOARD = {**LOCKED, "cors": {"origins": ["https://ops.example"]}}
BEARER = {"Authorization": "Bearer s3cret-s3cret-s3cret"}
ASKS = {"Access-Control-Request-Method": "POST"}


def judge(settings, method, path="/reload", **headers):
    given = CIMultiDict({"Host": "127.0.0.1:9901", **{name.replace("_", "-"): text for name, text in headers.items()}})
    refusal = Visitors(Admin.model_validate(settings)).refusal(method, path, "http", given)
    return refusal.status if refusal is not None else None


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        pytest.param("127.0.0.1:9901", None, id="the address"),
        pytest.param("127.0.0.1", None, id="without a port"),
        pytest.param("127.8.8.8:9901", None, id="another loopback address"),
        pytest.param("[::1]:9901", None, id="IPv6"),
        pytest.param("localhost:9901", None, id="localhost"),
        pytest.param("LOCALHOST.", None, id="localhost, written out"),
        pytest.param("admin.localhost:9901", None, id="a name under localhost"),
        pytest.param("", None, id="no browser is without one"),
        pytest.param("evil.example:9901", 421, id="a name that was made to lead here"),
        pytest.param("localhost.evil.example", 421, id="localhost as a beginning"),
        pytest.param("evillocalhost", 421, id="localhost as an end"),
        pytest.param("127.0.0.1.evil.example", 421, id="an address as a beginning"),
        pytest.param("192.168.1.7:9901", 421, id="another address"),
        pytest.param("[::1", 421, id="no host"),
        pytest.param("evil.example@127.0.0.1.nip.example", 421, id="user and name"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_dns_rebinding(method, host, refused):
    assert judge(OPEN, method, Host=host) == refused


def test_names_of_ones_own():
    settings = {**OPEN, "hosts": ["Sidecar.internal"]}
    assert judge(settings, "GET", Host="sidecar.INTERNAL:9901") is None
    assert judge(settings, "GET", Host="other.internal:9901") == 421
    assert judge({"bind": "localhost:9901"}, "GET", Host="localhost:9901") is None


def test_a_unix_socket_and_an_open_address_have_no_name_that_could_be_known():
    assert judge({"bind": "unix:/run/x.sock"}, "GET", Host="whatever") is None
    assert judge(REMOTE, "GET", "/healthz", Host="whatever") is None


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        pytest.param({}, None, id="a program"),
        pytest.param({"Origin": "http://127.0.0.1:9901"}, None, id="a page of the listener's own"),
        pytest.param({"Origin": "https://evil.example"}, 403, id="a page of another origin"),
        pytest.param({"Origin": "http://127.0.0.1:8080"}, 403, id="a page on another port of this machine"),
        pytest.param({"Origin": "https://127.0.0.1:9901"}, 403, id="a page of another scheme"),
        pytest.param({"Origin": "null"}, 403, id="a page without an origin"),
        pytest.param({"Origin": ""}, 403, id="an origin of nothing"),
        pytest.param({"Sec_Fetch_Site": "cross-site"}, 403, id="another site, without an origin"),
        pytest.param({"Sec_Fetch_Site": "same-site"}, 403, id="the same site is another port or name"),
        pytest.param({"Sec_Fetch_Site": "same-origin"}, None, id="the same origin"),
    ],
)
def test_forged_requests(method, headers, refused):
    assert judge(OPEN, method, **headers) == refused
    assert judge(LOCKED, method, **BEARER, **headers) == refused


def test_pages_that_are_named_may():
    assert judge(DASHBOARD, "POST", Origin="https://ops.example", **BEARER) is None
    assert judge(DASHBOARD, "POST", Origin="https://ops.example.evil", **BEARER) == 403


def test_reading_is_what_browsers_guard_themselves():
    assert judge(OPEN, "GET", "/config", Sec_Fetch_Site="cross-site", Origin="https://evil.example") is None


@pytest.mark.parametrize(
    ("settings", "method", "path", "headers", "refused"),
    [
        pytest.param(LOCKED, "GET", "/config", {}, 401, id="none"),
        pytest.param(LOCKED, "GET", "/config", BEARER, None, id="the token"),
        pytest.param(LOCKED, "GET", "/config", {"Authorization": "bEARER  s3cret-s3cret-s3cret"}, None, id="any case"),
        pytest.param(LOCKED, "GET", "/config", {"Authorization": "Bearer wrong"}, 401, id="another"),
        pytest.param(LOCKED, "GET", "/config", {"Authorization": "Basic s3cret-s3cret-s3cret"}, 401, id="as Basic"),
        pytest.param(LOCKED, "GET", "/healthz", {}, None, id="a public path"),
        pytest.param(LOCKED, "OPTIONS", "/reload", {}, 401, id="OPTIONS is no way around"),
        pytest.param(LOCKED, "OPTIONS", "/reload", {"Origin": "https://ops.example", **ASKS}, 401, id="nobody may"),
        pytest.param(DASHBOARD, "OPTIONS", "/reload", {"Origin": "https://ops.example"}, 401, id="half a preflight"),
        pytest.param(DASHBOARD, "OPTIONS", "/reload", {"Origin": "https://e.example", **ASKS}, 401, id="of a stranger"),
        pytest.param(DASHBOARD, "OPTIONS", "/reload", {"Origin": "https://ops.example", **ASKS}, None, id="preflight"),
        pytest.param(REMOTE, "GET", "/config", {"Host": "gw.example", **BEARER}, None, id="by any name with the token"),
    ],
)
def test_the_token(settings, method, path, headers, refused):
    assert judge(settings, method, path, **headers) == refused
