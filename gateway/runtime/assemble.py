"""Puts a runtime together: upstreams and plugin instances taken over or opened, chains composed, the table compiled.

What survives a reload is keyed by (route, id, plugin, mode, resolved settings): an instance whose key is the same is
handed over with its counters and state, whatever else changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from gateway import registry
from gateway.chain import AnyOf, Link, acts, compose
from gateway.config.entry import AnyEntry, PluginEntry
from gateway.config.model import Route as RouteSettings
from gateway.config.model import Upstream as UpstreamSettings
from gateway.errors import GatewayError
from gateway.forward import LiveUpstream
from gateway.http import Handler
from gateway.http.path import normalize
from gateway.plugin import Authenticator, Context, Endpoint, Plugin
from gateway.plugin.settings import identity
from gateway.route.redirect import compile_redirect
from gateway.route.rewrite import compile_rewrite
from gateway.route.split import compile_split
from gateway.route.table import RouteTable, policy_of
from gateway.runtime.behind import Behind, LiveDestination, label_of
from gateway.runtime.route import UNROUTED, LiveRoute, condition_of, destination, redirecting
from gateway.runtime.telemetry import route_tracing
from gateway.runtime.timed import both, timed, timing, untold
from gateway.runtime.traced import deciding, observed, plugins_are_traced

if TYPE_CHECKING:
    from gateway.runtime.live import Runtime

Key = tuple[str, ...]


class BuildError(Exception):
    """A configuration that is valid on paper cannot be made live; says what, and where it stands."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A plugin made live, and what it is known by."""

    key: Key
    route: str
    id: str
    name: str
    """As in YAML; ``any`` for several authenticators together."""
    plugin: Plugin[Any]
    entry: PluginEntry | AnyEntry
    members: tuple[Instance, ...] = ()
    """Of ``any``."""


class Assembly:
    """Builds one runtime. What it opens is in the runtime at once, so that a failure can close it."""

    def __init__(self, runtime: Runtime, old: Runtime | None) -> None:
        self._runtime = runtime
        self._config = runtime.config
        self._services = runtime.services
        self._old = old
        self._fold = runtime.config.routing.ignore_case
        self._traced = runtime.config.tracing is not None
        self._timed = runtime.config.access_log.plugin_time
        self._observe = both(observed if plugins_are_traced(runtime.config) else None, timed if self._timed else None)
        # A plugin holds on to the store that it was opened with.
        self._old_instances = old.instances if old is not None and old.store == runtime.store else {}

    async def run(self) -> None:
        """Build everything. Raises BuildError."""
        for name, settings in self._config.upstreams.items():
            await self._upstream(name, settings)
        pairs = []
        for route in self._config.routes:
            live = await self._route(route)
            self._runtime.routes.append(live)
            pairs.append((live, route.match))
        self._runtime.table = RouteTable(pairs, ignore_case=self._fold)
        await self._unrouted()
        self._endpoints()

    # -- upstreams ---------------------------------------------------------------------------------------------

    async def _upstream(self, name: str, settings: UpstreamSettings) -> None:
        label = f"upstream:{name}"
        instances = await self._instances(label, settings.attempt)
        self._runtime.chains[label] = instances
        # Its attempt chain compares paths, too.
        observed_as = (plugins_are_traced(self._config), self._timed) if instances else ()
        key = f"{identity(settings)} {self._fold} {self._traced} {observed_as}"
        old = self._old.upstreams.get(name) if self._old is not None else None
        kept = all(instance.key in self._old_instances for instance in instances)
        if old is not None and old.key == key and kept:
            self._runtime.upstreams[name] = old
            return
        services = self._services
        upstream = LiveUpstream(
            name,
            settings,
            wheel=services.wheel,
            clock=services.clock,
            buffer=services.buffer,
            metrics=services.metrics,
            compose_attempt=self._composer(instances),
            probe=services.owner,
            traced=self._traced,
        )
        upstream.key = key
        for instance in instances:
            if instance.entry.when is None:  # what is asked for some requests only must not decide for all
                upstream.publish(instance.plugin.gate)
        self._runtime.upstreams[name] = upstream
        await upstream.open()

    async def _unrouted(self) -> None:
        """What no route takes is recorded where all routes are: looking for what is not there is an access, too."""
        entries = [
            entry
            for entry in self._config.defaults.plugins
            if isinstance(entry, PluginEntry) and registry.find(entry.plugin).audits
        ]
        if instances := await self._instances(UNROUTED, entries):
            links = [self._link(instance) for instance in instances]
            self._runtime.witnessed = lambda last: compose(links, last, self._runtime.render)

    def _composer(self, instances: Sequence[Instance]) -> Callable[[Handler], Handler] | None:
        if not instances:
            return None
        links = [self._link(instance) for instance in instances]
        return lambda last: compose(links, untold(last) if self._timed else last, self._runtime.render, self._observe)

    # -- routes ------------------------------------------------------------------------------------------------

    async def _route(self, route: RouteSettings) -> LiveRoute:
        instances = await self._instances(route.name, self._config.entries_of(route))
        self._runtime.chains[route.name] = instances
        handler = end = self._end(route)
        for index, instance in enumerate(instances):
            if instance.plugin.durable:
                found = self._behind(route, instance, instances[index + 1 :], end)
                self._runtime.behind[route.name, instance.id] = found
        # Without plugins there is nobody but `Runtime.handle` to see what the end raises.
        if any(acts(type(each.plugin)) for each in instances):
            links = [self._link(instance) for instance in instances]
            last = untold(handler) if self._timed else handler
            handler = compose(links, last, self._runtime.render, self._observe)
        if self._timed:
            handler = timing(handler)
        if self._traced:
            handler = deciding(handler, route_tracing(self._config, route))
        live = LiveRoute(route.name, handler, self._services.metrics.route(route.name))
        # In shadow it lets through what it would refuse, and this route has nothing behind it for that.
        if any(each.plugin.preflights and not each.plugin.shadow and each.entry.when is None for each in instances):
            self._runtime.preflights.add(live)
        return live

    def _behind(self, route: RouteSettings, instance: Instance, inner: Sequence[Instance], end: Handler) -> Behind:
        runtime = self._runtime
        names = [route.upstream] if route.upstream is not None else [share.upstream for share in route.split]
        handler = compose([self._link(each) for each in inner], end, runtime.render)
        live = LiveRoute(route.name, handler, self._services.metrics.route(label_of(route.name)))
        leads_to = LiveDestination([runtime.upstreams[name] for name in names])
        return Behind(instance.plugin.context, live, leads_to)

    def _end(self, route: RouteSettings) -> Handler:
        policy = policy_of(route.match)
        rewrite = compile_rewrite(route.rewrite, policy, ignore_case=self._fold)
        host = route.rewrite.host if route.rewrite is not None else None
        runtime, config = self._runtime, self._config

        def forwarder(name: str) -> Handler:
            return runtime.upstreams[name].forwarder(config.timeout_of(route, name), rewrite=rewrite, host=host)

        runtime.ways[route.name] = forwarder
        choose = compile_split(route.upstream, route.split, route.override, route.sticky, seed=route.name)
        onward = destination(route.upstream, choose, forwarder)
        if route.redirect is None:
            return onward
        locate = compile_redirect(route.redirect, policy)
        leads_on = route.upstream is not None or bool(route.split)
        return redirecting(locate, route.redirect.status, onward if leads_on else None)

    def _link(self, instance: Instance) -> Link:
        when = instance.entry.when
        if when is None:
            return Link(instance.plugin, None)
        condition = condition_of(frozenset(when.methods), when.path, when.headers, ignore_case=self._fold)
        return Link(instance.plugin, condition)

    # -- plugins -----------------------------------------------------------------------------------------------

    async def _instances(self, owner: str, entries: Sequence[PluginEntry | AnyEntry]) -> tuple[Instance, ...]:
        taken: dict[str, int] = {}
        made = []
        for entry in entries:
            if entry.mode.value == "off":
                continue
            given = entry.name
            taken[given] = taken.get(given, 0) + 1
            unique = given if taken[given] == 1 else f"{given}_{taken[given]}"
            if isinstance(entry, AnyEntry):
                made.append(await self._any(owner, unique, entry))
            else:
                made.append(await self._instance(owner, unique, entry))
        return tuple(made)

    async def _instance(self, owner: str, unique: str, entry: PluginEntry) -> Instance:
        key = (owner, unique, entry.plugin, entry.mode.value, self._identity(entry))
        old = self._old_instances.get(key)
        if old is not None:
            kept = Instance(key, owner, unique, entry.plugin, old.plugin, entry)
            self._runtime.instances[key] = kept
            return kept
        context = Context(self._services.ports, route=owner, plugin=entry.plugin, id=unique, mode=entry.mode)
        try:
            plugin = registry.find(entry.plugin)(entry.settings, context)
            instance = Instance(key, owner, unique, entry.plugin, plugin, entry)
            self._runtime.instances[key] = instance  # before open: close is called even if that fails
            await plugin.open()
        except Exception as error:
            why = error.reason if isinstance(error, GatewayError) else str(error)
            raise BuildError(f"{owner}: {unique}: {why or type(error).__name__}") from error
        return instance

    def _identity(self, entry: PluginEntry) -> str:
        """The resolved settings; of what keeps work also where, as it holds on to the queue that it was opened with."""
        durable = self._config.stores.durable
        if durable is None or not registry.find(entry.plugin).durable:
            return identity(entry.settings)
        place = blake2b(durable.get_secret_value().encode(), digest_size=16).hexdigest()
        return f"{identity(entry.settings)} {place}"

    async def _any(self, owner: str, unique: str, entry: AnyEntry) -> Instance:
        members = []
        for number, inner in enumerate(entry.any, 1):
            if inner.mode.value == "off":
                continue
            members.append(await self._instance(owner, f"{unique}.{inner.id or inner.plugin}.{number}", inner))
        authenticators = [member.plugin for member in members if isinstance(member.plugin, Authenticator)]
        context = Context(self._services.ports, route=owner, plugin="any", id=unique, mode=entry.mode)
        key = (owner, unique, "any", entry.mode.value, *(part for member in members for part in member.key))
        instance = Instance(key, owner, unique, "any", AnyOf(authenticators, context), entry, tuple(members))
        self._runtime.instances[key] = instance
        return instance

    # -- what plugins bring along ------------------------------------------------------------------------------

    def _endpoints(self) -> None:
        runtime = self._runtime
        by_name = {route.name: route for route in runtime.routes}
        seen: dict[str, tuple[Instance, Endpoint]] = {}
        exact = {
            normalize(path.exact, policy_of(route.match)): route.name
            for route in self._config.routes
            for path in route.match.path
            if path.exact is not None
        }
        for instance in runtime.instances.values():
            for endpoint in instance.plugin.endpoints():
                path = normalize(endpoint.path)
                first = seen.get(path)
                if first is not None and _alike(first, (instance, endpoint)):
                    continue
                other = _where(first[0]) if first is not None else f"route {exact[path]}" if path in exact else None
                if other is not None:
                    raise BuildError(f"{_where(instance)} answers {path} itself, and so does {other}")
                seen[path] = (instance, endpoint)
                route = by_name.get(instance.route, runtime.unrouted)
                # What records the route's requests records these, which never get to its chain.
                chain = runtime.chains.get(instance.route, ())
                links = [self._link(each) for each in chain if each.plugin.audits]
                handler = compose(links, endpoint.handler, runtime.render)
                runtime.endpoints[path] = (route, handler, endpoint.methods)


def _alike(first: tuple[Instance, Endpoint], second: tuple[Instance, Endpoint]) -> bool:
    """The same plugin with the same settings on two routes, or two that say so themselves: one answers for both."""
    (one, its), (other, theirs) = first, second
    same = one.route != other.route and (one.name, one.key[-1]) == (other.name, other.key[-1])
    return same or its.shared == theirs.shared != ""


def _where(instance: Instance) -> str:
    return f"{instance.name} ({instance.id}) on route {instance.route}"
