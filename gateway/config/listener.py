"""Where the gateway listens, for clients and for its operators, and what one connection may cost."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from gateway.config.address import Address, is_loopback, parse_bind
from gateway.plugin.settings import Count, Duration, FilePath, Off, Secret, Settings, Size, expected


def _bind(text: str) -> str:
    parse_bind(text)
    return text


Bind = Annotated[str, AfterValidator(_bind)]


class ListenerTls(Settings):
    """TLS towards clients. Changed files are taken up without a restart, changed settings by a reload; connections that
    are open stay. (The admin listener's settings need a restart.)
    """

    cert: FilePath = Field(description="PEM file: the certificate, then its intermediates.")
    key: FilePath = Field(description="PEM file with the private key.")
    client_ca: FilePath | None = Field(
        default=None, description="PEM file of authorities that sign client certificates. Unset: clients are not asked."
    )
    client_auth: Literal["required", "optional"] = Field(
        default="required",
        description="Whether a client without a certificate is turned away in the handshake; only with `client_ca`.",
    )
    min_version: Literal["1.2", "1.3"] = Field(
        default="1.2", description="Oldest TLS version taken; 1.2 because many webhook senders know no newer one."
    )


class Limits(Settings):
    """What one client connection may cost. A listener may set some of them anew for itself."""

    url: Size = Field(
        default=8192, description="Longest request target; more is a 414. RFC 9112 §3 advises 8000 octets."
    )
    headers: Size = Field(
        default=32768, description="Largest header section; more is a 431. Room for a few large cookies and a token."
    )
    header_count: Count = Field(default=128, ge=1, le=10_000, description="Most header fields; more is a 431.")
    head: Duration = Field(
        default=10.0,
        gt=0,
        description="Time for a request's head from its first byte, then 408: slow senders hold nothing.",
    )
    body_idle: Duration = Field(
        default=30.0,
        gt=0,
        description="Longest silence of a client within its body, then 408 and the connection closes.",
    )
    send_idle: Duration = Field(
        default=60.0,
        gt=0,
        description="Longest time a client may take no byte of an answer, then the connection is cut.",
    )
    min_body_rate: Annotated[Size | None, Off] = Field(
        default=240,
        description="Bytes a second that a client must send of its body at least, over the time it is waited for and "
        "after the first 5s, then 408: one byte in each `body_idle` would hold a connection for days. Slower than any "
        "modem; `off` for clients that report now and then in one long request.",
    )
    min_send_rate: Annotated[Size | None, Off] = Field(
        default=240,
        description="Bytes a second that a client must take of an answer at least while it holds one up, over each "
        "half `send_idle`, then the connection is cut. Silent event streams hold nothing up, and WebSockets and other "
        "tunnels are not measured.",
    )
    keepalive_idle: Duration = Field(
        default=75.0,
        gt=0,
        description="How long an idle connection is kept; longer than the usual 60s of load balancers in front, "
        "so that "
        "they close first and never send into a closing connection.",
    )
    connections: Count = Field(
        default=10_000, ge=1, description="Most open client connections per worker; more wait in the system's queue."
    )


_OCTAL: Final = re.compile(r"0?[0-7]{3}")


class Listener(Settings):
    """An address on which requests are taken."""

    bind: Bind = Field(
        description="`host:port`, `[v6]:port`, `:port` for all addresses, or `unix:/path`. Port 0 takes any free one.",
        examples=["127.0.0.1:8080", "0.0.0.0:8080", "[::]:8080", "unix:/run/sidegate.sock"],
    )
    permissions: str = Field(
        default="0660", description="Mode of a unix socket, octal: who may connect. Owner and group by default."
    )
    tls: ListenerTls | None = Field(default=None, description="TLS for this listener. Unset: plain HTTP.")
    proxy_protocol: bool = Field(
        default=False,
        description="Every connection begins with a PROXY protocol header (v1 or v2) that says the client's address. "
        "Taken from `trusted_proxies` only; others are turned away.",
    )
    trace: bool = Field(
        default=False,
        description="Whether TRACE requests are taken. It has a service repeat what it was sent, cookies and tokens "
        "included, so only for diagnosis. CONNECT never is: this is no forward proxy.",
    )
    limits: Limits | None = Field(default=None, description="Limits that differ from the gateway's on this listener.")

    @model_validator(mode="after")
    def _octal(self) -> Listener:
        if not _OCTAL.fullmatch(self.permissions):
            raise expected('`permissions` in octal and in quotes, such as "0660"')
        return self

    @property
    def address(self) -> Address:
        return parse_bind(self.bind)

    @property
    def unix_mode(self) -> int:
        return int(self.permissions, 8)


HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$")]


class AdminCors(Settings):
    """Browser pages of other origins that may call the admin API, such as a dashboard."""

    origins: tuple[str, ...] = Field(
        min_length=1, description="Origins exactly as browsers send them, such as `https://ops.example.com`."
    )

    @model_validator(mode="after")
    def _exact(self) -> AdminCors:
        for origin in self.origins:
            if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+", origin):
                raise expected("origins such as https://ops.example.com, without a path and without *")
        return self


class Admin(Settings):
    """The operators' listener: metrics, health, routes, configuration."""

    bind: Bind = Field(default="127.0.0.1:9901", description="As with a listener. Loopback unless there is a token.")
    token: Secret | None = Field(
        default=None, description="Bearer token for every path that is not `public`; required when not on loopback."
    )
    public: tuple[Literal["/healthz", "/readyz", "/metrics"], ...] = Field(
        default=("/healthz", "/readyz"),
        description="Paths that need no token: probes rarely can send one. Add `/metrics` if Prometheus cannot either.",
    )
    hosts: tuple[HostName, ...] = Field(
        default=(),
        description="Names by which a listener without a token may be asked, besides `localhost`, loopback addresses "
        "and `bind`: a page of another origin that has its own name lead here (DNS rebinding) is turned away.",
        examples=[["sidecar.internal"]],
    )
    cors: AdminCors | None = Field(default=None, description="Browser access. Unset: none.")
    tls: ListenerTls | None = Field(default=None, description="TLS for the admin listener. Unset: plain HTTP.")

    @property
    def address(self) -> Address:
        return parse_bind(self.bind)

    @property
    def loopback(self) -> bool:
        """Only this machine can reach it; a unix socket counts."""
        return is_loopback(self.address)


def limits_for(general: Limits, listener: Listener) -> Limits:
    """The limits in force on a listener: its own where it says something, else the gateway's."""
    own: dict[str, Any] = (
        {}
        if listener.limits is None
        else {key: getattr(listener.limits, key) for key in listener.limits.model_fields_set}
    )
    return general.model_copy(update=own)
