"""What requests are held to: all operations of a document, or the one that a route's own schemas describe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from gateway.http import Request
from gateway.plugin.openapi import ApiDocument, OpenApiError, Operation, Parameter
from plugins.request_validation.compiled import CheckedOperation, Compiler
from plugins.request_validation.settings import RequestValidationSettings

MOST_PROBLEMS: Final = 20


BUDGET: Final = 2.0
"""Seconds of a load that compiling may take. Documents whose schemas all lead to each other take minutes."""

Found = tuple[CheckedOperation, Mapping[str, str]] | Sequence[str]


class Description(Protocol):
    """What requests are held to."""

    @property
    def title(self) -> str: ...
    @property
    def skipped(self) -> Sequence[str]:
        """Parts that could not be compiled."""
        ...

    def names(self) -> Iterable[str]:
        """The operations."""
        ...

    async def find(self, request: Request) -> Found:
        """The operation of a request with its path parameters, or the methods that its path has (a list).

        Raises OpenApiError for an operation that cannot be compiled and was not tried before.
        """
        ...


class _Documented:
    def __init__(self, document: ApiDocument, compiler: Compiler) -> None:
        self._document = document
        self._compiler = compiler
        self._made: dict[Operation, CheckedOperation] = {}
        self.title = document.title
        self.skipped = compiler.skipped

    def names(self) -> Iterable[str]:
        return (operation.name for operation in self._document.operations)

    async def find(self, request: Request) -> Found:
        found = self._document.find(request.method, request.path)
        if not isinstance(found, tuple) or not found:
            return list(found)
        operation, values = found
        made = self._made.get(operation)
        if made is None:
            made = await asyncio.to_thread(self.make, operation)
        return made, values

    def make(self, operation: Operation) -> CheckedOperation:
        """Compile an operation. Raises OpenApiError."""
        made = self._made[operation] = _checked(operation, self._compiler)
        return made


def by_document(document: ApiDocument, settings: RequestValidationSettings) -> Description:
    """A document's operations, compiled: all if that takes no longer than `BUDGET`, else the others when they are first
    met. Raises OpenApiError with what cannot be compiled, unless it is to be skipped.
    """
    document = document.based(settings.base_path)
    made = _Documented(document, _compiler(document.root, settings, legacy=document.legacy))
    problems = []
    end = time.monotonic() + BUDGET
    for operation in document.operations:
        try:
            made.make(operation)
        except OpenApiError as error:
            problems.append(str(error))
        if time.monotonic() > end:
            break
    if problems:
        more = f"; and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        raise OpenApiError("; ".join(problems[:MOST_PROBLEMS]) + more)
    return made


def _compiler(root: Any, settings: RequestValidationSettings, *, legacy: bool) -> Compiler:
    return Compiler(
        root,
        legacy=legacy,
        formats=settings.formats,
        read_only=settings.read_only == "allow",
        skip=settings.unsupported == "skip",
        deepest=settings.max_depth,
    )


def _checked(operation: Operation, compiler: Compiler) -> CheckedOperation:
    try:
        parameters, body = operation.parameters, operation.body
        outcomes = frozenset(operation.outcomes)
    except OpenApiError as error:
        raise OpenApiError(f"{operation.name}: {error}") from None
    return CheckedOperation(
        operation.name,
        parameters,
        None if body is None else body.content,
        compiler,
        body_required=body is not None and body.required,
        outcomes=outcomes,
    )


class _OneOperation:
    """A route's own schemas."""

    title = ""

    def __init__(self, operation: CheckedOperation, skipped: list[str]) -> None:
        self._operation = operation
        self.skipped = skipped

    def names(self) -> Iterable[str]:
        return (self._operation.name,)

    async def find(self, request: Request) -> Found:
        return self._operation, request.path_params or {}


def by_schemas(settings: RequestValidationSettings) -> Description:
    """The one operation that the route's schemas describe. Raises OpenApiError."""
    given = {"query": settings.query, "header": settings.headers, "cookie": settings.cookies, "path": settings.path}
    root: dict[str, Any] = {"openapi": "3.1.0", "body": _placed(settings.body, "/body")}
    root |= {place: _placed(schema, f"/{place}") for place, schema in given.items()}
    document = ApiDocument(root)
    compiler = _compiler(root, settings, legacy=False)
    content = None
    if settings.body is not None:
        content = document.media({kind: {"schema": root["body"]} for kind in settings.content_types})
    operation = CheckedOperation(
        "the route's schemas",
        [each for place in given for each in _properties(place, root[place])],
        content,
        compiler,
        body_required=settings.body is not None and settings.body_required,
    )
    return _OneOperation(operation, compiler.skipped)


_TAKEN: Final = frozenset({"$schema", "$id", "$defs", "$comment", "title", "description", "type", "properties",
                           "required"})  # fmt: skip
_NAMED: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs"})
_DATA: Final = frozenset({"enum", "const", "default", "example", "examples"})


def _placed(schema: Any, place: str, *, names: bool = False) -> Any:
    """A schema whose references lead to where it stands now."""
    if isinstance(schema, list):
        return [_placed(inner, place) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if not names and key == "$ref" and isinstance(value, str) and value.startswith("#"):
            made[key] = f"#{place}{value[1:]}"
        elif not names and key in _DATA:
            made[key] = value
        else:
            made[key] = _placed(value, place, names=not names and key in _NAMED)
    return made


def _properties(place: str, schema: Any) -> list[Parameter]:
    """The parameters that an object's schema describes. Raises OpenApiError for what it says of the whole object."""
    if schema is None:
        return []
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        raise OpenApiError(f"`{place}` must be the schema of an object with `properties`")
    if other := sorted(set(schema) - _TAKEN):
        hint = "; for unknown parameters there is `unknown_query`" if "additionalProperties" in other else ""
        raise OpenApiError(f"`{place}` has {', '.join(other)}, and only `properties` and `required` are held to{hint}")
    required = schema.get("required", ())
    style = "form" if place in ("query", "cookie") else "simple"
    return [
        Parameter(str(name), place, name in required or place == "path", style, style == "form", inner)
        for name, inner in properties.items()
    ]
