"""Traces: where they go, and which exchanges are worth one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from gateway.plugin.settings import Count, Duration, FilePath, OneOrMany, Percent, Secret, Settings, expected
from gateway.services.log.address import without_query
from gateway.services.masking import is_secret


def _endpoint(text: str) -> str:
    """The URL to post to: of a collector without a path, OTLP's own (opentelemetry.io/docs/specs/otlp §OTLP/HTTP)."""
    wrong = expected("the URL of a collector, such as http://127.0.0.1:4318")
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise wrong from None
    if not known or not re.fullmatch(r"[!-~]+", text) or "#" in text:
        raise wrong
    if parts.username is not None:
        raise expected("a URL without a password: it belongs into `headers`")
    return f"{text.rstrip('/')}/v1/traces" if parts.path in ("", "/") and not parts.query else text


SHOWN_WITHOUT_QUERY: Final = PlainSerializer(
    lambda url: None if url is None else without_query(url), return_type=str | None, when_used="json"
)
"""Of a collector's URL: its query may hold a key."""


def _shown(name: str) -> str:
    lower = name.lower()
    if is_secret(lower):
        raise expected("a header field that holds no secret")
    return lower


Recorded = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$"), AfterValidator(_shown)]
FieldName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
ResourceKey = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,127}$")]


def _text(value: Any) -> Any:
    """YAML reads `1.4` and `true` as what they look like; an attribute of a resource is text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


class Sampling(Settings):
    """Which exchanges are traced."""

    ratio: Percent = Field(
        default=0.1, description="Share of the exchanges whose caller has not decided; a route may say its own."
    )
    parent: Literal["any", "trusted", "ignore"] = Field(
        default="any",
        description="Whose decision is obeyed, by the `sampled` flag of `traceparent` or B3: every caller's, that of "
        "`trusted_proxies` only (right where clients are strangers, who could have all their requests traced), or "
        "nobody's.",
    )
    errors: bool = Field(
        default=True,
        description="Keep the gateway's own spans of every exchange that failed (5xx, or an answer cut short), sampled "
        "or not. Services behind are not told: they learn the decision before anything has failed.",
    )
    slow: Duration | None = Field(
        default=None,
        gt=0,
        description="Likewise of every exchange that took at least so long. Unset: slowness is no reason.",
    )


class Batch(Settings):
    """How spans travel. None of it holds up a request: what finds no room is counted and dropped."""

    queue: Count = Field(default=4096, ge=1, le=1_000_000, description="Spans that may wait, in each worker.")
    size: Count = Field(
        default=128,
        ge=1,
        le=10_000,
        description="Spans sent at once; encoding many holds the loop up for milliseconds.",
    )
    interval: Duration = Field(default=5.0, ge=0.05, description="Longest wait of a span before it is sent.")
    flush: Duration = Field(default=3.0, description="Time for what waits when the gateway ends.")


class CollectorTls(Settings):
    """TLS towards a collector, or another server that takes what the gateway tells."""

    ca: FilePath | None = Field(default=None, description="PEM file of authorities in place of the usual ones.")
    cert: FilePath | None = Field(default=None, description="PEM file of the gateway's own certificate.")
    key: FilePath | None = Field(default=None, description="PEM file of its key.")

    @model_validator(mode="after")
    def _both(self) -> CollectorTls:
        if (self.cert is None) != (self.key is None):
            raise expected("`cert` and `key` together")
        return self

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that are named."""
        return tuple(path for path in (self.ca, self.cert, self.key) if path is not None)


class Tracing(Settings):
    """Traces by OpenTelemetry's protocol; needs the extra `otel`. Unset: nothing is recorded and nothing is paid for;
    `traceparent` is still continued, or begun, for the services behind.
    """

    endpoint: Annotated[str, AfterValidator(_endpoint), SHOWN_WITHOUT_QUERY] = Field(
        default="http://127.0.0.1:4318",
        validate_default=True,
        description="The collector's URL; `/v1/traces` is added where there is no path.",
    )
    protocol: Literal["http/protobuf"] = Field(default="http/protobuf", description="How it is spoken to.")
    headers: dict[FieldName, Secret] = Field(
        default={}, description="Sent with each batch, such as `Authorization`. Secrets: shown nowhere."
    )
    compression: Literal["gzip", "none"] = Field(default="gzip", description="Of what is sent.")
    timeout: Duration = Field(
        default=10.0, gt=0, description="Longest time for a batch, tried again within it where that can help."
    )
    tls: CollectorTls = Field(default=CollectorTls(), description="TLS towards the collector.")
    service: str = Field(default="sidegate", min_length=1, max_length=255, description="`service.name`.")
    resource: dict[ResourceKey, Annotated[str, BeforeValidator(_text)]] = Field(
        default={},
        description="Attributes of the resource, such as `deployment.environment.name`; they go over those in the "
        "variable OTEL_RESOURCE_ATTRIBUTES.",
    )
    sampling: Sampling = Field(default=Sampling(), description="Which exchanges are traced.")
    accept: Annotated[tuple[Literal["w3c", "b3"], ...], OneOrMany()] = Field(
        default=("w3c", "b3"),
        description="What callers may speak. `w3c` is always understood, and goes before `b3` (one field or several).",
    )
    propagate: Annotated[tuple[Literal["w3c", "b3", "b3multi"], ...], OneOrMany()] = Field(
        default=("w3c",),
        description="What services behind are told in. `w3c` always; with `b3` (one field) or `b3multi` (several) that "
        "is written too, in place of the caller's. `tracestate` and `baggage` pass as they came.",
    )
    plugins: bool = Field(default=False, description="A span for each plugin an exchange goes through.")
    baggage: tuple[str, ...] = Field(
        default=(), max_length=16, description="Keys of `baggage` whose values are noted as `baggage.<key>`."
    )
    request_headers: tuple[Recorded, ...] = Field(
        default=(), max_length=32, description="Request fields that are noted, masked as logs are."
    )
    response_headers: tuple[Recorded, ...] = Field(
        default=(), max_length=32, description="Answers' fields that are noted, masked as logs are."
    )
    attribute_length: Count = Field(
        default=1024, ge=16, le=65536, description="Characters of an attribute's value; the rest is cut."
    )
    spans: Count = Field(
        default=128, ge=2, le=10_000, description="Spans of one exchange; what comes after is counted and dropped."
    )
    batch: Batch = Field(default=Batch(), description="How spans travel.")


class RouteTracing(Settings):
    """What of tracing a route has its own way."""

    ratio: Percent | None = Field(default=None, description="In place of `tracing.sampling.ratio`.")
    plugins: bool | None = Field(default=None, description="In place of `tracing.plugins`.")
    off: bool = Field(default=False, description="Nothing of this route is kept, failed or not.")
