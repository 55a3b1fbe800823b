"""An answer to POST that is what a later GET would be told (RFC 9110 §9.3.3): it says so, and for how long it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.http import Request, Response
from plugins.cache.entry import Entry, Place, stored_lines
from plugins.cache.freshness import Unstored, judge
from plugins.cache.purge import located
from plugins.cache.vary import UNKNOWABLE, chosen_by, misspelt, selecting_of

if TYPE_CHECKING:
    from plugins.cache import Cache


def keep_posted(cache: Cache, request: Request, response: Response, place: Place, asked: float, bits: int) -> None:
    """Keep it if its ``Content-Location`` is the very URL that was posted to, and its time is stated."""
    if response.status != 200 or "Content-Location" not in response.headers or response.error is not None:
        return
    if located(request, response, "Content-Location", place.url.partition("/")[0]) != place.url:
        return
    arrived, headers = cache.clock.time(), response.headers
    terms = judge(
        200,
        headers,
        cache.rules,
        authorized=cache.shares_authorized(request, bits),
        asked=asked,
        arrived=arrived,
        explicit_only=True,
    )
    selecting = selecting_of(headers)
    if isinstance(terms, Unstored) or selecting == UNKNOWABLE or misspelt(request, frozenset(selecting)):
        return
    place = Place(place.key, place.url, selecting, chosen_by(selecting, request.headers) if selecting else "")
    lines = stored_lines(response, terms.unstored_fields | cache.private_fields, arrived)
    entry = Entry(place, 200, response.reason, lines, b"", cache.since())
    entry.hold(terms, cache.clock.now(), arrived, cache.settings.early_refresh)
    recorder = Recorder(cache, entry)
    response.body.filter(recorder, changes=False)
    response.body.at_end(recorder.end)


class Recorder:
    """Takes a copy of a body as it passes, and keeps the answer when it has passed as a whole."""

    __slots__ = ("_cache", "_chunks", "_entry", "_held", "_size")

    def __init__(self, cache: Cache, entry: Entry) -> None:
        self._cache = cache
        self._entry = entry
        self._chunks: list[bytes] = []
        self._size = self._held = 0

    def feed(self, chunk: bytes) -> bytes:
        """A copy, as long as it is not too much."""
        self._size += len(chunk)
        counts, settings = self._cache.counts, self._cache.settings
        if self._size > settings.max_object or counts.buffered + len(chunk) > settings.memory:
            self._size = settings.max_object + 1
            self.end()
        else:
            self._chunks.append(chunk)
            self._held += len(chunk)
            counts.buffered += len(chunk)
        return chunk

    def end(self) -> None:
        """It is kept by now, or will not be."""
        self._cache.counts.buffered -= self._held
        self._held = 0
        self._chunks.clear()

    def finish(self) -> bytes:
        """It is whole."""
        entry, shelf = self._entry, self._cache.shelf
        if self._size > self._cache.settings.max_object:
            self._cache.counts.unstored(Unstored.TOO_LARGE)
        elif not shelf.purges.missed_by(entry.url, entry.groups, entry.seq):
            entry.body = b"".join(self._chunks)
            shelf.put(entry)
        return b""
