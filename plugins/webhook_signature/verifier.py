"""Whether a request was signed by who holds one of the keys, and what for.

Cheap things first: a request without a signature, with one of a wrong shape or an old one costs no hash. Every key is
tried on every signature, as providers send two of them while a secret is changed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from gateway.http import Request
from gateway.services.jose import token as jws
from gateway.services.jose.keys import Key as TokenKey
from plugins.webhook_signature.key import Key
from plugins.webhook_signature.look import Look, Malformed, other_port, unescaped
from plugins.webhook_signature.members import Members, elements
from plugins.webhook_signature.place import decoder, reader
from plugins.webhook_signature.scheme import SYMMETRIC, Algorithm, Place, Scheme
from plugins.webhook_signature.template import Absent, Template, placeholders, split_path

MOST_SLOW: Final = 4
"""Signatures tried with public keys, which take fifty times as long as a hash."""
LONGEST_ID: Final = 512
TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/=-]{1,512}")
"""What is answered in a handshake: it can be no JSON object, no markup and no line of a header."""
_SIZES: Final = {"sha1": 20, "sha256": 32, "sha512": 64}
_FORMS: Final[Mapping[str, Callable[[str], str]]] = {
    "as_called": lambda url: url,
    "other_port": other_port,
    "unescaped": unescaped,
}


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 16 else None


def _milliseconds(text: str) -> float | None:
    return None if (found := _seconds(text)) is None else found / 1000


def _date(text: str) -> float | None:
    try:
        found = datetime.fromisoformat(text) if len(text) <= 40 else None
    except ValueError:
        return None
    return None if found is None or found.tzinfo is None else found.timestamp()


_MOMENTS: Final = {"s": _seconds, "ms": _milliseconds, "iso8601": _date}


class Why(StrEnum):
    """Why a request is refused, for metric and log."""

    NO_HEADER = "no_header"
    BAD_TIMESTAMP = "bad_timestamp"
    NO_MATCH = "no_match"
    MALFORMED = "malformed"


class Unverified(Exception):
    """The signature does not hold. The text is for the log and repeats nothing that the sender wrote."""

    def __init__(self, why: Why, reason: str) -> None:
        super().__init__(reason)
        self.why = why


class Verified(NamedTuple):
    """A request whose signature holds."""

    id: str | None
    time: float | None
    key: Key | None
    """The key that made it."""


Keys = Sequence[Key] | Sequence[TokenKey]


class Verifier:
    """A scheme with an operator's choices, compiled."""

    def __init__(self, scheme: Scheme, *, public: str | None = None, values: Mapping[str, str] | None = None) -> None:
        self.scheme = scheme
        self._public = public
        self._values = values
        self._read = reader(scheme.signature)
        self._read_time = None if scheme.timestamp is None else reader(scheme.timestamp)
        self._moment = _MOMENTS["s" if scheme.timestamp is None else scheme.timestamp.unit]
        self._read_digest = None if scheme.body_digest is None else reader(scheme.body_digest)
        self._decode = decoder(scheme.encoding)
        self.signed = Template(scheme.signed)
        self._by_url = "url" in placeholders(scheme.signed)
        self._with_secret = "secret" in placeholders(scheme.signed)
        self._forms = [_FORMS[name] for name in scheme.url_forms]
        self._id = None if scheme.event_id is None else Template(scheme.event_id)
        self._id_is_signed = "id" in placeholders(scheme.signed)
        self._each = None if scheme.each is None else split_path(scheme.each)
        self._size = _SIZES.get(SYMMETRIC.get(scheme.algorithm, ""), 64 if scheme.algorithm is Algorithm.ED25519 else 0)
        self._slow = scheme.algorithm not in SYMMETRIC and scheme.algorithm is not Algorithm.TOKEN
        # Whoever may have any token hashed must not be able to send it as a body.
        self._no_tokens = any(
            not challenge.verified and any("{hmac" in text for text in challenge.texts)
            for challenge in scheme.challenges
        )
        self.members = Members(_paths(scheme))

    def look(self, request: Request, body: bytes, document: bytes | msgspec.Raw | None = None) -> Look:
        """A request, to be judged or looked into."""
        return Look(request, body, self.members, public=self._public, values=self._values, document=document)

    def verify(self, request: Request, body: bytes, now: float, keys: Keys) -> Verified:
        """Who signed it. ``now`` in seconds since the epoch. Raises Unverified."""
        try:
            if self._each is None:
                return self._judge(self.look(request, body), now, keys)
            return self._judge_each(request, body, now, keys, self._each)
        except Absent as error:
            raise Unverified(Why.NO_HEADER, f"there is no {error.args[0]}") from None
        except Malformed as error:
            raise Unverified(Why.MALFORMED, str(error)) from None

    def _judge_each(self, request: Request, body: bytes, now: float, keys: Keys, path: tuple[str, ...]) -> Verified:
        try:
            found = elements(body, path)
        except (ValueError, RecursionError, msgspec.DecodeError):
            raise Malformed("the body has no list of what is signed") from None
        if not found:
            raise Malformed("nothing in the body is signed")
        each = [self._judge(self.look(request, body, element), now, keys) for element in found]
        if len(each) == 1:
            return each[0]
        ids = [one.id for one in each if one.id is not None]
        joined = hashlib.blake2b("\n".join(ids).encode(), digest_size=20).hexdigest() if len(ids) == len(each) else None
        return Verified(joined, each[0].time, each[0].key)

    def _judge(self, look: Look, now: float, keys: Keys) -> Verified:
        given = self._read(look)
        if not given:
            raise Unverified(Why.NO_HEADER, f"there is no signature in {where(self.scheme.signature)}")
        if self.scheme.token is not None:
            return self._judge_token(look, given, now, keys)
        time = None
        if self._read_time is not None:
            time = self._time(look, now)
        if self._read_digest is not None:
            self._check_digest(look)
        signatures = self._decoded(given)
        if self._id_is_signed:
            look.id = self._event_id(look)
        key = self._find(look, signatures, keys)
        found = look.id if self._id_is_signed else self._event_id(look)
        return Verified(None if found is None else _shortened(found), time, key)

    def message(self, request: Request, body: bytes) -> bytes | None:
        """What should have been signed; None if the request lacks a part of it. For people who compare."""
        look = self.look(request, body)
        try:
            if self._read_time is not None:
                look.timestamp = self.timestamp_text(look).encode("utf-8", "surrogateescape")
            if self._read_digest is not None:
                look.with_form = not self._read_digest(look)
            if self._id_is_signed:
                look.id = self._event_id(look)
            return self.signed.fill(look.fill)
        except (Absent, Malformed, Unverified):
            return None

    # -- the parts ---------------------------------------------------------------------------------------------

    def timestamp_text(self, look: Look) -> str:
        """The timestamp as the sender wrote it. Raises Unverified, Malformed."""
        place, read = self.scheme.timestamp, self._read_time
        assert place is not None, "asked only with a place"
        assert read is not None, "asked only with a place"
        given = read(look)
        if len(given) != 1:
            what = "more than one timestamp" if given else "no timestamp"
            raise Unverified(Why.NO_HEADER if not given else Why.BAD_TIMESTAMP, f"there is {what} in {where(place)}")
        return given[0]

    def _time(self, look: Look, now: float) -> float | None:
        text = self.timestamp_text(look)
        look.timestamp = text.encode("utf-8", "surrogateescape")
        time = self._moment(text)
        if self.scheme.tolerance is not None:
            if time is None:
                raise Unverified(Why.BAD_TIMESTAMP, "the timestamp cannot be read")
            self._check_time(time, now)
        return time

    def _check_time(self, time: float, now: float) -> None:
        tolerance = self.scheme.tolerance
        if tolerance is None:
            return
        age = now - time
        if age > tolerance:
            raise Unverified(Why.BAD_TIMESTAMP, f"signed {age:.0f} s ago, {tolerance:.0f} s are allowed")
        if -age > self.scheme.future_tolerance:
            raise Unverified(
                Why.BAD_TIMESTAMP, f"signed {-age:.0f} s ahead, {self.scheme.future_tolerance:.0f} s are allowed"
            )

    def _check_digest(self, look: Look) -> None:
        digest, read = self.scheme.body_digest, self._read_digest
        assert digest is not None, "asked only with a place"
        assert read is not None, "asked only with a place"
        given = read(look)
        if not given:
            if digest.required:
                raise Unverified(Why.NO_HEADER, f"there is no digest of the body in {where(digest)}")
            return
        look.with_form = False
        if len(given) != 1 or not _is_digest(given[0], digest.encoding, look.body):
            raise Unverified(Why.NO_MATCH, "the body is not the one whose digest was signed")

    def _decoded(self, given: Sequence[str]) -> list[bytes]:
        if self.scheme.algorithm is Algorithm.TOKEN:
            return [text.encode("utf-8", "surrogateescape") for text in given]
        found = []
        for text in given:
            try:
                data = self._decode(text)
            except ValueError:
                continue
            if self._size in (0, len(data)):
                found.append(data)
        if not found:
            raise Unverified(Why.MALFORMED, f"no signature is {self.scheme.encoding} of the right length")
        return found[:MOST_SLOW] if self._slow else found

    def _event_id(self, look: Look) -> bytes | None:
        if self._id is None:
            return None
        try:
            return self._id.fill(look.strictly)
        except (Absent, Malformed):
            if self._id_is_signed:
                raise
            return None  # a batch, say; what is verified is no less so

    def _find(self, look: Look, signatures: Sequence[bytes], keys: Sequence[Any]) -> Key:
        for url in self._urls(look):
            look.url = url
            message = b"" if self._with_secret else self._message(look)
            for key in keys:
                if self._with_secret:
                    look.secret = key.secret
                    message = self._message(look)
                for signature in signatures:
                    if key.verifies(message, signature):
                        found: Key = key
                        return found
        count = len(keys)
        tried = f"none of {count} secrets matches" if count > 1 else "the secret does not match"
        raise Unverified(Why.NO_MATCH, tried)

    def _urls(self, look: Look) -> Sequence[str]:
        if not self._by_url:
            return ("",)
        called = look.called()
        return list(dict.fromkeys([form(called) for form in self._forms]))

    def _message(self, look: Look) -> bytes:
        message = self.signed.fill(look.fill)
        if self._no_tokens and TOKEN.fullmatch(message):
            raise Malformed("the body could have been a token that was answered in a handshake")
        return message

    # -- signed tokens -----------------------------------------------------------------------------------------

    def _judge_token(self, look: Look, given: Sequence[str], now: float, keys: Sequence[Any]) -> Verified:
        token, says = parse_token(given), self.scheme.token
        assert says is not None, "asked only with one"
        if token.algorithm not in says.algorithms:
            raise Unverified(Why.NO_MATCH, "the token is signed with an algorithm that is not taken")
        if not any(
            key.serves(token.algorithm) and key.verifies(token.algorithm, token.signed, token.signature) for key in keys
        ):
            raise Unverified(Why.NO_MATCH, "no key made the token's signature")
        digest = token.claims.get(says.body_claim)
        if not isinstance(digest, str) or not _is_digest(digest, says.encoding, look.body):
            raise Unverified(Why.NO_MATCH, "the body is not the one whose digest was signed")
        issued = token.claims.get("iat")
        time = None
        if self.scheme.tolerance is not None:
            if isinstance(issued, bool) or not isinstance(issued, int | float) or not abs(issued) < 1e11:
                raise Unverified(Why.BAD_TIMESTAMP, "the token does not say when it was made")
            time = float(issued)
            self._check_time(time, now)
        found = self._event_id(look)
        return Verified(None if found is None else _shortened(found), time, None)


def parse_token(given: Sequence[str]) -> jws.Token:
    """The token that stands for a signature, not yet verified. Raises Unverified."""
    if len(given) != 1:
        raise Unverified(Why.MALFORMED, "there must be one token")
    try:
        return jws.parse(given[0])
    except jws.Malformed as error:
        raise Unverified(Why.MALFORMED, f"the token: {error}") from None


def where(place: Place) -> str:
    """A place in words for people."""
    if place.header is not None:
        named = place.header
    elif place.query is not None:
        named = f"the parameter {place.query}"
    else:
        named = f"the body's {place.json_}"
    return f"{named}, as `{place.prefix}…`" if place.prefix else named


def _is_digest(given: str, encoding: str, body: bytes) -> bool:
    try:
        return hmac.compare_digest(decoder(encoding)(given), hashlib.sha256(body).digest())
    except ValueError:
        return False


def _shortened(found: bytes) -> str:
    text = found.decode("utf-8", "replace")
    return text if len(text) <= LONGEST_ID else hashlib.blake2b(found, digest_size=20).hexdigest()


def _paths(scheme: Scheme) -> set[tuple[str, ...]]:
    """Members of the body that the scheme speaks of; of the whole body, too, where elements are signed."""
    places = [scheme.signature, scheme.timestamp, scheme.body_digest]
    texts = [scheme.signed, scheme.event_id or ""]
    for challenge in scheme.challenges:
        texts += [*challenge.when, challenge.echo or ""]
    paths = {split_path(place.json_) for place in places if place is not None and place.json_ is not None}
    return paths | {split_path(name) for text in texts for kind, name in Template(text).asks if kind == "json"}
