"""What an OpenAPI document says of fields and paths, and that it is masked."""

from __future__ import annotations

import pytest

from gateway.plugin import Context
from gateway.plugin.openapi import ApiDocument
from gateway.testing import ports, settings_of
from plugins.pii_masking import PiiMasking
from plugins.pii_masking.described import Templates, declared_in, paths_in

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1"},
    "servers": [{"url": "https://shop.example/v1"}],
    "paths": {
        "/customers/{ref}/orders/{order}": {
            "get": {
                "parameters": [
                    {"name": "ref", "in": "path", "required": True, "x-pii": True, "schema": {"type": "string"}},
                    {"name": "order", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "contact", "in": "query", "schema": {"type": "string", "format": "email"}},
                    {"name": "X-Shop-Login", "in": "header", "schema": {"type": "string", "format": "password"}},
                ],
                "responses": {"200": {"description": "x", "headers": {"X-Owner": {"schema": {"format": "email"}}}}},
            }
        },
        "/by-mail/{email}": {"get": {"parameters": [{"name": "email", "in": "path", "schema": {}}]}},
    },
    "components": {
        "schemas": {
            "Handle": {"type": "string", "x-pii": "personal"},
            "Customer": {
                "properties": {
                    "handle": {"$ref": "#/components/schemas/Handle"},
                    "passphrase_hint": {"type": "string", "x-pii": True},
                    "nick": {"type": "string", "x-pii": ["name"]},
                    "tel_no": {"type": "string", "x-pii": "phone"},
                    "session": {"type": "string", "x-pii": False},
                    "note": {"type": "string"},
                    "lan": {"type": "string", "format": "ipv4"},
                }
            },
            "Other": {"properties": {"session": {"x-pii": False}, "lan": {"x-pii": False}}},
        }
    },
}


def masks(**given):
    context = Context(ports(), route="r", plugin="pii_masking", id="p")
    return PiiMasking(settings_of(PiiMasking, given), context).log_processor()


def test_what_is_declared():
    assert declared_in(ApiDocument(DOCUMENT)) == {
        "ref": "personal",
        "contact": "email",
        "xshoplogin": "credential",
        "xowner": "email",
        "handle": "personal",
        "passphrasehint": "personal",
        "nick": "personal",
        "telno": "phone",
        "session": "",
        "lan": "address",
    }


def test_what_paths_hold():
    assert dict(paths_in(ApiDocument(DOCUMENT))) == {
        "/v1/customers/{ref}/orders/{order}": {"ref": "personal"},
        "/v1/by-mail/{email}": {"email": "email"},
    }


@pytest.mark.parametrize(
    ("path", "found"),
    [
        pytest.param("/v1/customers/k-17/orders/12", [(14, 18, "personal")], id="a segment"),
        pytest.param("/v1/customers/k-17/orders", [], id="another length"),
        pytest.param("/v2/customers/k-17/orders/12", [], id="another base"),
        pytest.param("/v1/customers//orders/12", [], id="an empty segment"),
        pytest.param("*", [], id="no path"),
    ],
)
def test_segments(path, found):
    assert Templates(paths_in(ApiDocument(DOCUMENT))).find(path) == found


def test_it_is_masked():
    mask = masks(document=DOCUMENT)
    assert mask({"path": "/v1/customers/k-17/orders/12", "handle": "ada", "note": "x", "session": "open"}) == {
        "path": "/v1/customers/[personal]/orders/12",
        "handle": "[personal]",
        "note": "x",
        "session": "open",
    }
    assert mask.text("contact=ada&X-Shop-Login: xyz") == "contact=[email]&X-Shop-Login: [credential]"
    assert mask.value("body", {"customer": {"nick": "ada", "tel_no": "12345678"}}) == {
        "customer": {"nick": "[personal]", "tel_no": "****5678"}
    }


def test_the_shorter_way_knows_paths_as_well():
    mask = masks(document=DOCUMENT)
    line = {"request_id": "0" * 32, "host": "h", "target": "t", "path": "/a", "method": "GET"}
    mask(dict(line))
    assert mask.quick("0" * 32, "::1", "/a", ("h", "t"), ("GET",)) == "::1"
    assert mask.quick("0" * 32, "::1", "/v1/customers/k-17/orders/12", ("h", "t"), ("GET",)) is None


def test_settings_win_over_the_document():
    mask = masks(document=DOCUMENT, fields={"Handle": "none", "customer-ref": "personal", "note": "credential"})
    assert mask({"handle": "ada", "customer_ref": "x", "note": "y"}) == {
        "handle": "ada",
        "customer_ref": "[personal]",
        "note": "[credential]",
    }


def test_fields_of_access_lines_may_be_declared():
    mask = masks(fields={"principal": "personal"})
    assert mask({"principal": "ada"}) == {"principal": "[personal]"}
    assert mask.quick is None
