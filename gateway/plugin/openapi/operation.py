"""What a document says of one operation: its parameters, its request's body, its answers, and examples of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from gateway.plugin.openapi.error import OpenApiError
from gateway.plugin.openapi.paths import expressions

if TYPE_CHECKING:
    from gateway.plugin.openapi.document import ApiDocument

_STYLES: Final = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
}
"""By place, the default first (§4.8.12.3)."""
_NOT_PARAMETERS: Final = frozenset({"accept", "content-type", "authorization"})
"""Fields whose description as a parameter is ignored (§4.8.12.2)."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a request."""

    name: str
    place: str
    """``path``, ``query``, ``header`` or ``cookie``."""
    required: bool
    style: str
    explode: bool
    schema: Any
    """As written; None where the document gives none."""
    media: str | None = None
    """With ``content`` instead of ``schema``: the media type of the value."""
    allow_empty: bool = False
    definition: Mapping[str, Any] = field(default_factory=dict, compare=False)


class Media:
    """One media type of a body: its schema, and examples."""

    __slots__ = ("_document", "definition", "encoding", "schema")

    def __init__(
        self, schema: Any, definition: Mapping[str, Any], encoding: Mapping[str, Any], owner: ApiDocument
    ) -> None:
        self.schema = schema
        """As written; None where the document gives none."""
        self.definition = definition
        self.encoding = encoding
        self._document = owner

    def examples(self) -> dict[str, Any]:
        """Examples by name; one that stands alone, or in the schema, is called ``default``. Raises OpenApiError."""
        named = self.definition.get("examples")
        found: dict[str, Any] = {}
        for name, given in (named if isinstance(named, dict) else {}).items():
            example = self._document.resolve(given)
            if isinstance(example, dict) and "value" in example:
                found[str(name)] = example["value"]
        if "example" in self.definition:
            found.setdefault("default", self.definition["example"])
        if not found:
            schema = self._document.resolve(self.schema)
            if isinstance(schema, dict):
                if "example" in schema:
                    found["default"] = schema["example"]
                elif isinstance(schema.get("examples"), list) and schema["examples"]:
                    found["default"] = schema["examples"][0]
        return found


@dataclass(frozen=True, slots=True)
class Body:
    """What is said of a request's body."""

    required: bool
    content: Mapping[str, Media]
    """By media type or range, lower case, in the order written."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answer that an operation may give."""

    headers: Mapping[str, Any]
    content: Mapping[str, Media]


class Operation:
    """One method of one path. Parameters, body and answers are read when first asked for; raises OpenApiError."""

    def __init__(
        self, document: ApiDocument, method: str, template: str, definition: Mapping[str, Any], shared: Any = None
    ) -> None:
        self.document = document
        self.method = method
        self.template = template
        """The path as the document writes it, without the servers' base."""
        self.expressions = expressions(template)
        """The names in the template, in order."""
        self.definition = definition
        self._shared = shared

    @property
    def name(self) -> str:
        """``GET /pets/{id}``: for people, logs and metrics."""
        return f"{self.method} {self.template}"

    @property
    def id(self) -> str:
        """``operationId``, or nothing."""
        return str(self.definition.get("operationId", ""))

    @property
    def deprecated(self) -> bool:
        return self.definition.get("deprecated") is True

    @cached_property
    def parameters(self) -> list[Parameter]:
        return self.document.parameters_of(self._shared, self.definition.get("parameters"))

    @cached_property
    def body(self) -> Body | None:
        return self.document.body_of(self.definition.get("requestBody"))

    @cached_property
    def outcomes(self) -> Mapping[str, Outcome]:
        """By status, range (``2XX``) or ``default``."""
        return self.document.outcomes_of(self.definition.get("responses"))

    def outcome(self, status: int) -> Outcome | None:
        """What is said of answers with this status."""
        known = self.outcomes
        return known.get(str(status)) or known.get(f"{status // 100}XX") or known.get("default")


def parameter_of(given: Any, media: Callable[[Any], Mapping[str, Media]]) -> Parameter | None:
    """A Parameter Object; None for one that says nothing about requests. Raises OpenApiError."""
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise OpenApiError("a parameter without a name")
    name, place = given["name"], given.get("in")
    if place not in _STYLES:
        raise OpenApiError(f"the parameter {name!r} is in {place!r}; path, query, header and cookie are known")
    if place == "header" and name.lower() in _NOT_PARAMETERS:
        return None
    style = given.get("style", _STYLES[place][0])
    if style not in _STYLES[place]:
        raise OpenApiError(f"the {place} parameter {name!r} has the style {style!r}")
    explode = given.get("explode", style == "form")
    schema, kind = given.get("schema"), None
    content = media(given.get("content"))
    if content:
        kind, one = next(iter(content.items()))
        schema = one.schema
    return Parameter(
        name,
        place,
        given.get("required") is True or place == "path",
        style,
        explode is True,
        schema,
        kind,
        given.get("allowEmptyValue") is True,
        given,
    )
