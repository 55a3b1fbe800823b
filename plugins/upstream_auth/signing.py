"""Signatures over requests that leave: a template under a keyed hash, and AWS Signature Version 4."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote

from gateway.plugin.settings import expected

_PARTS: Final = ("method", "path", "host", "timestamp", "body")
_PLACEHOLDER: Final = re.compile(r"\{([a-z]*)\}")
UNSIGNED: Final = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True, slots=True)
class Sent:
    """What goes to the target, as far as signatures speak of it."""

    method: str
    path: str
    """With the query, as on the wire."""
    host: str
    body: bytes
    now: float
    """Seconds since 1970."""


Signed = Callable[[Sent], bytes]


def compile_signed(template: str) -> Signed:
    r"""What ``template`` becomes for a request. Raises ValueError for a placeholder that is not known."""
    text = template.replace("\\n", "\n")
    unknown = [name for name in _PLACEHOLDER.findall(text) if name not in _PARTS]
    if unknown:
        raise expected("placeholders out of " + ", ".join(f"{{{name}}}" for name in _PARTS))
    pieces = _PLACEHOLDER.split(text)  # fixed text and names in turn

    def fill(sent: Sent) -> bytes:
        values = {
            "method": sent.method.encode(),
            "path": sent.path.encode("utf-8", "surrogateescape"),
            "host": sent.host.encode("utf-8", "surrogateescape"),
            "timestamp": b"%d" % int(sent.now),
            "body": sent.body,
        }
        return b"".join(values[piece] if odd % 2 else piece.encode() for odd, piece in enumerate(pieces))

    return fill


def sign(secret: bytes, algorithm: str, encoding: str, message: bytes) -> str:
    """A keyed hash (RFC 2104) in hex or base64."""
    made = hmac.new(secret, message, algorithm)
    return made.hexdigest() if encoding == "hex" else base64.b64encode(made.digest()).decode()


class Aws4:
    """AWS Signature Version 4, as fields of the request (AWS General Reference, "Signing AWS API requests")."""

    def __init__(self, region: str, service: str, access_key: str, secret_key: str, session_token: str | None) -> None:
        self._scope = f"{region}/{service}/aws4_request"
        self._parts = (region, service)
        self._key_id = access_key
        self._secret = b"AWS4" + secret_key.encode()
        self._session = session_token
        self._s3 = service == "s3"
        self._day = ("", b"")
        """A day's date and its key, which is the same for all requests of the day."""

    def fields(self, sent: Sent, headers: Mapping[str, str], *, unsigned: bool = False) -> list[tuple[str, str]]:
        """Fields to set. ``headers``: further ones to be signed, such as ``Content-Type``, by name."""
        stamp = datetime.fromtimestamp(sent.now, UTC).strftime("%Y%m%dT%H%M%SZ")
        digest = UNSIGNED if unsigned else hashlib.sha256(sent.body).hexdigest()
        added = [("X-Amz-Date", stamp)]
        if self._session is not None:
            added.append(("X-Amz-Security-Token", self._session))
        if self._s3:
            added.append(("X-Amz-Content-Sha256", digest))
        every = {name.lower(): " ".join(value.split()) for name, value in (*headers.items(), *added)}
        every["host"] = sent.host
        names = ";".join(sorted(every))
        canonical = "\n".join(
            (
                sent.method,
                self._path(sent.path.partition("?")[0]),
                _query(sent.path.partition("?")[2]),
                *(f"{name}:{every[name]}" for name in sorted(every)),
                "",
                names,
                digest,
            )
        )
        hashed = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{stamp[:8]}/{self._scope}\n{hashed}"
        signature = hmac.new(self._key(stamp[:8]), text.encode(), hashlib.sha256).hexdigest()
        credential = f"{self._key_id}/{stamp[:8]}/{self._scope}"
        value = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        return [*added, ("Authorization", value)]

    def _path(self, path: str) -> str:
        """Encoded once for S3 and once more for all others."""
        once = quote(unquote(path, errors="surrogateescape"), safe="/-_.~", errors="surrogateescape")
        return once if self._s3 else quote(once, safe="/-_.~")

    def _key(self, day: str) -> bytes:
        known, key = self._day
        if known != day:
            key = self._secret
            for part in (day, *self._parts, "aws4_request"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            self._day = (day, key)
        return key


def _query(query: str) -> str:
    """Sorted by name, then by value, each strictly encoded."""
    pairs: Sequence[tuple[str, str]] = [
        (_strict(name), _strict(value)) for name, _, value in (pair.partition("=") for pair in query.split("&") if pair)
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _strict(text: str) -> str:
    return quote(unquote(text, errors="surrogateescape"), safe="-_.~", errors="surrogateescape")
