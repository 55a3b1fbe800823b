"""HTTP calls of the gateway's own: keys, introspection, alerts, checks. Not the path of a request.

One aiohttp session a worker, made at the first call. Answers are held up to a limit, never streamed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multidict import CIMultiDictProxy

from gateway.errors import ConnectFailed, ConnectTimeout, MalformedAnswer

if TYPE_CHECKING:
    import aiohttp


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class Client:
    """Calls with a deadline and a limit, both needed."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = 5.0,  # noqa: ASYNC109 - a deadline for the call as a whole is what callers mean
        limit: int = 1_000_000,
        redirects: bool = False,
    ) -> Answer:
        """Make a call. ``timeout`` in seconds for all of it, ``limit`` in bytes of the answer's body.

        Raises ConnectTimeout, ConnectFailed, or MalformedAnswer for a longer body. No error repeats what a URL may hold
        of secrets.
        """
        if self._closed:
            raise ConnectFailed(reason="the client is closed")
        import aiohttp  # noqa: PLC0415 - half of aiohttp's memory is its client, and most gateways never call

        session = self._session
        if session is None:
            session = self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=64, limit_per_host=16),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
                headers={"User-Agent": "sidegate"},
            )
        try:
            async with (
                asyncio.timeout(timeout),
                session.request(method, url, headers=headers, data=body, allow_redirects=redirects) as response,
            ):
                held = await _bounded(response, limit)
                return Answer(response.status, response.headers, held)
        except TimeoutError:
            raise ConnectTimeout(reason=f"{method} {_shown(url)}: no answer in {timeout:g}s") from None
        except (aiohttp.ClientConnectorError, aiohttp.ServerConnectionError, ConnectionError) as error:
            raise ConnectFailed(reason=f"{method} {_shown(url)}: {error}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:  # aiohttp puts the URL into the text of some
            raise ConnectFailed(reason=f"{method} {_shown(url)}: {type(error).__name__}") from None

    async def close(self) -> None:
        """Idempotent; calls fail from here on."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()


async def _bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    held = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        held += chunk
        if len(held) > limit:
            raise MalformedAnswer(reason=f"an answer of more than {limit} bytes")
    return bytes(held)


def _shown(url: str) -> str:
    """A URL as it may be logged: without user, password and query, which may hold secrets."""
    scheme, separator, rest = url.partition("?")[0].partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"
