"""The keys of a route that say which requests it takes and where they go: match, rewrite, redirect, split, override.

Settings only; `gateway.route` compiles them. Whatever these models accept compiles (a property test holds them to it).
Shorthands are unfolded here, so that what compiles sees one shape: a path is a `PathMatch`, a value a `ValueMatch`, one
item where a list may stand is a list of one. Error locations therefore carry an index where YAML may have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import unquote

from pydantic import AfterValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from gateway.config.pattern import (
    backtracks,
    check_exact,
    check_header_name,
    check_host,
    check_location,
    check_method,
    check_regex,
    check_segments,
    check_target,
    check_template,
    placeholders,
    regex_groups,
    template_parameters,
)
from gateway.plugin.settings import OneOrMany, Settings, expected

PathKind = Literal["exact", "prefix", "template", "regex"]


def _chosen(model: Settings, names: Iterable[str]) -> str:
    """The one of the fields that is set. Raises ValueError if none or several are."""
    chosen = [name for name in names if getattr(model, name) is not None]
    if len(chosen) != 1:
        raise expected(f"exactly one of {', '.join(names)}")
    return chosen[0]


class PathMatch(Settings):
    """One path pattern, in YAML as plain text or as a mapping of its kind.

    Plain text is read by its look: it ends in ``/``: prefix; it holds ``{…}``: template; else exact.
    """

    exact: Annotated[str, AfterValidator(check_exact)] | None = Field(
        None,
        description="This path and no other; a slash at the end counts. Plain text without `{}` and without a "
        "slash at the end means this.",
    )
    prefix: Annotated[str, AfterValidator(check_segments)] | None = Field(
        None,
        description="Every path that begins with these segments: `/orders/` takes `/orders`, `/orders/` and "
        "`/orders/5`, not `/orders-old`. "
        "May hold `{name}` segments. Plain text that ends in `/` means this.",
    )
    template: Annotated[str, AfterValidator(check_segments)] | None = Field(
        None,
        description="Segments of which `{name}` takes any one, and `{name...}` at the end all that follow (also "
        "none). Plain text with `{}` means this.",
    )
    regex: Annotated[str, AfterValidator(check_regex)] | None = Field(
        None,
        description="A Python regular expression that the whole path must match, in normal form with "
        "`:@!$&'()*+,=` decoded. "
        "Named groups become path parameters. Paths longer than 2048 bytes are answered 414 rather than tried.",
    )

    kinds: ClassVar[tuple[PathKind, ...]] = ("exact", "prefix", "template", "regex")

    @model_validator(mode="before")
    @classmethod
    def _by_its_look(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        kind = "prefix" if value.endswith("/") else "template" if "{" in value or "}" in value else "exact"
        {"exact": check_exact}.get(kind, check_segments)(value)  # here, so that the error's place is the text itself
        return {kind: value}

    @model_validator(mode="after")
    def _one(self) -> Self:
        _chosen(self, self.kinds)
        return self

    @property
    def kind(self) -> PathKind:
        return next(kind for kind in self.kinds if getattr(self, kind) is not None)

    @property
    def text(self) -> str:
        return str(getattr(self, self.kind))

    @property
    def parameters(self) -> frozenset[str]:
        """The names this pattern gives values to."""
        return frozenset(regex_groups(self.text) if self.kind == "regex" else placeholders(self.text))

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        mapping = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"type": "string", "pattern": "^/", "examples": ["/orders/", "/users/{id}"]}, mapping]}


class ValueMatch(Settings):
    """What a header field or query parameter must be; plain text means `exact`. One of several values is enough."""

    exact: str | None = Field(None, description="Exactly this value.")
    regex: Annotated[str, AfterValidator(check_regex)] | None = Field(
        None,
        description="A Python regular expression that the whole value must match. Values longer than 2048 bytes "
        "are refused with 400.",
    )
    present: bool | None = Field(None, description="true: any value will do; false: it must be absent.")

    kinds: ClassVar[tuple[str, ...]] = ("exact", "regex", "present")

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        if isinstance(value, bool):
            return {"exact": "true" if value else "false"}
        return {"exact": str(value)} if isinstance(value, str | int | float) else value

    @model_validator(mode="after")
    def _one(self) -> Self:
        _chosen(self, self.kinds)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        mapping = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"type": ["string", "number", "boolean"]}, mapping]}


def _no_twins(values: dict[str, ValueMatch]) -> dict[str, ValueMatch]:
    if len({name.lower() for name in values}) < len(values):
        raise expected("each header field once: names compare without case")
    return values


Handling = Literal["refuse", "keep"]
_Host = Annotated[str, AfterValidator(check_host)]
_Method = Annotated[str, AfterValidator(check_method)]
_HeaderName = Annotated[str, AfterValidator(check_header_name)]


class Match(Settings):
    """Which requests a route takes: those for which everything said here holds. What is not said does not matter."""

    host: Annotated[tuple[_Host, ...], OneOrMany()] = Field(
        (),
        description="Host names, without port: exact, or `*.example.com` for one or more labels in front. None: "
        "every host.",
        examples=["api.example.com", ["example.com", "*.example.com"]],
    )
    path: Annotated[tuple[PathMatch, ...], OneOrMany()] = Field(
        (),
        description="Path patterns, of which one must match. None: every path.",
        examples=["/orders/", "/users/{id}"],
    )
    methods: Annotated[tuple[_Method, ...], OneOrMany()] = Field(
        (),
        description="Methods taken; GET takes HEAD with it, and a CORS preflight goes where its method goes. "
        "None: every method.",
        examples=[["GET", "POST"]],
    )
    headers: Annotated[dict[_HeaderName, ValueMatch], AfterValidator(_no_twins)] = Field(
        {},
        description="Header fields that must hold, by name.",
        examples=[{"X-Canary": "1", "Authorization": {"present": True}}],
    )
    query: dict[str, ValueMatch] = Field(
        {}, description="Query parameters that must hold, by name.", examples=[{"version": "2"}]
    )
    encoded_slash: Handling = Field(
        "refuse",
        description="What to do with `%2F` and `%5C` in a path: refuse with 400, because many services take "
        "them for a slash, or keep as part of a segment.",
    )
    path_parameters: Handling = Field(
        "refuse",
        description="What to do with `;` in a path: refuse with 400, because servlet containers cut off what "
        "follows, or keep as part of a segment.",
    )

    @model_validator(mode="after")
    def _policy(self) -> Self:
        for pattern in self.path:
            text = pattern.text.upper()
            if pattern.kind != "regex" and self.encoded_slash == "refuse" and ("%2F" in text or "%5C" in text):
                raise expected("a path with %2F or %5C needs encoded_slash: keep")
            if pattern.kind != "regex" and self.path_parameters == "refuse" and ";" in text:
                raise expected("a path with ; needs path_parameters: keep")
        return self

    @property
    def parameters(self) -> frozenset[str]:
        """The path parameters that have a value whichever pattern matched."""
        found = [pattern.parameters for pattern in self.path]
        return frozenset.intersection(*found) if found else frozenset()


class Rewrite(Settings):
    """What of the request is changed on its way to the target."""

    strip_prefix: Annotated[str, AfterValidator(check_exact)] | None = Field(
        None,
        description="Segments taken off the front: with `/orders`, `/orders/5` becomes `/5` and `/orders` becomes `/`.",
    )
    add_prefix: Annotated[str, AfterValidator(check_exact)] | None = Field(
        None, description="Segments put in front, after `strip_prefix`: with `/v2`, `/5` becomes `/v2/5`."
    )
    path: Annotated[str, AfterValidator(check_template)] | None = Field(
        None, description="The whole new path; `{name}` is a parameter of `match.path`.", examples=["/v2/{id}"]
    )
    host: Annotated[str, AfterValidator(check_target)] = Field(
        "target",
        description="The Host sent: `target` (the target's own, as a service expects that is asked directly; "
        "default), "
        "`preserve` (the client's) or a fixed name. X-Forwarded-Host always has the client's.",
    )

    @model_validator(mode="after")
    def _either(self) -> Self:
        if self.path is not None and (self.strip_prefix is not None or self.add_prefix is not None):
            raise expected("either path, or strip_prefix and add_prefix")
        return self


class Redirect(Settings):
    """An answer that sends the client elsewhere. A request that is already there goes on to the route's upstream."""

    to: Annotated[str, AfterValidator(check_location)] | None = Field(
        None,
        description="The new path, or a whole URL; `{name}` in the path is a parameter of `match.path`. None: "
        "the path is kept.",
        examples=["/new/{id}", "https://shop.example.com/{rest}"],
    )
    scheme: Literal["http", "https"] | None = Field(None, description="The new scheme; the port is dropped with it.")
    host: _Host | None = Field(None, description="The new host name.")
    port: int | None = Field(None, ge=1, le=65535, description="The new port.")
    query: Handling | Literal["drop"] = Field("keep", description="`keep` or `drop` the query.")
    status: Literal[301, 302, 303, 307, 308] = Field(
        307,
        description="307, because it keeps the method and no client remembers it for ever; 308 when it is for ever.",
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.to is None and self.scheme is None and self.host is None and self.port is None:
            raise expected("at least one of to, scheme, host, port")
        if self.to is not None and not self.to.startswith("/") and (self.scheme or self.host or self.port):
            raise expected("either a whole URL in `to`, or a path with scheme, host or port beside it")
        if self.host is not None and self.host.startswith("*"):
            raise expected("a host name without wildcard")
        return self


class Share(Settings):
    """One side of a weighted split."""

    upstream: str = Field(description="Name of an upstream.")
    weight: int = Field(ge=0, le=1_000_000, description="Its share of the sum of all weights; 0: none.")


class Override(Settings):
    """Requests that carry a header field or cookie go to this upstream, whatever the split says."""

    header: _HeaderName | None = Field(None, description="The header field to look at.")
    cookie: _HeaderName | None = Field(None, description="The cookie to look at.")
    value: str | None = Field(None, description="The value it must have. None: any but an empty one.")
    upstream: str = Field(description="Name of the upstream they go to.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        _chosen(self, ("header", "cookie"))
        return self


def _check_shares(shares: tuple[Share, ...]) -> tuple[Share, ...]:
    names = [share.upstream for share in shares]
    if len(set(names)) < len(names):
        raise expected("each upstream once")
    if shares and not any(share.weight for share in shares):
        raise expected("a weight above 0")
    return shares


Split = Annotated[tuple[Share, ...], AfterValidator(_check_shares)]
"""Key `split` of a route: in the order written, so that a share that grows takes from its neighbours only."""

Overrides = Annotated[tuple[Override, ...], OneOrMany()]
"""Key `override` of a route: the first that applies wins."""

StickyKey = Annotated[str, Field(pattern=r"^(client_ip|principal|tenant|(header|cookie):[!#$%&'*+.^_`|~0-9A-Za-z-]+)$")]
"""Key `sticky` of a route: who gets the same side of a split each time. Without a value, the draw is random."""


class Routing(Settings):
    """What holds for how all routes are found."""

    ignore_case: bool = Field(
        default=False,
        description="Compare paths without case, in `match`, `strip_prefix` and `when`; for services that do, as on "
        "Windows or by Express' default: what is `/admin` to them in any case must be so to the plugins in front of "
        "them. What is forwarded keeps its case.",
    )


def mistakes(
    match: Match, rewrite: Rewrite | None = None, redirect: Redirect | None = None
) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong between the keys of one route: (location below the route, what was expected)."""
    found: list[tuple[tuple[str, ...], str]] = []
    templates: Mapping[tuple[str, ...], str | None] = {
        ("rewrite", "path"): rewrite.path if rewrite else None,
        ("redirect", "to"): redirect.to if redirect else None,
    }
    known = ", ".join(sorted(match.parameters)) or "none"
    for location, template in templates.items():
        found += [
            (location, f"a parameter of every pattern in match.path (these are: {known}), not {{{name}}}")
            for name in template_parameters(template or "")
            if name not in match.parameters
        ]
    strip = rewrite.strip_prefix if rewrite else None
    if strip is not None and match.path and not any(_may_begin(pattern, strip) for pattern in match.path):
        found.append((("rewrite", "strip_prefix"), "the beginning of a pattern in match.path"))
    return found


def doubts(match: Match) -> list[tuple[tuple[str | int, ...], str]]:
    """What in a match is allowed and probably not wanted: (location below `match`, why)."""
    slow = (
        "repeats what repeats, as (a+)+ does: some requests may take very long; say it without the inner or the outer +"
    )
    regexes: list[tuple[tuple[str | int, ...], str | None]] = [
        *((("path", number, "regex"), pattern.regex) for number, pattern in enumerate(match.path)),
        *((("headers", name, "regex"), value.regex) for name, value in match.headers.items()),
        *((("query", name, "regex"), value.regex) for name, value in match.query.items()),
    ]
    return [(location, slow) for location, regex in regexes if regex is not None and backtracks(regex)]


def _may_begin(pattern: PathMatch, prefix: str) -> bool:
    """Whether a path that matches may begin with these segments; yes when in doubt."""
    if pattern.kind == "regex":
        return True
    segments = [unquote(segment).lower() for segment in pattern.text.split("/")[1:]]
    wanted = [unquote(segment).lower() for segment in prefix.rstrip("/").split("/")[1:]]
    goes_on = pattern.kind == "prefix" or segments[-1].endswith("...}")
    if goes_on and (segments[-1] == "" or segments[-1].endswith("...}")):
        segments.pop()
    if len(wanted) > len(segments) and not goes_on:
        return False
    return all(segment.startswith("{") or segment == want for segment, want in zip(segments, wanted, strict=False))
