"""Lets in whoever brings a name and a password (RFC 7617) that stand, hashed, in a file as `htpasswd` makes it.

Hashes are slow on purpose: they are computed in a few threads of their own, and credentials that held are remembered
for a while. Whoever guesses is slowed down by that, not stopped: that is `rate_limit`'s, by client address and before
this plugin.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from pydantic import Field, model_validator

from gateway.errors import BadRequest, GatewayError, Source, Unauthorized
from gateway.http import Principal, Request
from gateway.plugin import Authenticator, Context, Count, Duration, FilePath, Settings
from gateway.plugin.watched import Watched, changed_files
from plugins.basic_auth.file import User, normal, read_users, verifies

__all__ = ["AuthenticationBusy", "BasicAuth", "BasicAuthSettings", "InvalidCredentials"]

LONGEST: Final = 2048
"""Characters of credentials that are looked at."""

_Users = dict[str, User]


class InvalidCredentials(Unauthorized):
    """Name or password are wrong, or cannot be read. Which of these only the log says."""

    code, title = "invalid_credentials", "Invalid credentials"


class AuthenticationBusy(GatewayError):
    """More passwords wait to be checked than may."""

    code, status, title, source = "authentication_busy", 503, "Service unavailable", Source.POLICY


class BasicAuthSettings(Settings):
    """A change of the files is taken up by itself; files that cannot be read leave users as they were.

    Guessing is for `rate_limit` to stop, by client address and in front of this.
    """

    users: FilePath = Field(
        description="File of lines `name:hash`, made with `htpasswd -B`: bcrypt or Argon2. Weaker hashes are refused."
    )
    groups: FilePath | None = Field(
        default=None, description="File of lines `group: name name`; a caller's groups are its roles."
    )
    realm: str | None = Field(
        default=None,
        pattern=r"^[ !#-\[\]-~]{1,128}$",
        description="What browsers show when they ask for a password. Unset: the route's name.",
    )
    tenant: str | None = Field(default=None, max_length=256, description="The tenant of all users in the file.")
    rate_class: str | None = Field(default=None, max_length=64, description="For limits that differ by class.")
    prefix: str = Field(
        default="",
        max_length=64,
        description="Stands before a name in the principal's id, so that no other authenticator's caller is the same.",
    )
    hide: bool = Field(default=True, description="Take the password out before the target, its logs and errors see it.")
    remember: Duration = Field(
        default=60.0,
        le=3600.0,
        description="How long credentials that held are not checked again; kept as a keyed digest. 0: never. A change "
        "of the files ends it.",
    )
    remember_most: Count = Field(default=1000, ge=1, le=100_000, description="Credentials that are remembered.")
    concurrency: Count = Field(
        default=2, ge=1, le=64, description="Passwords that are checked at the same time, each on a core of its own."
    )
    waiting: Count = Field(
        default=64, ge=1, le=10_000, description="Passwords that are checked or wait for it; more are answered 503."
    )
    reread: Duration = Field(
        default=2.0, ge=0.1, description="How often the files are looked at: how long a removed user may still get in."
    )

    @model_validator(mode="after")
    def _readable(self) -> BasicAuthSettings:
        read_users(self.users, self.groups)
        return self


class BasicAuth(Authenticator[BasicAuthSettings]):
    def __init__(self, settings: BasicAuthSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._users: _Users = {}
        self._decoys: tuple[User, ...] = ()
        self._seen: tuple[object, ...] | None = None
        self.watched = Watched(context, "users", settings.reread, self._changed, self._take)
        self._pool: ThreadPoolExecutor | None = None
        self._secret = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._running: dict[tuple[bytes, str], asyncio.Future[bool]] = {}
        self._now = context.clock.now
        self._challenge = f'Basic realm="{settings.realm or context.route}", charset="UTF-8"'
        checks = context.metrics.counter(
            "basic_auth_checks_total", "Credentials by what became of them.", ("route", "plugin", "outcome")
        )
        self._again, self._held, self._refused, self._busy = (
            checks.child(context.route, context.id, outcome)
            for outcome in ("remembered", "verified", "refused", "busy")
        )

    async def open(self) -> None:
        self._pool = ThreadPoolExecutor(self.settings.concurrency, thread_name_prefix="basic_auth")
        await self.watched.open()
        self.context.report("basic_auth", self.state)

    async def close(self) -> None:
        self.watched.close()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)  # what is being checked is answered

    @classmethod
    def check(cls, settings: BasicAuthSettings) -> Sequence[str]:
        try:
            open_to_all = settings.users.stat().st_mode & 0o004
        except OSError:
            return ()
        return (f"{settings.users} can be read by every user of this machine",) if open_to_all else ()

    def state(self) -> dict[str, Any]:
        """For operators."""
        found = {"file": str(self.settings.users), "ok": not self.watched.error, "users": len(self._users)}
        return {**found, "error": self.watched.error} if self.watched.error else found

    def challenge(self) -> str:
        return self._challenge

    async def authenticate(self, request: Request) -> Principal | None:
        given = self._given(request)
        if given is None:
            return None
        name, password = given
        digest = hmac.digest(self._secret, f"{len(name)}:{name}:".encode() + password, "sha256")
        known = self._remembered.get(digest)
        if known is not None and self._now() < known[0]:
            self._again.value += 1
            self._remembered.move_to_end(digest)
            principal = known[1]
        else:
            principal = await self._check(name, password, digest)
        if self.settings.hide:
            request.drop("authorization")
        return principal

    def _invalid(self, reason: str) -> InvalidCredentials:
        self._refused.value += 1
        return InvalidCredentials(
            "Name or password are not valid here.", reason=reason, headers=(("WWW-Authenticate", self._challenge),)
        )

    def _given(self, request: Request) -> tuple[str, bytes] | None:
        """Name and password; None without. Raises InvalidCredentials, BadRequest."""
        lines = request.headers.getall("Authorization", ())
        ours = [line.strip(" \t") for line in lines if line.lstrip(" \t")[:5].lower() == "basic"]
        if not ours:
            return None
        if len(lines) > 1:
            raise BadRequest("More than one Authorization field.")
        scheme, _, encoded = ours[0].partition(" ")
        if scheme.lower() != "basic":
            return None
        encoded = encoded.strip(" \t")
        if len(encoded) > LONGEST:
            raise self._invalid("longer than credentials are")
        try:
            text = normal(base64.b64decode(encoded, validate=True).decode())
        except (binascii.Error, ValueError):
            raise self._invalid("not UTF-8 in base64") from None
        name, colon, password = text.partition(":")
        if not colon or not name or any(char < " " or char == "\x7f" for char in text):  # RFC 7617 §2
            raise self._invalid("not a name and a password")
        return name, password.encode()

    async def _check(self, name: str, password: bytes, digest: bytes) -> Principal:
        user = self._users.get(name)
        stored = user.hash if user is not None else self._decoy(name)
        if stored is None:
            raise self._invalid("the file is empty")
        # Nobody learns from the time whether there is such a user: another's hash is computed in its place.
        holds = await self._verify(stored, password, digest)
        if user is None:
            raise self._invalid("unknown user")
        if not holds:
            raise self._invalid("wrong password")
        if self._users.get(name) != user:
            raise self._invalid("the user was changed meanwhile")
        self._held.value += 1
        principal = Principal(
            self.settings.prefix + name,
            tenant=self.settings.tenant,
            roles=user.groups,
            rate_class=self.settings.rate_class,
            claims={"amr": ["pwd"]},
        )
        if self.settings.remember:
            self._remembered[digest] = (self._now() + self.settings.remember, principal)
            while len(self._remembered) > self.settings.remember_most:
                self._remembered.popitem(last=False)
        return principal

    def _decoy(self, name: str) -> str | None:
        """The hash of somebody else, for each name always the same one: files may hold several costs."""
        if not self._decoys:
            return None
        drawn = hmac.digest(self._secret, name.encode(), "sha256")
        return self._decoys[int.from_bytes(drawn[:8]) % len(self._decoys)].hash

    async def _verify(self, stored: str, password: bytes, digest: bytes) -> bool:
        """In a thread, and once for all who ask at the same time. Raises AuthenticationBusy."""
        key = (digest, stored)
        running = self._running.get(key)
        if running is None:
            if self._pool is None or len(self._running) >= self.settings.waiting:
                self._busy.value += 1
                raise AuthenticationBusy(reason="too many passwords to check", headers=(("Retry-After", "1"),))
            loop = asyncio.get_running_loop()
            running = self._running[key] = loop.run_in_executor(self._pool, verifies, stored, password)
            running.add_done_callback(lambda _: self._running.pop(key, None))
        return await asyncio.shield(running)  # who leaves takes nothing from those who wait for the same

    # -- the files -----------------------------------------------------------------------------------------------------

    async def _changed(self) -> _Users | None:
        settings = self.settings
        return await asyncio.to_thread(self._read, [each for each in (settings.users, settings.groups) if each])

    def _read(self, paths: list[Path]) -> _Users | None:
        """Runs in a thread: None if the files are those that were seen. Raises OSError, ValueError."""
        sign = changed_files(paths, self._seen)
        if sign is None:
            return None
        found = read_users(self.settings.users, self.settings.groups)
        self._seen = sign
        return found

    def _take(self, users: _Users) -> None:
        self._users = users
        self._decoys = tuple(users.values())
        self._remembered.clear()
