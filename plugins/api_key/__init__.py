"""Lets in whoever brings an API key that stands, hashed, in a file or in the shared store.

Keys are random and long, so one round of SHA-256 keeps them safe at rest; slow hashes are for what people make up. They
are looked up by their digest: nothing about the time that takes tells a sender how much of a guess was right.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, model_validator

from gateway.errors import BadRequest, GatewayError, Source, Unauthorized
from gateway.http import Principal, Request
from gateway.http.cookies import cookies, drop_cookies
from gateway.http.query import parameters, without_parameter
from gateway.plugin import Authenticator, Command, Context, Duration, FilePath, Name, Settings
from gateway.plugin.field import FieldName
from gateway.plugin.watched import Watched
from plugins.api_key.command import COMMAND
from plugins.api_key.file import KeyEntry, read_keys
from plugins.api_key.source import FileSource, StoreSource

LONGEST: Final = 512
"""Characters of a key that are looked at."""


class InvalidKey(Unauthorized):
    """The key is unknown, revoked or has expired. Which of these only the log says."""

    code, title = "invalid_api_key", "Invalid API key"


class KeysUnavailable(GatewayError):
    """The store has not been reached since the start: who may come in is not known."""

    code, status, title, source = "api_keys_unavailable", 503, "Keys unavailable", Source.INTERNAL


class KeysPlace(Settings):
    """Where the keys stand; one of the two."""

    file: FilePath | None = Field(
        default=None,
        description="YAML up to 1 MB (some 4,000 keys), or JSON up to 16 MB, which reads a hundred times as fast.",
    )
    store: Name | None = Field(
        default=None,
        description="In the shared store (`stores.shared`, Redis) under this name, for all replicas. Change them with "
        "`gateway keys --store URL --name NAME`. While the store is away, the keys last read hold.",
    )

    @model_validator(mode="after")
    def _one(self) -> KeysPlace:
        if (self.file is None) == (self.store is None):
            raise ValueError("`file` or `store`, one of them")
        return self


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class KeyPlaces(Settings):
    """Places that a key is taken from. A request with keys in more than one is refused."""

    headers: Annotated[tuple[FieldName, ...], BeforeValidator(_several)] = Field(
        default=("X-API-Key",), max_length=8, description="Fields that hold a key and nothing else."
    )
    scheme: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z][A-Za-z0-9-]{0,31}$",
        description="Take keys from `Authorization`, too, after this scheme, such as `Bearer` or `ApiKey`.",
    )
    cookie: str | None = Field(default=None, min_length=1, max_length=128, description="A cookie of this name.")
    query: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="A parameter of the URL. Off because URLs end in logs and histories.",
    )


class ApiKeySettings(Settings):
    """A change of the file is taken up by itself; one that cannot be read leaves the keys as they were."""

    keys: KeysPlace = Field(
        description="`{file: keys.yaml}` or `{store: partners}`, made and changed with `gateway keys`."
    )
    from_: KeyPlaces = Field(default=KeyPlaces(), alias="from", description="Where keys are looked for.")
    hide: bool = Field(default=True, description="Take the key out before the target, its logs and its errors see it.")
    reread: Duration = Field(
        default=2.0, ge=0.1, description="How often they are looked at: how long a revoked key may still be good."
    )

    @model_validator(mode="after")
    def _readable(self) -> ApiKeySettings:
        if self.keys.file is not None:
            read_keys(self.keys.file)
        return self


class _Key:
    """An entry made ready."""

    __slots__ = ("digest", "disabled", "expires", "id", "principal")

    def __init__(self, entry: KeyEntry) -> None:
        self.id = entry.id
        self.digest = bytes.fromhex(entry.hash.removeprefix("sha256:"))
        self.expires = entry.expires.timestamp() if entry.expires is not None else float("inf")
        self.disabled = entry.disabled
        self.principal = Principal(
            entry.principal or entry.id,
            tenant=entry.tenant,
            roles=frozenset(entry.roles),
            scopes=frozenset(entry.scopes),
            rate_class=entry.rate_class,
            claims={"key": entry.id},
            expires=entry.expires.timestamp() if entry.expires is not None else None,
        )


class ApiKey(Authenticator[ApiKeySettings]):
    def __init__(self, settings: ApiKeySettings, context: Context) -> None:
        super().__init__(settings, context)
        keys = settings.keys
        self._source = FileSource(keys.file) if keys.file is not None else StoreSource(context.store, keys.store or "")
        places = settings.from_
        self._headers = places.headers
        self._scheme = f"{places.scheme.lower()} " if places.scheme is not None else None
        self._hidden = [name.lower() for name in places.headers]
        self._keys: dict[bytes, _Key] = {}
        self.watched = Watched(context, "keys", settings.reread, self._changed, self._take)
        self._time = context.clock.time
        self._challenge = f'{places.scheme or "ApiKey"} realm="{context.route}"'
        self._gauge = context.metrics.gauge(
            "api_keys", "Keys in the file, revoked ones included.", ("route", "plugin"), rule="max"
        ).child(context.route, context.id)

    async def open(self) -> None:
        await self.watched.open()
        self.context.report("api_key", self.state)

    async def close(self) -> None:
        self.watched.close()

    def state(self) -> dict[str, Any]:
        """For operators."""
        found = {"from": self._source.name, "ok": not self.watched.error, "keys": len(self._keys)}
        return {**found, "error": self.watched.error} if self.watched.error else found

    def challenge(self) -> str:
        return self._challenge

    async def authenticate(self, request: Request) -> Principal | None:
        given = self._given(request)
        if given is None:
            return None
        if len(given) > LONGEST:
            raise self._invalid("longer than any key")
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        key = self._keys.get(digest[:8])
        if key is None or not hmac.compare_digest(key.digest, digest):
            if not self.watched.known:
                raise KeysUnavailable(reason=self.watched.error)
            raise self._invalid("unknown")
        if key.disabled:
            raise self._invalid(f"key {key.id} is revoked")
        if self._time() >= key.expires:
            raise self._invalid(f"key {key.id} has expired")
        if self.settings.hide:
            self._hide(request)
        return key.principal

    def _invalid(self, reason: str) -> GatewayError:
        return InvalidKey("The key is not valid here.", reason=reason, headers=(("WWW-Authenticate", self._challenge),))

    def _given(self, request: Request) -> str | None:
        """The one key. Raises BadRequest for several, which the target could read in another way."""
        headers, places = request.headers, self.settings.from_
        found = [line for name in self._headers for line in headers.getall(name, ())]
        if self._scheme is not None:
            lines = [line.strip(" \t") for line in headers.getall("Authorization", ())]
            ours = [line[len(self._scheme) :].strip(" \t") for line in lines if line.lower().startswith(self._scheme)]
            if ours and len(lines) > 1:
                raise BadRequest("More than one Authorization field.")
            found += ours
        if places.cookie is not None:
            found += [value.strip('"') for value in cookies(request, places.cookie) if value.strip('"')]
        if places.query is not None and request.query:
            found += filter(None, parameters(request.query, places.query))
        if len(found) > 1:
            raise BadRequest("More than one key.")
        return found[0] if found and found[0] else None

    def _hide(self, request: Request) -> None:
        places = self.settings.from_
        request.drop(*self._hidden)
        if self._scheme is not None:
            line = request.headers.get("Authorization", "").strip(" \t").lower()
            if line.startswith(self._scheme):
                request.drop("authorization")
        if places.cookie is not None:
            drop_cookies(request, places.cookie.__eq__)
        if places.query is not None and request.query:
            request.query = without_parameter(request.query, places.query)

    # -- where they stand -----------------------------------------------------------------------------------------

    async def _changed(self) -> dict[bytes, _Key] | None:
        found = await self._source.changed()
        return await asyncio.to_thread(_ready, found) if found is not None else None  # a hundred thousand take a while

    def _take(self, keys: dict[bytes, _Key]) -> None:
        self._keys = keys
        self._gauge.set(len(keys))

    @classmethod
    def commands(cls) -> Sequence[Command]:
        return (COMMAND,)


def _ready(entries: Sequence[KeyEntry]) -> dict[bytes, _Key]:
    return {key.digest[:8]: key for key in map(_Key, entries)}
