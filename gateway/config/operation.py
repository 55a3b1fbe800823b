"""How the gateway is run: stores, checks, error answers, shutdown and reload."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Final

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    WithJsonSchema,
    model_validator,
)

from gateway.config.address import parse_bind
from gateway.config.tracker import Sentry
from gateway.plugin.settings import (
    Duration,
    FromFile,
    Name,
    Secret,
    Settings,
    Text,
    expected,
    expected_secret,
)

_STORE_SCHEMES: Final = (
    "memory",
    "redis",
    "rediss",
    "redis+sentinel",
    "redis+cluster",
    "rediss+sentinel",
    "rediss+cluster",
)
_DURABLE_SCHEMES: Final = ("sqlite", *_STORE_SCHEMES[1:])


def mask_url(secret: SecretStr) -> str:
    """A store's URL without its password: shown in dumps and messages."""
    # To the last @ there is: a password that should have been percent-encoded, and was not, is hidden whole.
    return re.sub(r"(?<=://)([^:/@]*:)?.*@", lambda found: f"{found[1] or ''}***@", secret.get_secret_value())


def _store_url(schemes: tuple[str, ...], example: str) -> BeforeValidator:
    def read(value: Any) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(text, str) or not re.fullmatch(r"[a-z+]+://[^\s]*", text):
            raise expected_secret(f"a store's URL such as {example}")
        scheme, _, rest = text.partition("://")
        if scheme not in schemes or (scheme != "memory" and not rest):
            raise expected_secret(f"a store's URL that begins with {', '.join(name + '://' for name in schemes)}")
        return SecretStr(text)

    return BeforeValidator(read)


def _url_schema(schemes: tuple[str, ...]) -> WithJsonSchema:
    pattern = "|".join(re.escape(name) for name in schemes)
    return WithJsonSchema({"type": "string", "pattern": rf"^({pattern})://|\$\{{"})


_MASKED: Final = PlainSerializer(mask_url, return_type=str, when_used="json")
SharedUrl = Annotated[
    SecretStr, _store_url(_STORE_SCHEMES, "redis://127.0.0.1:6379/0"), _MASKED, _url_schema(_STORE_SCHEMES)
]
DurableUrl = Annotated[
    SecretStr,
    _store_url(_DURABLE_SCHEMES, "sqlite:///var/lib/sidegate/queue.db"),
    _MASKED,
    _url_schema(_DURABLE_SCHEMES),
]


class Stores(Settings):
    """Where state lives that outlasts a request. URLs may hold a password: they are masked wherever they are shown."""

    shared: SharedUrl = Field(
        default=SecretStr("memory://"),
        json_schema_extra={"default": "memory://"},
        description="State that replicas share: limits, sessions, caches. `memory://` is each worker's own.",
        examples=["redis://127.0.0.1:6379/0", "redis+sentinel://10.0.0.1:26379,10.0.0.2:26379/primary"],
    )
    deadline: Duration = Field(
        default=0.02,
        gt=0,
        description="Longest wait for the shared store within a request; then the plugin's `on_store_error` decides.",
    )
    durable: DurableUrl | None = Field(
        default=None,
        description="Where accepted work is kept until it is done: `sqlite:///absolute/path.db`, or Redis for several "
        "replicas. Unset: plugins that need it refuse to load.",
    )


class Check(Settings):
    """Something outside that the gateway watches; exactly one of `http`, `tcp` and `redis`."""

    http: str | None = Field(
        default=None, pattern=r"^https?://[!-~]+$", description="URL that must answer with 2xx or 3xx."
    )
    tcp: str | None = Field(default=None, description="`host:port` that must take a connection.")
    redis: Secret | None = Field(default=None, description="URL of a Redis that must answer PING.")
    interval: Duration = Field(default=10.0, ge=0.1, description="Time between looks; `/readyz` shows the last one.")
    timeout: Duration = Field(default=2.0, gt=0, description="Longest wait.")
    critical: bool = Field(default=False, description="Whether `/readyz` turns 503 while it fails.")

    @model_validator(mode="after")
    def _one(self) -> Check:
        if sum(kind is not None for kind in (self.http, self.tcp, self.redis)) != 1:
            raise ValueError("exactly one of `http`, `tcp` and `redis`")
        address = None if self.tcp is None else parse_bind(self.tcp)
        if address is not None and not (address.port and address.host):
            raise expected("`tcp` with a host and a port, such as db.internal:5432")
        return self


class HealthChecks(Settings):
    """What `/readyz` says beside targets and stores."""

    checks: dict[Name, Check] = Field(default={}, description="Named checks.")


class ErrorPages(Settings):
    """How error answers look, and who is told of unhandled errors.

    Programs get `application/problem+json`; its codes never change with the language.
    """

    html: Text | None = Field(
        default=None,
        description="HTML page for browsers, inline or `{file: path}`, with `{status}`, `{title}`, `{detail}`, "
        "`{code}`, "
        "`{request_id}` and `{language}` filled in, escaped. Unset: a plain page.",
    )
    messages: Annotated[dict[str, dict[str, str]], FromFile] = Field(
        default={},
        description="Texts by language (as in `Accept-Language`) and error code, inline or `{file: path}`: "
        "`{de: {rate_limited: Zu viele Anfragen}}`.",
    )
    sentry: Sentry | None = Field(
        default=None, description="Where errors that nobody has handled are sent. Unset: they are logged and counted."
    )


class Shutdown(Settings):
    """What SIGTERM does."""

    delay: Duration = Field(
        default=0.0,
        description="Serve on for this long while `/readyz` already says 503, so that balancers stop sending first. "
        "In Kubernetes 5s to 10s are right.",
    )
    drain: Duration = Field(
        default=30.0,
        description="Longest wait for open requests and upgraded connections, then they are cut. Stay below the "
        "supervisor's own patience (Kubernetes: `terminationGracePeriodSeconds`, 30s by default).",
    )


class Reload(Settings):
    """Taking up a changed configuration."""

    watch: bool = Field(
        default=True,
        description="Reload when a configuration file, or a file that it names, changes. SIGHUP always does.",
    )
    drain: Duration = Field(
        default=300.0,
        description="How long what only the old configuration has (plugins, connections) is kept for requests that "
        "began under it. Upgraded connections go on as long as their route and target are there.",
    )


def _network(value: Any) -> Any:
    if isinstance(value, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
        return value
    if isinstance(value, str):
        try:
            return ipaddress.ip_network(value)
        except ValueError:
            try:
                meant = ipaddress.ip_network(value, strict=False)
            except ValueError:
                pass
            else:
                raise expected(f"a network without host bits ({meant} is the network of that address)")
    raise expected("an address or network such as 10.0.0.0/8, 192.168.1.7 or fd00::/8")


Network = Annotated[
    ipaddress.IPv4Network | ipaddress.IPv6Network,
    BeforeValidator(_network),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "title": "network", "examples": ["10.0.0.0/8"]}),
]
