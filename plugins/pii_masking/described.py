"""What an OpenAPI document says of the fields of an API: which hold personal data, and which hold secrets.

`x-pii` says so itself, on a property, a parameter or a header: true, a category, or false for what only looks like it.
Where it is silent `format` speaks (`email`, `password`, `ipv4` …).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.plugin.openapi import ApiDocument, OpenApiError
from plugins.pii_masking.actions import CATEGORIES
from plugins.pii_masking.names import category_of, plain_of

_SAID: Final = ("x-pii", "x-pii-type", "x-sensitive", "x-personal-data", "x-data-classification")
_FORMATS: Final = {
    **dict.fromkeys(("email", "idn-email"), "email"),
    **dict.fromkeys(("password", "secret", "token", "jwt", "api-key"), "credential"),
    **dict.fromkeys(("phone", "phone-number", "tel", "e164", "msisdn"), "phone"),
    **dict.fromkeys(("ipv4", "ipv6", "ip"), "address"),
    **dict.fromkeys(("card", "credit-card", "card-number", "pan"), "card"),
    "iban": "iban",
    **dict.fromkeys(("ssn", "tax-id", "national-id", "passport"), "government_id"),
    **dict.fromkeys(("birthdate", "date-of-birth"), "personal"),
}
MOST_FIELDS: Final = 20_000
"""Properties of a document that are looked at."""
MOST_DEPTH: Final = 100
Declared = dict[str, str]
"""Categories by plain names (`names.plain_of`); empty for a field that is said to hold nothing."""


def declared_in(document: ApiDocument) -> Declared:
    """What all properties, parameters and headers of a document are, by name. Where it says two things of one name,
    what is masked wins over what is not.
    """
    found: Declared = {}
    for name, category in _fields(document):
        plain = plain_of(name)
        if category or plain not in found:
            found[plain] = found.get(plain) or category
    return found


def paths_in(document: ApiDocument) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Templates of paths, bases included, with the categories of those of their parameters that have one."""
    for operation in document.operations:
        held = {}
        for parameter in operation.parameters:
            if parameter.place == "path":
                said = _category(parameter.name, parameter.definition, document)
                if said is None:
                    said = _category(parameter.name, parameter.schema, document)
                category = category_of(parameter.name) if said is None else said
                if category:
                    held[parameter.name] = category
        if held:
            yield from ((base + operation.template, held) for base in document.bases)


def _fields(document: ApiDocument) -> Iterator[tuple[str, str]]:
    left = MOST_FIELDS
    pending: list[tuple[Any, int]] = [(document.root, 0)]
    while pending and left:
        value, depth = pending.pop()
        if depth > MOST_DEPTH:
            continue
        if isinstance(value, list):
            pending += [(each, depth + 1) for each in value]
        if not isinstance(value, dict):
            continue
        pending += [(each, depth + 1) for each in value.values() if isinstance(each, dict | list)]
        for name, schema in _members(value):
            left -= 1
            said = _category(name, schema, document)
            if said is not None:
                yield name, said


def _members(value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and what is said of them: of an object's properties, of headers, of a parameter."""
    for key in ("properties", "headers"):
        members = value.get(key)
        if isinstance(members, dict):
            yield from ((str(name), schema) for name, schema in members.items())
    name = value.get("name")
    if isinstance(name, str) and isinstance(value.get("in"), str):
        yield name, value


def _category(name: str, given: Any, document: ApiDocument) -> str | None:
    """What a schema or a parameter says of itself; None if nothing."""
    try:
        schema = document.resolve(given)
    except OpenApiError:
        return None
    if not isinstance(schema, dict):
        return None
    for key in _SAID:
        if key in schema:
            return _told(name, schema[key], schema)
    if (known := _FORMATS.get(str(schema.get("format", "")).lower())) is not None:
        return known
    return _category(name, schema["schema"], document) if isinstance(schema.get("schema"), dict) else None


def _told(name: str, said: Any, schema: Mapping[str, Any]) -> str | None:
    if said is False:
        return ""
    words = [str(each).lower().replace("-", "_") for each in (said if isinstance(said, list) else [said])]
    for word in words:
        if word in CATEGORIES:
            return word
        if word in {"none", "public", "no"}:
            return ""
        if (known := category_of(word)) is not None:
            return known
    return _FORMATS.get(str(schema.get("format", "")).lower()) or category_of(name) or "personal"


class Templates:
    """Finds in paths what a document says that they hold."""

    def __init__(self, templates: Iterator[tuple[str, Mapping[str, str]]]) -> None:
        self._by_length: dict[int, dict[tuple[str | None, ...], tuple[str, ...]]] = {}
        for template, held in templates:
            segments = template[1:].split("/")
            literal = tuple(None if each.startswith("{") and each.endswith("}") else each for each in segments)
            known = self._by_length.setdefault(len(segments), {})
            known.setdefault(literal, tuple(held.get(each.strip("{}"), "") for each in segments))

    def __bool__(self) -> bool:
        return bool(self._by_length)

    def find(self, path: str) -> list[tuple[int, int, str]]:
        """Begin, end and category of the segments of a path that hold something."""
        segments = path[1:].split("/")
        fits = (
            categories
            for literal, categories in self._by_length.get(len(segments), {}).items()
            if all(one is None or one == other for one, other in zip(literal, segments, strict=True))
        )
        categories = next(fits, ())
        found, at = [], 1
        for segment, category in zip(segments, categories, strict=False):
            if category and segment:
                found.append((at, at + len(segment), category))
            at += len(segment) + 1
        return found
