"""security_headers: what is sent, over what, and what is left to the service."""

import pytest
from pydantic import ValidationError

from gateway.errors import Unauthorized
from gateway.http import Response
from gateway.testing import answering, exchange, request, settings_of
from plugins.security_headers import SecurityHeaders, SecurityHeadersSettings

API = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
WEB = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "base-uri 'self'; frame-ancestors 'self'; object-src 'none'",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
YEAR = {"Strict-Transport-Security": "max-age=31536000"}


def without(fields, *names):
    return {name: value for name, value in fields.items() if name not in names}


@pytest.mark.parametrize(
    ("settings", "scheme", "expected"),
    [
        pytest.param({}, "http", API, id="api is the default"),
        pytest.param({}, "https", {**API, **YEAR}, id="api over https"),
        pytest.param({"preset": "web"}, "http", WEB, id="web"),
        pytest.param({"preset": "web"}, "https", {**WEB, **YEAR}, id="web over https"),
        pytest.param({"preset": "none"}, "https", {}, id="none"),
        pytest.param({"hsts": "off"}, "https", API, id="without HSTS"),
        pytest.param(
            {"preset": "none", "hsts": {"max_age": "730d", "subdomains": True, "preload": True}},
            "https",
            {"Strict-Transport-Security": "max-age=63072000; includeSubDomains; preload"},
            id="HSTS in full",
        ),
        pytest.param({"preset": "none", "hsts": {}}, "http", {}, id="HSTS, but no https"),
        pytest.param(
            {"preset": "none", "hsts": {"max_age": "0s"}},
            "https",
            {"Strict-Transport-Security": "max-age=0"},
            id="HSTS taken back",
        ),
        pytest.param({"csp": "off"}, "http", without(API, "Content-Security-Policy"), id="without CSP"),
        pytest.param(
            {"csp": "default-src 'self'"},
            "http",
            {**API, "Content-Security-Policy": "default-src 'self'"},
            id="own CSP",
        ),
        pytest.param(
            {"csp_report_only": "default-src 'self'; report-to x"},
            "http",
            {**API, "Content-Security-Policy-Report-Only": "default-src 'self'; report-to x"},
            id="a policy on trial beside the preset's",
        ),
        pytest.param(
            {"content_type_options": False, "frame_options": "off", "referrer_policy": "off"},
            "http",
            {"Content-Security-Policy": API["Content-Security-Policy"]},
            id="all else off",
        ),
        pytest.param(
            {
                "preset": "none",
                "content_type_options": True,
                "frame_options": "SAMEORIGIN",
                "referrer_policy": "origin",
                "permissions_policy": "camera=(self)",
                "coop": "same-origin-allow-popups",
                "coep": "require-corp",
                "corp": "same-site",
            },
            "http",
            {
                "X-Content-Type-Options": "nosniff",
                "X-Frame-Options": "SAMEORIGIN",
                "Referrer-Policy": "origin",
                "Permissions-Policy": "camera=(self)",
                "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
                "Cross-Origin-Embedder-Policy": "require-corp",
                "Cross-Origin-Resource-Policy": "same-site",
            },
            id="each by itself",
        ),
    ],
)
@pytest.mark.parametrize("form", ["fields", "lines"])
async def test_what_is_sent(settings, scheme, expected, form):
    async def target(_request):
        return Response(200, lines=[b"X-Own: 1"]) if form == "lines" else Response(200, fields=[(b"X-Own", b"1")])

    response = await exchange(SecurityHeaders, settings, request(scheme=scheme), target)
    assert dict(response.headers) == {"X-Own": "1", **expected}


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(lambda pairs: answering(200, pairs), id="fields"),
        pytest.param(lambda pairs: _wire([f"{name}: {value}".encode() for name, value in pairs]), id="lines"),
    ],
)
@pytest.mark.parametrize(
    ("override", "frames", "policies"),
    [(False, ["ALLOWALL"], ["a", "b"]), (True, ["DENY"], ["default-src 'none'; frame-ancestors 'none'"])],
    ids=["the service's stands", "it is replaced"],
)
async def test_what_the_service_set(target, override, frames, policies):
    own = [("x-frame-options", "ALLOWALL"), ("content-security-policy", "a"), ("content-security-policy", "b")]
    response = await exchange(SecurityHeaders, {"override": override}, proceed=target(own))
    assert response.headers.getall("X-Frame-Options") == frames
    assert response.headers.getall("Content-Security-Policy") == policies
    assert response.headers["Referrer-Policy"] == "no-referrer"


def _wire(lines):
    async def handler(_request):
        return Response(200, lines=lines)

    return handler


async def test_lines_that_others_may_hold_are_left_alone():
    lines = [b"Content-Type: text/plain"]
    await exchange(SecurityHeaders, {}, proceed=_wire(lines))
    assert lines == [b"Content-Type: text/plain"]


async def test_refusals_are_dressed_too():
    response = await exchange(SecurityHeaders, {}, proceed=answering(error=Unauthorized()))
    assert response.status == 401
    assert {name: response.headers.get(name) for name in API} == API


async def test_a_websocket_is_left_alone():
    async def upgrading(_request):
        response = Response(101)
        response.tunnel = _Tunnel()
        return response

    response = await exchange(SecurityHeaders, {}, proceed=upgrading)
    assert list(response.headers) == []


class _Tunnel:
    async def read(self):
        return b""

    async def write(self, data): ...

    def close(self): ...


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"preset": "strict"}, id="an unknown preset"),
        pytest.param({"hsts": {"preload": True}}, id="preload without subdomains"),
        pytest.param({"hsts": {"preload": True, "subdomains": True, "max_age": "30d"}}, id="preload for a month"),
        pytest.param({"frame_options": "ALLOW-FROM https://x"}, id="what no browser knows any more"),
        pytest.param({"referrer_policy": "never"}, id="an unknown policy"),
        pytest.param({"csp": "a\r\nX: y"}, id="a value that splits the message"),
    ],
)
def test_settings_that_cannot_be_meant(settings):
    with pytest.raises(ValidationError):
        settings_of(SecurityHeaders, settings)


def test_a_plugin_that_does_nothing_is_warned_of():
    assert SecurityHeaders.check(SecurityHeadersSettings(preset="none"))
    assert not SecurityHeaders.check(SecurityHeadersSettings())
    assert not SecurityHeaders.check(SecurityHeadersSettings(preset="none", csp_report_only="default-src 'self'"))
