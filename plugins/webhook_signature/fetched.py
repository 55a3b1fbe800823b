"""Public keys that are not in the configuration: in certificates at an address that the request names, or behind a
service that is asked for a key by its id.

What is fetched is kept; what could not be is not asked for again at once, and no sender can make the gateway ask more
than a few times a minute. Nothing is fetched from anywhere but the hosts of the scheme, over TLS, and no redirect is
followed.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict, deque
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import NameOID

from gateway.errors import GatewayError, KeysUnavailable
from gateway.http import Request
from gateway.plugin import Context
from gateway.services.jose import keys as jose
from plugins.webhook_signature.key import Key, UnusableKey, public_key
from plugins.webhook_signature.scheme import Certificates, Scheme
from plugins.webhook_signature.settings import Credentials
from plugins.webhook_signature.verifier import Keys, Unverified, Why, parse_token

KEEP: Final = 86_400.0
"""Seconds that a key is used before it is fetched again."""
COOLDOWN: Final = 30.0
"""Seconds between two tries for a key that could not be had."""
MOST_KEPT: Final = 32
MOST_A_MINUTE: Final = 10
LARGEST: Final = 65_536
"""Bytes of a certificate or key."""


class FetchedKeys:
    """The keys for a request."""

    def __init__(self, scheme: Scheme, context: Context, credentials: Credentials | None) -> None:
        self._scheme = scheme
        self._context = context
        self._credentials = credentials
        self._kept: OrderedDict[str, tuple[float, Keys]] = OrderedDict()
        self._failed: OrderedDict[str, float] = OrderedDict()
        self._calls: deque[float] = deque(maxlen=MOST_A_MINUTE)
        self._running: dict[str, asyncio.Task[Keys | Exception]] = {}

    async def find(self, request: Request) -> Keys:
        """The keys that may have signed it. Raises Unverified for a name that no key has, KeysUnavailable."""
        name = self._name(request)
        now = self._context.clock.now()
        kept = self._kept.get(name)
        if kept is not None and now - kept[0] < KEEP:
            return kept[1]
        task = self._running.get(name)
        if task is None:
            self._check_pace(name, now)
            task = self._running[name] = self._context.spawn(self._run(name), "webhook_signature: a key")
        try:
            found = await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise KeysUnavailable(reason="the gateway closed while a key was fetched") from None
            raise
        if isinstance(found, Exception):
            raise found
        return found

    def _check_pace(self, name: str, now: float) -> None:
        if now - self._failed.get(name, -COOLDOWN) < COOLDOWN:
            raise KeysUnavailable(reason="the key could not be fetched a moment ago")
        if len(self._calls) == MOST_A_MINUTE and now - self._calls[0] < 60:
            raise KeysUnavailable(reason=f"{MOST_A_MINUTE} keys were fetched within a minute")
        self._calls.append(now)

    async def _run(self, name: str) -> Keys | Exception:
        try:
            keys = await self._fetch(name)
        except (GatewayError, Unverified) as error:
            _keep(self._failed, name, self._context.clock.now())
            self._context.log.warning("a key for webhooks on %s: %s", self._context.route, _reason(error))
            return KeysUnavailable(reason=_reason(error)) if isinstance(error, GatewayError) else error
        else:
            _keep(self._kept, name, (self._context.clock.now(), keys))
            return keys
        finally:
            del self._running[name]

    async def _fetch(self, name: str) -> Keys:
        scheme = self._scheme
        if scheme.certificates is not None:
            body = await self._call("GET", name, None)
            return (certificate_key(scheme, scheme.certificates, body, self._context.clock.time()),)
        service, credentials = scheme.key_service, self._credentials
        assert service is not None, "one of both is there"
        assert credentials is not None, "the settings ask for them"
        asked = {
            "client_id": credentials.client_id,
            "secret": credentials.client_secret.get_secret_value(),
            "key_id": name,
        }
        body = await self._call("POST", credentials.url or service.url, json.dumps(asked).encode())
        return (service_key(body),)

    async def _call(self, method: str, url: str, body: bytes | None) -> bytes:
        headers = {"Accept": "*/*"} if body is None else {"Content-Type": "application/json"}
        answer = await self._context.client().request(method, url, headers=headers, body=body, limit=LARGEST)
        if answer.status in (400, 404):
            raise Unverified(Why.NO_MATCH, f"no key is known by that name (answered {answer.status})")
        if answer.status != 200:
            raise KeysUnavailable(reason=f"answered {answer.status}")
        return answer.body

    def _name(self, request: Request) -> str:
        scheme = self._scheme
        if scheme.certificates is not None:
            return certificate_url(scheme.certificates, request)
        header = scheme.signature.header or ""
        given = request.headers.getall(header, [])
        if not given:
            raise Unverified(Why.NO_HEADER, f"there is no signature in {header}")
        token = parse_token(given)
        if scheme.token is None or token.algorithm not in scheme.token.algorithms or not token.kid:
            raise Unverified(Why.NO_MATCH, "the token names no key, or an algorithm that is not taken")
        return token.kid


def certificate_url(rules: Certificates, request: Request) -> str:
    """Where the certificate lies. Raises Unverified for any place that is not the provider's own."""
    given = request.headers.getall(rules.header, [])
    if len(given) != 1:
        raise Unverified(Why.NO_HEADER, f"there is no {rules.header}")
    url = given[0]
    # Only what every reader of URLs takes for the same: no user, port, query, escapes, dot segments.
    plain = url.isascii() and url.isprintable() and len(url) <= 300 and not set(url) & set("\\@%?#; ")
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    good = plain and scheme == "https" and host in rules.hosts and f"/{path}".startswith(rules.path)
    if not good or ".." in path or urlsplit(url).hostname != host:
        raise Unverified(Why.NO_MATCH, "the certificate's address is not the provider's")
    return url


def certificate_key(scheme: Scheme, rules: Certificates, pem: bytes, now: float) -> Key:
    """The key of a fetched certificate. Raises Unverified if it is made out to somebody else, or is out of date."""
    try:
        found = x509.load_pem_x509_certificate(pem)
        names = [each.value for each in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except ValueError:
        raise Unverified(Why.NO_MATCH, "what lies at the certificate's address is none") from None
    if not set(names) & set(rules.subject):
        raise Unverified(Why.NO_MATCH, "the certificate is made out to somebody else")
    if not found.not_valid_before_utc <= datetime.fromtimestamp(now, UTC) <= found.not_valid_after_utc:
        raise Unverified(Why.NO_MATCH, "the certificate is out of date")
    try:
        return public_key(scheme.algorithm, found.public_key())
    except UnusableKey as error:
        raise Unverified(Why.NO_MATCH, f"the certificate's key: {error}") from None


def service_key(body: bytes) -> jose.Key:
    """The key in a service's answer. Raises Unverified for one that is withdrawn or cannot be read."""
    try:
        found: Any = jose.read_json(body)
        jwk = found.get("key") if isinstance(found, dict) else None
        if not isinstance(jwk, dict):
            raise jose.UnusableKey("not a key")
        if jwk.get("expired_at") is not None:
            raise Unverified(Why.NO_MATCH, "the key is withdrawn")
        return jose.from_jwk(jwk)
    except jose.UnusableKey as error:
        raise Unverified(Why.NO_MATCH, f"the key: {error}") from None


def _keep(shelf: OrderedDict[str, Any], name: str, value: Any) -> None:
    shelf[name] = value
    shelf.move_to_end(name)
    while len(shelf) > MOST_KEPT:
        shelf.popitem(last=False)


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, GatewayError) else str(error)
