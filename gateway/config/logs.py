"""Both logs: where their lines go, what they look like, which are written."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, SecretStr, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from gateway.config.tracing import SHOWN_WITHOUT_QUERY, CollectorTls
from gateway.plugin.document import file_state
from gateway.plugin.settings import (
    Duration,
    FilePath,
    Name,
    Off,
    OneOrMany,
    Percent,
    Secret,
    Settings,
    Size,
    expected,
)
from gateway.services.log.address import FACILITIES, endpoint, parse_address, without_query

Layout = Literal["sidegate", "ecs", "otel", "console"]
"""As `gateway.services.log.layout.LAYOUTS`."""

_KINDS: Final = ("stream", "file", "syslog", "otlp")
_STREAMS: Final = ("stdout", "stderr")


class Rotate(Settings):
    """When a log file is moved away, by whichever process comes first, and how long it is kept then.

    It becomes `NAME.20261121T235959Z`; times are UTC. Only files with such names are ever deleted.
    """

    size: Annotated[Size | None, Off] = Field(
        default=100_000_000,
        gt=0,
        description="Before it would grow beyond; or `off`. What most tools still open with ease.",
    )
    every: Annotated[Literal["hour", "day"] | None, Off] = Field(
        default="day", description="With the first line of a new `day` or `hour`; or `off`."
    )
    keep: Annotated[Duration | None, Off] = Field(
        default=30 * 86400.0,
        gt=0,
        description="How long after its last line a file that was moved away is deleted; or `off`. Thirty days are "
        "what most rules on access trails ask for, and what rules on personal data still take.",
    )
    keep_size: Size | None = Field(
        default=None, gt=0, description="Most bytes of all files that were moved away; the oldest go. Unset: no limit."
    )


def _framing(value: Any) -> Any:
    if value in ("octet", "newline"):
        return value
    raise expected("octet or newline")


def _syslog(value: Any) -> Any:
    if isinstance(value, str):
        try:
            parse_address(value)
        except ValueError:
            pass
        else:
            return value
    raise expected("a syslog server: udp://host:514, tcp://host:601, tls://host:6514 or unix:/dev/log")


def _otlp(value: Any) -> Any:
    if isinstance(value, str):
        try:
            endpoint(value)
        except ValueError:
            pass
        else:
            return value
    raise expected("the URL of a collector such as http://127.0.0.1:4318")


def _facility(value: Any) -> Any:
    if isinstance(value, str) and value in FACILITIES:
        return value
    raise expected(f"a syslog facility: {', '.join(FACILITIES)}")


_FIELD_NAME: Final = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"


class LogSink(Settings):
    """One place where lines go; exactly one of `stream`, `file`, `syslog` and `otlp`.

    `stdout` and `stderr` may be written without a mapping.
    """

    stream: Literal["stdout", "stderr"] | None = Field(default=None, description="A stream of the process.")
    file: FilePath | None = Field(
        default=None,
        description="A file that lines are appended to. It follows its name when it is moved away; SIGHUP, too, begins "
        "a new one.",
    )
    rotate: Annotated[Rotate | None, Off] = Field(
        default=Rotate(), description="Of a `file`: when it is moved away; or `off`, where another tool does that."
    )
    syslog: Annotated[str | None, BeforeValidator(lambda value: None if value is None else _syslog(value))] = Field(
        default=None,
        description="A syslog server, spoken to as RFC 5424 says: `udp://host:514`, `tcp://host:601`, "
        "`tls://host:6514` (RFC 5425) or `unix:/dev/log`. The line is the message.",
    )
    facility: Annotated[str, BeforeValidator(_facility)] = Field(
        default="local0", description="Of `syslog`: `local0` to `local7`, `user`, `daemon` … (RFC 5424 §6.2.1)."
    )
    app_name: str = Field(
        default="sidegate", pattern=r"^[!-~]{1,48}$", description="Of `syslog`: who says it (APP-NAME)."
    )
    framing: Annotated[Literal["octet", "newline"], BeforeValidator(_framing)] = Field(
        default="octet",
        description="Of `syslog` over TCP: how messages are told apart (RFC 6587): by their length, or by line ends.",
    )
    otlp: Annotated[
        str | None, BeforeValidator(lambda value: None if value is None else _otlp(value)), SHOWN_WITHOUT_QUERY
    ] = Field(
        default=None,
        description="An OpenTelemetry collector, spoken to by OTLP over HTTP; without a path `/v1/logs` is added. "
        "Needs the extra `otel`.",
    )
    headers: dict[Annotated[str, Field(pattern=_FIELD_NAME)], Secret] = Field(
        default={}, description="Of `otlp`: fields of the request, such as `Authorization`."
    )
    timeout: Duration = Field(
        default=10.0, gt=0, description="Of `otlp`: longest wait for the collector; as in the OTLP specification."
    )
    tls: CollectorTls = Field(
        default=CollectorTls(), description="Of `otlp` by `https://` and of `syslog` by `tls://`: who is trusted."
    )
    format: Layout | None = Field(
        default=None, description="What lines look like here. Unset: as the log says. `otlp` has its own."
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value in _STREAMS:
                return {"stream": value}
            raise expected("stdout, stderr, or a mapping with file, syslog or otlp")
        return value

    @model_validator(mode="after")
    def _one(self) -> LogSink:
        kinds = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise expected("exactly one of stream, file, syslog and otlp")
        secure = (self.syslog or self.otlp or "").startswith(("tls:", "https:"))
        if "tls" in self.model_fields_set and not secure:
            raise expected("`tls` only beside `syslog: tls://…` and `otlp: https://…`")
        if secure and self.framing == "newline":
            raise expected("no `framing: newline` over TLS, which has octet counts (RFC 5425 §4.3)")
        for key, kind in _OF_KIND.items():
            if key in self.model_fields_set and kind != kinds[0]:
                raise expected(f"`{key}` only beside `{kind}`")
        if "format" in self.model_fields_set and kinds[0] == "otlp":
            raise expected("no `format` beside `otlp`, which has its own")
        for name, secret in self.headers.items():
            text = secret.get_secret_value()
            if not text.isascii() or not text.isprintable():
                raise PydanticCustomError("header", "expected `headers.{name}` in printable ASCII", {"name": name})
        return self

    @property
    def kind(self) -> str:
        """Which of the four it is."""
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)

    def __str__(self) -> str:
        """What messages call it: no secret stands in an address."""
        return without_query(str(getattr(self, self.kind)))

    @model_serializer(mode="wrap", when_used="json")
    def _as_written(self, handler: Any) -> Any:
        dumped: dict[str, Any] = handler(self)
        wanted = {key for key, kind in _OF_KIND.items() if kind == self.kind} | {self.kind, "format"}
        if self.tls != CollectorTls():
            wanted.add("tls")
        short = {key: value for key, value in dumped.items() if key in wanted and value not in (None, {})}
        if "file" in short and self.rotate is None:
            short["rotate"] = "off"
        return self.stream if set(short) == {"stream"} else short

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler.resolve_ref_schema(handler(schema))
        made["properties"]["facility"]["enum"] = list(FACILITIES)
        return {"anyOf": [{"enum": list(_STREAMS)}, made]}


_OF_KIND: Final = {
    "rotate": "file",
    "facility": "syslog",
    "app_name": "syslog",
    "framing": "syslog",
    "headers": "otlp",
    "timeout": "otlp",
}

_FORMAT: Final = (
    "`sidegate`: JSON with the names of this gateway, the cheapest; `ecs`: JSON with Elastic's; `otel`: JSON with "
    "OpenTelemetry's; `console`: text for people."
)


def _class(value: Any) -> Any:
    if value == "5xx":
        raise expected("1xx, 2xx, 3xx or 4xx: errors are always written")
    if value in ("1xx", "2xx", "3xx", "4xx"):
        return value
    raise expected("a class of status: 1xx, 2xx, 3xx or 4xx")


class AccessSample(Settings):
    """Which share of exchanges gets a line; each such line says its share as `sampled`.

    Errors always do: answers of 500 and above, failures of targets and of the gateway, what was cut short, and what was
    slow (`slow`). Answers with 4xx do unless `status` speaks of them.
    """

    rate: Percent = Field(default=1.0, description="Of routes of which nothing is said below.")
    status: dict[Annotated[str, BeforeValidator(_class)], Percent] = Field(
        default={}, description="By class of status: `{2xx: 10%, 4xx: 50%}`. With a route's share the smaller holds."
    )
    routes: dict[Name, Percent] = Field(default={}, description="By route: `{health: 0%}`.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"rate": value} if isinstance(value, str | int | float) and not isinstance(value, bool) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [made["properties"]["rate"] | {"description": "`rate` alone."}, made]}


class SlowLog(Settings):
    """Requests that take long get a line of their own in the gateway's own log, at level warning.

    It says where the time went: in the line for a connection, connecting, sending the client's body, until the first
    byte of the answer, until its last, and in the gateway itself. At most 100 a second and worker; `untold` in a line
    counts those left out before it.
    """

    after: Annotated[Duration | None, Off] = Field(
        default=None, gt=0, description="How long a request takes that is slow, to the last byte; or `off`."
    )
    routes: dict[Name, Annotated[Duration | None, Off]] = Field(
        default={}, description="Routes with a time of their own, or `off`: `{reports: 30s, events: off}`."
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return value if isinstance(value, dict | SlowLog) else {"after": value}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [*made["properties"]["after"]["anyOf"], made]}

    @property
    def asked(self) -> bool:
        """Any request can be slow."""
        return self.after is not None or any(each is not None for each in self.routes.values())


Sinks = Annotated[tuple[LogSink, ...], OneOrMany()]


class AccessLog(Settings):
    """The line about each exchange: a word (`off`, `stdout`, `stderr`), one sink's mapping, or this."""

    to: Sinks = Field(
        default=(LogSink(stream="stdout"),),
        json_schema_extra={"default": "stdout"},
        description="Where lines go: one sink or several, each of which gets every line.",
    )
    format: Layout = Field(default="sidegate", description=f"What lines look like. {_FORMAT}")
    sample: AccessSample = Field(default=AccessSample(), description="Which share of exchanges gets a line.")
    slow: SlowLog = Field(default=SlowLog(), description="Requests that take long get a line of their own.")
    plugin_time: bool = Field(
        default=False,
        description="Add the time in each plugin (`plugins_ms`) to each line, and to those of slow requests. For "
        "debugging: it makes each plugin of each request dearer; off, it costs nothing.",
    )

    @model_validator(mode="before")
    @classmethod
    def _written(cls, value: Any) -> Any:
        if value is False or (isinstance(value, str) and value == "off"):
            return {"to": ()}
        if isinstance(value, str) and value in _STREAMS:
            return {"to": (value,)}
        if not isinstance(value, dict | AccessLog):
            raise expected("off, stdout, stderr, {file: path}, or a mapping with `to`")
        if isinstance(value, dict) and "to" not in value and any(kind in value for kind in _KINDS):
            own = {key: item for key, item in value.items() if key in cls.model_fields and key != "format"}
            return {**own, "to": ({key: item for key, item in value.items() if key not in own},)}
        if isinstance(value, dict) and (value.get("to") is False or value.get("to") == "off"):
            return {**value, "to": ()}
        return value

    @model_serializer(mode="wrap", when_used="json")
    def _as_written(self, handler: Any) -> Any:
        dumped: dict[str, Any] = handler(self)
        if not self.to:
            dumped["to"] = "off"
        elif len(self.to) == 1:
            dumped["to"] = dumped["to"][0]
        plain = all(
            getattr(self, key) == field.default for key, field in type(self).model_fields.items() if key != "to"
        )
        return dumped["to"] if plain and len(self.to) <= 1 else dumped

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler.resolve_ref_schema(handler(schema))
        sinks = made["properties"]["to"]
        sinks["anyOf"] = [{"const": "off"}, *sinks["anyOf"]]
        # As a sink's own mapping, other keys of this one beside it.
        own = {key: item for key, item in made["properties"].items() if key not in ("to", "format")}
        single = handler.resolve_ref_schema(sinks["anyOf"][1])
        sink = next(one for one in single["anyOf"] if "properties" in one)
        short = {**sink, "properties": {**sink["properties"], **own}, "anyOf": [{"required": [k]} for k in _KINDS]}
        return {"anyOf": [{"enum": ["off", *_STREAMS]}, made, short]}


class LogSample(Settings):
    """Which share of lines below warning is written. Warnings and errors always are."""

    debug: Percent = Field(default=1.0, description="Of lines at level debug.")
    info: Percent = Field(default=1.0, description="Of lines at level info.")


class Log(Settings):
    """The gateway's own log."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe line written. SIGUSR1 and SIGUSR2 turn it down and up while it runs."
    )
    format: Literal["json", "sidegate", "ecs", "otel", "console"] = Field(
        default="json", description=f"What lines look like. {_FORMAT} `json` is another word for `sidegate`."
    )
    to: Sinks = Field(
        default=(LogSink(stream="stderr"),),
        json_schema_extra={"default": "stderr"},
        min_length=1,
        description="Where lines go: one sink or several, each of which gets every line.",
    )
    sample: LogSample = Field(default=LogSample(), description="Which share of lines below warning is written.")

    @property
    def layout(self) -> Layout:
        """What lines look like where a sink does not say."""
        return "sidegate" if self.format == "json" else self.format


def secrets_of(sink: LogSink) -> dict[str, str]:
    """The fields of requests to a collector, as they are sent."""
    return {name: secret.get_secret_value() for name, secret in sink.headers.items()}


def identity_of(sink: LogSink, layout: Layout) -> tuple[Any, ...]:
    """Equal for sinks that write the same to the same place. Not to be shown."""

    def plain(value: Any) -> Any:
        if isinstance(value, SecretStr):
            return value.get_secret_value()
        return tuple(sorted((key, plain(item)) for key, item in value.items())) if isinstance(value, dict) else value

    dumped = sink.model_dump(mode="python")
    # A renewed certificate is another way to the same place.
    files = tuple(file_state(path) for path in sink.tls.files)
    return (sink.format or layout, *(repr(plain(dumped[key])) for key in sorted(dumped) if key != "format"), *files)
