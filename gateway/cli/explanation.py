"""What the gateway would do with a request, worked out from the configuration alone: no socket is opened.

The parts that decide are the ones that serve (`gateway.route`, `gateway.forward`), so that the answer is theirs. What
only shows while serving is named as such: who the caller is, which targets are well, what a random draw gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final

from multidict import CIMultiDict

from gateway import registry
from gateway.config.dump import dump_masked
from gateway.config.entry import AnyEntry, PluginEntry, When
from gateway.config.load import Loaded
from gateway.config.model import Route, Upstream
from gateway.errors import GatewayError, MethodNotAllowed, RouteNotFound, UpgradeRefused, UriTooLong
from gateway.forward.balance import ConsistentHash, key_of
from gateway.forward.retry import IDEMPOTENT
from gateway.forward.select import select
from gateway.forward.sticky import Stickiness
from gateway.forward.target import LiveTarget
from gateway.http import Request
from gateway.plugin.settings import format_duration, format_percent
from gateway.route import (
    Found,
    NotAllowed,
    RouteTable,
    Verdict,
    compile_redirect,
    compile_rewrite,
    compile_split,
    explain,
    policy_of,
)
from gateway.runtime.review import entries_of
from gateway.runtime.route import condition_of
from gateway.transport.endpoint import Endpoint

MOST_CANDIDATES: Final = 20
"""Routes that did not take the request and are told of, nearest first."""
_URL: Final = re.compile(r"(?:(https?)://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL | re.IGNORECASE)

Told = dict[str, Any]
"""As JSON can hold it."""


def asked(method: str, url: str, headers: Sequence[tuple[str, str]] = (), client: str = "127.0.0.1") -> Request:
    """The request that a client would make for this URL, or for this path if it begins with ``/``.

    Raises ValueError for what is neither. A fragment is never sent (RFC 9110 §4.2.5) and dropped here too.
    """
    found = _URL.fullmatch(url)
    if found is None or not (found[3].startswith("/") or (found[2] and not found[3])):
        raise ValueError(f"expected a URL such as http://localhost:8080/orders/5, or a path, got {url!r}")
    fields: CIMultiDict[str] = CIMultiDict(headers)
    host = fields.get("Host", found[2] or "")
    if host and "Host" not in fields:
        fields["Host"] = host
    scheme = (found[1] or "http").lower()
    query = found[4] or ""
    return Request(
        method, found[3] or "/", query=query, view=fields, host=host, scheme=scheme, client_ip=client, id="explained"
    )


class Explanation:
    """One request against one configuration; `told` is all there is to tell."""

    def __init__(self, loaded: Loaded, request: Request) -> None:
        self._loaded = loaded
        self._config = loaded.config
        self._request = request
        self.told: Told = {
            "request": {
                "method": request.method,
                "scheme": request.scheme,
                "host": request.host,
                "path": request.path,
                "query": request.query,
                "client": request.client_ip,
            }
        }
        try:
            self._explain()
        except GatewayError as error:
            self.told["refused"] = _refusal(error)

    @property
    def answered(self) -> bool:
        """A route takes the request, and nothing about the request itself is refused."""
        return "refused" not in self.told

    def _explain(self) -> None:
        request, config = self._request, self._config
        limit = max(config.limits_of(listener).url for listener in config.listeners)
        if len(request.path) + len(request.query) > limit:
            raise UriTooLong(reason=f"longer than `limits.url`, {limit} bytes")
        traced = any(listener.trace for listener in config.listeners)
        if request.method == "CONNECT" or (request.method == "TRACE" and not traced):
            raise UpgradeRefused(reason=f"{request.method} is not taken")
        pairs = [((place, route), route.match) for place, route in enumerate(config.routes)]
        table = RouteTable(pairs, ignore_case=config.routing.ignore_case)
        sent = request.path
        request.path = table.normalize(sent)
        self.told["path"] = {"sent": sent, "normal": request.path}
        verdicts = explain(table, request.host, request.path, request.method, request.headers, query=request.query)
        self.told["candidates"] = [self._candidate(each) for each in verdicts if not each.taken][:MOST_CANDIDATES]
        found = table.find(request.host, request.path, request.method, request.headers, request.query)
        if found is None:
            raise RouteNotFound(reason="no route takes it")
        if isinstance(found, NotAllowed):
            raise MethodNotAllowed(reason=f"routes for this path take {found.allow} only")
        self._taken(found, next(each for each in verdicts if each.taken))

    def _candidate(self, verdict: Verdict[tuple[int, Route]]) -> Told:
        place, route = verdict.route
        return {
            "route": route.name,
            "place": self._place("routes", place),
            "pattern": verdict.pattern,
            "matches": verdict.matched,
            "why_not": verdict.reason,
        }

    def _place(self, *path: str | int) -> str:
        return str(self._loaded.locate(path))

    # -- the route that takes it -------------------------------------------------------------------------------

    def _taken(self, found: Found[tuple[int, Route]], verdict: Verdict[tuple[int, Route]]) -> None:
        place, route = found.route
        request = self._request
        request.path_params = found.params
        self.told["route"] = {
            "name": route.name,
            "place": self._place("routes", place),
            "pattern": found.pattern,
            "why": _why(route, verdict),
            "parameters": dict(found.params or {}),
        }
        chain = self.told["chain"] = [
            self._entry(number, path, entry)
            for number, (path, entry) in enumerate(entries_of(self._config, route, place), 1)
        ]
        self.told["left_out"] = list(self._left_out(place, route))
        self.told["masked_by"] = [*self._config.built_in_of(route)]
        if any(entry["answers"] and entry["runs"] for entry in chain):
            return
        policy = policy_of(route.match)
        if route.redirect is not None:
            locate = compile_redirect(route.redirect, policy)
            where = locate(request.scheme, request.host, request.path, request.query, found.params)
            if where is not None:
                self.told["redirect"] = {"status": route.redirect.status, "location": where}
                return
        rewrite = compile_rewrite(route.rewrite, policy, ignore_case=self._config.routing.ignore_case)
        path = request.path if rewrite is None else rewrite(request.path, found.params)
        self.told["ways"] = [self._way(route, path, *way) for way in _ways(route, request)]

    def _entry(self, number: int, path: Sequence[str | int], entry: PluginEntry | AnyEntry) -> Told:
        told: Told = {
            "number": number,
            "id": entry.name,
            "mode": entry.mode.value,
            "from": "defaults" if path[0] == "defaults" else "upstream" if path[0] == "upstreams" else "route",
            "place": self._place(*path),
            "when": None if entry.when is None else entry.when.model_dump(mode="json", exclude_defaults=True),
            "runs": _holds(entry.when, self._request, ignore_case=self._config.routing.ignore_case),
            "answers": False,
        }
        if isinstance(entry, AnyEntry):
            return told | {"any": [{"plugin": each.plugin, "with": dump_masked(each.settings)} for each in entry.any]}
        plugin = registry.find(entry.plugin)
        return told | {
            "plugin": entry.plugin,
            "answers": plugin.ends,
            "holds_body": plugin.buffers_body,
            "with": dump_masked(entry.settings),
            "given": entry.settings.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        }

    def _left_out(self, place: int, route: Route) -> Iterator[Told]:
        kept = {id(entry) for entry in self._config.entries_of(route)}
        defaults, own = self._config.defaults.plugins, route.plugins
        for path, entries in ((("defaults", "plugins"), defaults), (("routes", place, "plugins"), own)):
            for index, entry in enumerate(entries):
                if id(entry) not in kept:
                    why = "mode: off" if entry.mode.value == "off" else "the route is without it"
                    yield {"id": entry.name, "why": why, "place": self._place(*path, index)}

    # -- where it goes -----------------------------------------------------------------------------------------

    def _way(self, route: Route, path: str, name: str, share: float, why: str) -> Told:
        upstream = self._config.upstreams[name]
        request = self._request
        targets, choice = _targets(name, upstream, request)
        host = route.rewrite.host if route.rewrite is not None else "target"
        own = {target["authority"] for target in targets if target["share"]}
        sent = {"target": own.pop() if len(own) == 1 else "the target's own", "preserve": request.host}.get(host, host)
        return {
            "upstream": name,
            "place": self._place("upstreams", name),
            "share": round(share, 6),
            "why": why,
            "targets": targets,
            "choice": choice,
            "sent": {"method": request.method, "path": path, "query": request.query, "host": sent},
            "timeout": self._timeouts(route, name),
            "retry": _retries(upstream, request.method),
            "attempt": [
                self._entry(number, ("upstreams", name, "attempt", number - 1), entry)
                for number, entry in enumerate(upstream.attempt, 1)
                if entry.mode.value != "off"
            ],
        }

    def _timeouts(self, route: Route, name: str) -> dict[str, Told]:
        timeout = self._config.timeout_of(route, name)
        general = self._config.upstreams[name].timeout
        own = route.timeout.model_fields_set if route.timeout is not None else set()
        told = {}
        for phase in type(timeout).model_fields:
            seconds = getattr(timeout, phase)
            source = "route" if phase in own else "upstream" if phase in general.model_fields_set else "default"
            told[phase] = {"value": "off" if seconds is None else format_duration(seconds), "from": source}
        return told


def _refusal(error: GatewayError) -> Told:
    return {"status": error.status, "code": error.code, "why": error.reason or error.title}


def _why(route: Route, verdict: Verdict[tuple[int, Route]]) -> str:
    match = route.match
    held = [f"path matches {verdict.pattern}" if match.path else "it takes every path"]
    if verdict.host is not None:
        held.insert(0, f"host matches {verdict.host}")
    held += ["method is taken"] if match.methods else []
    held += [f"header {name} holds" for name in match.headers]
    held += [f"query parameter {name} holds" for name in match.query]
    return ", ".join(held)


def _holds(when: When | None, request: Request, *, ignore_case: bool) -> bool:
    if when is None:
        return True
    condition = condition_of(frozenset(when.methods), when.path, when.headers, ignore_case=ignore_case)
    return condition is None or condition(request)


def _ways(route: Route, request: Request) -> list[tuple[str, float, str]]:
    """The upstreams that may get the request: name, share of such requests, why."""
    for override in route.override:
        chosen = compile_split("\0", (), [override])
        if chosen is not None and chosen(request, 0.0) != "\0":
            kind, name = ("header", override.header) if override.header is not None else ("cookie", override.cookie)
            return [(override.upstream, 1.0, f"override: {kind} {name} is there with the value wanted")]
    if not route.split:
        return [(route.upstream, 1.0, "the route's upstream")] if route.upstream is not None else []
    weights = {share.upstream: share.weight for share in route.split if share.weight}
    total = sum(weights.values())
    if len(weights) > 1 and route.sticky is not None:
        choose = compile_split(route.upstream, route.split, (), route.sticky, seed=route.name)
        assert choose is not None
        drawn = {choose(request, (draw + 0.5) / total) for draw in _inside(weights)}
        if len(drawn) == 1:  # whatever is drawn: the caller's key decides
            name = drawn.pop()
            return [(name, 1.0, f"split, sticky by {route.sticky}: this caller falls into its {weights[name]}/{total}")]
        unknown = f"split; sticky by {route.sticky}, which this request does not have (yet), so drawn"
        return [(name, weight / total, unknown) for name, weight in weights.items()]
    return [(name, weight / total, "split, drawn for each request") for name, weight in weights.items()]


def _inside(weights: Mapping[str, int]) -> list[int]:
    """A place within each share, of shares that lie side by side."""
    begin, places = 0, []
    for weight in weights.values():
        places.append(begin)
        begin += weight
    return places


# -- targets -----------------------------------------------------------------------------------------------------------


def _targets(name: str, upstream: Upstream, request: Request) -> tuple[list[Told], str]:
    """The targets with the share that each has of such requests while all are well, and how one is chosen."""
    live = [_on_paper(target.url, target.weight, target.priority) for target in upstream.targets]
    serving = select(live, upstream.balance, panic=upstream.health.panic_threshold, slow_start=0, now=0).targets
    chosen, choice = _choice(name, upstream, request, live, serving)
    total = sum(target.weight for target in serving)
    shares = {chosen: 1.0} if chosen is not None else {target: target.weight / total for target in serving}
    told = [
        {
            "url": target.name,
            "weight": target.weight,
            "priority": target.priority,
            "share": round(shares.get(target, 0.0), 6),
            "authority": target.authority.decode(),
        }
        for target in live
    ]
    return told, choice


def _on_paper(url: str, weight: int, priority: int) -> LiveTarget:
    """A target that has no connections and counts nothing."""
    tally: Any = SimpleNamespace(ok=None, durations=None)
    pool: Any = None
    return LiveTarget(Endpoint(url), pool, tally, weight=weight, priority=priority)


def _choice(
    name: str, upstream: Upstream, request: Request, live: Sequence[LiveTarget], serving: Sequence[LiveTarget]
) -> tuple[LiveTarget | None, str]:
    if upstream.sticky is not None:
        bound = Stickiness(upstream.sticky, name, live).target(request)
        if bound is not None:
            return bound, f"cookie {upstream.sticky.cookie} names it"
    others = len(live) > len(serving)
    if len(serving) == 1:
        return serving[0], "the only one of its priority" if others else "the only one"
    balance = upstream.balance
    if balance.algorithm == "consistent_hash":
        by = f"consistent_hash by {balance.by}{f' {balance.name}' if balance.name else ''}"
        key = key_of(balance)(request)
        if key:
            owner = ConsistentHash([(target, target.weight) for target in serving], key_of(balance)).owner(key)
            return owner, f"{by}: as long as it is well"
        return None, f"{by}, which this request does not have (yet), so in turn"
    how = {
        "round_robin": "round_robin: in turn, by weight",
        "least_request": "least_request: the less busy of two drawn by weight",
        "random": "random: by weight",
    }[balance.algorithm]
    return None, how


def _retries(upstream: Upstream, method: str) -> Told:
    retry = upstream.retry
    return {
        "attempts": retry.attempts,
        "on": list(retry.on),
        "backoff": {"base": format_duration(retry.backoff.base), "max": format_duration(retry.backoff.max)},
        "budget": format_percent(retry.budget),
        "repeatable": method in IDEMPOTENT,
    }
