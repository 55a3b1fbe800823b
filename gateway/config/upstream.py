"""Upstreams: the services behind the gateway, how a target is chosen, tried, timed and found ill."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from gateway.config.address import Origin, parse_origin
from gateway.config.entry import PluginEntry, Token
from gateway.plugin.settings import Count, Duration, FilePath, Off, Percent, Settings, Size, expected


def _target_url(text: str) -> str:
    parse_origin(text)
    return text


class Target(Settings):
    """One address of an upstream."""

    url: Annotated[str, AfterValidator(_target_url)] = Field(
        description="`http://host:port`, `https://host:port` or `unix:/path`. A name stands for all of its addresses.",
        examples=["http://127.0.0.1:9000", "https://api.example.com", "unix:/run/app.sock"],
    )
    weight: Count = Field(
        default=1, ge=0, le=1000, description="Its share of the requests beside the others'; 0 gets none that is new."
    )
    priority: Count = Field(
        default=0,
        ge=0,
        le=15,
        description="Targets of the lowest number serve; those of the next only while none of them can.",
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler.resolve_ref_schema(handler(schema))]}

    @property
    def origin(self) -> Origin:
        return parse_origin(self.url)


class Balance(Settings):
    """How a target is chosen."""

    algorithm: Literal["round_robin", "least_request", "random", "consistent_hash"] = "round_robin"
    by: Literal["header", "cookie", "client_ip", "principal"] | None = None
    """What is hashed; only with ``consistent_hash``."""
    name: str = ""
    """Of the header or cookie."""

    @model_validator(mode="before")
    @classmethod
    def _written(cls, value: Any) -> Any:
        """``round_robin`` | ``{consistent_hash: client_ip}`` | ``{consistent_hash: {header: X-Tenant}}``."""
        if isinstance(value, dict) and ("algorithm" in value or not value):
            return value  # already in its own form
        if isinstance(value, str) and value in ("round_robin", "least_request", "random"):
            return {"algorithm": value}
        hashed = value.get("consistent_hash") if isinstance(value, dict) and len(value) == 1 else None
        if isinstance(hashed, str) and hashed in ("client_ip", "principal"):
            return {"algorithm": "consistent_hash", "by": hashed}
        if isinstance(hashed, dict) and len(hashed) == 1:
            ((by, name),) = hashed.items()
            if by in ("header", "cookie") and isinstance(name, str) and re.fullmatch(_FIELD_NAME, name):
                return {"algorithm": "consistent_hash", "by": by, "name": name}
        raise expected(
            "round_robin, least_request, random, or {consistent_hash: client_ip}, {consistent_hash: principal}, "
            "{consistent_hash: {header: NAME}} or {consistent_hash: {cookie: NAME}}"
        )

    @model_serializer(when_used="json")
    def _as_written(self) -> Any:
        if self.algorithm != "consistent_hash":
            return self.algorithm
        return {"consistent_hash": {self.by: self.name} if self.name else self.by}


_FIELD_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_BALANCE_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {"enum": ["round_robin", "least_request", "random"]},
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["consistent_hash"],
            "properties": {
                "consistent_hash": {
                    "anyOf": [
                        {"enum": ["client_ip", "principal"]},
                        *(
                            {
                                "type": "object",
                                "additionalProperties": False,
                                "required": [by],
                                "properties": {by: {"type": "string"}},
                            }
                            for by in ("header", "cookie")
                        ),
                    ]
                }
            },
        },
    ]
}


class Sticky(Settings):
    """A cookie that brings a client back to the target that served it."""

    cookie: Token = Field(description="The cookie's name. It holds a digest of the target, never its address.")
    max_age: Duration | None = Field(
        default=None, gt=0, description="How long browsers keep it. Unset: until the browser closes."
    )
    same_site: Literal["lax", "strict", "none"] = Field(default="lax", description="The cookie's SameSite attribute.")


class Timeout(Settings):
    """Deadlines by phase."""

    connect: Duration = Field(
        default=2.0,
        gt=0,
        description="To connect, name look-up and TLS included. Targets are near: 2s is long already.",
    )
    first_byte: Annotated[Duration | None, Off] = Field(
        default=15.0, gt=0, description="From the request's last byte to the answer's head, for each attempt; or `off`."
    )
    total: Annotated[Duration | None, Off] = Field(
        default=60.0, gt=0, description="Over all attempts and waits, to the answer's head; or `off`."
    )
    stream_idle: Annotated[Duration | None, Off] = Field(
        default=300.0,
        gt=0,
        description="Longest silence within a body or an upgraded connection; or `off`. Long, because event "
        "streams rest.",
    )


class TimeoutOverride(Settings):
    """Deadlines of a route that differ from its upstream's."""

    connect: Duration | None = Field(default=None, gt=0, description="As in the upstream's `timeout`.")
    first_byte: Annotated[Duration | None, Off] = Field(
        default=None, gt=0, description="As in the upstream's `timeout`."
    )
    total: Annotated[Duration | None, Off] = Field(default=None, gt=0, description="As in the upstream's `timeout`.")
    stream_idle: Annotated[Duration | None, Off] = Field(
        default=None, gt=0, description="As in the upstream's `timeout`."
    )

    def over(self, general: Timeout) -> Timeout:
        """The deadlines in force: what is said here, else the upstream's."""
        return general.model_copy(update={key: getattr(self, key) for key in self.model_fields_set})


class Backoff(Settings):
    """Waiting between attempts: a random time up to base * 2^n, so that clients that failed together part."""

    base: Duration = Field(default=0.025, gt=0, description="Upper bound of the first wait.")
    max: Duration = Field(default=0.25, gt=0, description="Upper bound of any wait.")

    @model_validator(mode="after")
    def _ordered(self) -> Backoff:
        if self.max < self.base:
            raise ValueError("`max` to be at least as long as `base`")
        return self


RetryOn = Literal["unsent", "reset", "timeout"]
RetryStatus = Annotated[Count, Field(ge=400, le=599)]


class Retry(Settings):
    """When and how often another attempt is made. After the answer's first byte none is."""

    attempts: Count = Field(default=2, ge=1, le=10, description="Tries in all, the first included; 1 means no retry.")
    backoff: Backoff = Field(default=Backoff(), description="Waits between tries. A target's `Retry-After` is obeyed.")
    budget: Percent = Field(
        default=0.2,
        description="Retries as a share of requests, beyond a few: a failing upstream is not flattened by its "
        "own callers.",
    )
    on: tuple[RetryOn | RetryStatus, ...] = Field(
        default=("unsent", "reset", 502, 503, 504),
        description="`unsent` (nothing reached a target: any method), and for idempotent requests whose body "
        "can be sent "
        "again: `reset` (connection lost before an answer), `timeout` (of `first_byte`; not by default, as it "
        "doubles the "
        "load of a slow upstream) and answers of these statuses.",
    )
    max_body: Size = Field(
        default=65536, description="Largest request body held for another try; a larger one is sent once."
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"attempts": 1} if value is False or (isinstance(value, str) and value == "off") else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler.resolve_ref_schema(handler(schema)), {"const": "off"}]}


def _status(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"[1-5]xx", value):
        return value
    if isinstance(value, (int, str)) and not isinstance(value, bool) and re.fullmatch(r"[1-5][0-9][0-9]", str(value)):
        return int(value)
    raise expected("a status such as 200, or a class such as 2xx")


Status = Annotated[int | str, BeforeValidator(_status)]


def statuses(listed: tuple[int | str, ...]) -> frozenset[int]:
    """Every status that a list such as ``[2xx, 304]`` stands for."""
    found: set[int] = set()
    for item in listed:
        found.update(range(int(item[0]) * 100, int(item[0]) * 100 + 100) if isinstance(item, str) else (item,))
    return frozenset(found)


class ActiveHealth(Settings):
    """Asking each target at an interval. One worker of a gateway asks for all."""

    path: str = Field(pattern=r"^/[!-~]*$", description="What is asked for, with GET.", examples=["/healthz"])
    host: str | None = Field(default=None, description="Host header of the probe. Unset: the target's own.")
    interval: Duration = Field(default=10.0, ge=0.1, description="Time between probes, ± a tenth so that they spread.")
    timeout: Duration = Field(default=2.0, gt=0, description="Longest wait for an answer's head.")
    status: tuple[Status, ...] = Field(
        default=("2xx", "3xx"), min_length=1, description="Statuses of a healthy target."
    )
    healthy: Count = Field(default=2, ge=1, le=100, description="Good probes in a row that bring an ill target back.")
    unhealthy: Count = Field(default=3, ge=1, le=100, description="Bad probes in a row that take a target out.")


class PassiveHealth(Settings):
    """Taking a target out because requests fail on it."""

    failures: Count = Field(
        default=5, ge=1, description="Failures in a row (no connection, reset, timeout, 502, 503, 504) that eject it."
    )
    base_ejection: Duration = Field(default=30.0, gt=0, description="How long, the first time; longer each time after.")
    max_ejection: Duration = Field(default=300.0, gt=0, description="How long at most.")
    max_ejected: Percent = Field(
        default=0.5, description="Largest share of targets out at once; one may always be, if there are two or more."
    )


class Health(Settings):
    """How ill targets are found."""

    active: Annotated[ActiveHealth | None, Off] = Field(default=None, description="Probes. Unset or `off`: none.")
    passive: Annotated[PassiveHealth | None, Off] = Field(
        default=PassiveHealth(), description="Judging by the requests themselves; or `off`."
    )
    panic_threshold: Percent = Field(
        default=0.5,
        description="With fewer than this share of targets well, health is ignored and all are used: the remaining few "
        "would only be flattened next.",
    )


class Pool(Settings):
    """Connections to each target, per worker."""

    max_connections: Count = Field(
        default=256, ge=1, description="Most connections to a target from one worker; a request more waits."
    )
    queue: Count = Field(default=1024, ge=0, description="Most requests waiting for a connection; one more gets a 503.")
    queue_timeout: Duration = Field(default=1.0, gt=0, description="Longest wait for a connection, then a 503.")
    idle: Duration = Field(
        default=30.0,
        gt=0,
        description="How long an unused connection is kept. Set it below the target's own keep-alive time: "
        "Node.js closes "
        "after 5s, gunicorn after 2s, uvicorn after 5s.",
    )


class UpstreamTls(Settings):
    """TLS towards `https://` targets."""

    ca: FilePath | None = Field(default=None, description="PEM file of trusted authorities. Unset: the system's.")
    sni: str | None = Field(
        default=None, description="Name asked for and checked. Unset: the host of the target's URL."
    )
    cert: FilePath | None = Field(default=None, description="PEM file: the gateway's certificate for the target.")
    key: FilePath | None = Field(default=None, description="PEM file: the key to `cert`.")
    verify: bool = Field(
        default=True, description="Check the target's certificate. Without it anybody on the way can read and answer."
    )

    @model_validator(mode="after")
    def _pair(self) -> UpstreamTls:
        if (self.cert is None) != (self.key is None):
            raise ValueError("`cert` and `key` together, or neither")
        return self


class Dns(Settings):
    """Looking up the names of targets."""

    ttl: Duration = Field(
        default=30.0,
        ge=1,
        description="How long addresses are used until they are looked up again, beside the traffic.",
    )
    family: Literal["any", "ipv4", "ipv6"] = Field(default="any", description="Which addresses are used.")


class Upstream(Settings):
    """A service behind the gateway: targets that do the same."""

    targets: tuple[Target, ...] = Field(min_length=1, description="URLs, or `{url, weight, priority}`.")
    balance: Balance = Field(
        default=Balance(),
        json_schema_extra=lambda schema: (schema.pop("$ref", None), schema.update(_BALANCE_SCHEMA))[1],
        description="`round_robin` in turn by weight; `least_request` the less busy of two drawn; `random`; "
        "`{consistent_hash: client_ip | principal | {header: NAME} | {cookie: NAME}}` the same target for the "
        "same value.",
    )
    sticky: Sticky | None = Field(default=None, description="Session cookie for backends with state. Unset: none.")
    slow_start: Duration = Field(
        default=0.0,
        description="Time over which a new or recovered target's share grows to full, as caches and JITs "
        "warm up. 0: at once.",
    )
    timeout: Timeout = Field(default=Timeout(), description="Deadlines by phase; a route may say otherwise.")
    retry: Retry = Field(default=Retry(), description="Further attempts; `off` is `{attempts: 1}`.")
    health: Health = Field(default=Health(), description="How ill targets are found and left out.")
    pool: Pool = Field(default=Pool(), description="Connections to each target.")
    tls: UpstreamTls = Field(default=UpstreamTls(), description="TLS towards https targets.")
    dns: Dns = Field(default=Dns(), description="Name look-ups.")
    critical: bool = Field(
        default=False, description="The gateway says it is not ready (`/readyz` 503) while no target of it is well."
    )
    attempt: tuple[PluginEntry, ...] = Field(
        default=(), description="Plugins around each attempt at a target, inside retries; top is outermost."
    )
