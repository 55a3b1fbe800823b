"""A request's copy while it is made, and the two answers until both are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.http import Body, Exchange, Request, Response
from plugins.mirror.difference import Seen


class Recorder:
    """Records a body as it passes, up to a limit."""

    __slots__ = ("_done", "_held", "_limit")

    def __init__(self, limit: int, done: Callable[[bytes | None], None]) -> None:
        """``done`` is called once: with the whole body, or None as soon as it is too large."""
        self._limit = limit
        self._done = done
        self._held: bytearray | None = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """A chunk passes."""
        held = self._held
        if held is not None:
            held += chunk
            if len(held) > self._limit:
                self._held = None
                self._done(None)
        return chunk

    def finish(self) -> bytes:
        """The body is whole."""
        held, self._held = self._held, None
        if held is not None:
            self._done(bytes(held))
        return b""


def record(body: Body, limit: int, done: Callable[[bytes | None], None]) -> None:
    """Call ``done`` once: with the body when it is whole, here or later; with None if it is larger than ``limit``.

    A body that is cut short, or that nobody reads, never becomes whole.
    """
    if body.whole is not None:
        done(body.whole if len(body.whole) <= limit else None)
    elif body.length is not None and body.length > limit:
        done(None)
    else:
        body.filter(Recorder(limit, done), changes=False)


def copy_of(request: Request, mark: tuple[str, str], removed: Sequence[str]) -> Request:
    """The request as it is now, without its body and what belongs to its client alone; ``mark`` is a field to set."""
    copy = request.fork(body=Body())
    copy.inform = None
    copy.upstream = copy.error = copy.attempt = None
    copy.attempts, copy.target, copy.repeatable = 0, "", False
    copy.extras = dict(copy.extras) if copy.extras is not None else None
    copy.detached = True
    headers = copy.edit_headers()
    for name in (*removed, mark[0]):
        headers.popall(name, None)
    headers[mark[0]] = mark[1]
    return copy


class Pair:
    """The client's answer and the copy's."""

    __slots__ = ("_answers", "_compare")

    def __init__(self, compare: Callable[[Seen | None, Seen | None], None]) -> None:
        """``compare`` is called once with both; None stands for one that did not come, or not all of it."""
        self._compare = compare
        self._answers: dict[str, Seen | None] = {}

    def client(self, seen: Seen | None) -> None:
        """The client's answer is there, or will not be."""
        self._take("client", seen)

    def copy(self, seen: Seen | None) -> None:
        """The copy's."""
        self._take("copy", seen)

    def _take(self, whose: str, seen: Seen | None) -> None:
        if whose not in self._answers:
            self._answers[whose] = seen
            if len(self._answers) == 2:
                self._compare(self._answers["client"], self._answers["copy"])

    def listen(self, response: Response, limit: int) -> None:
        """Keep what is compared of the client's answer, as it passes."""
        if response.error is not None or response.tunnel is not None:
            self.client(None)
            return
        seen = Seen(response)

        def heard(body: bytes | None) -> None:
            seen.body = body
            self.client(seen)

        record(response.body, limit, heard)

    def over(self, _exchange: Exchange) -> None:
        """The exchange with the client is over: what has not come will not."""
        self.client(None)
