"""One operation's description made into checks: validators compiled, parameters sorted by place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote_plus

import jsonschema_rs

from gateway.http import Request
from gateway.http.cookies import cookies
from gateway.plugin.openapi import (
    Media,
    Misspelt,
    OpenApiError,
    Parameter,
    Shape,
    Translation,
    decode_pairs,
    decode_text,
    pairs_of,
    shape_of,
)
from plugins.request_validation.cost import alternatives, explainable
from plugins.request_validation.strict import Unreadable, read_json
from plugins.request_validation.wording import Findings

BACKTRACKS: Final = 50_000
"""Steps of a pattern with look-around, which only a backtracking engine runs; others run in linear time."""


class Compiler:
    """Schemas of one document to validators. ``skipped`` collects what could not be compiled, if that is allowed."""

    def __init__(
        self, root: Any, *, legacy: bool, formats: bool, read_only: bool = True, skip: bool = False, deepest: int = 64
    ) -> None:
        self.root = root
        self.deepest = deepest
        self._formats = formats
        self._skip = skip
        self._translate = Translation(root, legacy=legacy, refuse_hidden=not read_only)
        self.skipped: list[str] = []

    def validator(self, schema: Any, where: str) -> CompiledSchema | None:
        """None for a schema that takes anything. Raises OpenApiError."""
        if schema is None or schema is True or schema == {}:
            return None
        try:
            translated = self._translate(schema)
            return CompiledSchema(compile_schema(translated, formats=self._formats), alternatives(translated))
        except (OpenApiError, ValueError) as error:
            problem = f"{where}: {str(error).splitlines()[0][:300]}"
            if not self._skip:
                raise OpenApiError(problem) from None
            self.skipped.append(problem)
            return None


def compile_schema(schema: Any, *, formats: bool = True) -> jsonschema_rs.Validator:
    """A validator that never asks the network. Raises ValueError."""
    try:
        return jsonschema_rs.Draft202012Validator(
            schema, validate_formats=formats, offline=True, pattern_options=jsonschema_rs.RegexOptions()
        )
    except (jsonschema_rs.ValidationError, ValueError):
        patterns = jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACKS)
        return jsonschema_rs.Draft202012Validator(
            schema, validate_formats=formats, offline=True, pattern_options=patterns
        )


class CompiledSchema:
    """A validator, and how far its failures may be listed."""

    __slots__ = ("_alternatives", "_validator", "is_valid")

    def __init__(self, validator: jsonschema_rs.Validator, fan: int) -> None:
        self._validator = validator
        self._alternatives = fan
        self.is_valid = validator.is_valid

    def failures(self, value: Any) -> Iterable[Any] | None:
        """What is wrong with a value that is not valid; None if listing it would take too long."""
        return self._validator.iter_errors(value) if explainable(value, self._alternatives) else None


class CheckedParameter:
    """A parameter and its validator."""

    __slots__ = ("_deepest", "_parameter", "_shape", "_validator", "name", "required")

    def __init__(self, parameter: Parameter, compiler: Compiler, where: str) -> None:
        self.name = parameter.name
        self.required = parameter.required
        self._parameter = parameter
        place = f"{where}, {parameter.place} parameter {parameter.name!r}"
        self._shape = shape_of(compiler.root, parameter.schema)
        self._validator = compiler.validator(parameter.schema, place)
        self._deepest = compiler.deepest

    def names(self) -> Iterable[str]:
        """Under which it may stand in a query, as far as they are known beforehand."""
        yield self.name
        yield self.name + "[]"
        if self._parameter.explode and self._parameter.style == "form" and self._shape.types == {"object"}:
            yield from self._shape.schemas

    @property
    def prefix(self) -> str | None:
        """How names begin that are all its own."""
        return self.name + "[" if self._parameter.style == "deepObject" else None

    @property
    def open(self) -> bool:
        """An exploded object without a fixed set of members: any name may be its own."""
        shape = self._shape
        if self._parameter.media is not None:
            return False
        exploded = self._parameter.explode and self._parameter.style == "form" and shape.types == {"object"}
        return exploded and (shape.extra_schema is not None or not shape.schemas)

    def check_pairs(self, pairs: Sequence[tuple[str, str]], findings: Findings) -> None:
        """In a query."""
        if self._parameter.media is not None:
            given = [unquote_plus(value) for key, value in pairs if key == self.name]
            self._check_content(given, findings)
            return
        try:
            candidates = decode_pairs(self._parameter, self._shape, pairs)
        except Misspelt as error:
            findings.parameter(self.name, "query", str(error))
            return
        self._judge(candidates, findings, empty=self._parameter.allow_empty)

    def check_texts(self, given: Sequence[str], findings: Findings) -> None:
        """In a path, a header or a cookie."""
        if self._parameter.media is not None:
            self._check_content(given, findings)
            return
        if not given:
            self._judge(None, findings)
            return
        try:
            if len(given) > 1 and (self._parameter.place != "header" or "array" not in self._shape.types):
                raise Misspelt("given more than once")
            candidates = decode_text(self._parameter, self._shape, ",".join(given))
        except Misspelt as error:
            findings.parameter(self.name, self._parameter.place, str(error))
            return
        self._judge(candidates, findings)

    def _check_content(self, given: Sequence[str], findings: Findings) -> None:
        media = self._parameter.media or ""
        if len(given) > 1:
            findings.parameter(self.name, self._parameter.place, "given more than once")
        elif given and is_json(media):
            try:
                value = read_json(given[0].encode("utf-8", "surrogateescape"), self._deepest)
            except Unreadable as error:
                findings.parameter(self.name, self._parameter.place, str(error))
                return
            self._judge([value], findings)
        else:
            self._judge(given[:1] or None, findings)

    def _judge(self, candidates: Sequence[Any] | None, findings: Findings, *, empty: bool = False) -> None:
        if not candidates:
            if self.required:
                findings.parameter(self.name, self._parameter.place, "is required")
            return
        validator = self._validator
        if validator is None or (empty and candidates[0] == ""):
            return
        if any(validator.is_valid(candidate) for candidate in candidates):
            return
        name, place = self.name, self._parameter.place

        def tell(detail: str, path: Sequence[str | int]) -> None:
            where = "".join(f"[{token}]" for token in path)
            findings.parameter(name, place, f"{where} {detail}" if where else detail)

        findings.schema(validator.failures(candidates[0]), tell)


class CheckedMedia:
    """A media type of a body, and its validator."""

    __slots__ = ("media", "parameters", "shape", "validator")

    def __init__(self, media: Media, compiler: Compiler, where: str) -> None:
        self.media = media
        self.shape: Shape = shape_of(compiler.root, media.schema)
        self.validator = compiler.validator(media.schema, where)
        self.parameters = {name: self._as_parameter(name) for name in self.shape.schemas}

    def _as_parameter(self, name: str) -> Parameter:
        """How a property stands in a form (§4.8.15)."""
        encoding = self.media.encoding.get(name)
        encoding = encoding if isinstance(encoding, dict) else {}
        # Unless said otherwise, an object has its own prefix, as clients send it; spread over the form, the names of an
        # inner object could not be told from those of the outer one.
        usual = "deepObject" if self.shape.within(name).types == {"object"} else "form"
        style = str(encoding.get("style", usual))
        style = style if style in ("form", "spaceDelimited", "pipeDelimited", "deepObject") else "form"
        return Parameter(name, "query", required=False, style=style, explode=encoding.get("explode", True) is True,
                         schema=None)  # fmt: skip


def is_json(media: str) -> bool:
    """``application/json``, ``text/json`` and all with the suffix (RFC 6839)."""
    return media in ("application/json", "text/json") or media.endswith("+json")


class CheckedOperation:
    """All checks of one operation."""

    __slots__ = ("_cookies", "_headers", "_path", "_query", "_query_names", "_query_open", "_query_prefixes",
                 "body_required", "content", "has_body", "name", "outcomes")  # fmt: skip

    def __init__(
        self,
        name: str,
        parameters: Sequence[Parameter],
        content: Mapping[str, Media] | None,
        compiler: Compiler,
        *,
        body_required: bool = False,
        outcomes: frozenset[str] = frozenset(),
    ) -> None:
        self.name = name
        self.outcomes = outcomes
        self.has_body = content is not None
        self.body_required = body_required
        self.content = {
            kind: CheckedMedia(media, compiler, f"{name}, body {kind}") for kind, media in (content or {}).items()
        }
        by_place: dict[str, list[CheckedParameter]] = {"path": [], "query": [], "header": [], "cookie": []}
        for parameter in parameters:
            by_place[parameter.place].append(CheckedParameter(parameter, compiler, name))
        self._path, self._query = by_place["path"], by_place["query"]
        self._headers, self._cookies = by_place["header"], by_place["cookie"]
        self._query_names = frozenset(known for each in self._query for known in each.names())
        self._query_prefixes = tuple(each.prefix for each in self._query if each.prefix is not None)
        self._query_open = any(each.open for each in self._query)

    def media(self, given: str) -> tuple[str, CheckedMedia] | None:
        """The most special entry for a media type (§4.8.13)."""
        kind = given.partition("/")[0]
        for known in (given, f"{kind}/*", "*/*"):
            found = self.content.get(known)
            if found is not None:
                return known, found
        for known, found in self.content.items():  # `application/json; charset=utf-8`, as some documents write it
            if known.partition(";")[0].strip() == given:
                return known, found
        return None

    def check_head(self, request: Request, values: Mapping[str, str], findings: Findings) -> list[str]:
        """Check all but the body; the names of query parameters that are not described."""
        for each in self._path:
            given = values.get(each.name)
            each.check_texts(() if given is None else (given,), findings)
        for each in self._headers:
            each.check_texts(request.headers.getall(each.name, ()), findings)
        for each in self._cookies:
            each.check_texts(cookies(request, each.name), findings)
        if not request.query:
            pairs: Sequence[tuple[str, str]] = ()
        else:
            try:
                pairs = pairs_of(request.query)
            except Misspelt as error:
                findings.parameter("", "query", str(error))
                return []
        for each in self._query:
            each.check_pairs(pairs, findings)
        if not pairs or self._query_open:
            return []
        names, prefixes = self._query_names, self._query_prefixes
        return [name for name, _ in pairs if name not in names and not name.startswith(prefixes or "\0")]
