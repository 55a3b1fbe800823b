"""cache: any sequence of requests, answers, purges and time, against a small model of the standard.

The model keeps of every answer that the origin has given when it was made, what it said, and for whom. It does not
know what the cache ought to keep, for a cache need keep nothing; it knows what may be used (RFC 9111 §4), and that is
asked of each answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.errors import UpstreamReset
from gateway.http import Body, Request, Response
from gateway.testing import opened, ports, request
from plugins.cache import Cache
from plugins.cache.dates import format_date
from plugins.cache.purge import Kind, Purge

PATHS = ("/a", "/a", "/b?x=1")
LIFETIME, WHILE_REVALIDATE, IF_ERROR = 10, 5, 20


class Asker(NamedTuple):
    """One who asks, and what for."""

    path: str = "/a"
    method: str = "GET"
    language: str | None = None
    caller: str | None = None
    authorized: bool = False
    control: str = ""


ASKERS = (
    Asker(), Asker(), Asker(), Asker(language="de"), Asker(language="en"), Asker(caller="ann"), Asker(caller="bob"),
    Asker(authorized=True), Asker(control="no-cache"), Asker(control="no-store"), Asker(control="only-if-cached"),
    Asker(method="HEAD"), Asker("/b?x=1"),
)  # fmt: skip


@dataclass
class Said:
    """One answer of the origin, or what a 304 made of it."""

    path: str
    number: int
    at: float
    """When it was made or last validated."""
    control: str
    language: str | None
    """Of the request, if the answer differs by it."""
    authorized: bool
    caller: str | None
    current: bool = True
    """No purge or unsafe request has come since."""
    softened: float | None = None

    def may(self, asked: Request, now: float, *, failing: bool) -> bool:
        """Whether this request may be told so without the origin being asked, or though it fails."""
        if not self.current or "no-store" in self.control or "private" in self.control:
            return False
        if self.caller != (asked.principal.id if asked.principal is not None else None):
            return False
        if self.authorized and "public" not in self.control and "must-revalidate" not in self.control:  # §3.5
            return False
        if self.language is not None and self.language != asked.headers.get("Accept-Language", ""):
            return False
        if "no-cache" in self.control:
            return False
        insists = "no-cache" in asked.headers.get("Cache-Control", "")
        late = now - (self.at + LIFETIME if self.softened is None else min(self.softened, self.at + LIFETIME))
        if late < 0:
            return failing or not insists  # a wish (§5.2.1.4), and what is fresh is no lie
        if "must-revalidate" in self.control or "stale" not in self.control:
            return False
        return (late < WHILE_REVALIDATE and not insists) or (failing and late < IF_ERROR)


class Sequences(RuleBasedStateMachine):
    """What may be done, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.said: list[Said] = []
        self.asker: Asker | None = None
        self.number = 0
        self.asked = 0
        self.control, self.varies, self.failing, self.moves = "max-age=10", False, False, False

    def run(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        self.ports = ports()
        self.stack = opened(Cache, {"disconnected": 0, "early_refresh": 0, "pass_memory": "1s"}, ports=self.ports)
        self.live = self.run(self.stack.__aenter__())

    def teardown(self) -> None:
        if hasattr(self, "live"):
            self.run(self.stack.__aexit__(None, None, None))
        self.loop.close()

    async def origin(self, asked: Request) -> Response:
        self.asked += 1
        if self.failing:
            raise UpstreamReset
        now, path = self.ports.clock.time(), asked.path + (f"?{asked.query}" if asked.query else "")
        headers = {"Cache-Control": self.control, "Date": format_date(now)}
        if self.varies:
            headers["Vary"] = "Accept-Language"
        language = asked.headers.get("Accept-Language", "") if self.varies else None
        if asked.method not in ("GET", "HEAD"):
            return Response(204)
        known = [
            each
            for each in self.said
            if each.path == path and f'"{each.number}"' in asked.headers.get("If-None-Match", "")
        ]
        if known and not self.moves and self.is_same(known[-1], asked, language):
            last = known[-1]
            told = Said(path, last.number, now, self.control, language, "Authorization" in asked.headers, last.caller)
            self.said.append(told)
            return Response(304, headers={**headers, "ETag": f'"{last.number}"'})
        self.number += 1
        caller = asked.principal.id if asked.principal is not None else None
        if asked.method == "GET":
            authorized = "Authorization" in asked.headers
            self.said.append(Said(path, self.number, now, self.control, language, authorized, caller))
        body = str(self.number).encode() if asked.method == "GET" else b""
        return Response(200, headers={**headers, "ETag": f'"{self.number}"'}, body=Body(body))

    def is_same(self, last: Said, asked: Request, language: str | None) -> bool:
        caller = asked.principal.id if asked.principal is not None else None
        return last.language == language and last.caller == caller

    @rule(
        control=st.sampled_from(
            ["max-age=10"] * 4
            + ["public, max-age=10", "private, max-age=10", "max-age=10, no-store", "max-age=10, no-cache"]
            + ["max-age=10, must-revalidate"] * 2
        ),
        usable=st.booleans(),
        varies=st.booleans(),
        moves=st.booleans(),
        asker=st.sampled_from(ASKERS),
    )
    def origin_changes(self, control: str, usable: bool, varies: bool, moves: bool, asker: Asker) -> None:
        """And everybody comes to know of it: without that, most sequences would be about nothing that is stored."""
        stale = f", stale-while-revalidate={WHILE_REVALIDATE}, stale-if-error={IF_ERROR}" if usable else ""
        self.control, self.varies, self.moves, self.failing = control + stale, varies, moves, False
        self.somebody_purges("/a", soft=False)
        self.somebody_asks_twice(asker)

    @rule()
    def origin_fails(self) -> None:
        self.failing = True

    @rule(seconds=st.sampled_from([3, 11, 16]))
    def time_passes(self, seconds: int) -> None:
        self.ports.clock.advance(seconds)

    @rule(asker=st.sampled_from(ASKERS))
    def somebody_asks(self, asker: Asker) -> None:
        self.asker = asker
        self.ask(asker)

    @rule(part=st.sampled_from([False, False, True]), known=st.sampled_from([False, False, True]))
    @precondition(lambda self: self.asker is not None)
    def the_same_asks_again(self, part: bool, known: bool) -> None:
        assert self.asker is not None
        self.ask(self.asker, part=part, known=known)

    @rule(asker=st.sampled_from(ASKERS))
    def somebody_asks_twice(self, asker: Asker) -> None:
        self.somebody_asks(asker)
        self.ask(asker)

    def ask(self, asker: Asker, *, part: bool = False, known: bool = False) -> None:
        path, method, language, caller, authorized, control = asker
        given = {"Accept-Language": language, "Cache-Control": control, "Authorization": "x" if authorized else None}
        given["Range"] = "bytes=0-" if part else None
        given["If-None-Match"] = f'"{self.number}"' if known else None
        headers = {name: value for name, value in given.items() if value}
        asked = request(method, path, headers=headers, principal=caller)
        now, before, told = self.ports.clock.time(), self.asked, len(self.said)
        answer = self.run(self.live(asked, self.origin))
        foreground = self.asked - before
        self.run(self.ports.settled())
        if answer.status in (204, 502, 504):
            assert control == "only-if-cached" or self.failing
            return
        tag = answer.headers["ETag"].strip('"')
        assert answer.status in ((200, 206, 304) if known or part else (200,))
        if answer.body.whole and answer.status == 200:
            assert answer.body.whole.decode() == tag, "the bytes are those of the tag"
        if foreground and any(str(each.number) == tag for each in self.said[told:]):
            return  # what the origin has just said
        if foreground and method == "HEAD":
            return
        assert control != "no-store" or not foreground
        kept = [each for each in self.said[:told] if each.path == path and str(each.number) == tag]
        assert any(each.may(asked, now, failing=self.failing) for each in kept), (answer.status, dict(answer.headers))
        age = int(answer.headers.get("Age", "0"))
        assert any(each.number == int(tag) and age == int(now - each.at) for each in kept), "Age is the time since then"

    @rule(path=st.sampled_from(PATHS), method=st.sampled_from(["POST", "DELETE"]))
    @precondition(lambda self: not self.failing)
    def somebody_writes(self, path: str, method: str) -> None:
        self.run(self.live(request(method, path), self.origin))
        self.outdated(path)

    @rule(path=st.sampled_from(PATHS), soft=st.booleans())
    def somebody_purges(self, path: str, soft: bool) -> None:
        self.run(self.live.plugin.purge([Purge(Kind.URL, f"gateway.test{path}", soft)]))
        if soft:
            for each in self.said:
                if each.path == path and each.softened is None:
                    each.softened = self.ports.clock.time()
        else:
            self.outdated(path)

    def outdated(self, path: str) -> None:
        for each in self.said:
            if each.path == path:
                each.current = False

    @invariant()
    def nothing_is_under_way(self) -> None:
        if hasattr(self, "live"):
            counts = self.live.plugin.counts
            assert (counts.in_flight, counts.buffered, len(self.live.plugin.flights)) == (0, 0, 0)


Sequences.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestSequences = Sequences.TestCase
