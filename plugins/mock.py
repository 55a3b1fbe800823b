"""Answers in place of a service that is not there yet, with the examples of its OpenAPI description.

Clients choose with `Prefer` (RFC 7240): `Prefer: code=404` for the answer with that status, `Prefer: example=empty` for
the example of that name. Where there is no example, one is made up from the schema.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from pydantic import Field, field_validator

from gateway.errors import ClientError, GatewayError, Source
from gateway.http import Body, Handler, Request, Response
from gateway.plugin import Duration, Plugin, Settings, Stage
from gateway.plugin.field import FieldName
from gateway.plugin.openapi import ApiDescription, ApiDocument, GivenDocument, Media, OpenApiError, Operation, Outcome
from gateway.plugin.settings import expected

DEEPEST: Final = 8
"""Objects within objects that are made up; schemas that hold themselves would never end."""
_BY_FORMAT: Final = {
    "date": "2027-01-15",
    "date-time": "2027-01-15T08:00:00Z",
    "time": "08:00:00Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "7d444840-9dc0-11d1-b245-5ffdce74fad2",
    "byte": "ZXhhbXBsZQ==",
}


class NotDescribed(ClientError):
    """The description has no such path."""

    code, status, title = "not_described", 404, "Not described"


class MethodNotDescribed(ClientError):
    """The description has the path, and not with this method."""

    code, status, title = "method_not_described", 405, "Method not described"


class OutcomeNotDescribed(ClientError):
    """The client prefers an answer or an example that the description does not have."""

    code, status, title = "outcome_not_described", 404, "Answer not described"


class UnusableDescription(GatewayError):
    """Part of the description cannot be answered from."""

    code, status, title, source = "unusable_description", 500, "Description not usable", Source.INTERNAL


class MockSettings(Settings):
    """For some requests only: `when:` beside `with:`."""

    document: ApiDescription = Field(description="OpenAPI 3.0 or 3.1: `{file: path}`, or the document itself.")
    base_path: str | None = Field(
        default=None,
        max_length=512,
        pattern=r"^(/[^?#]*)?$",
        description="What precedes the document's paths in requests. Unset: the paths of the document's `servers`.",
    )
    delay: Duration = Field(
        default=0.0, le=60, description="How long each answer takes, as a real service would; at most 1m."
    )
    mark: FieldName | None = Field(
        default="X-Mock",
        description="A field with the operation's name, so that nobody takes it for a service's. `null`: none.",
    )

    @field_validator("document")
    @classmethod
    def _there(cls, document: Any) -> Any:
        if not isinstance(document, GivenDocument):
            raise expected("{file: path} or an OpenAPI document; one behind a URL would be mocked before it is there")
        return document


class Mock(Plugin[MockSettings]):
    stage = Stage.SHAPE
    ends = True

    async def open(self) -> None:
        given: GivenDocument = self.settings.document
        self._document: ApiDocument = await asyncio.to_thread(given.document.based, self.settings.base_path)

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        del proceed
        if self.settings.delay:
            await asyncio.sleep(self.settings.delay)
        found = self._document.find(request.method, request.path)
        if not isinstance(found, tuple) or not found or not isinstance(found[0], Operation):
            raise _missing(found)
        operation = found[0]
        wishes = _preferences(request)
        try:
            response = self._answer(request, operation, wishes)
        except OpenApiError as error:
            raise UnusableDescription(reason=f"{operation.name}: {error}") from None
        headers = response.edit_headers()
        if self.settings.mark is not None:
            headers[self.settings.mark] = operation.id or operation.name
        if wishes:
            headers["Preference-Applied"] = ", ".join(f"{name}={value}" for name, value in wishes.items())
        return response

    def _answer(self, request: Request, operation: Operation, wishes: Mapping[str, str]) -> Response:
        """Raises OpenApiError, OutcomeNotDescribed."""
        status, outcome = _outcome(operation, wishes.get("code"))
        headers = _headers(outcome, self._document)
        media = _negotiated(outcome.content, request.headers.get("Accept", ""))
        if media is None:
            return Response(status, headers=headers)
        value = _value(outcome.content[media], self._document, wishes.get("example"))
        is_json = media.partition(";")[0].rpartition("/")[2].rpartition("+")[2] == "json"
        body = value.encode() if isinstance(value, str) and not is_json else msgspec.json.encode(value)
        return Response(status, headers=[*headers, ("Content-Type", media)], body=Body(body))


def _missing(found: Any) -> GatewayError:
    methods = list(found)
    if methods:
        return MethodNotDescribed(headers=(("Allow", ", ".join(methods)),))
    return NotDescribed("The API's description has no such path.")


def _preferences(request: Request) -> dict[str, str]:
    """``code`` and ``example`` of `Prefer` (RFC 7240 §2); the first of each counts."""
    wishes: dict[str, str] = {}
    for each in ",".join(request.headers.getall("Prefer", ())).replace(";", ",").split(","):
        name, _, value = each.partition("=")
        name, value = name.strip().lower(), value.strip().strip('"')
        if name in ("code", "example") and value and value.isprintable() and len(value) <= 64:
            wishes.setdefault(name, value)
    return wishes


def _outcome(operation: Operation, code: str | None) -> tuple[int, Outcome]:
    """The one asked for, else the first success, else whatever comes first. Raises OutcomeNotDescribed."""
    if code is not None:
        if not (code.isdecimal() and code.isascii() and 200 <= int(code) <= 599):
            raise OutcomeNotDescribed("Prefer: code= takes a status from 200 to 599.")
        outcome = operation.outcome(int(code))
        if outcome is None:
            raise OutcomeNotDescribed("No answer with this status is described.")
        return int(code), outcome
    known = operation.outcomes
    for status in sorted(known, key=lambda name: (not name.startswith("2"), not name.isdecimal(), name)):
        return _number(status), known[status]
    return 200, Outcome({}, {})


def _number(status: str) -> int:
    if status.isdecimal():
        return int(status)
    return int(status[0]) * 100 if status[:1].isdecimal() else 200


def _headers(outcome: Outcome, document: ApiDocument) -> list[tuple[str, str]]:
    found = []
    for name, given in outcome.headers.items():
        described = document.resolve(given)
        if not isinstance(described, dict) or name.lower() in ("content-type", "content-length", "transfer-encoding"):
            continue
        value = described.get("example")
        if value is None and described.get("required") is True:
            value = made_up(described.get("schema"), document)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).isprintable():
            found.append((str(name), str(value)))
    return found


def _negotiated(content: Mapping[str, Media], accepted: str) -> str | None:
    """The media type of the answer: the first that the client takes, else the first that is described."""
    described = [media for media in content if "*" not in media]
    ranges = [each.partition(";")[0].strip().lower() for each in accepted.split(",")]
    for wanted in ranges:
        kind, _, name = wanted.partition("/")
        for media in described:
            if wanted in (media, "*/*") or (name == "*" and media.startswith(f"{kind}/")):
                return media
    return described[0] if described else None


def _value(media: Media, document: ApiDocument, name: str | None) -> Any:
    """Raises OpenApiError, OutcomeNotDescribed."""
    examples = media.examples()
    if name is not None:
        if name not in examples:
            raise OutcomeNotDescribed("No example of this name is described.")
        return examples[name]
    if examples:
        return next(iter(examples.values()))
    return made_up(media.schema, document)


def made_up(schema: Any, document: ApiDocument, depth: int = 0) -> Any:
    """A value that a schema could mean, the same each time; patterns are not looked at. Raises OpenApiError."""
    schema = document.resolve(schema)
    if not isinstance(schema, dict) or depth > DEEPEST:
        return None
    for key in ("const", "example", "default"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    for key in ("oneOf", "anyOf"):
        if isinstance(schema.get(key), list) and schema[key]:
            return made_up(schema[key][0], document, depth + 1)
    kind = schema.get("type")
    kind = next((each for each in kind if each != "null"), "null") if isinstance(kind, list) and kind else kind
    if kind == "object" or "properties" in schema or "allOf" in schema:
        return _object(schema, document, depth)
    if kind == "array":
        least = schema.get("minItems", 1)
        count = least if isinstance(least, int) and 0 <= least <= 10 else 1
        return [made_up(schema.get("items"), document, depth + 1) for _ in range(max(1, count))]
    return _scalar(kind, schema)


def _object(schema: Mapping[str, Any], document: ApiDocument, depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for part in schema.get("allOf") or ():
        inner = made_up(part, document, depth + 1)
        made.update(inner if isinstance(inner, dict) else {})
    properties = schema.get("properties")
    for name, given in (properties if isinstance(properties, dict) else {}).items():
        described = document.resolve(given)
        if isinstance(described, dict) and described.get("writeOnly") is not True:
            made[str(name)] = made_up(described, document, depth + 1)
    return made


def _scalar(kind: Any, schema: Mapping[str, Any]) -> Any:
    if kind == "string":
        text = _BY_FORMAT.get(str(schema.get("format")), "string")
        least = schema.get("minLength", 0)
        return text.ljust(min(least, 1000), "x") if isinstance(least, int) else text
    if kind in ("integer", "number"):
        least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        number = least if isinstance(least, int | float) and not isinstance(least, bool) else 0
        return number + 1 if "exclusiveMinimum" in schema else number
    return True if kind == "boolean" else None
