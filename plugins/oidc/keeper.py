"""The sessions of one client in this worker: found by their cookies, refreshed once for all who wait, ended everywhere.

A provider that rotates refresh tokens takes one that comes twice for stolen, and logs the user out. So each is used
once: in a worker all requests of a session wait for one refresh, between workers and gateways a lock in the shared
store lets one do it, and whoever had to wait reads what came of it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from typing import Any, Final

import msgspec

from gateway.errors import GatewayError, StoreUnavailable
from gateway.http import Principal
from gateway.plugin import Context
from gateway.services.jose.source import IssuerKeys
from gateway.services.store import Lock, Store, Subscription, channel
from plugins.oidc.cookies import Cookies, decoded
from plugins.oidc.errors import ProviderUnavailable
from plugins.oidc.provider import Granted, Provider
from plugins.oidc.session import Handle, Records, Sealed, Session, owner_of
from plugins.oidc.settings import OidcSettings, Place

PATIENCE: Final = 3.0
"""Seconds that a start waits for the provider."""
RETRIES: Final = (0.1, 0.2, 0.5, 1, 1, 2, 2, 5, 5, 5, 10, 10, 10)
"""Seconds between attempts to write what the store did not take."""
MOST_UNWRITTEN: Final = 10_000


class Seen:
    """A session that a cookie led to."""

    __slots__ = ("at", "checked", "handle", "principal", "session", "told", "touched")

    def __init__(self, handle: Session | Handle, session: Session | None, at: float) -> None:
        self.handle = handle
        self.session = session
        """None: not yet read from the store."""
        self.told = session
        """The session as the cookie holds it."""
        self.at = at
        """When it was last in use, seconds since 1970."""
        self.checked = -1e9
        """When the store was asked whether it was ended, on the clock."""
        self.touched = at
        self.principal: tuple[Session, Principal] | None = None
        """Who it is, by the claims of that session."""


class Keeper:
    """Shared by the routes of a worker that have the same settings (`Context.shared`)."""

    def __init__(self, settings: OidcSettings, context: Context, store: Store) -> None:
        self.settings = settings
        owner = owner_of(settings.issuer, settings.client.id, settings.cookie.name)
        self.sealed = Sealed([key.get_secret_value() for key in settings.session.keys], owner)
        self.cookies = Cookies(settings.cookie.name, settings.cookie.same_site)
        self.records = Records(store, self.sealed, owner, settings.session.max_age, settings.session.idle)
        self.keys = IssuerKeys(
            context, settings.issuer, settings.algorithms, settings.fetch, discovery=settings.discovery
        )
        self.provider = Provider(settings, context, self.keys)
        self.rules: dict[str, OidcSettings] = {}
        """By route and id: who may come in where. One route may finish a login that another began."""
        self.in_store = settings.session.store is Place.SHARED
        self._context = context
        self._channel = channel("oidc:" + owner.decode())
        self._subscription: Subscription | None = None
        self._seen: OrderedDict[str, Seen] = OrderedDict()
        self._refreshing: dict[str, asyncio.Task[Session | None]] = {}
        self._unwritten: dict[str, Session] = {}
        refreshes = context.metrics.counter("oidc_refreshes_total", "Refreshes of sessions.", ("issuer", "outcome"))
        self._refreshed, self._elsewhere, self._failed, self._over = (
            refreshes.child(settings.issuer, outcome) for outcome in ("refreshed", "elsewhere", "failed", "ended")
        )

    async def open(self) -> None:
        """Begin; waits a little for the provider's keys, for lack of which no start fails."""
        if self._subscription is None:
            self._subscription = self.records.store.subscribe(self._channel, self._told, self._missed)
        await self.keys.open(PATIENCE)

    async def close(self) -> None:
        """Idempotent."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()
        tasks = list(self._refreshing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.keys.close()

    def state(self) -> dict[str, Any]:
        """For operators."""
        found = {**self.keys.state(), "sessions": len(self._seen)}
        if self.provider.error:
            found.update(ok=False, error=self.provider.error)
        return found

    # -- finding -------------------------------------------------------------------------------------------------------

    async def find(self, text: str) -> Seen | None:
        """The session of a cookie, good for use now. Raises StoreUnavailable, ProviderUnavailable, KeysUnavailable."""
        now = self._context.clock.time()
        seen = self._seen.get(text)
        if seen is None:
            seen = self._opened(text)
            if seen is None:
                return None
            self._remember(text, seen)
        else:
            self._seen.move_to_end(text)
        limits = self.settings.session
        idle = limits.idle is not None and now - seen.at >= limits.idle
        if idle or now >= seen.handle.began + limits.max_age or not await self._still(seen, now):
            self._seen.pop(text, None)
            return None
        session = seen.session
        assert session is not None, "it was read"
        if self._due(session, now):
            fresh = await self._renewed(session, now)
            if fresh is None:
                self._seen.pop(text, None)
                return None
            seen.session = fresh
        seen.at = now
        return seen

    async def peek(self, text: str) -> Seen | None:
        """The session of a cookie, to end it: nothing is refreshed. Raises StoreUnavailable."""
        seen = self._opened(text)
        if seen is not None:
            latest = await self.records.read(seen.handle.id)
            seen.session = self._unwritten.get(seen.handle.id, latest) or seen.session
        return seen

    def _opened(self, text: str) -> Seen | None:
        """What the cookie itself says."""
        sealed = decoded(text)
        if self.in_store:
            handle = self.sealed.open(sealed, Handle)
            # How long it was idle the store knows: it forgets.
            return Seen(handle, None, self._context.clock.time()) if isinstance(handle, Handle) else None
        session = self.sealed.open(sealed, Session)
        return Seen(session, session, session.seen) if isinstance(session, Session) else None

    def _remember(self, text: str, seen: Seen) -> None:
        self._seen[text] = seen
        while len(self._seen) > self.settings.session.remember:
            self._seen.popitem(last=False)

    async def _still(self, seen: Seen, now: float) -> bool:
        """Whether nobody has ended it, as far as must be known. Raises StoreUnavailable."""
        clock = self._context.clock.now()
        if seen.session is not None and clock - seen.checked < self.settings.session.recheck:
            return True
        try:
            if not self.in_store:
                ended = await self.records.ended(seen.handle)
            else:
                ended, found = await asyncio.gather(self.records.ended(seen.handle), self.records.read(seen.handle.id))
                found = self._unwritten.get(seen.handle.id, found)
                if found is None or found.id != seen.handle.id:
                    return False
                if seen.session is None or found.generation >= seen.session.generation:
                    seen.session = found
                await self._touch(seen, found, now)
        except StoreUnavailable:
            session = seen.session
            allowed = self.settings.session.on_store_error == "allow" and session is not None
            if not allowed or session is None or (session.access_expires and now >= session.access_expires):
                raise
            return True
        seen.checked = clock
        return not ended

    async def _touch(self, seen: Seen, session: Session, now: float) -> None:
        idle = self.settings.session.idle
        if idle is not None and now - seen.touched >= idle / 10:
            await self.records.touch(session, now)
            seen.touched = now

    # -- beginning and ending ------------------------------------------------------------------------------------------

    async def begin(self, session: Session) -> bytes:
        """Somebody has logged in: what the cookie is to hold. Raises StoreUnavailable."""
        if not self.in_store:
            return self.sealed.seal(session)
        await self.records.put(session, self._context.clock.time())
        return self.sealed.seal(Handle(session.id, session.subject, session.sid, session.issued, session.began))

    async def end(self, session: Session | Handle) -> None:
        """End one session, here and in all workers. Raises StoreUnavailable."""
        self._forget("id", session.id)
        self._unwritten.pop(session.id, None)
        await self.records.end(session)
        await self._tell("id", session.id)

    async def end_all(self, kind: str, name: str, until: float) -> None:
        """End what was begun until then under the provider's session (``sid``), or by a subject (``sub``, or ``lone``:
        only what names no session of the provider's). Raises StoreUnavailable.
        """
        await self.records.mark(kind, name, until)
        self._forget(kind, name)
        await self._tell(kind, name)

    async def _tell(self, kind: str, name: str) -> None:
        with suppress(StoreUnavailable):  # `recheck` finds it
            await self.records.store.publish(self._channel, f"{kind}:{name}".encode())

    def _told(self, message: bytes) -> None:
        kind, _, name = message.decode("utf-8", "replace").partition(":")
        self._forget(kind, name)

    def _missed(self) -> None:
        for seen in self._seen.values():
            seen.checked = -1e9

    def _forget(self, kind: str, name: str) -> None:
        """Ask the store before any of these is believed again."""
        attribute = {"id": "id", "sub": "subject", "lone": "subject", "sid": "sid"}.get(kind)
        if attribute is not None:
            for text in [text for text, seen in self._seen.items() if getattr(seen.handle, attribute) == name]:
                del self._seen[text]

    # -- refreshing ----------------------------------------------------------------------------------------------------

    def _due(self, session: Session, now: float) -> bool:
        if not session.refresh or not session.access_expires:
            return False
        lifetime = session.access_expires - session.refreshed
        return now >= session.access_expires - min(self.settings.refresh_before, lifetime / 4)

    async def _renewed(self, session: Session, now: float) -> Session | None:
        """The session with fresh tokens; as it is if that cannot be and they still hold; None if it has ended."""
        task = self._refreshing.get(session.id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._renew(session), name="refresh a session")
            self._refreshing[session.id] = task
            task.add_done_callback(lambda ended: self._ended(session.id, ended))
        try:
            return await asyncio.shield(task)  # a client that leaves does not end it for the others
        except GatewayError as error:
            if now < session.access_expires:
                return session
            # One of its own for each that waits: what answers is written into it.
            raise type(error)(error.detail, reason=error.reason, headers=error.headers) from None

    def _ended(self, session: str, task: asyncio.Task[Session | None]) -> None:
        self._refreshing.pop(session, None)
        if not task.cancelled():
            task.exception()  # seen, even if all who waited have left

    async def _renew(self, session: Session) -> Session | None:
        # Longer than all calls under it: to the token endpoint, for keys, to UserInfo.
        lease = self.settings.timeout * 2 + self.settings.fetch.timeout + 5
        try:
            async with Lock(self.records.store, self.records.lock(session.id), lease=lease, wait=lease):
                return await self._renew_locked(session)
        except TimeoutError:
            self._failed.inc()
            raise ProviderUnavailable(reason="another worker has been refreshing the session for too long") from None
        except GatewayError:
            self._failed.inc()
            raise

    async def _renew_locked(self, session: Session) -> Session | None:
        now = self._context.clock.time()
        ended, latest = await asyncio.gather(self.records.ended(session), self.records.read(session.id))
        latest = self._unwritten.get(session.id, latest)
        if ended or (self.in_store and latest is None):
            self._over.inc()
            return None
        if latest is not None and latest.generation > session.generation:
            if not self._due(latest, now):
                self._elsewhere.inc()
                return latest
            session = latest
        granted = await self.provider.refresh(session.refresh, session.subject)
        if granted is None:
            self._over.inc()
            await self.end(session)
            return None
        self._refreshed.inc()
        fresh = _with(session, granted, now)
        return fresh if await self._write(fresh) else None

    async def _write(self, fresh: Session) -> bool:
        """Keep it for those who come with what was before. False if it was ended meanwhile."""
        write = self.records.replace if self.in_store else self.records.put
        try:
            return await write(fresh, self._context.clock.time())
        except StoreUnavailable:
            # The refresh token before is used up: this must not be lost.
            if len(self._unwritten) < MOST_UNWRITTEN:
                self._unwritten[fresh.id] = fresh
                _ = self._context.spawn(self._write_later(fresh), "write a session")
            return True

    async def _write_later(self, fresh: Session) -> None:
        write = self.records.replace if self.in_store else self.records.put
        for pause in RETRIES:
            await asyncio.sleep(pause)
            if self._unwritten.get(fresh.id) is not fresh:
                return
            with suppress(StoreUnavailable):
                await write(fresh, self._context.clock.time())
                break
        if self._unwritten.get(fresh.id) is fresh:
            del self._unwritten[fresh.id]


def _with(session: Session, granted: Granted, now: float) -> Session:
    return msgspec.structs.replace(
        session,
        access=granted.access,
        access_expires=granted.expires,
        refreshed=now,
        refresh=granted.refresh or session.refresh,
        id_token=granted.id_token or session.id_token,
        claims=granted.claims if granted.claims is not None else session.claims,
        seen=now,
        generation=session.generation + 1,
    )
