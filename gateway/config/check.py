"""What a configuration that is well-formed may still have wrong with it.

Laws of plugin order are `gateway.chain`'s, routes that can never be reached `gateway.route`'s; both stand above this
layer and report through `Loaded.problem`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gateway import registry
from gateway.config.address import Address, is_loopback
from gateway.config.entry import AnyEntry, PluginEntry, plugins_in
from gateway.config.listener import ListenerTls
from gateway.config.log_check import log_mistakes
from gateway.config.model import Config, Route
from gateway.config.pem import Mistake, authority_mistakes, certificate_mistakes
from gateway.config.routing import mistakes
from gateway.config.tracing import CollectorTls
from gateway.config.upstream import Upstream
from gateway.config.wording import Step, suggest
from gateway.plugin import Authenticator, Mode, Plugin
from gateway.plugin import Scope as StateScope
from gateway.plugin.tree import Severity
from gateway.plugin.upstream import upstreams_in
from gateway.services import tracing as tracing_service
from gateway.services import unhandled


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at a path."""

    path: tuple[Step, ...]
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    of_key: bool = False
    """The key is the place, not its value."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which part of the files a configuration stands for: some may have been left out because it was wrong."""

    routes: list[int]
    """The place in the files of each route."""
    upstreams: frozenset[str]
    """Every upstream that the files name, wrong ones too."""
    complete: bool = True

    @classmethod
    def whole(cls, config: Config) -> Scope:
        return cls(list(range(len(config.routes))), frozenset(config.upstreams))


def findings(config: Config, scope: Scope) -> Iterator[Finding]:
    """Everything that is wrong or doubtful, in no order."""
    if not config.routes and scope.complete:
        yield Finding(("routes",), "expected at least one route: nothing would be served")
    yield from _listeners(config)
    yield from _operation(config)
    for name, upstream in config.upstreams.items():
        yield from _upstream(config, name, upstream, scope)
    yield from _entries(config.defaults.plugins, ("defaults", "plugins"), scope)
    seen: dict[str, int] = {}
    for place, route in zip(scope.routes, config.routes, strict=True):
        if route.name in seen:
            yield namesake(route.name, place)
        seen.setdefault(route.name, place)
        yield from _route(config, route, ("routes", place), scope)
    references = {name for route in config.routes for _, name in _references(route)}
    if scope.complete and references <= scope.upstreams:  # else the one not used is the one that was misspelt
        yield from _unused(config, references)


def namesake(name: str, place: int) -> Finding:
    """A route has the name of another."""
    return Finding(("routes", place, "name"), f"another route is called {name!r} too; names are unique")


def _warning(path: tuple[Step, ...], message: str, *, of_key: bool = False) -> Finding:
    return Finding(path, message, severity=Severity.WARNING, of_key=of_key)


def _found(mistakes: Iterable[Mistake]) -> Iterator[Finding]:
    """As findings: every one of them is an error."""
    return (Finding(path, message) for path, message in mistakes)


def _no_upstream(path: tuple[Step, ...], name: str, scope: Scope) -> Finding:
    return Finding(path, f"no upstream is called {str(name)!r}", suggest(name, scope.upstreams))


# -- listeners ---------------------------------------------------------------------------------------------------------


def _listeners(config: Config) -> Iterator[Finding]:
    bound: list[tuple[Address, str]] = []
    for index, listener in enumerate(config.listeners):
        path: tuple[Step, ...] = ("listeners", index)
        yield from _bound(listener.address, (*path, "bind"), f"listeners[{index}]", bound)
        if listener.tls is not None:
            yield from _server_tls(listener.tls, (*path, "tls"))
        if listener.proxy_protocol and not config.trusted_proxies:
            yield Finding(
                (*path, "proxy_protocol"), "expected `trusted_proxies` to name who may send PROXY headers; it is empty"
            )
    admin = config.admin
    if admin is None:
        return
    yield from _bound(admin.address, ("admin", "bind"), "admin", bound)
    if admin.token is None and not admin.loopback:
        yield Finding(
            ("admin", "bind"), "expected `admin.token`, because others than this machine can reach this address"
        )
    if admin.tls is not None:
        yield from _server_tls(admin.tls, ("admin", "tls"))


def _bound(address: Address, path: tuple[Step, ...], name: str, bound: list[tuple[Address, str]]) -> Iterator[Finding]:
    for other, owner in bound:
        if _overlap(address, other):
            yield Finding(path, f"expected an address of its own; {owner} has {other}")
            break
    bound.append((address, name))


def _overlap(one: Address, other: Address) -> bool:
    if one.path or other.path:
        return one.path == other.path
    everywhere = {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    same = one.host == other.host or one.host in everywhere or other.host in everywhere
    return one.port == other.port != 0 and same


def _server_tls(tls: ListenerTls, path: tuple[Step, ...]) -> Iterator[Finding]:
    yield from _found(certificate_mistakes(tls.cert, tls.key, path))
    if tls.client_ca is not None:
        yield from _found(authority_mistakes(tls.client_ca, (*path, "client_ca")))


# -- operation ---------------------------------------------------------------------------------------------------------


def _operation(config: Config) -> Iterator[Finding]:
    yield from _found(log_mistakes(config))
    for log, sinks in (("access_log", config.access_log.to), ("log", config.log.to)):
        for index, sink in enumerate(sinks):
            yield from _collector_tls(sink.tls, (log, "to", index, "tls"))
    yield from _tracing(config)
    if config.errors.sentry is not None and not unhandled.available():
        yield Finding(
            ("errors", "sentry"),
            "expected the extra `sentry` to be installed: pip install 'sidegate[sentry]'",
            of_key=True,
        )
    yield from _durable(config)
    yield from _audit(config)
    memory = config.stores.shared.get_secret_value().startswith("memory:")
    if config.replicas == "heartbeat" and memory:
        yield Finding(("replicas",), "expected a Redis in `stores.shared`: heartbeats are counted there")
    several = config.workers != 1 or config.replicas != 1
    if memory and several:
        for path, entry in _all_entries(config):
            if _class_of(entry).scope_of(entry.settings) not in (StateScope.GATEWAY, StateScope.FLEET):
                continue
            if _class_of(entry).exact:
                yield Finding(
                    (*path, "plugin"),
                    "expected a Redis in `stores.shared`: its state must be one for all workers and replicas",
                )
            else:
                yield _warning(
                    (*path, "plugin"),
                    "its state is kept apart in each worker and replica, so what it counts is approximate; "
                    "a Redis in `stores.shared` makes it exact",
                )


def _tracing(config: Config) -> Iterator[Finding]:
    tracing = config.tracing
    if tracing is None:
        for index, route in enumerate(config.routes):
            if route.tracing is not None:
                yield _warning(("routes", index, "tracing"), "without `tracing` at the top this has no effect")
        return
    if not tracing_service.available():
        yield Finding(
            ("tracing",), "expected the extra `otel` to be installed: pip install 'sidegate[otel]'", of_key=True
        )
    yield from _collector_tls(tracing.tls, ("tracing", "tls"))


def _collector_tls(tls: CollectorTls, path: tuple[Step, ...]) -> Iterator[Finding]:
    if tls.cert is not None and tls.key is not None:
        yield from _found(certificate_mistakes(tls.cert, tls.key, path))
    if tls.ca is not None:
        yield from _found(authority_mistakes(tls.ca, (*path, "ca")))


def _durable(config: Config) -> Iterator[Finding]:
    url = config.stores.durable.get_secret_value() if config.stores.durable is not None else None
    for path, entry in _all_entries(config) if url is None else ():
        if _class_of(entry).durable and entry.mode is not Mode.OFF:
            yield Finding(
                (*path, "plugin"),
                "expected `stores.durable`, such as sqlite:///var/lib/sidegate/queue.db, to keep its work",
            )
    backup = config.queue.backup
    if backup is not None and not backup.folder.is_dir():
        yield Finding(("queue", "backup", "folder"), f"expected a folder that exists; {backup.folder} does not")
    if backup is not None and url is not None and not url.startswith("sqlite:"):
        yield Finding(("queue", "backup"), "expected none with Redis, which makes its own copies (AOF, RDB)")


def _audit(config: Config) -> Iterator[Finding]:
    if config.audit is None:
        for path, entry in _all_entries(config):
            if _class_of(entry).audits and entry.mode is not Mode.OFF:
                yield Finding((*path, "plugin"), "expected `audit` at the top, which says where its records are kept")
    elif not config.audit.key:
        yield _warning(
            ("audit",), "without `key` whoever can write to the disk can change records and have all hashes fit again"
        )


def _all_entries(config: Config) -> Iterator[tuple[tuple[Step, ...], PluginEntry]]:
    yield from _walk(config.defaults.plugins, ("defaults", "plugins"))
    for index, route in enumerate(config.routes):
        yield from _walk(route.plugins, ("routes", index, "plugins"))
    for name, upstream in config.upstreams.items():
        yield from _walk(upstream.attempt, ("upstreams", name, "attempt"))


def _walk(
    entries: Sequence[PluginEntry | AnyEntry], path: tuple[Step, ...]
) -> Iterator[tuple[tuple[Step, ...], PluginEntry]]:
    for index, entry in enumerate(entries):
        if isinstance(entry, AnyEntry):
            for within, inner in enumerate(entry.any):
                yield (*path, index, "any", within), inner
        else:
            yield (*path, index), entry


# -- upstreams ---------------------------------------------------------------------------------------------------------


def _upstream(config: Config, name: str, upstream: Upstream, scope: Scope) -> Iterator[Finding]:
    path: tuple[Step, ...] = ("upstreams", name)
    yield from _targets(config, upstream, path)
    tls = upstream.tls
    if tls.cert is not None and tls.key is not None:
        yield from _found(certificate_mistakes(tls.cert, tls.key, (*path, "tls")))
    if tls.ca is not None:
        yield from _found(authority_mistakes(tls.ca, (*path, "tls", "ca")))
    secure = any(target.origin.scheme == "https" for target in upstream.targets)
    if tls.model_fields_set and not secure:
        yield _warning((*path, "tls"), "no target is https, so this has no effect")
    if secure and not tls.verify:
        yield _warning((*path, "tls", "verify"), "anybody on the way to the target can read and change what is sent")
    timeout = upstream.timeout
    if (
        {"first_byte", "total"} <= timeout.model_fields_set
        and timeout.total is not None
        and (timeout.first_byte is None or timeout.first_byte > timeout.total)
    ):
        yield _warning((*path, "timeout", "first_byte"), "longer than `total`, which ends the wait first")
    yield from _entries(upstream.attempt, (*path, "attempt"), scope)


def _targets(config: Config, upstream: Upstream, path: tuple[Step, ...]) -> Iterator[Finding]:
    ports = {listener.address.port for listener in config.listeners if not listener.address.path}
    seen: set[str] = set()
    for index, target in enumerate(upstream.targets):
        origin = target.origin
        if str(origin) in seen:
            yield Finding(
                (*path, "targets", index), "expected each target once; `weight` gives one more of the requests"
            )
        seen.add(str(origin))
        if is_loopback(origin.address) and origin.address.port in ports and not origin.address.path:
            yield _warning(
                (*path, "targets", index), "this is the gateway's own listener: requests would go in a circle"
            )
    if not any(target.weight for target in upstream.targets):
        yield Finding((*path, "targets"), "expected a target with a weight above 0")


# -- plugins -----------------------------------------------------------------------------------------------------------


def _class_of(entry: PluginEntry) -> type[Plugin[Any]]:
    return registry.find(entry.plugin)


def _entries(entries: Sequence[PluginEntry | AnyEntry], path: tuple[Step, ...], scope: Scope) -> Iterator[Finding]:
    on_attempt = path[-1] == "attempt"
    ids: set[str] = set()
    for index, entry in enumerate(entries):
        if entry.id is not None and entry.id in ids:
            yield Finding((*path, index, "id"), f"expected an id of its own; {entry.id!r} stands in this list already")
        if entry.id is not None:
            ids.add(entry.id)
        if isinstance(entry, AnyEntry):
            for within, inner in enumerate(entry.any):
                if not issubclass(_class_of(inner), Authenticator):
                    yield Finding(
                        (*path, index, "any", within, "plugin"),
                        f"expected a plugin that finds out who the caller is; {inner.plugin} does not",
                    )
            yield from _members(entry, (*path, index, "any"))
    for place, entry in _walk(entries, path):
        yield from _entry(entry, place, on_attempt=on_attempt)
        for key, name in upstreams_in(entry.settings):
            if name not in scope.upstreams:
                yield _no_upstream((*place, "with", *key), name, scope)


def _members(entry: AnyEntry, path: tuple[Step, ...]) -> Iterator[Finding]:
    """Who is let in by one member is let in: there is nothing between asking it and not."""
    if all(inner.mode is Mode.OFF for inner in entry.any):
        yield Finding(path, "expected a member that is not off: nobody could come in; switch off the `any` as a whole")
    for within, inner in enumerate(entry.any):
        if inner.mode is Mode.SHADOW:
            expectation = "expected enforce or off: a member in shadow would let in whom it knows; give `any` the mode"
            yield Finding((*path, within, "mode"), expectation)
        if inner.when is not None:
            yield Finding((*path, within, "when"), "expected `when` beside `any`, for all its members together")
        plugin = _class_of(inner)
        if issubclass(plugin, Authenticator) and (key := plugin.alone(inner.settings)):
            place = (*path, within, "with", key)
            yield Finding(place, f"expected an entry of {inner.plugin} by itself for this: `any` only asks who it is")


def _entry(entry: PluginEntry, path: tuple[Step, ...], *, on_attempt: bool) -> Iterator[Finding]:
    plugin = _class_of(entry)
    if plugin.on_attempt and not on_attempt and not plugin.on_route:
        yield Finding(
            (*path, "plugin"),
            f"{entry.plugin} works around each attempt at a target: it belongs into `attempt` of an upstream",
        )
    if on_attempt and not plugin.on_attempt:
        yield Finding(
            (*path, "plugin"), f"{entry.plugin} works around the whole request: it belongs into `plugins` of a route"
        )
    if entry.mode is Mode.SHADOW and not plugin.refuses:
        yield Finding(
            (*path, "mode"), f"expected enforce or off: {entry.plugin} never refuses a request, so shadow means nothing"
        )
    for warning in plugin.check(entry.settings):
        yield _warning((*path, "with"), warning)


# -- routes ------------------------------------------------------------------------------------------------------------


def _route(config: Config, route: Route, path: tuple[Step, ...], scope: Scope) -> Iterator[Finding]:
    for location, expectation in mistakes(route.match, route.rewrite, route.redirect):
        yield Finding((*path, *location), f"expected {expectation}")
    for key, name in _references(route):
        if name not in scope.upstreams:
            yield _no_upstream((*path, *key), name, scope)
    if route.upstream is not None and route.split:
        yield Finding((*path, "split"), "expected either `upstream` or `split`", of_key=True)
    if route.sticky is not None and not route.split:
        yield _warning((*path, "sticky"), "without `split` there are no sides to stay on", of_key=True)
    goes_on = route.upstream is not None or bool(route.split)
    if route.override and not goes_on:
        yield Finding((*path, "override"), "expected `upstream` or `split` for all other requests", of_key=True)
    effective = config.entries_of(route)
    if not goes_on and route.redirect is None and not any(_answers(entry) for entry in effective):
        yield Finding(path, "expected `upstream`, `split`, `redirect`, or a plugin that answers every request")
    yield from _without(config, route, path)
    yield from _entries(route.plugins, (*path, "plugins"), scope)


def _references(route: Route) -> Iterator[tuple[tuple[Step, ...], str]]:
    if route.upstream is not None:
        yield ("upstream",), route.upstream
    for index, share in enumerate(route.split):
        yield ("split", index, "upstream"), share.upstream
    for index, override in enumerate(route.override):
        yield ("override", index, "upstream"), override.upstream


def _answers(entry: PluginEntry | AnyEntry) -> bool:
    return isinstance(entry, PluginEntry) and entry.when is None and _class_of(entry).ends


def _without(config: Config, route: Route, path: tuple[Step, ...]) -> Iterator[Finding]:
    known = {entry.name for entry in config.defaults.plugins}
    known |= {entry.plugin for entry in plugins_in(config.defaults.plugins)}
    known |= set(registry.built_in())
    for index, name in enumerate(route.without):
        if name not in known:
            yield Finding(
                (*path, "without", index), f"nothing in `defaults.plugins` is called {name!r}", suggest(name, known)
            )


def _unused(config: Config, references: set[str]) -> Iterator[Finding]:
    used = set(references)
    for _, entry in _all_entries(config):
        used |= _texts(entry.settings.model_dump(mode="json"))
    for name in config.upstreams:
        if name not in used:
            yield _warning(("upstreams", name), "no route and no plugin uses this upstream", of_key=True)


def _texts(value: Any) -> set[str]:
    """Every text in a plugin's settings: one of a foreign plugin may name an upstream."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        return set().union(*map(_texts, value.values())) if value else set()
    if isinstance(value, list):
        return set().union(*map(_texts, value)) if value else set()
    return set()
