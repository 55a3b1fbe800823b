"""Requests, answers and bodies made in one line, and a target that remembers what reached it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from multidict import CIMultiDict, MultiMapping

from gateway.errors import GatewayError
from gateway.http import Body, Principal, Request, Response, Route
from gateway.http.peer import Peer

MOST: Final = 64 * 1024 * 1024
"""Bytes that `read` and `Answering` hold."""

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


class Chunks:
    """A body's source: these chunks, then these trailers, or this error in place of the end."""

    def __init__(
        self, chunks: Iterable[bytes], *, error: Exception | None = None, trailers: Mapping[str, str] | None = None
    ) -> None:
        self.trailers: MultiMapping[str] | None = None
        self.given = 0
        """Bytes pulled so far."""
        self.ended = False
        self.closed = False
        self._chunks = iter(chunks)
        self._error = error
        self._trailers = trailers

    async def read(self) -> bytes:
        """The next chunk; empty ones are passed over."""
        if self.closed:
            raise AssertionError("a body was read after it was closed")
        for chunk in self._chunks:
            if chunk:
                self.given += len(chunk)
                return chunk
        if self._error is not None:
            raise self._error
        if not self.ended:
            self.ended = True
            self.trailers = CIMultiDict(self._trailers) if self._trailers is not None else None
        return b""

    def close(self) -> None:
        """Given up, unless it had ended."""
        if not self.ended:
            self.closed = True


def request(
    method: str = "GET",
    path: str = "/",
    *,
    headers: Headers = (),
    body: bytes | str = b"",
    chunks: Iterable[bytes] | Chunks | None = None,
    host: str = "gateway.test",
    scheme: str = "http",
    client_ip: str = "192.0.2.1",
    principal: Principal | str | None = None,
    tenant: str | None = None,
    params: Mapping[str, str] | None = None,
    id: str = "test-request",  # noqa: A002 - the field's name
    route: str = "test",
) -> Request:
    """A request as the server would hand it to a chain.

    What follows ``?`` in ``path`` is the query. ``chunks`` makes a body that streams and whose length nobody said;
    ``params`` are the parameters of the path. ``Host`` and the fields that frame a body are added, as a client would.
    """
    raw = data_of(body)
    given = CIMultiDict(headers)
    given.setdefault("Host", host)
    if chunks is not None:
        source = chunks if isinstance(chunks, Chunks) else Chunks(chunks)
        streamed = Body(None, source)
        given.setdefault("Transfer-Encoding", "chunked")
    else:
        streamed = Body(raw)
        if raw:
            given.setdefault("Content-Length", str(len(raw)))
    path, _, query = path.partition("?")
    made = Request(
        method,
        path,
        query=query,
        fields=_raw(given),
        body=streamed,
        host=host,
        scheme=scheme,
        client_ip=client_ip,
        id=id,
    )
    made.peer = Peer(client_ip, 40000, scheme=scheme)
    made.principal = Principal(principal) if isinstance(principal, str) else principal
    made.tenant = tenant
    made.path_params = params
    made.route = Route(route)
    return made


def data_of(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body


def _raw(headers: MultiMapping[str]) -> Sequence[tuple[bytes, bytes]]:
    return tuple((name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers.items())


class Answering:
    """The end of a chain under test: always the same answer, and a record of what arrived."""

    def __init__(self, make: Callable[[], Response]) -> None:
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []
        """Their bodies, pulled as a target would."""
        self.sources: list[Chunks] = []
        """Of the answers that stream, one for each request: whether they were read to the end, or closed."""
        self._make = make

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        self.bodies.append(await request.body.read(MOST))
        return self._make()

    @property
    def calls(self) -> int:
        """How many requests arrived."""
        return len(self.requests)

    @property
    def request(self) -> Request:
        """The last request that arrived. Raises AssertionError if none did."""
        assert self.requests, "no request got as far as the target"
        return self.requests[-1]

    @property
    def body(self) -> bytes:
        """The last body that arrived. Raises AssertionError if no request did."""
        assert self.bodies, "no request got as far as the target"
        return self.bodies[-1]


def answering(
    status: int = 200,
    headers: Headers = (),
    body: bytes | str = b"",
    *,
    chunks: Iterable[bytes] | None = None,
    trailers: Mapping[str, str] | None = None,
    error: GatewayError | None = None,
) -> Answering:
    """A handler that answers every request alike.

    With ``chunks`` the answer streams, its length unknown, and ends with ``trailers``. ``error`` is raised instead of
    an answer or, with ``chunks``, after the last of them: a target that breaks off.
    """
    made = list(chunks) if chunks is not None else None
    given = CIMultiDict(headers)

    def make() -> Response:
        if made is None:
            if error is not None:
                raise error
            return Response(status, fields=_raw(given), body=Body(data_of(body)))
        source = Chunks(made, error=error, trailers=trailers)
        handler.sources.append(source)
        return Response(status, fields=_raw(given), body=Body(None, source))

    handler = Answering(make)
    return handler


async def read(message: Request | Response) -> bytes:
    """Its whole body, up to 64 MiB. Raises the GatewayError that cuts it short."""
    return await message.body.read(MOST)
