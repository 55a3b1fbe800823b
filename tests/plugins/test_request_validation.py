"""request_validation: which requests are what the description says, what the others are told, and what drift."""

import asyncio
import gzip
import json
import os
import random
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.plugin.openapi import OpenApiError
from gateway.testing import answering, exchange, opened, ports, request, settings_of
from plugins.request_validation import RequestValidation

EXAMPLE = {"body": {"type": "object"}}
JSON = {"Content-Type": "application/json"}

SHOP = yaml.safe_load("""
openapi: 3.0.3
info: {title: Shop, version: "1"}
servers: [{url: "https://{host}/v1", variables: {host: {default: shop.example}}}]
paths:
  /pets:
    get:
      parameters:
        - {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 100}}
        - {name: tags, in: query, schema: {type: array, items: {type: string, maxLength: 5}}}
        - {name: ids, in: query, explode: false, schema: {type: array, items: {type: integer}}}
        - {name: piped, in: query, style: pipeDelimited, explode: false, schema: {type: array, items: {type: integer}}}
        - {name: filter, in: query, style: deepObject, schema: {$ref: "#/components/schemas/Filter"}}
        - {name: where, in: query, content: {application/json: {schema: {type: object, required: [a]}}}}
        - {name: X-Trace, in: header, required: true, schema: {type: string, format: uuid}}
        - {name: X-List, in: header, schema: {type: array, items: {type: integer}}}
        - {name: session, in: cookie, schema: {type: string, minLength: 3}}
        - {name: Authorization, in: header, required: true, schema: {type: integer}}
      responses: {"200": {description: fine}}
    post:
      requestBody:
        required: true
        content:
          application/json: {schema: {$ref: "#/components/schemas/Pet"}}
          application/x-www-form-urlencoded:
            schema: {$ref: "#/components/schemas/Pet"}
            encoding: {extra: {style: deepObject}}
          multipart/form-data: {schema: {$ref: "#/components/schemas/Upload"}}
          image/*: {}
      responses: {2XX: {description: fine}, "404": {description: none}}
  /pets/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer, format: int32}}]
    get: {responses: {"200": {description: fine}}}
    patch:
      requestBody: {content: {application/merge-patch+json: {schema: {type: object, minProperties: 1}}}}
      responses: {default: {description: fine}}
  /pets/mine: {get: {responses: {"200": {description: fine}}}}
components:
  schemas:
    Pet:
      type: object
      required: [id, name]
      additionalProperties: false
      properties:
        id: {type: integer, readOnly: true}
        name: {type: string, maxLength: 8}
        age: {type: integer, minimum: 0, exclusiveMinimum: true, nullable: true}
        kind: {type: string, enum: [cat, dog]}
        parent: {$ref: "#/components/schemas/Pet"}
        extra: {type: object, properties: {a: {type: integer}}}
        owner:
          oneOf:
            - {type: object, required: [email], properties: {email: {type: string, format: email}}}
            - {type: string}
    Filter: {type: object, additionalProperties: false, properties: {min: {type: integer}, name: {type: string}}}
    Upload:
      type: object
      required: [file, title]
      properties:
        file: {type: string, format: binary, minLength: 10}
        title: {type: string, maxLength: 5}
        meta: {type: object, required: [n], properties: {n: {type: integer}}}
        count: {type: integer}
""")
TRACE = {"X-Trace": "123e4567-e89b-12d3-a456-426614174000"}
DOCUMENT = {"document": SHOP}


def post(value, **more):
    return request(
        "POST", "/v1/pets", headers=JSON, body=value if isinstance(value, bytes) else json.dumps(value), **more
    )


def packed(body):
    return request("POST", "/v1/pets", headers={**JSON, "Content-Encoding": "gzip"}, body=body)


def typed(kind):
    return request("POST", "/v1/pets", headers={"Content-Type": kind}, body="x")


def get(query="", headers=()):
    return request("GET", f"/v1/pets?{query}" if query else "/v1/pets", headers={**TRACE, **dict(headers)})


async def failures(asked, settings=DOCUMENT):
    target = answering(200)
    response = await exchange(RequestValidation, settings, asked, target)
    if response.error is None:
        assert target.calls == 1
        return []
    assert target.calls == 0
    return json.loads(response.body.whole)["errors"]


@pytest.mark.parametrize(
    ("asked", "failed"),
    [
        pytest.param(post({"name": "Rex"}), [], id="a good one; what is read-only is not required"),
        pytest.param(post({}), [("#/name", "is required")], id="a property that lacks"),
        pytest.param(
            post({"name": "far too long", "x/y~z": 1, "age": 0}),
            [
                ("#/name", "must have at most 8 characters"),
                ("#/age", "must be more than 0"),
                ("#/x~1y~0z", "is not a known property"),
            ],
            id="every failure, as JSON pointers",
        ),
        pytest.param(post({"name": "a", "age": None}), [], id="nullable of 3.0"),
        pytest.param(
            post({"name": "a", "kind": None}),
            [("#/kind", "must be one of cat, dog"), ("#/kind", "must be string")],
            id="not nullable",
        ),
        pytest.param(
            post({"name": "a", "parent": {"name": "b", "parent": {"name": 3}}}),
            [("#/parent/parent/name", "must be string")],
            id="a schema that refers to itself",
        ),
        pytest.param(
            post({"name": "a", "owner": {"email": "none"}}),
            [("#/owner/email", "must be a valid email")],
            id="the alternative that was meant",
        ),
        pytest.param(post({"name": "a", "owner": 3}), [("#/owner", None)], id="none of the alternatives"),
        pytest.param(
            post(b'{"name": "a", "name": "b"}'), [("#", "a key stands twice in one object")], id="a key twice"
        ),
        pytest.param(post(b'{"name":"a","parent":{"name":"b","name":"c"}}'), [("#", None)], id="a key twice, deep"),
        pytest.param(post(b'{"name":"a","n\\u0061me":"b"}'), [("#", None)], id="a key twice, spelt differently"),
        pytest.param(post(b'{"name": "a", "age": NaN}'), [("#", None)], id="NaN"),
        pytest.param(post(b'{"name": "a", "age": 1e999}'), [("#", None)], id="a number beyond all"),
        pytest.param(post(b"[" * 65 + b"]" * 65), [("#", "nested deeper than 64")], id="nested too deeply"),
        pytest.param(post(b"[" * 90000), [("#", None)], id="nested to break the reader"),
        pytest.param(post(b'{"name": "\xff"}'), [("#", None)], id="not UTF-8"),
        pytest.param(post('{"name":"a"}'.encode("utf-16")), [("#", None)], id="UTF-16"),
        pytest.param(post(b"{'name': 1}"), [("#", None)], id="not JSON"),
        pytest.param(post(b'{"name":"a"} x'), [("#", None)], id="something behind it"),
        pytest.param(post(b""), [("#", "a body is required")], id="no body"),
        pytest.param(
            request("POST", "/v1/pets", headers=JSON, chunks=[]), [("#", "a body is required")], id="chunks of nothing"
        ),
        pytest.param(
            request("POST", "/v1/pets", headers=JSON, chunks=[b'{"na', b'me": 1}']),
            [("#/name", "must be string")],
            id="a body that streams",
        ),
        pytest.param(
            request("PATCH", "/v1/pets/1", headers={"Content-Type": "application/merge-patch+json"}, body="{}"),
            [("#", "must have at least 1 properties")],
            id="a +json type",
        ),
    ],
)
async def test_json_bodies(asked, failed):
    found = await failures(asked)
    places = [(each["pointer"], each["detail"]) for each in found]
    assert sorted(place for place, _ in places) == sorted(place for place, _ in failed)
    assert all(detail in [text for _, text in places] for _, detail in failed if detail is not None)


@pytest.mark.parametrize(
    ("asked", "failed"),
    [
        pytest.param(get(), [], id="none but the required one"),
        pytest.param(get("limit=5&tags=a&tags=b&ids=1,2&piped=1%7C2&piped2=x"), [], id="every style"),
        pytest.param(get("limit=0"), ["limit"], id="below the minimum"),
        pytest.param(get("limit=abc"), ["limit"], id="not a number"),
        pytest.param(get("limit=0x5"), ["limit"], id="a number as only some read it"),
        pytest.param(get("limit=5&limit=600"), ["limit"], id="given twice"),
        pytest.param(get("tags=a&tags=toolong"), ["tags"], id="an item of an exploded list"),
        pytest.param(get("ids=1,x"), ["ids"], id="an item of a list with commas"),
        pytest.param(get("ids=1%2C2"), ["ids"], id="an encoded comma is data"),
        pytest.param(get("piped=1|x"), ["piped"], id="an item of a list with pipes"),
        pytest.param(get("filter[min]=3&filter[name]=x"), [], id="a deepObject"),
        pytest.param(get("filter%5Bmin%5D=3"), [], id="a deepObject, encoded"),
        pytest.param(get("filter[min]=x"), ["filter"], id="a member of a deepObject"),
        pytest.param(get("filter[min]=1&filter[min]=2"), ["filter"], id="a member twice"),
        pytest.param(get("filter[other]=x"), ["filter"], id="a member that is not known"),
        pytest.param(get("where=%7B%22a%22%3A1%7D"), [], id="JSON in a parameter"),
        pytest.param(get("where=%7B%7D"), ["where"], id="JSON in a parameter that lacks something"),
        pytest.param(get("where=%7B"), ["where"], id="no JSON in a parameter"),
        pytest.param(get(headers={"X-List": "1, 2,3"}), [], id="a list in a field"),
        pytest.param(get(headers={"X-List": "1, b"}), ["X-List"], id="a bad list in a field"),
        pytest.param(get(headers={"X-Trace": "no"}), ["X-Trace"], id="a format in a field"),
        pytest.param(get(headers={"Cookie": "a=b; session=abc"}), [], id="a cookie"),
        pytest.param(get(headers={"Cookie": "session=a"}), ["session"], id="a short cookie"),
        pytest.param(get(headers={"Cookie": "session=abcd; session=efgh"}), ["session"], id="two cookies"),
        pytest.param(request("GET", "/v1/pets"), ["X-Trace"], id="a required field that lacks"),
        pytest.param(request("GET", "/v1/pets/7"), [], id="a path parameter"),
        pytest.param(request("GET", "/v1/pets/x"), ["id"], id="a bad path parameter"),
        pytest.param(request("GET", "/v1/pets/3000000000"), ["id"], id="beyond int32"),
        pytest.param(request("GET", "/v1/pets/mine"), [], id="a concrete path goes first"),
        pytest.param(request("HEAD", "/v1/pets/x"), ["id"], id="HEAD is GET"),
        pytest.param(get("&".join(f"a{i}=1" for i in range(2000))), [""], id="more parameters than anybody needs"),
    ],
)
async def test_parameters(asked, failed):
    assert [each["parameter"] for each in await failures(asked)] == failed


async def test_what_is_not_described():
    strict = {**DOCUMENT, "unknown_query": "refuse", "unknown_body": "refuse"}
    assert [each["parameter"] for each in await failures(get("limit=1&debug=1&filter[min]=1&tags[]=a"), strict)] == [
        "debug"
    ]
    assert await failures(request("GET", "/v1/pets/1", body="x"), strict) == [
        {"pointer": "#", "detail": "no body is expected"}
    ]
    assert await failures(request("GET", "/v1/pets/1", body="x")) == []


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        pytest.param(request("GET", "/v1/cats"), 404, id="an unknown path"),
        pytest.param(request("GET", "/pets/1"), 404, id="without the base path"),
        pytest.param(request("GET", "/v1/pets/"), 404, id="an empty parameter"),
        pytest.param(request("DELETE", "/v1/pets"), 405, id="an unknown method"),
        pytest.param(typed("text/csv"), 415, id="another type"),
        pytest.param(request("POST", "/v1/pets", body='{"name":"a"}'), 415, id="no type"),
        pytest.param(
            request("POST", "/v1/pets", headers=[("Content-Type", "image/png"), ("Content-Type", "application/json")],
                    body="{}"), 415, id="two types"),
        pytest.param(
            request("POST", "/v1/pets", headers={**JSON, "Content-Encoding": "br"}, body="x"), 415, id="another coding"
        ),
        pytest.param(typed("image/png"), 200, id="a type by range"),
        pytest.param(post({"name": "x" * 2000}), 413, id="too large"),
        pytest.param(
            packed(gzip.compress(b'{"name":"%s"}' % (b"x" * 100_000))), 413, id="too large when decompressed"),
        pytest.param(
            packed(gzip.compress(b'{"name":"a"}')),
            200, id="compressed"),
        pytest.param(
            packed(gzip.compress(b'{"name":3}')),
            400, id="compressed and wrong"),
        pytest.param(
            packed(b"{}"), 400, id="not compressed"),
        pytest.param(post({"name": 1}), 400, id="not valid"),
    ],
)  # fmt: skip
async def test_answers(asked, status):
    response = await exchange(RequestValidation, {**DOCUMENT, "max_body": "1KB"}, asked)
    assert response.status == status
    assert ("Allow" in response.headers) == (status == 405)


async def test_the_status_can_be_chosen_and_nothing_sent_is_told():
    secret = "hunter2hunter2"
    asked = post({"name": secret, "kind": secret, "owner": {"email": secret}, "age": secret})
    response = await exchange(RequestValidation, {**DOCUMENT, "status": 422}, asked)
    assert (response.status, response.error.code) == (422, "request_invalid")
    assert secret not in response.body.whole.decode() + response.error.reason
    query = await exchange(RequestValidation, DOCUMENT, get(f"limit={secret}&where={secret}"))
    assert secret not in query.body.whole.decode() + query.error.reason


async def test_the_number_of_failures_is_bounded():
    many = {f"key{i}": i for i in range(1000)} | {"name": 1}
    assert len(await failures(post(many), {**DOCUMENT, "errors": 7})) == 7
    assert len((await failures(post({"k" * 5000: 1, "name": "a"})))[0]["pointer"]) <= 301


def form(text):
    return request("POST", "/v1/pets", headers={"Content-Type": "application/x-www-form-urlencoded"}, body=text)


def multipart(*parts, end=b"--B--\r\n"):
    body = b"".join(b"--B\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n" for head, content in parts) + end
    return request("POST", "/v1/pets", headers={"Content-Type": 'multipart/form-data; boundary="B"'}, body=body)


FILE = ('Content-Disposition: form-data; name="file"; filename="x.png"\r\nContent-Type: image/png', b"\x89PNG\r\n--")
TITLE = ('Content-Disposition: form-data; name="title"', b"cat")


@pytest.mark.parametrize(
    ("asked", "failed"),
    [
        pytest.param(form("name=Rex&age=3"), [], id="a form"),
        pytest.param(form("name=Rex&age=old"), ["#/age"], id="a form with a wrong value"),
        pytest.param(form("name=Rex&extra[a]=1"), [], id="a form with an object"),
        pytest.param(form("name=Rex&extra[a]=x"), ["#/extra/a"], id="a form with a wrong object"),
        pytest.param(form("name=Rex&other=1"), ["#/other"], id="a form with a field that is not known"),
        pytest.param(form("name=Rex&name=Tom"), ["#"], id="a form with a field twice"),
        pytest.param(multipart(FILE, TITLE), [], id="a file and a text"),
        pytest.param(multipart(FILE, (TITLE[0], b"far too long")), ["#/title"], id="a text that is too long"),
        pytest.param(multipart(TITLE), ["#/file"], id="a file that lacks"),
        pytest.param(
            multipart(FILE, TITLE, ('Content-Disposition: form-data; name="meta"', b'{"n": "x"}')),
            ["#/meta/n"],
            id="an object is JSON",
        ),
        pytest.param(
            multipart(FILE, TITLE, ("content-disposition: form-data; name=count\r\ncontent-type: text/plain", b"many")),
            ["#/count"],
            id="a number that is none",
        ),
        pytest.param(multipart(FILE, TITLE, TITLE), ["#"], id="a text twice"),
        pytest.param(multipart(FILE, TITLE, end=b""), ["#"], id="cut short"),
        pytest.param(multipart(("X: y", b"")), ["#"], id="a part without a name"),
    ],
)
async def test_forms(asked, failed):
    assert [each["pointer"] for each in await failures(asked)] == failed


# -- schemas of the route's own ----------------------------------------------------------------------------------------

OWN = {
    "body": {
        "type": "object",
        "properties": {"n": {"$ref": "#/$defs/n"}},
        "$defs": {"n": {"type": "integer", "exclusiveMinimum": 0}},
    },
    "query": {"type": "object", "required": ["page"], "properties": {"page": {"type": "integer"}}},
    "path": {"type": "object", "properties": {"id": {"type": "integer"}}},
}


async def test_schemas_of_the_routes_own():
    def asked(body, query, id_):
        return request("POST", f"/x?{query}", headers=JSON, body=body, params={"id": id_})

    assert await failures(asked('{"n": 1}', "page=1", "7"), OWN) == []
    found = await failures(asked('{"n": 0}', "", "x"), OWN)
    assert [(each.get("pointer") or each["parameter"]) for each in found] == ["id", "page", "#/n"]


# -- what does not load ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param({}, "either `document`", id="nothing to hold to"),
        pytest.param({**DOCUMENT, "body": {}}, "either `document`", id="both"),
        pytest.param({"document": {"swagger": "2.0"}}, "3.0.x or 3.1.x", id="an older version"),
        pytest.param(
            {"document": {"openapi": "3.0.0", "paths": {"/a": {"$ref": "#/x"}}}}, "leads nowhere", id="a reference"
        ),
        pytest.param(
            {"document": {"openapi": "3.1.0", "components": {"schemas": {"a": {"$ref": "http://evil.test/x"}}}}},
            "leads out of the document",
            id="a reference to the network",
        ),
        pytest.param({"document": {"file": "/nowhere.yaml"}}, "cannot read", id="a file that is not there"),
    ],
)
def test_settings_that_cannot_be_meant(given, told):
    with pytest.raises(ValidationError, match=told):
        settings_of(RequestValidation, given)


BAD = {
    "openapi": "3.1.0",
    "paths": {"/a": {"post": {"requestBody": {"content": {"application/json": {"schema": {"pattern": "("}}}}}}},
}


async def test_a_schema_that_cannot_be_compiled_does_not_load_unless_it_is_to_be_skipped():
    with pytest.raises(OpenApiError, match="POST /a, body application/json"):
        await exchange(RequestValidation, {"document": BAD})
    async with opened(RequestValidation, {"document": BAD, "unsupported": "skip"}) as live:
        assert (await live(request("POST", "/a", headers=JSON, body="3"))).status == 200
        assert any("not checked" in line for line in live.ports.lines)


async def test_a_whole_object_cannot_be_spoken_of_where_parameters_are_checked():
    with pytest.raises(OpenApiError, match="unknown_query"):
        await exchange(RequestValidation, {"query": {"properties": {}, "additionalProperties": False}})


# -- fetched -----------------------------------------------------------------------------------------------------------

FETCHED = {"document": {"url": "https://shop.test/openapi.yaml", "refresh": "10s"}}


async def test_a_document_is_fetched_and_until_then_requests_are_refused(monkeypatch):
    monkeypatch.setattr("plugins.request_validation.FIRST_RETRY", 0.001)
    made = ports()
    async with opened(RequestValidation, FETCHED, ports=made) as live:
        refused = await live(get())
        assert (refused.error.code, refused.headers["Retry-After"]) == ("api_description_unavailable", "5")
        assert made.reports["request_validation"]()["ready"] is False
        made.calls.answer(FETCHED["document"]["url"], body=yaml.safe_dump(SHOP))
        async with asyncio.timeout(30):
            while not made.reports["request_validation"]()["ready"]:
                await asyncio.sleep(0.001)
        assert (await live(get())).status == 200
        assert (await live(get("limit=0"))).status == 400
        source = live.plugin.settings.document
        made.calls.answer(source.url, body="openapi: 2")
        assert await live.plugin._fetch(source) < source.refresh
        assert (await live(get("limit=0"))).status == 400, "what is at hand stays"
        assert "must be 3.0.x" in made.reports["request_validation"]()["error"]
        made.calls.answer(source.url, body=yaml.safe_dump({**SHOP, "paths": {}}))
        assert await live.plugin._fetch(source) == 10.0
        assert (await live(get())).status == 404


async def test_requests_may_pass_until_it_is_fetched():
    assert (await exchange(RequestValidation, {**FETCHED, "unavailable": "allow"}, get())).status == 200


# -- shadow and drift --------------------------------------------------------------------------------------------------


async def test_shadow_lets_pass_and_reports_the_drift():
    async with opened(RequestValidation, DOCUMENT, mode="shadow") as live:
        assert (await live(post({"name": 1}))).status == 200
        for number in range(30):
            assert (await live(request("DELETE", f"/v1/pets/{number}"), answering(204))).status == 204
        await live(get("debug=1"), answering(500))
        await live(typed("text/csv"))
        await live(request("GET", "/v1/pets/1", body="x"))
        assert set(live.ports.would_refuse) == {"request_invalid", "method_not_allowed", "unsupported_media_type"}
        view = live.plugin.admin()[0]
        report = await view.answer({})
        seen = {(each["kind"], each["operation"], each["what"]): each["count"] for each in report["differences"]}
        assert seen["operation", "DELETE /v1/pets/{}", ""] == 30
        assert seen["query", "GET /pets", "debug"] == 1
        assert seen["status", "GET /pets", "500"] == 1
        assert seen["invalid", "POST /pets", "request_invalid"] == 1
        assert ("body", "GET /pets/{id}", "") in seen and ("media_type", "POST /pets", "text/csv") in seen
        assert report["never_called"] == ["PATCH /pets/{id}", "GET /pets/mine"]
        logged = [line for line in live.ports.lines if "DELETE" in line]
        assert len(logged) == 1
        live.ports.clock.advance(4000)
        await live(request("DELETE", "/v1/pets/1"))
        assert len([line for line in live.ports.lines if "DELETE" in line]) == 2


async def test_drift_is_bounded():
    async with opened(RequestValidation, DOCUMENT, mode="shadow") as live:
        for number in range(2100):
            await live(
                request(
                    "GET",
                    "/v1/"
                    + "abcdefghij"[number % 10] * (number // 10 % 30 + 1)
                    + "-"
                    + "xyz"[number % 3] * (number // 300 + 1),
                )
            )
        for number in range(1500):
            await live(get(f"param{number}=1"))
        report = await live.plugin.admin()[0].answer({})
        assert len(report["differences"]) <= 1010


async def test_unknown_operations_may_pass():
    assert (
        await exchange(RequestValidation, {**DOCUMENT, "unknown_operations": "allow"}, request("GET", "/z"))
    ).status == 200


async def test_two_routes_share_what_they_read(tmp_path):
    (tmp_path / "shop.json").write_text(json.dumps(SHOP))
    given = {"document": {"file": str(tmp_path / "shop.json")}}
    one, two = (settings_of(RequestValidation, given) for _ in range(2))
    assert one.document is two.document
    (tmp_path / "shop.json").write_text(json.dumps({**SHOP, "paths": {}}))
    assert str(settings_of(RequestValidation, given).document) != str(one.document)


# -- real and large documents ------------------------------------------------------------------------------------------


def large(operations):
    """As many operations and schemas as the largest public APIs have, cyclic as theirs are."""
    names = [f"S{number}" for number in range(operations)]
    choose = random.Random(7)
    schemas = {
        name: {
            "type": "object",
            "required": ["id"],
            "description": "x" * 600,
            "properties": {
                "id": {"type": "integer", "nullable": True},
                **{f"p{i}": {"$ref": f"#/components/schemas/{choose.choice(names)}"} for i in range(4)},
                "any": {"anyOf": [{"type": "string", "maxLength": 5000}, {"$ref": f"#/components/schemas/{name}"}]},
            },
        }
        for name in names
    }
    paths = {
        f"/v1/{name.lower()}/{{id}}/things/{{thing}}": {
            "post": {
                "description": "y" * 2000,
                "parameters": [
                    {"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in ("id", "thing")
                ],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}},
                "responses": {"200": {"description": "fine"}},
            }
        }
        for name in names
    }
    return {"openapi": "3.0.0", "info": {"title": "Large"}, "paths": paths, "components": {"schemas": schemas}}


async def test_a_large_document_loads_though_each_schema_leads_to_all_others():
    document = large(40)
    asked = request("POST", "/v1/s7/things/1", headers=JSON, body='{"id": 1, "p0": {"p1": {}}}')
    assert (await exchange(RequestValidation, {"document": document}, asked)).status == 404
    asked = request("POST", "/v1/s7/1/things/1", headers=JSON, body='{"id": null, "p0": {"id": 1, "p1": {}}}')
    assert [each["pointer"] for each in await failures(asked, {"document": document})] == ["#/p0/p1/id"]


async def test_what_takes_too_long_is_compiled_when_it_is_first_met(monkeypatch):
    monkeypatch.setattr("plugins.request_validation.description.BUDGET", -1.0)
    document = {**BAD, "paths": {"/z": {"get": {}}, "/y/{id}": SHOP["paths"]["/pets/{id}"], **BAD["paths"]}}
    async with opened(RequestValidation, {"document": document}) as live:
        assert (await live(request("GET", "/y/x"))).status == 400
        assert (await live(request("GET", "/y/7"))).status == 200
        assert (await live(request("POST", "/a", headers=JSON, body="3"))).status == 503


REAL = os.environ.get("SIDEGATE_OPENAPI_DOCUMENTS", "")
"""A folder with documents that are too large to be kept here, such as GitHub's and Stripe's."""


@pytest.mark.skipif(not REAL, reason="SIDEGATE_OPENAPI_DOCUMENTS names no folder with real documents")
def test_real_documents_load():
    found = [path for path in Path(REAL).iterdir() if path.suffix in (".json", ".yaml", ".yml")]
    assert found
    for path in found:
        made = settings_of(RequestValidation, {"document": {"file": str(path)}})

        async def load(made=made):
            async with opened(RequestValidation, made) as live:
                return list(live.plugin._description.names())

        assert asyncio.run(load())


# -- properties --------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
async def test_any_json_is_read_as_python_reads_it(value, ascii_only, indent):
    from plugins.request_validation.strict import Unreadable, read_json

    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return
    try:
        assert read_json(data, 64) == value
    except Unreadable:
        assert "\\ud" in text, "only half a surrogate pair is refused"


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from(["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=B"]),
)
async def test_no_body_breaks_it(data, kind):
    asked = request("POST", "/v1/pets", headers={"Content-Type": kind}, body=data)
    assert (await exchange(RequestValidation, DOCUMENT, asked)).status in (200, 400)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="abfilter[]=&%5B1|,limtgs", max_size=60))
async def test_no_query_breaks_it(query):
    assert (await exchange(RequestValidation, DOCUMENT, get(query))).status in (200, 400)
