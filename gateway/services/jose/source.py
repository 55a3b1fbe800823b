"""An issuer's keys: given, or fetched ahead of need and kept fresh in the background.

| keys at hand | the issuer answers | a token with a known kid | with an unknown one |
|---|---|---|---|
| fresh | yes | is verified | one fetch, then none for `cooldown` |
| old, younger than `keep` | no | is verified | refused |
| none, or older | no | 503 | 503 |

A `Source` fetches; there is one for each address in a worker, however many routes read from it. `IssuerKeys` is one
reader's view of it: the algorithms it takes, how old it lets keys become.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

from gateway.errors import GatewayError, KeysUnavailable
from gateway.services.client import Client
from gateway.services.clock import Clock
from gateway.services.jose.keys import FAMILIES, Key, KeySet, UnusableKey, from_jwks, read_json
from gateway.services.jose.token import Token
from gateway.services.metrics import Metrics
from gateway.services.shared import Hold, Shared

log = logging.getLogger("gateway.jose")

LARGEST: Final = 512 * 1024
"""Bytes of a JWK set or discovery document; the largest of the great providers have 20 KB."""
SOONEST: Final = 60.0
"""Seconds: an answer's `max-age` is not taken for less."""
REDISCOVER: Final = 3600.0
"""Seconds after which a discovery document is looked at again: an issuer's other endpoints may move, too."""
FIRST_RETRY: Final = 1.0
LAST_RETRY: Final = 60.0
WELL_KNOWN: Final = "/.well-known/openid-configuration"


class Fetch(Protocol):
    """How a reader wants keys kept fresh; seconds."""

    @property
    def refresh(self) -> float: ...
    @property
    def cooldown(self) -> float: ...
    @property
    def keep(self) -> float: ...
    @property
    def timeout(self) -> float: ...


class Worker(Protocol):
    """What a worker offers to those who fetch; `gateway.plugin.Context` is one."""

    @property
    def clock(self) -> Clock: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def shared(self) -> Shared: ...
    def client(self) -> Client: ...


class Unverified(Exception):
    """No key of the issuer made this signature, or not in a way that is taken. The text is for the log."""


class Source:
    """A JWK set at an address, or found through an issuer's discovery document."""

    def __init__(self, worker: Worker, issuer: str, *, jwks: str | None = None, discovery: str | None = None) -> None:
        self.issuer = issuer
        self.document: Any = None
        """The JWK set as it came last."""
        self.metadata: Mapping[str, Any] = {}
        """The discovery document, if there is one; its `issuer` was compared."""
        self.error = ""
        """Why the last fetch failed."""
        self.fetched = 0.0
        """When ``document`` came."""
        self.tried = -1e9
        self.interval = 0.0
        """Seconds from one fetch to the next."""
        self._worker = worker
        self._discovery = discovery
        self._given = jwks
        self._url = jwks
        self._discovered = 0.0
        self._readers: list[IssuerKeys] = []
        self._first = asyncio.Event()
        self._sooner = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._fetches = worker.metrics.counter(
            "jwks_fetches_total", "Fetches of an issuer's keys.", ("issuer", "outcome")
        )

    def may_fetch(self, cooldown: float) -> bool:
        """A fetch is under way, or the last one began so many seconds ago."""
        return self._fetching is not None or self._worker.clock.now() - self.tried >= cooldown

    async def join(self, reader: IssuerKeys, patience: float) -> bool:
        """Read from here; wait ``patience`` seconds for the first answer. Whether there has been one, good or bad."""
        self._readers.append(reader)
        if self.document is not None:
            with suppress(UnusableKey):  # its tokens get 503, and the next fetch says why
                reader.take(self.document, self.fetched)
        if self._running is None:
            # Not the worker's: it ends with the last reader, before the worker does.
            self._running = asyncio.get_running_loop().create_task(self._keep_fresh(), name=f"keys of {self.issuer}")
        elif self._refresh() < self.interval:
            self._sooner.set()
        try:
            await asyncio.wait_for(self._first.wait(), patience)
        except TimeoutError:
            return False
        return True

    def leave(self, reader: IssuerKeys) -> None:
        """Read no longer."""
        if reader in self._readers:
            self._readers.remove(reader)

    async def close(self) -> None:
        """Stop fetching. Idempotent."""
        tasks = [task for task in (self._running, self._fetching) if task is not None]
        self._running = self._fetching = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_fresh(self) -> None:
        retry = FIRST_RETRY
        while True:
            await self.fetch_once()
            self._first.set()
            if self.error:
                pause, retry = retry, min(retry * 2, LAST_RETRY)
            else:
                # Before they expire, and not at the moment at which the other workers do.
                pause, retry = self.interval * 0.9, FIRST_RETRY
            self._sooner.clear()
            with suppress(TimeoutError):
                spread = random.uniform(0.8, 1.0)  # noqa: S311 - spreads load, hides nothing
                await asyncio.wait_for(self._sooner.wait(), pause * spread)

    def fetch_once(self) -> asyncio.Task[None]:
        """The fetch that is under way, or a new one."""
        if self._fetching is None:
            self.tried = self._worker.clock.now()
            self._fetching = asyncio.get_running_loop().create_task(self.fetch(), name=f"fetch keys of {self.issuer}")
        return self._fetching

    async def fetch(self) -> None:
        """Fetch now. What goes wrong is logged and kept in ``error``; the keys at hand stay."""
        outcome = "failed"
        try:
            await self._load()
            self.error, outcome = "", "ok"
        except (GatewayError, UnusableKey) as error:
            self._failed(error.reason if isinstance(error, GatewayError) else str(error))
        except Exception as bug:  # noqa: BLE001 - whatever it is, keys must go on being kept fresh
            self._failed(type(bug).__name__)
        finally:
            self._fetching = None
            self._fetches.child(self.issuer, outcome).inc()

    def _failed(self, why: str) -> None:
        if why != self.error:  # once, not at every try
            log.warning("keys of issuer %s: %s", self.issuer, why)
        self.error = why

    async def _load(self) -> None:
        now = self._worker.clock.now()
        if self._given is None and (self._url is None or now - self._discovered >= REDISCOVER):
            try:
                self._url, self._discovered = await self._discover(), now
            except (GatewayError, UnusableKey) as error:
                if self._url is None:
                    raise
                log.info("discovery of issuer %s: %s; what it said before goes on", self.issuer, error)
        assert self._url is not None, "given, or discovered"
        try:
            self._take(await self._get(self._url))
        except (GatewayError, UnusableKey):
            self._url = self._given  # a discovered one may have moved
            raise

    def _take(self, document: Any) -> None:
        """Hand a new set to all readers. Raises UnusableKey if it is of no use to one of them."""
        now, unusable = self._worker.clock.now(), None
        for reader in self._readers:
            try:
                reader.take(document, now)
                self.document, self.fetched = document, now
            except UnusableKey as error:
                unusable = error
        if unusable is not None:
            raise unusable

    async def _discover(self) -> str:
        """The `jwks_uri` (OpenID Connect Discovery 1.0 §4). Raises UnusableKey, GatewayError."""
        url = self._discovery or f"{self.issuer.rstrip('/')}{WELL_KNOWN}"
        document = await self._get(url)
        if not isinstance(document, dict) or document.get("issuer") != self.issuer:
            raise UnusableKey("the discovery document is of another issuer")  # §4.3
        found = document.get("jwks_uri")
        if not isinstance(found, str) or not found.startswith("https://" if url.startswith("https://") else "http"):
            raise UnusableKey("the discovery document has no jwks_uri that can be trusted")
        self.metadata = document
        return found

    async def _get(self, url: str) -> Any:
        timeout = max((reader.fetch.timeout for reader in self._readers), default=5.0)
        answer = await self._worker.client().request(
            "GET", url, headers={"Accept": "application/json"}, timeout=timeout, limit=LARGEST
        )
        if answer.status != 200:
            raise UnusableKey(f"the issuer answered {answer.status}")
        self.interval = _interval(answer.headers.get("Cache-Control", ""), self._refresh())
        return read_json(answer.body)

    def _refresh(self) -> float:
        return min((reader.fetch.refresh for reader in self._readers), default=600.0)


class IssuerKeys:
    """The keys of one issuer, as one reader takes them.

    ``jwks`` is where they are; without it they are discovered, at ``discovery`` or where the issuer's name leads.
    ``changed`` is told of a new set and of the keys that are no longer in it.
    """

    def __init__(
        self,
        worker: Worker,
        issuer: str,
        algorithms: Sequence[str],
        fetch: Fetch,
        *,
        static: KeySet | None = None,
        jwks: str | None = None,
        discovery: str | None = None,
        changed: Callable[[KeySet, frozenset[Key]], None] = lambda _made, _gone: None,
    ) -> None:
        self.issuer = issuer
        self.algorithms = frozenset(algorithms)
        self.fetch = fetch
        self.static = static is not None
        self.set = static
        self.fetched = 0.0
        """When a set came that serves here."""
        self._worker = worker
        self._place = (jwks, discovery)
        self._changed = changed
        self._hold: Hold[Source] | None = None

    @property
    def source(self) -> Source | None:
        """What fetches them, while open."""
        return self._hold.thing if self._hold is not None else None

    async def open(self, patience: float) -> None:
        """Begin to fetch; wait ``patience`` seconds for the first answer, for lack of which no start fails."""
        if self.static or self._hold is not None:
            return
        jwks, discovery = self._place
        self._hold = self._worker.shared.hold(
            ("keys", self.issuer, jwks, discovery),
            lambda: Source(self._worker, self.issuer, jwks=jwks, discovery=discovery),
        )
        if not await self._hold.thing.join(self, patience):
            log.warning("issuer %s: no keys yet; its tokens get 503 until they come", self.issuer)

    async def close(self) -> None:
        """Read no longer. Idempotent."""
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.thing.leave(self)
            await hold.release()

    async def verify(self, token: Token) -> Key:
        """The key that made its signature. Raises Unverified, KeysUnavailable."""
        algorithm = token.algorithm
        if algorithm not in self.algorithms:  # RFC 8725 §3.1: the issuer's choice, never the sender's
            family = "" if algorithm in FAMILIES else ", nor is it known"
            raise Unverified(f"alg is not one that the issuer uses{family}")
        candidates = await self.find(token.kid, algorithm)
        for key in candidates:
            if key.verifies(algorithm, token.signed, token.signature):
                return key
        raise Unverified("the signature does not hold" if candidates else "no key of this kid and alg")

    async def find(self, kid: str | None, algorithm: str) -> list[Key]:
        """Keys to try. Fetches once, within the cooldown, if none is known. Raises KeysUnavailable."""
        found = self._known(kid, algorithm)
        source = self.source
        if not found and source is not None and source.may_fetch(self.fetch.cooldown):
            await asyncio.shield(source.fetch_once())  # shared: a client that leaves does not stop it for others
            found = self._known(kid, algorithm)
        if not found and not self.usable:
            raise KeysUnavailable(reason=f"no keys of issuer {self.issuer}", headers=(("Retry-After", "5"),))
        return found

    @property
    def usable(self) -> bool:
        """There are keys, and they are not too old."""
        source = self.source
        if self.set is None or (source is None and not self.static):
            return False
        age = self._worker.clock.now() - self.fetched
        return source is None or age <= max(self.fetch.keep, source.interval)

    def state(self) -> dict[str, Any]:
        """For operators."""
        source = self.source
        error = source.error if source is not None else ""
        found: dict[str, Any] = {
            "issuer": self.issuer,
            "ok": self.usable and not error,
            "keys": self.set.names() if self.set is not None else [],
        }
        if source is not None:
            found["age"] = round(self._worker.clock.now() - self.fetched, 1) if self.set is not None else None
            if error:
                found["error"] = error
        return found

    def take(self, document: Any, now: float) -> None:
        """A set has come. Raises UnusableKey, and keeps the keys at hand, if it holds none that serves here."""
        made, left_out = from_jwks(document, self.algorithms)
        for why in left_out:
            log.debug("keys of issuer %s: %s", self.issuer, why)
        old, self.set, self.fetched = self.set, made, now
        if old is None or old.keys != made.keys:
            if old is not None:
                log.info("keys of issuer %s are now %s", self.issuer, ", ".join(made.names()))
            self._changed(made, old.keys - made.keys if old is not None else frozenset())

    def _known(self, kid: str | None, algorithm: str) -> list[Key]:
        return self.set.find(kid, algorithm) if self.set is not None and self.usable else []


def _interval(cache_control: str, refresh: float) -> float:
    """Seconds until the next fetch: what the answer allows, no longer than the readers do."""
    for directive in cache_control.lower().split(","):
        name, _, value = directive.strip().partition("=")
        if name == "max-age" and value.isdecimal() and len(value) < 10:
            return min(max(float(value), SOONEST), refresh)
    return refresh
