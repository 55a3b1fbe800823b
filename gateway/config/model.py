"""The whole configuration as one model: every key that may stand in a file, with its unit and its default's reason."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from gateway import registry
from gateway.config.audit import Audit
from gateway.config.entry import AnyEntry, Entry, PluginEntry, When
from gateway.config.listener import Admin, Limits, Listener, ListenerTls, limits_for
from gateway.config.logs import AccessLog, Log
from gateway.config.operation import (
    Check,
    ErrorPages,
    HealthChecks,
    Network,
    Reload,
    Shutdown,
    Stores,
)
from gateway.config.queue import Backup, QueueOptions
from gateway.config.routing import Match, Overrides, Redirect, Rewrite, Routing, Split, StickyKey
from gateway.config.tracing import RouteTracing, Tracing
from gateway.config.upstream import (
    ActiveHealth,
    Balance,
    Dns,
    Health,
    PassiveHealth,
    Pool,
    Retry,
    Sticky,
    Target,
    Timeout,
    TimeoutOverride,
    Upstream,
    UpstreamTls,
)
from gateway.plugin.settings import Name, Off, Settings, expected

__all__ = [
    "AccessLog",
    "ActiveHealth",
    "Admin",
    "AnyEntry",
    "Audit",
    "Backup",
    "Balance",
    "Check",
    "Config",
    "Defaults",
    "Dns",
    "ErrorPages",
    "Health",
    "HealthChecks",
    "Limits",
    "Listener",
    "ListenerTls",
    "Log",
    "PassiveHealth",
    "PluginEntry",
    "Pool",
    "QueueOptions",
    "Reload",
    "Retry",
    "Route",
    "RouteTracing",
    "Routing",
    "Shutdown",
    "Sticky",
    "Stores",
    "Target",
    "Timeout",
    "TimeoutOverride",
    "Tracing",
    "Upstream",
    "UpstreamTls",
    "When",
]


class Defaults(Settings):
    """What every route gets."""

    plugins: tuple[Entry, ...] = Field(
        default=(),
        description="Outermost in every route's list, in this order; a route may leave some out (`without`).",
    )

    masking: Literal["on", "off"] = Field(
        default="on",
        description="`on`: what people see of requests (logs, traces, audit, stored requests) is masked as "
        "`pii_masking` does without settings, on every route that neither has a `pii_masking` of its own, nor gets one "
        "by `plugins`, nor is `without` it. It costs requests nothing but their line in the log. Secrets by name are "
        "not shown in traces, audit and stored requests even when `off`.",
    )


class Route(Settings):
    """Which requests are meant, what happens to them, and where they go."""

    name: Name = Field(description="Unique; label of metrics and logs, and what keeps state over a reload.")
    match: Match = Field(default=Match(), description="Which requests it takes. Unset: all that no other route takes.")
    rewrite: Rewrite | None = Field(default=None, description="How the request is changed on its way to the upstream.")
    redirect: Redirect | None = Field(
        default=None, description="Answer with a redirect; only a request that is already there goes on to an upstream."
    )
    upstream: Name | None = Field(default=None, description="Where requests go: a key of `upstreams`.")
    split: Split = Field(
        default=(), description="Several upstreams by weight, in place of `upstream`: `{upstream, weight}`."
    )
    override: Overrides = Field(
        default=(),
        description="Requests with a header field or cookie that go to an upstream of their own; first match wins.",
    )
    sticky: StickyKey | None = Field(
        default=None,
        description="Who gets the same side of `split` each time: `client_ip`, `principal`, `tenant`, `header:NAME` or "
        "`cookie:NAME`. Unset: drawn anew for each request.",
    )
    timeout: TimeoutOverride | None = Field(default=None, description="Deadlines that differ from the upstream's.")
    tracing: RouteTracing | None = Field(default=None, description="What of `tracing` this route has its own way.")
    plugins: tuple[Entry, ...] = Field(
        default=(), description="Top is outermost: requests go down the list, answers come up. Nothing is sorted."
    )
    without: tuple[str, ...] = Field(
        default=(), description="Names or ids of plugins of `defaults` that this route leaves out."
    )


def _workers(value: Any) -> Any:
    if value == "auto" or (isinstance(value, str) and value.isdecimal()):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 256:
        return value
    raise expected("a number of workers from 1 to 256, or auto")


def _replicas(value: Any) -> Any:
    if value == "heartbeat" or (isinstance(value, str) and value.isdecimal()):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10_000:
        return value
    raise expected("a number of replicas from 1 to 10000, or heartbeat")


class Config(Settings):
    """A gateway's configuration. Keys that begin with `x-` are skipped: a place for anchors of your own."""

    listeners: tuple[Listener, ...] = Field(
        default=(Listener(bind="127.0.0.1:8080"),),
        json_schema_extra={"default": [{"bind": "127.0.0.1:8080"}]},
        min_length=1,
        description="Where requests are taken. By default only from this machine: opening it to others is a decision.",
    )
    admin: Annotated[Admin | None, Off] = Field(default=Admin(), description="The operators' listener; or `off`.")
    workers: Annotated[Annotated[int, Field(ge=1, le=256)] | Literal["auto"], BeforeValidator(_workers)] = Field(
        default=1, description="Processes that serve, on the same port; `auto` takes one per usable CPU."
    )
    replicas: Annotated[Annotated[int, Field(ge=1, le=10_000)] | Literal["heartbeat"], BeforeValidator(_replicas)] = (
        Field(
            default=1,
            description="Gateways that serve the same traffic, for limits that are divided when the store is away; "
            "`heartbeat` counts them in Redis.",
        )
    )
    trusted_proxies: tuple[Network, ...] = Field(
        default=(),
        description="Networks of proxies whose `Forwarded`, `X-Forwarded-*` and PROXY headers are believed. From "
        "others these fields, and their like (`X-Real-IP`, `X-Original-URL`, `Client-Cert` …), do not reach a target.",
    )
    access_log: AccessLog = Field(
        default=AccessLog(),
        json_schema_extra={"default": "stdout"},
        description="A line about each exchange: `stdout`, `stderr`, `off`, `{file: path}`, or more in a mapping.",
    )
    log: Log = Field(default=Log(), description="The gateway's own log, on stderr unless it says otherwise.")
    tracing: Annotated[Tracing | None, Off] = Field(
        default=None, description="Traces by OpenTelemetry's protocol; or `off`, which is also the default."
    )
    audit: Annotated[Audit | None, Off] = Field(
        default=None, description="The audit trail: who did what, in records that are chained. Unset: none."
    )
    stores: Stores = Field(default=Stores(), description="Where state lives that outlasts a request.")
    queue: QueueOptions = Field(
        default=QueueOptions(), description="How accepted work is kept in `stores.durable` until it is done."
    )
    limits: Limits = Field(default=Limits(), description="What one client connection may cost.")
    defaults: Defaults = Field(default=Defaults(), description="What every route gets.")
    upstreams: dict[Name, Upstream] = Field(default={}, description="Services behind the gateway, by name.")
    routes: tuple[Route, ...] = Field(
        default=(),
        description="Which requests go where. The most specific match wins; order decides only between equals.",
    )
    routing: Routing = Field(default=Routing(), description="How routes are found.")
    health: HealthChecks = Field(
        default=HealthChecks(), description="What `/readyz` watches beside targets and stores."
    )
    errors: ErrorPages = Field(default=ErrorPages(), description="How error answers look.")
    shutdown: Shutdown = Field(default=Shutdown(), description="What SIGTERM does.")
    reload: Reload = Field(default=Reload(), description="Taking up a changed configuration.")

    @model_validator(mode="before")
    @classmethod
    def _own_keys(cls, value: Any) -> Any:
        if isinstance(value, dict) and any(str(key).startswith("x-") for key in value):
            return {key: item for key, item in value.items() if not str(key).startswith("x-")}
        return value

    @property
    def worker_count(self) -> int:
        """Processes to start; ``auto`` counts the CPUs that this process may use."""
        return len(os.sched_getaffinity(0)) if self.workers == "auto" else self.workers

    def limits_of(self, listener: Listener) -> Limits:
        """The limits in force on a listener."""
        return limits_for(self.limits, listener)

    def timeout_of(self, route: Route, upstream: str) -> Timeout:
        """The deadlines in force for a route's requests to an upstream. Raises KeyError for one that is not there."""
        general = self.upstreams[upstream].timeout
        return general if route.timeout is None else route.timeout.over(general)

    def built_in_of(self, route: Route | None = None) -> tuple[str, ...]:
        """Plugins that no list names and that yet mask a route's lines; without a route, those of no route."""
        if self.defaults.masking == "off":
            return ()
        lists = self.defaults.plugins + (route.plugins if route is not None else ())
        named = {entry.plugin for entry in lists if isinstance(entry, PluginEntry)}
        named.update(route.without if route is not None else ())
        return tuple(name for name in registry.built_in() if name not in named)

    def entries_of(self, route: Route) -> tuple[PluginEntry | AnyEntry, ...]:
        """A route's effective list, outermost first: the defaults it keeps, then its own. ``mode: off`` is left out."""
        left_out = set(route.without)
        kept = tuple(
            entry
            for entry in self.defaults.plugins
            if entry.name not in left_out and not (isinstance(entry, PluginEntry) and entry.plugin in left_out)
        )
        return tuple(entry for entry in kept + route.plugins if entry.mode.value != "off")
