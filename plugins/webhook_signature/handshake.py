"""Handshakes by which a provider finds out that an address is its customer's, answered at the gateway.

Some ask for a token to be hashed with the secret. Whoever gets any text hashed can sign what he likes, so only what
looks like a token is answered, and what looks like one is never taken as a body (see `Verifier`).
"""

from __future__ import annotations

import binascii
import hmac
import json
import re
from collections.abc import Sequence
from typing import Final

from gateway.http import Response
from plugins.webhook_signature.key import Key
from plugins.webhook_signature.look import Look, Malformed
from plugins.webhook_signature.scheme import Challenge
from plugins.webhook_signature.template import Absent, Template
from plugins.webhook_signature.verifier import TOKEN

_PLACES: Final = re.compile(r"\{(token|hmac_hex|hmac_base64)\}")


class Handshake:
    """One kind of handshake, compiled."""

    __slots__ = ("_body", "_challenge", "_token", "_when", "method", "verified")

    def __init__(self, challenge: Challenge) -> None:
        self.method = challenge.method
        self.verified = challenge.verified
        self._challenge = challenge
        self._when = [(Template(text), value.encode()) for text, value in challenge.when.items()]
        self._body = None if challenge.body is None else re.compile(challenge.body.encode())
        self._token = None if challenge.echo is None else Template(challenge.echo)

    def answer(self, look: Look, key: Key | None) -> Response | None:
        """The answer; None if this is no such handshake. ``key`` made the signature, or is the first there is."""
        token = b""
        try:
            if self._body is not None and self._body.fullmatch(look.body) is None:
                return None
            if any(template.fill(look.fill) != value for template, value in self._when):
                return None
            if self._token is not None:
                token = self._token.fill(look.strictly)
                if not TOKEN.fullmatch(token):
                    return None
        except (Absent, Malformed):
            return None
        return self._made(token.decode("ascii"), key)

    def _made(self, token: str, key: Key | None) -> Response:
        digest = hmac.digest(key.secret, token.encode(), "sha256") if key is not None else b""
        values = {
            "token": token,
            "hmac_hex": digest.hex(),
            "hmac_base64": binascii.b2a_base64(digest, newline=False).decode(),
        }

        def filled(text: str) -> str:
            return _PLACES.sub(lambda found: values[found[1]], text)

        challenge = self._challenge
        if challenge.json_ is None:
            kind, body = "text/plain; charset=utf-8", filled(challenge.text or "")
        else:
            kind = "application/json"
            body = json.dumps(
                {name: filled(value) if isinstance(value, str) else value for name, value in challenge.json_.items()}
            )
        fields = [
            (b"Content-Type", kind.encode()),
            (b"X-Content-Type-Options", b"nosniff"),
            (b"Cache-Control", b"no-store"),
        ]
        return Response(200, fields=fields, body=body.encode())


def answered(handshakes: Sequence[Handshake], look: Look, key: Key | None, *, verified: bool) -> Response | None:
    """The answer to a handshake; None if the request is none of these."""
    for handshake in handshakes:
        if handshake.verified is verified and handshake.method == look.request.method:
            found = handshake.answer(look, key)
            if found is not None:
                return found
    return None
