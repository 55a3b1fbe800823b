"""An issuer's keys: given, or fetched ahead of need and kept fresh in the background.

| keys at hand | the issuer answers | a token with a known kid | with an unknown one |
|---|---|---|---|
| fresh | yes | is verified | one fetch, then none for `cooldown` |
| old, younger than `keep` | no | is verified | refused |
| none, or older | no | 503 | 503 |
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final

from gateway.errors import GatewayError, Source
from gateway.plugin import Context
from plugins.jwt.keys import Key, KeySet, UnusableKey, from_jwks, read_jwks
from plugins.jwt.settings import Issuer

LARGEST: Final = 512 * 1024
"""Bytes of a JWK set or discovery document; the largest of the great providers have 20 KB."""
SOONEST: Final = 60.0
"""Seconds: an answer's `max-age` is not taken for less."""
FIRST_RETRY: Final = 1.0
LAST_RETRY: Final = 60.0


class KeysUnavailable(GatewayError):
    """The issuer's keys could not be fetched, so nobody can say whether the token is good."""

    code, status, title, source = "keys_unavailable", 503, "Service unavailable", Source.POLICY


class Keys:
    """The keys of one issuer."""

    def __init__(self, rules: Issuer, context: Context, dropped: Callable[[frozenset[Key]], None]) -> None:
        self._rules = rules
        self._context = context
        self._dropped = dropped
        """Told of keys that the issuer has withdrawn."""
        static = rules.static_keys()
        self.static = static is not None
        self.set = static
        self.error = ""
        """Why the last fetch failed."""
        self._fetched = 0.0
        self._tried = -1e9
        self._interval = rules.fetch.refresh
        self._url = rules.jwks.url if rules.jwks is not None else None
        self._first = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._fetches = context.metrics.counter(
            "jwt_key_fetches_total", "Fetches of an issuer's keys.", ("route", "plugin", "issuer", "outcome")
        )
        self._count = context.metrics.gauge(
            "jwt_keys", "Keys of an issuer that can be used now.", ("route", "plugin", "issuer"), rule="max"
        ).child(context.route, context.id, rules.issuer)
        self._count.set(len(static.keys) if static is not None else 0)

    async def open(self, patience: float) -> None:
        """Begin to fetch; wait ``patience`` seconds for the first answer, for lack of which no start fails."""
        if self.static or self._running is not None:
            return
        self._running = self._context.spawn(self._keep_fresh(), f"jwt keys of {self._rules.issuer}")
        try:
            await asyncio.wait_for(self._first.wait(), patience)
        except TimeoutError:
            self._context.log.warning("issuer %s: no keys yet; its tokens get 503 until they come", self._rules.issuer)

    async def close(self) -> None:
        """Stop fetching. Idempotent."""
        tasks = [task for task in (self._running, self._fetching) if task is not None]
        self._running = self._fetching = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def find(self, kid: str | None, algorithm: str) -> list[Key]:
        """Keys to try. Fetches once, within the cooldown, if none is known. Raises KeysUnavailable."""
        found = self._known(kid, algorithm)
        if not found and not self.static:
            now = self._context.clock.now()
            if self._fetching is not None or now - self._tried >= self._rules.fetch.cooldown:
                await asyncio.shield(self._fetch_once())  # shared: a client that leaves does not stop it for others
                found = self._known(kid, algorithm)
        if not found and not self.usable:
            raise KeysUnavailable(reason=f"no keys of issuer {self._rules.issuer}", headers=(("Retry-After", "5"),))
        return found

    @property
    def usable(self) -> bool:
        """There are keys, and they are not too old."""
        fetch = self._rules.fetch
        age = 0.0 if self.static else self._context.clock.now() - self._fetched
        return self.set is not None and age <= max(fetch.keep, self._interval)

    def state(self) -> dict[str, Any]:
        """For operators."""
        found: dict[str, Any] = {
            "issuer": self._rules.issuer,
            "ok": self.usable and not self.error,
            "keys": self.set.names() if self.set is not None else [],
        }
        if not self.static:
            found["age"] = round(self._context.clock.now() - self._fetched, 1) if self.set is not None else None
            if self.error:
                found["error"] = self.error
        return found

    def _known(self, kid: str | None, algorithm: str) -> list[Key]:
        return self.set.find(kid, algorithm) if self.set is not None and self.usable else []

    async def _keep_fresh(self) -> None:
        retry = FIRST_RETRY
        while True:
            await self._fetch_once()
            self._first.set()
            if self.error:
                pause, retry = retry, min(retry * 2, LAST_RETRY)
            else:
                # Before they expire, and not at the moment at which the other workers do.
                pause, retry = self._interval * 0.9, FIRST_RETRY
            await asyncio.sleep(pause * random.uniform(0.8, 1.0))  # noqa: S311 - spreads load, hides nothing

    def _fetch_once(self) -> asyncio.Task[None]:
        """The fetch that is under way, or a new one."""
        if self._fetching is None:
            self._tried = self._context.clock.now()
            self._fetching = self._context.spawn(self.fetch(), f"fetch keys of {self._rules.issuer}")
        return self._fetching

    async def fetch(self) -> None:
        """Fetch now. What goes wrong is logged and kept in ``error``; the keys at hand stay."""
        outcome = "failed"
        try:
            self._take(await self._load())
            outcome = "ok"
        except (GatewayError, UnusableKey) as error:
            self._failed(error.reason if isinstance(error, GatewayError) else str(error))
        except Exception as bug:  # noqa: BLE001 - whatever it is, keys must go on being kept fresh
            self._failed(type(bug).__name__)
        finally:
            self._fetching = None
            self._fetches.child(self._context.route, self._context.id, self._rules.issuer, outcome).inc()

    def _failed(self, why: str) -> None:
        if why != self.error:  # once, not at every try
            self._context.log.warning("keys of issuer %s: %s", self._rules.issuer, why)
        self.error = why

    async def _load(self) -> KeySet:
        if self._url is None:
            self._url = await self._discover()
        try:
            document = await self._get(self._url)
            made, left_out = from_jwks(document, self._rules.algorithms)
        except (GatewayError, UnusableKey):
            if self._rules.discovery is not False:
                self._url = None  # it may have moved
            raise
        for why in left_out:
            self._context.log.debug("keys of issuer %s: %s", self._rules.issuer, why)
        return made

    async def _discover(self) -> str:
        """The `jwks_uri` (OpenID Connect Discovery 1.0 §4). Raises UnusableKey, GatewayError."""
        discovery = self._rules.discovery
        url = discovery if isinstance(discovery, str) else f"{self._rules.issuer.rstrip('/')}{WELL_KNOWN}"
        document = await self._get(url)
        if not isinstance(document, dict) or document.get("issuer") != self._rules.issuer:
            raise UnusableKey("the discovery document is of another issuer")  # §4.3
        found = document.get("jwks_uri")
        if not isinstance(found, str) or not found.startswith("https://" if url.startswith("https://") else "http"):
            raise UnusableKey("the discovery document has no jwks_uri that can be trusted")
        return found

    async def _get(self, url: str) -> Any:
        answer = await self._context.client().request(
            "GET", url, headers={"Accept": "application/json"}, timeout=self._rules.fetch.timeout, limit=LARGEST
        )
        if answer.status != 200:
            raise UnusableKey(f"the issuer answered {answer.status}")
        self._interval = _interval(answer.headers.get("Cache-Control", ""), self._rules.fetch.refresh)
        return read_jwks(answer.body)

    def _take(self, made: KeySet) -> None:
        old, self.set = self.set, made
        self._fetched = self._context.clock.now()
        self.error = ""
        self._count.set(len(made.keys))
        if old is not None and old.keys != made.keys:
            self._context.log.info("keys of issuer %s are now %s", self._rules.issuer, ", ".join(made.names()))
            if gone := old.keys - made.keys:
                self._dropped(gone)


WELL_KNOWN: Final = "/.well-known/openid-configuration"


def _interval(cache_control: str, refresh: float) -> float:
    """Seconds until the next fetch: what the answer allows, no longer than the settings do."""
    for directive in cache_control.lower().split(","):
        name, _, value = directive.strip().partition("=")
        if name == "max-age" and value.isdecimal() and len(value) < 10:
            return min(max(float(value), SOONEST), refresh)
    return refresh
