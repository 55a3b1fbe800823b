"""Proves to a target who we are: fixed credentials, a token of our own by OAuth 2, or a signature.

Stands in an upstream's `attempt` list, where path and host are those that go on the wire; each attempt is signed anew.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from gateway.http import Handler, Request, Response
from gateway.http.query import without_parameter
from gateway.plugin import Context, Plugin, Stage
from gateway.plugin.issuer import in_the_open
from plugins.upstream_auth.settings import Aws, UpstreamAuthSettings
from plugins.upstream_auth.signing import Aws4, Sent, compile_signed, sign
from plugins.upstream_auth.token import Token

__all__ = ["UpstreamAuth", "UpstreamAuthSettings"]


class UpstreamAuth(Plugin[UpstreamAuthSettings]):
    stage = Stage.SHAPE
    on_attempt = True
    buffers_body = True

    def __init__(self, settings: UpstreamAuthSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._fixed = [(name, value.get_secret_value()) for name, value in settings.headers.items()]
        if settings.basic is not None:
            pair = f"{settings.basic.username}:{settings.basic.password.get_secret_value()}"
            self._fixed.append(("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}"))
        self._query = [(name, quote(value.get_secret_value(), safe="")) for name, value in settings.query.items()]
        self._token = Token(settings.oauth2, context) if settings.oauth2 is not None else None
        self._aws = _signer(settings.aws) if settings.aws is not None else None
        self._signed = compile_signed(settings.hmac.signed) if settings.hmac is not None else None
        self._time = context.clock.time

    async def open(self) -> None:
        if self._token is not None:
            self.context.report("upstream_auth", self._token.state)

    async def close(self) -> None:
        if self._token is not None:
            await self._token.close()

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        headers = request.edit_headers()
        for name in self.settings.hide:
            headers.popall(name, None)
        for name, value in self._fixed:
            headers[name] = value
        self._put_in_query(request)
        if self._token is None:
            await self._sign(request)
            return await proceed(request)
        token = await self._token.value()
        headers["Authorization"] = f"Bearer {token}"
        await self._sign(request)
        response = await proceed(request)
        if response.status != 401 or response.error is not None:
            return response
        if not self._token.rejected(token) or not request.body.replayable:
            return response
        response.body.close()
        headers["Authorization"] = f"Bearer {await self._token.value()}"
        await self._sign(request)
        return await proceed(request)

    def _put_in_query(self, request: Request) -> None:
        attempt = request.attempt
        if not self._query or attempt is None:
            return
        path, _, query = attempt.path.partition("?")
        for name, value in self._query:
            rest = without_parameter(query, name)
            query = f"{rest}&{name}={value}" if rest else f"{name}={value}"
        attempt.path = f"{path}?{query}"

    async def _sign(self, request: Request) -> None:
        """Raises PayloadTooLarge for a body that is larger than what is held to be signed."""
        settings, attempt = self.settings, request.attempt
        if attempt is None or (self._aws is None and self._signed is None):
            return
        unsigned = settings.aws is not None and settings.aws.unsigned_payload and self._signed is None
        body = b"" if unsigned else await request.body.read(settings.max_body)
        sent = Sent(request.method, attempt.path, attempt.host, body, self._time())
        headers = request.edit_headers()
        if settings.hmac is not None and self._signed is not None:
            secret = settings.hmac.secret.get_secret_value().encode()
            made = sign(secret, settings.hmac.algorithm, settings.hmac.encoding, self._signed(sent))
            headers[settings.hmac.header] = settings.hmac.prefix + made
            if settings.hmac.timestamp_header is not None and "{timestamp}" in settings.hmac.signed:
                headers[settings.hmac.timestamp_header] = str(int(sent.now))
        if self._aws is not None:
            media: Mapping[str, str] = {name: headers[name] for name in ("Content-Type",) if name in headers}
            for name, value in self._aws.fields(sent, media, unsigned=unsigned):
                headers[name] = value

    @classmethod
    def check(cls, settings: UpstreamAuthSettings) -> Sequence[str]:
        found = []
        if settings.oauth2 is not None and in_the_open(settings.oauth2.token_url):
            found.append("`oauth2.token_url` is asked without TLS: whoever is on the way learns the client's secret")
        if settings.hmac is not None and "{timestamp}" not in settings.hmac.signed:
            found.append("`hmac.signed` holds no `{timestamp}`: whoever has seen a request can send it again for ever")
        return found


def _signer(settings: Aws) -> Aws4:
    session = settings.session_token.get_secret_value() if settings.session_token is not None else None
    secret = settings.secret_key.get_secret_value()
    return Aws4(settings.region, settings.service, settings.access_key, secret, session)
