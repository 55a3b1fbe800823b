"""An API description (OpenAPI 3.0 and 3.1) as plugins ask about it: which operation a request is, and what it says.

Everything is read when it is first asked for: a document of ten megabytes describes a thousand operations, and a
gateway sees a few dozen of them. References lead to places inside the document; nothing is ever fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from gateway.plugin.openapi.error import OpenApiError
from gateway.plugin.openapi.operation import Body, Media, Operation, Outcome, Parameter, parameter_of
from gateway.plugin.openapi.paths import PathIndex
from gateway.plugin.openapi.reading import read_values

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
MOST_REFERENCES: Final = 64
"""In a row, from a reference to the next."""
MOST_PROBLEMS: Final = 20
MOST_BASES: Final = 16
_Item = dict[str, Operation]


class ApiDocument:
    """A description of an API."""

    def __init__(self, root: Any, *, base_path: str | None = None, checked: bool = False) -> None:
        """``base_path`` stands in place of those in ``servers``; ``checked``: its references are known to lead
        somewhere. Raises OpenApiError, with every mistake it found.
        """
        if not isinstance(root, dict):
            raise OpenApiError("not an OpenAPI document: not an object")
        version = root.get("openapi")
        if not isinstance(version, str) or not version.startswith(("3.0", "3.1", "3.2")):
            found = "Swagger " + str(root["swagger"])[:8] if "swagger" in root else str(version)[:20]
            raise OpenApiError(f"`openapi` must be 3.0.x or 3.1.x, not {found}")
        self.root: Mapping[str, Any] = root
        self.legacy = version.startswith("3.0")
        """Schemas are those of OpenAPI 3.0, not JSON Schema 2020-12."""
        self.operations: list[Operation] = []
        self._base_path = base_path
        self._index: PathIndex[_Item] = PathIndex()
        problems = [*(() if checked else _references(root)), *self._read_paths()]
        if problems:
            more = f"; and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
            raise OpenApiError("; ".join(problems[:MOST_PROBLEMS]) + more)

    @classmethod
    def read(cls, content: bytes, *, base_path: str | None = None) -> ApiDocument:
        """A document out of its bytes, JSON or YAML. Takes a second per few megabytes. Raises OpenApiError."""
        return cls(read_values(content), base_path=base_path)

    def based(self, base_path: str | None) -> ApiDocument:
        """The same document under another base path."""
        return self if base_path is None else ApiDocument(self.root, base_path=base_path, checked=True)

    @property
    def title(self) -> str:
        info = self.root.get("info")
        return str(info.get("title", "")) if isinstance(info, dict) else ""

    def find(self, method: str, path: str) -> tuple[Operation, Mapping[str, str]] | Sequence[str]:
        """The operation of a request and its path parameters, percent-encoded; or the methods that the path has.

        ``HEAD`` is ``GET`` where it is not described (RFC 9110 §9.3.2).
        """
        found = self._index.find(path)
        if found is None:
            return ()
        item, values = found
        operation = item.get(method) or (item.get("GET") if method == "HEAD" else None)
        if operation is None:
            return sorted({*item, *(("HEAD",) if "GET" in item else ())})
        # The item knows its parameters by place: templates that differ in names only are one.
        return operation, dict(zip(operation.expressions, values.values(), strict=False))

    def at(self, reference: str) -> Any:
        """The value that a reference inside the document names. Raises OpenApiError."""
        return value_at(self.root, reference)

    def resolve(self, value: Any) -> Any:
        """The value, or what it refers to, through references to references. Raises OpenApiError."""
        for _ in range(MOST_REFERENCES):
            if not isinstance(value, dict) or not isinstance(value.get("$ref"), str):
                return value
            value = self.at(value["$ref"])
        raise OpenApiError("references that lead to each other")

    def schemas(self) -> Iterator[tuple[str, Any]]:
        """The named schemas under ``components``, as written."""
        components = self.root.get("components")
        named = components.get("schemas") if isinstance(components, dict) else None
        yield from (named if isinstance(named, dict) else {}).items()

    # -- how operations are read, for Operation ------------------------------------------------------------------

    def parameters_of(self, shared: Any, own: Any) -> list[Parameter]:
        """A path's parameters with an operation's, which win (§4.8.9.1). Raises OpenApiError."""
        merged: dict[tuple[str, str], Parameter] = {}
        for listed in (shared, own):
            for each in listed if isinstance(listed, list) else ():
                made = parameter_of(self.resolve(each), self.media)
                if made is not None:
                    merged[made.name, made.place] = made
        return list(merged.values())

    def body_of(self, given: Any) -> Body | None:
        """What an operation says of a request's body."""
        described = self.resolve(given)
        if not isinstance(described, dict):
            return None
        return Body(described.get("required") is True, self.media(described.get("content")))

    def outcomes_of(self, given: Any) -> dict[str, Outcome]:
        """What an operation says of its answers, by status, range (``2XX``) or ``default``."""
        found = {}
        for status, answer in (given if isinstance(given, dict) else {}).items():
            described = self.resolve(answer)
            if isinstance(described, dict):
                headers = described.get("headers")
                found[str(status).upper() if str(status) != "default" else "default"] = Outcome(
                    headers if isinstance(headers, dict) else {}, self.media(described.get("content"))
                )
        return found

    def media(self, content: Any) -> dict[str, Media]:
        """A ``content`` map, by media type in lower case, in the order written."""
        found = {}
        for name, described in (content if isinstance(content, dict) else {}).items():
            media = self.resolve(described)
            media = media if isinstance(media, dict) else {}
            encoding = media.get("encoding")
            found[str(name).lower()] = Media(
                media.get("schema"), media, encoding if isinstance(encoding, dict) else {}, self
            )
        return found

    # -- paths ---------------------------------------------------------------------------------------------------

    @cached_property
    def bases(self) -> list[str]:
        """The base paths of the document's servers, or the one given."""
        return (
            [self._base_path.rstrip("/")] if self._base_path is not None else _bases(self.root.get("servers")) or [""]
        )

    def _read_paths(self) -> Iterable[str]:
        paths = self.root.get("paths", {})
        if not isinstance(paths, dict):
            yield "/paths: not an object"
            return
        for template, given in paths.items():
            if str(template).startswith("x-"):
                continue
            try:
                self._read_path(str(template), self.resolve(given))
            except OpenApiError as error:
                yield f"/paths/{escaped(str(template))}: {error}"

    def _read_path(self, template: str, item: Any) -> None:
        if not isinstance(item, dict):
            raise OpenApiError("not an object")
        if not template.startswith("/"):
            raise OpenApiError("does not begin with /")
        by_bases: dict[tuple[str, ...], _Item] = {}
        for method in METHODS:
            described = item.get(method)
            if described is None:
                continue
            if not isinstance(described, dict):
                raise OpenApiError(f"{method}: not an object")
            bases: Sequence[str] = self.bases
            if self._base_path is None:
                bases = _bases(described.get("servers")) or _bases(item.get("servers")) or bases
            operation = Operation(self, method.upper(), template, described, item.get("parameters"))
            self.operations.append(operation)
            by_bases.setdefault(tuple(bases), {})[method.upper()] = operation
        multi = self._multi(template, item) if by_bases else frozenset()
        for bases, operations in by_bases.items():
            for base in bases:
                kept = self._index.put(base + template, operations, multi)
                if kept is not operations:
                    for method, operation in operations.items():
                        kept.setdefault(method, operation)

    def _multi(self, template: str, item: Mapping[str, Any]) -> frozenset[str]:
        if "{" not in template:
            return frozenset()
        listed = [item.get("parameters"), *(item[method].get("parameters") for method in METHODS if method in item)]
        described = [self.resolve(each) for one in listed if isinstance(one, list) for each in one]
        return frozenset(
            str(each.get("name"))
            for each in described
            if isinstance(each, dict) and each.get("in") == "path" and each.get("x-multi-segment") is True
        )


def value_at(root: Any, reference: str) -> Any:
    """What a reference names: ``#`` and a JSON pointer (RFC 6901 §6). Raises OpenApiError."""
    if not reference.startswith("#"):
        raise OpenApiError(f"the reference {reference[:200]!r} leads out of the document, where nobody follows it")
    value = root
    pointer = unquote(reference[1:])
    if pointer and not pointer.startswith("/"):
        raise OpenApiError(f"the reference {reference[:200]!r} is an anchor; only JSON pointers are followed")
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            raise OpenApiError(f"the reference {reference[:200]!r} leads nowhere")
    return value


def escaped(token: str) -> str:
    """A key as a token of a JSON pointer (RFC 6901 §4)."""
    return token.replace("~", "~0").replace("/", "~1")


_DATA: Final = frozenset({"example", "examples", "default", "enum", "const", "value"})
"""Where values stand that are data: a member ``$ref`` in them is none."""


def _references(root: Any) -> list[str]:
    """Every reference that cannot be followed, once each."""
    seen: set[str] = set()
    problems: list[str] = []
    todo: list[Any] = [root]
    visited: set[int] = set()
    while todo:
        value = todo.pop()
        if id(value) in visited:  # YAML's aliases share what they name
            continue
        if isinstance(value, dict):
            visited.add(id(value))
            reference = value.get("$ref")
            if isinstance(reference, str) and reference not in seen:
                seen.add(reference)
                try:
                    value_at(root, reference)
                except OpenApiError as error:
                    problems.append(str(error))
            # A property may be called `example`; its value is then a schema, and looked into by its own parent.
            todo.extend(
                inner
                for key, inner in value.items()
                if isinstance(inner, dict | list) and not (key in _DATA and not _is_schema_map(value))
            )
        elif isinstance(value, list):
            visited.add(id(value))
            todo.extend(inner for inner in value if isinstance(inner, dict | list))
    return problems


def _is_schema_map(value: Mapping[str, Any]) -> bool:
    """All members are schemas by name, as under ``properties``: none is a keyword's plain value."""
    return all(isinstance(inner, dict) and ("type" in inner or "$ref" in inner) for inner in value.values())


def _bases(servers: Any) -> list[str]:
    """The paths of server URLs, their variables filled with the defaults (§4.8.5)."""
    found: list[str] = []
    for server in servers[:MOST_BASES] if isinstance(servers, list) else ():
        url = server.get("url") if isinstance(server, dict) else None
        if not isinstance(url, str):
            continue
        variables = server.get("variables")
        for name, variable in (variables if isinstance(variables, dict) else {}).items():
            default = variable.get("default") if isinstance(variable, dict) else None
            url = url.replace(f"{{{name}}}", str(default or ""))
        try:
            path = urlsplit(url).path.rstrip("/")
        except ValueError:
            continue
        path = path if not path or path.startswith("/") else "/" + path.removeprefix("./")
        if path not in found:
            found.append(path)
    return found
