"""Bodies as people may see them, by media type."""

from __future__ import annotations

import pytest

from gateway.services.masking import Masking

FORM = b"""\
--b\r
Content-Disposition: form-data; name="password"\r
\r
hunter2\r
--b\r
Content-Disposition: form-data; name="photo"; filename="hunter2.png"\r
Content-Type: image/png\r
\r
PNG\r
--b\r
Content-Disposition: form-data; name="doc"\r
Content-Type: application/json\r
\r
{"pin":"hunter2"}\r
--b--\r
"""
BODIES = [
    (
        "application/json",
        b'{"user":{"password":"hunter2","name":"ada"}}',
        '{"user":{"password":"[secret]","name":"ada"}}',
    ),
    ("application/json", b'[{"access_token":"hunter2"}]', '[{"access_token":"[secret]"}]'),
    ("application/vnd.api+json", b'{"apiKey":"hunter2","n":1.50}', '{"apiKey":"[secret]","n":1.5}'),
    ("application/json", b'{"password":"hunter2", broken', '{"password":"[secret]", broken'),
    ("", b' {"client_secret":"hunter2"}', '{"client_secret":"[secret]"}'),
    (
        "application/x-www-form-urlencoded",
        b"user=ada&password=hunter2&a%20b=c+d",
        "user=ada&password=[secret]&a%20b=c+d",
    ),
    ("application/x-www-form-urlencoded", b"pass%77ord=hunter2", "pass%77ord=[secret]"),
    ("", b"token=hunter2&x=1", "token=[secret]&x=1"),
    ("application/x-ndjson", b'{"token":"hunter2"}\n{"a":1}\n', '{"token":"[secret]"}\n{"a":1}'),
    ("text/plain", b"login with password=hunter2 failed", "login with password=[secret] failed"),
    ("text/plain", b"Authorization: Bearer hunter2", "Authorization: [secret]"),
    ("text/xml", b"<a><Password x='y'>hunter2</Password></a>", "<a><Password x='y'>[secret]</Password></a>"),
    ("text/plain", b"at https://ada:hunter2@db.example/x", "at https://[secret]@db.example/x"),
    ("image/png", b"\x89PNG hunter2", "[12 bytes of image/png]"),
    ("", b"\x00\x01hunter2", "[9 bytes]"),
    ("application/octet-stream", b"", ""),
    (
        "multipart/form-data; boundary=b",
        FORM,
        'password: [secret]\nphoto: [3 bytes of image/png]\ndoc: {"pin":"[secret]"}',
    ),
    ("multipart/form-data", b"--b\r\nhunter2", "[12 bytes of multipart/form-data]"),
    ("application/json; charset=no-such", b'{"token":"hunter2"}', '{"token":"[secret]"}'),
]


@pytest.mark.parametrize(
    ("media_type", "body", "shown"), BODIES, ids=[f"{m or 'none'}: {b[:30]!r}" for m, b, _ in BODIES]
)
def test_bodies(media_type, body, shown):
    assert Masking().body(body, media_type) == shown


HOSTILE = {
    "deep JSON": (b"[" * 60_000, "application/json"),
    "deep, well formed JSON": (b"[" * 900 + b'{"token":"hunter2"}' + b"]" * 900, "application/json"),
    "a long body": (b'{"token":"hunter2",' + b'"a":"' + b"x" * 200_000 + b'"}', "application/json"),
    "a million parameters": (b"a=b&" * 1_000_000, "application/x-www-form-urlencoded"),
    "a thousand parts": (b"--b\r\n\r\n\r\n" * 5000, "multipart/form-data; boundary=b"),
    "a media type that is none": (b"token=hunter2", "text/\x00; ; ; charset*=''"),
    "no UTF-8": (b"password=hunter2\xff\xfe", "text/plain"),
    "an integer of many digits": (b"1" * 5000, "application/json"),
}


@pytest.mark.parametrize(("body", "media_type"), HOSTILE.values(), ids=HOSTILE)
def test_no_body_is_too_hostile(body, media_type):
    shown = Masking().body(body, media_type)
    assert "hunter2" not in shown
    assert len(shown) < 70_000
