"""cache: RFC 9111 and its kin, requirement by requirement, through the plugin; each row begins with its section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from multidict import CIMultiDict

from gateway.errors import ConnectFailed, Forbidden, GatewayError, UpstreamReset
from gateway.http import Body, Request, Response
from gateway.testing import opened, ports, request
from plugins.cache import Cache
from plugins.cache.dates import format_date

Pairs = Sequence[tuple[str, str | int]] | Mapping[str, str | int]


@dataclass(frozen=True)
class Step:
    """One request, what the origin would say, and what is to come of it. Numbers in fields are dates from now."""

    ask: Pairs = ()
    """Fields of the request."""
    say: Pairs = ()
    """Fields of the origin's answer."""
    want: str = ""
    """cached: the origin is not asked; fetched: it is, for the whole; validated: it is, on a condition."""
    status: int = 200
    """The origin's."""
    gets: int = 0
    """The client's; 0: the origin's."""
    method: str = "GET"
    path: str = "/a"
    body: str = "body"
    sends: str = ""
    error: GatewayError | None = None
    has: Pairs = ()
    lacks: Sequence[str] = ()
    sent: Mapping[str, str] = field(default_factory=dict)
    """Fields that the origin gets."""
    text: str | None = None
    """What the client gets for a body."""
    after: float = 0.0
    """Seconds that pass before it."""
    host: str = "gateway.test"
    scheme: str = "http"
    principal: Any = None


def cached(**given: Any) -> Step:
    return Step(want="cached", **given)


def fetched(**given: Any) -> Step:
    return Step(want="fetched", **given)


def validated(**given: Any) -> Step:
    return Step(want="validated", **given)


def fields(given: Pairs, now: float) -> list[tuple[str, str]]:
    pairs = given.items() if isinstance(given, Mapping) else given
    return [(name, format_date(now + value) if isinstance(value, int) else value) for name, value in pairs]


class Origin:
    """Says what the step at hand says, and answers conditions as servers do."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.step = Step()
        self.asked: list[Request] = []

    async def __call__(self, asked: Request) -> Response:
        self.asked.append(asked)
        await asked.body.read(1000)
        step = self.step
        if step.error is not None:
            raise step.error
        said = fields(step.say, self.clock.time())
        status = step.status
        conditions = asked.headers.get("If-None-Match") or asked.headers.get("If-Modified-Since")
        if step.want == "validated" and conditions and status == 200:
            status = 304
        body = "" if status in (204, 304) or asked.method == "HEAD" else step.body
        raw = [(name.encode(), value.encode()) for name, value in said]
        return Response(status, fields=raw, body=Body(body.encode()))


async def play(settings: Mapping[str, Any] | None, steps: Sequence[Step], *, streams: bool = False) -> None:
    given = ports()
    origin = Origin(given.clock)
    async with opened(Cache, settings, ports=given) as live:
        for number, step in enumerate(steps, start=1):
            given.clock.advance(step.after)
            origin.step, origin.asked = step, []
            asked = request(
                step.method, step.path, headers=CIMultiDict(fields(step.ask, given.clock.time())), body=step.sends,
                host=step.host, scheme=step.scheme, principal=step.principal,
            )  # fmt: skip
            answer = await live(asked, origin)
            await given.settled()
            place = f"step {number}: {dict(answer.headers)}"
            conditional = any(
                name in each.headers for each in origin.asked for name in ("If-None-Match", "If-Modified-Since")
            )
            how = "cached" if not origin.asked else "validated" if conditional else "fetched"
            assert how == (step.want or how), place
            assert answer.status == (step.gets or step.status), place
            for name, value in fields(step.has, given.clock.time()):
                assert answer.headers.getall(name, None) == [value], f"{place} {name}"
            for name in step.lacks:
                assert name not in answer.headers, f"{place} {name}"
            for name, value in step.sent.items():
                assert origin.asked[-1].headers.get(name, "") == value, f"{place} {name}"
            if step.text is not None:
                assert answer.body.whole == step.text.encode(), place


def kept(cc: str | None = None, *more: tuple[str, str | int], **given: Any) -> list[Step]:
    """The same asked for twice: the second time it is there."""
    said = [*([("Cache-Control", cc)] if cc else []), *more]
    return [fetched(say=said, **given), cached(after=3, gets=given.get("status", 0), **_asking(given))]


def not_kept(cc: str | None = None, *more: tuple[str, str | int], **given: Any) -> list[Step]:
    """The same asked for twice, three seconds apart: the origin is asked twice, for the whole."""
    said = [*([("Cache-Control", cc)] if cc else []), *more]
    return [fetched(say=said, **given), fetched(after=3, say=said, **given)]


def _asking(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name in ("ask", "method", "path", "host", "principal")}


HOUR = 3600
FRESH: list[tuple[str, str | int]] = [("Cache-Control", "max-age=3600"), ("Date", 0)]

FRESHNESS = [
    pytest.param(not_kept(), id="§4.2.2 nothing said: nothing kept"),
    pytest.param(kept("max-age=3600"), id="§5.2.2.1 max-age"),
    pytest.param(not_kept("max-age=2"), id="§4.2 stale after max-age"),
    pytest.param(not_kept("max-age=0"), id="§5.2.2.1 max-age of nought"),
    pytest.param(kept("max-age=2147483647"), id="§1.2.2 the largest number"),
    pytest.param(kept("max-age=2147483648"), id="§1.2.2 one more than fits"),
    pytest.param(kept("max-age=99999999999"), id="§1.2.2 far more than fits"),
    pytest.param(not_kept("max-age=3600", ("Date", 0), ("Age", "7200")), id="§4.2.3 Age counts"),
    pytest.param(not_kept("max-age=3600", ("Date", -7200)), id="§4.2.3 apparent age counts"),
    pytest.param(kept("max-age=3600", ("Expires", -7200), ("Date", 0)), id="§5.3 max-age over Expires in the past"),
    pytest.param(kept("max-age=3600", ("Expires", "0"), ("Date", 0)), id="§5.3 max-age over an Expires that is none"),
    pytest.param(not_kept("max-age=0", ("Expires", HOUR), ("Date", 0)), id="§5.3 max-age=0 over Expires to come"),
    pytest.param(kept("foobar, max-age=3600"), id="§5.2.3 an extension means nothing"),
    pytest.param(kept("MaX-aGe=3600"), id="§5.2 the case of directives means nothing"),
    pytest.param(not_kept("max-age=-3600"), id="§4.2.1 a negative number is stale"),
    pytest.param(not_kept("max-age='3600'"), id="§4.2.1 single quotes are none"),
    pytest.param(kept('max-age="3600"'), id="§5.2 both forms of the argument"),
    pytest.param(kept("max-age=003600"), id="§1.2.2 leading noughts"),
    pytest.param(not_kept("max-age=3600.5"), id="§4.2.1 a fraction is stale"),
    pytest.param(not_kept("max-age=a3600"), id="§4.2.1 letters before are stale"),
    pytest.param(not_kept("max-age=3600a"), id="§4.2.1 letters behind are stale"),
    pytest.param(not_kept("max-age =3600"), id="§5.2 a blank before the sign"),
    pytest.param(not_kept("max-age= 3600"), id="§5.2 a blank behind the sign"),
    pytest.param(not_kept('extension="max-age=3600", max-age=1'), id="§5.2 max-age in quotes is none"),
    pytest.param(not_kept('max-age=1, extension="max-age=3600"'), id="§5.2 max-age in quotes is none, behind"),
    pytest.param(not_kept("max-age=1, max-age=1800"), id="§4.2.1 of two the first"),
    pytest.param(not_kept("max-age=1", ("Cache-Control", "max-age=1800")), id="§4.2.1 of two lines the first"),
    pytest.param(kept("s-maxage=3600"), id="§5.2.2.10 s-maxage"),
    pytest.param(not_kept("max-age=3600, s-maxage=1"), id="§5.2.2.10 s-maxage over a longer max-age"),
    pytest.param(not_kept("max-age=3600", ("Cache-Control", "s-maxage=1")), id="§5.2.2.10 over two lines"),
    pytest.param(kept("max-age=1, s-maxage=3600"), id="§5.2.2.10 s-maxage over a shorter max-age"),
    pytest.param(kept("max-age=0, s-maxage=3600", ("Expires", -10)), id="§5.2.2.10 s-maxage over all"),
    pytest.param(kept(None, ("Expires", HOUR), ("Date", 0)), id="§5.3 Expires"),
    pytest.param(kept(None, ("Expires", HOUR)), id="§5.3 Expires without Date"),
    pytest.param(not_kept(None, ("Expires", -HOUR), ("Date", 0)), id="§5.3 Expires in the past"),
    pytest.param(not_kept(None, ("Expires", 0), ("Date", 0)), id="§5.3 Expires now"),
    pytest.param(not_kept(None, ("Expires", "0"), ("Date", 0)), id="§5.3 Expires of nought is past"),
    pytest.param(not_kept(None, ("Expires", HOUR), ("Date", 2 * HOUR)), id="§4.2.1 Expires is counted from Date"),
    pytest.param(not_kept(None, ("Expires", HOUR), ("Date", 0), ("Age", "7200")), id="§5.3 Expires and Age"),
    pytest.param(kept(None, ("Expires", "THU, 18 Aug 2050 02:01:18 GMT"), ("Date", 0)), id="§4.2 a date's case"),
    pytest.param(not_kept(None, ("Expires", "Thu, 18 Aug 2050 02:01:18 UTC"), ("Date", 0)), id="§4.2 no zone but GMT"),
    pytest.param(kept(None, ("Expires", "Thu Aug 18 02:01:18 2050"), ("Date", 0)), id="RFC 9110 §5.6.7 asctime"),
    pytest.param(kept(None, ("Last-Modified", -86400), ("Date", 0)), id="§4.2.2 a tenth of its age"),
    pytest.param(
        [
            fetched(say=[("Last-Modified", -86400), ("Date", 0)]),
            cached(after=8639),
            validated(after=2, say=[("Last-Modified", -86400)]),
        ],
        id="§4.2.2 and no longer than that",
    ),
    pytest.param(
        [fetched(say=[("Last-Modified", -864000000), ("Date", 0)]), cached(after=86399), validated(after=2)],
        id="§4.2.2 a day at most",
    ),
    pytest.param(not_kept(None, ("ETag", '"a"'), ("Date", 0)), id="§3 a validator alone is no reason to keep it"),
]

AGE = [
    pytest.param(kept("max-age=3600", ("Age", "abc")), id="§5.1 Age that is no number"),
    pytest.param(kept("max-age=3600", ("Age", "-7200")), id="§5.1 Age below nought"),
    pytest.param(kept("max-age=3600", ("Age", "7200.0")), id="§5.1 Age with a fraction"),
    pytest.param(not_kept("max-age=3600", ("Age", "2147483648")), id="§5.1 Age that overflows"),
    pytest.param(not_kept("max-age=3600", ("Age", "99999999999999")), id="§5.1 Age that overflows by far"),
    pytest.param(not_kept("max-age=3600", ("Age", "7200, 0")), id="§5.1 of a list the first"),
    pytest.param(kept("max-age=3600", ("Age", "0, 7200")), id="§5.1 of a list the first, which is young"),
    pytest.param(not_kept("max-age=3600", ("Age", "7200"), ("Age", "0")), id="§5.1 of two lines the first"),
    pytest.param(kept("max-age=3600", ("Age", "0"), ("Age", "7200")), id="§5.1 of two lines the first, which is young"),
    pytest.param(
        [fetched(say=FRESH, lacks=["Age"]), cached(after=5, has={"Age": "5"})], id="§5.1 Age on what was stored only"
    ),
    pytest.param(
        [fetched(say=[*FRESH, ("Age", "30")], has={"Age": "30"}), cached(after=3, has={"Age": "33"})],
        id="§4.2.3 Age goes on",
    ),
    pytest.param(
        [
            fetched(say=[("Expires", 86400), ("Date", 0), ("Age", "30")]),
            cached(after=3, has={"Age": "33", "Date": -3, "Expires": 86397}),
        ],
        id="RFC 9110 §6.6.1 Date and Expires stay",
    ),
    pytest.param(
        [fetched(say={"Cache-Control": "max-age=60"}), cached(after=3, has={"Date": -3})],
        id="RFC 9110 §6.6.1 a missing Date is that of arrival",
    ),
]

LONG_COOKIE = "consent=" + "c" * 5000

STORING = [
    pytest.param(not_kept("no-store, max-age=3600"), id="§5.2.2.5 no-store"),
    pytest.param(not_kept("max-age=3600, No-StOrE"), id="§5.2.2.5 no-store in any case"),
    pytest.param(not_kept("private, max-age=3600"), id="§5.2.2.7 private"),
    pytest.param(
        [
            fetched(
                say=[("Cache-Control", 'private="X-Mine", max-age=60'), ("X-Mine", "1"), ("X-Ours", "2")],
                has={"X-Mine": "1", "X-Ours": "2"},  # who asked gets what is its own
            ),
            cached(has={"X-Ours": "2"}, lacks=["X-Mine"]),
        ],
        id="§5.2.2.7 private fields",
    ),
    pytest.param(
        [
            fetched(
                say=[("Cache-Control", 'no-cache="a, b", max-age=60'), ("A", "1"), ("B", "1"), ("C", "1")],
                has={"A": "1", "B": "1", "C": "1"},
            ),
            cached(has={"C": "1"}, lacks=["A", "B"]),
        ],
        id="§5.2.2.4 no-cache of fields",
    ),
    pytest.param(
        [
            fetched(say=[("Cache-Control", 'no-cache="Set-Cookie", max-age=2'), ("ETag", '"a"')]),
            validated(
                after=3,
                status=304,
                gets=200,
                say=[("Cache-Control", 'no-cache="Set-Cookie", max-age=60'), ("Set-Cookie", "sid=ann")],
                has={"Set-Cookie": "sid=ann"},
            ),
            cached(lacks=["Set-Cookie"]),
        ],
        id="§5.2.2.4 no-cache of a cookie that comes with a 304",
    ),
    pytest.param(
        [
            fetched(say=[("Cache-Control", "max-age=2"), ("ETag", '"a"')], ask={"Cookie": "ann"}),
            validated(
                after=3,
                status=304,
                gets=200,
                ask={"Cookie": "ann"},
                say=[("Cache-Control", "max-age=60"), ("Vary", "Cookie")],
            ),
            fetched(ask={"Cookie": "bob"}, say=[("Cache-Control", "max-age=60"), ("Vary", "Cookie")]),
        ],
        id="§4.1 Vary that comes with a 304",
    ),
    pytest.param(
        [
            fetched(
                ask={"Cookie": LONG_COOKIE + "; sid=ann"}, say=[("Cache-Control", "max-age=60"), ("Vary", "Cookie")]
            ),
            fetched(
                ask={"Cookie": LONG_COOKIE + "; sid=bob"}, say=[("Cache-Control", "max-age=60"), ("Vary", "Cookie")]
            ),
            cached(ask={"Cookie": LONG_COOKIE + "; sid=bob"}),
        ],
        id="§4.1 long values that differ at their ends",
    ),
    *[
        pytest.param(not_kept(text, ("X-User", "ann")), id=f"§5.2.2.7 private, written badly: {text}")
        for text in (
            'max-age=60, private="X-User',
            'max-age=60, private="X-User, no-store',
            "max-age=60, private='X-User'",
            "max-age=60, private;x=1",
            'max-age=60, x="y, no-store',
        )
    ],
    pytest.param(
        [
            fetched(
                say=[("Cache-Control", 'no-cache="Set-Cookie", max-age=60'), ("Set-Cookie", "a=b")],
                has={"Set-Cookie": "a=b"},
            ),
            cached(lacks=["Set-Cookie"]),
        ],
        id="§5.2.2.4 no-cache of a cookie: the rest is kept, and only who logs in gets it",
    ),
    pytest.param(
        [
            fetched(say=[("Cache-Control", "max-age=3600, no-cache"), ("ETag", '"a"')]),
            validated(say=[("ETag", '"a"')], gets=200, text="body", sent={"If-None-Match": '"a"'}),
        ],
        id="§5.2.2.4 no-cache: validated each time",
    ),
    pytest.param(not_kept("max-age=3600, No-CaChE"), id="§5.2.2.4 no-cache in any case, nothing to ask by"),
    pytest.param(kept("max-age=3600, must-revalidate"), id="§5.2.2.2 must-revalidate lets fresh answers be"),
    pytest.param(kept("max-age=3600, no-store, must-understand"), id="§5.2.2.3 a status that is understood"),
    pytest.param(not_kept("max-age=3600, no-store, must-understand", status=299), id="§5.2.2.3 one that is not"),
    pytest.param(not_kept("max-age=3600", ("Vary", "*")), id="§4.1 Vary: *"),
    pytest.param(not_kept("max-age=3600", ("Vary", ", *")), id="§4.1 Vary: * behind nothing"),
    pytest.param(not_kept("max-age=3600", ("Vary", "Foo"), ("Vary", "*")), id="§4.1 Vary: * on another line"),
    pytest.param(not_kept("max-age=3600", ("Vary", "*, Foo")), id="§4.1 Vary: * among others"),
    pytest.param(not_kept("max-age=3600", ("Set-Cookie", "a=b")), id="caution: a cookie is somebody's"),
    pytest.param(not_kept("max-age=3600", ask={"Authorization": "x"}), id="§3.5 Authorization"),
    pytest.param(kept("max-age=3600, public", ask={"Authorization": "x"}), id="§3.5 and public"),
    pytest.param(kept("max-age=3600, must-revalidate", ask={"Authorization": "x"}), id="§3.5 and must-revalidate"),
    pytest.param(kept("s-maxage=3600", ask={"Authorization": "x"}), id="§3.5 and s-maxage"),
    pytest.param(
        [fetched(say={"Cache-Control": "public, max-age=60"}, ask={"Authorization": "x"}), cached()],
        id="§3.5 what is public is everybody's",
    ),
    pytest.param(kept("max-age=3600", ask={"Cookie": "a=b"}), id="a request's cookie changes nothing"),
    pytest.param(kept("max-age=3600", ("Content-Disposition", "attachment")), id="nor does a download"),
    pytest.param(
        [
            fetched(
                say=[*FRESH, ("Proxy-Authenticate", "x"), ("Proxy-Authentication-Info", "x"), ("TE", "x"), ("X", "y")]
            ),
            cached(has={"X": "y"}, lacks=["Proxy-Authenticate", "Proxy-Authentication-Info", "TE"]),
        ],
        id="§3.1 fields between proxies are not kept",
    ),
    *[
        pytest.param(kept("max-age=3600", status=status), id=f"§3 {status} with a stated time")
        for status in (200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599)
    ],
    *[
        pytest.param(not_kept(None, ("Expires", -5000), ("Date", 0), status=status), id=f"§4.2 {status} that is stale")
        for status in (200, 204, 299, 302, 404, 500, 599)
    ],
    *[
        pytest.param(kept(None, ("Last-Modified", -86400), ("Date", 0), status=status), id=f"RFC 9110 §15.1 {status}")
        for status in (200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501)
    ],
    *[
        pytest.param(
            not_kept(None, ("Last-Modified", -86400), ("Date", 0), status=status), id=f"RFC 9110 §15.1 not {status}"
        )
        for status in (201, 202, 302, 303, 307, 403, 500, 502, 503, 504, 599)
    ],
    pytest.param(kept("public", ("Last-Modified", -86400), status=599), id="§5.2.2.9 public: any status"),
    pytest.param(
        not_kept("max-age=3600", ("Content-Range", "bytes 0-3/10"), status=206), id="§3.3 parts are never kept"
    ),
]

KEYS = [
    pytest.param([fetched(say=FRESH, path="/a?b=1"), fetched(say=FRESH, path="/a?b=2")], id="§2 another query"),
    pytest.param([fetched(say=FRESH, path="/a?b=1"), cached(path="/a?b=1")], id="§2 the same query"),
    pytest.param([fetched(say=FRESH), fetched(host="other.test", say=FRESH)], id="§2 another host"),
    pytest.param([fetched(say=FRESH), cached(host="GATEWAY.test")], id="RFC 9110 §4.2.3 a host's case"),
    pytest.param([fetched(say=FRESH), cached(host="gateway.test:80")], id="RFC 9110 §4.2.3 the usual port"),
    pytest.param([fetched(say=FRESH), fetched(host="gateway.test:81", say=FRESH)], id="§2 another port"),
    pytest.param([fetched(say=FRESH), fetched(scheme="https", say=FRESH)], id="§2 another scheme"),
]


def varying(vary: str, first: Pairs, second: Pairs, *, same: bool, language: str = "") -> list[Step]:
    said: Pairs = [*FRESH, ("Vary", vary), *([("Content-Language", language)] if language else [])]
    return [fetched(ask=first, say=said), (cached if same else fetched)(ask=second, say=said)]


VARY = [
    pytest.param(varying("Foo", {"Foo": "1"}, {"Foo": "1"}, same=True), id="§4.1 the same"),
    pytest.param(varying("Foo", {"Foo": "1"}, {"Foo": "2"}, same=False), id="§4.1 another"),
    pytest.param(varying("Foo", {}, {"Foo": "1"}, same=False), id="§4.1 absent, then there"),
    pytest.param(varying("Foo", {"Foo": "1"}, {}, same=False), id="§4.1 there, then absent"),
    pytest.param(varying("Foo", {"Foo": ""}, {}, same=False), id="§4.1 empty is not absent"),
    pytest.param(varying("Foo", {"Foo": "1", "X": "1"}, {"Foo": "1", "X": "2"}, same=True), id="§4.1 one not named"),
    pytest.param(
        varying("Foo, Bar", {"Foo": "1", "Bar": "a"}, {"Bar": "a", "Foo": "1"}, same=True), id="§4.1 two, other order"
    ),
    pytest.param(varying("Foo, Bar", {"Foo": "1", "Bar": "a"}, {"Foo": "1"}, same=False), id="§4.1 one of two lacks"),
    pytest.param(varying("Foo, Bar, Baz", {"Foo": "1"}, {"Foo": "1"}, same=True), id="§4.1 lacks both times"),
    pytest.param(varying("Foo", [("Foo", "1, 2")], [("Foo", "1"), ("Foo", "2")], same=True), id="§4.1 lines joined"),
    pytest.param(varying("Foo", {"Foo": "1,2"}, {"Foo": " 1, 2 "}, same=True), id="§4.1 blanks"),
    pytest.param(
        varying("Accept-Language", {"Accept-Language": "en, de"}, {"Accept-Language": "de, en"}, same=True),
        id="§4.1 order of languages alike",
    ),
    pytest.param(
        varying("Accept-Language", {"Accept-Language": "en, de"}, {"Accept-Language": "eN ,   De"}, same=True),
        id="§4.1 case and blanks of languages",
    ),
    pytest.param(
        varying(
            "Accept-Language", {"Accept-Language": "en, de;q=0.5"}, {"Accept-Language": "de, en;q=0.5"}, same=False
        ),
        id="§4.1 weights of languages",
    ),
    pytest.param(
        varying(
            "Accept-Language",
            {"Accept-Language": "en, de"},
            {"Accept-Language": "fr;q=0.5, de"},
            same=True,
            language="de",
        ),
        id="RFC 9110 §12.5.4 the language liked best",
    ),
    pytest.param(
        varying("Accept-Encoding", {"Accept-Encoding": "gzip, br"}, {"Accept-Encoding": "br,gzip"}, same=True),
        id="§4.1 order of codings",
    ),
    pytest.param(
        [
            fetched(ask={"Foo": "1"}, say=[*FRESH, ("Vary", "Foo")], body="one"),
            fetched(ask={"Foo": "2"}, say=[*FRESH, ("Vary", "Foo")], body="two"),
            cached(ask={"Foo": "1"}, text="one"),
            cached(ask={"Foo": "2"}, text="two"),
        ],
        id="§4.1 two variants side by side",
    ),
    pytest.param(
        [
            fetched(ask={"Foo": "1"}, say=[*FRESH, ("Vary", "Foo")], body="one"),
            fetched(ask={"Foo": "2"}, say=FRESH, body="two"),
            cached(ask={"Foo": "3"}, text="two"),
        ],
        id="§4.1 the latest answer does not vary any more",
    ),
]

ETAG: list[tuple[str, str | int]] = [*FRESH, ("ETag", '"abc"')]
LAST: list[tuple[str, str | int]] = [*FRESH, ("Last-Modified", "Wed, 01 Jan 2020 00:00:00 GMT")]


def conditional(said: Pairs, ask: Pairs, gets: int) -> list[Step]:
    return [fetched(say=said), cached(after=3, ask=ask, gets=gets, text="" if gets == 304 else "body")]


CONDITIONS = [
    pytest.param(conditional(ETAG, {"If-None-Match": '"abc"'}, 304), id="§4.3.2 the same tag"),
    pytest.param(conditional(ETAG, {"If-None-Match": '"x"'}, 200), id="§4.3.2 another tag"),
    pytest.param(conditional(ETAG, {"If-None-Match": '"x", "abc", "y"'}, 304), id="§4.3.2 among others"),
    pytest.param(conditional(ETAG, [("If-None-Match", '"x"'), ("If-None-Match", '"abc"')], 304), id="§4.3.2 lines"),
    pytest.param(conditional(ETAG, {"If-None-Match": '"x,abc", "y"'}, 200), id="RFC 9110 §8.8.3 a comma in a tag"),
    pytest.param(conditional(ETAG, {"If-None-Match": "*"}, 304), id="RFC 9110 §13.1.2 any"),
    pytest.param(conditional(ETAG, {"If-None-Match": 'W/"abc"'}, 304), id="RFC 9110 §13.1.2 weak comparison"),
    pytest.param(
        conditional([*FRESH, ("ETag", 'W/"abc"')], {"If-None-Match": 'W/"abc"'}, 304), id="RFC 9110 §13.1.2 weak tags"
    ),
    pytest.param(
        conditional([*ETAG, ("Last-Modified", -5000)], [("If-None-Match", '"abc"'), ("If-Modified-Since", -9000)], 304),
        id="§4.3.2 If-None-Match decides, 304",
    ),
    pytest.param(
        conditional([*ETAG, ("Last-Modified", -5000)], [("If-None-Match", '"x"'), ("If-Modified-Since", -1)], 200),
        id="§4.3.2 If-None-Match decides, 200",
    ),
    pytest.param(
        conditional(LAST, {"If-Modified-Since": "Wed, 01 Jan 2020 00:00:00 GMT"}, 304), id="§4.3.2 the same date"
    ),
    pytest.param(conditional(LAST, {"If-Modified-Since": -100}, 304), id="§4.3.2 a later date"),
    pytest.param(
        conditional(LAST, {"If-Modified-Since": "Tue, 31 Dec 2019 00:00:00 GMT"}, 200), id="§4.3.2 an earlier date"
    ),
    pytest.param(
        conditional(LAST, {"If-Modified-Since": "Wednesday, 01-Jan-20 00:00:00 GMT"}, 304),
        id="RFC 9110 §5.6.7 a date in the form of RFC 850",
    ),
    pytest.param(conditional(LAST, {"If-Modified-Since": "yesterday"}, 200), id="RFC 9110 §13.1.3 no date"),
    pytest.param(conditional(FRESH, {"If-Modified-Since": 0}, 304), id="§4.3.2 no Last-Modified: Date counts"),
    pytest.param(
        conditional([*FRESH, ("Last-Modified", -9)], {"If-None-Match": '"abc"'}, 200), id="§4.3.2 no tag to compare"
    ),
    pytest.param(
        [
            fetched(say=[*ETAG, ("Content-Type", "a/b"), ("Vary", "X"), ("Content-Location", "/l")]),
            cached(
                ask={"If-None-Match": '"abc"'},
                gets=304,
                lacks=["Content-Type", "Content-Length"],
                has={
                    "ETag": '"abc"',
                    "Cache-Control": "max-age=3600",
                    "Date": 0,
                    "Vary": "X",
                    "Content-Location": "/l",
                },
            ),
        ],
        id="RFC 9110 §15.4.5 what a 304 says",
    ),
    pytest.param(
        [fetched(say=ETAG), fetched(ask={"If-Match": '"x"'}, status=412, sent={"If-Match": '"x"'}), cached()],
        id="§4.3.2 If-Match is the target's",
    ),
    pytest.param(
        [fetched(say=ETAG), fetched(ask={"If-Unmodified-Since": -9}, status=412), cached()],
        id="§4.3.2 If-Unmodified-Since too",
    ),
    pytest.param(
        [
            fetched(ask={"If-None-Match": '"abc"'}, say=ETAG, gets=304, sent={"If-None-Match": ""}),
            cached(ask={"If-None-Match": '"x"'}, text="body"),
        ],
        id="§4.3.2 nothing stored: the whole is fetched and the condition looked at here",
    ),
    pytest.param(
        [fetched(say=[*FRESH, ("ETag", '"a"')], status=404), cached(ask={"If-None-Match": '"a"'}, gets=404)],
        id="RFC 9110 §13.2.1 conditions are for 200",
    ),
]

SHORT: list[tuple[str, str | int]] = [("Cache-Control", "max-age=2"), ("Date", 0)]

VALIDATION = [
    pytest.param(
        [
            fetched(say=[*SHORT, ("ETag", '"a"'), ("Test", "1")]),
            validated(
                after=3,
                say=[*SHORT, ("ETag", '"a"'), ("Test", "2")],
                sent={"If-None-Match": '"a"'},
                gets=200,
                text="body",
                has={"Test": "2"},
            ),
            cached(has={"Test": "2"}, text="body"),
        ],
        id="§4.3.4 a 304 renews and updates",
    ),
    pytest.param(
        [
            fetched(say=[*SHORT, ("Last-Modified", "Wed, 01 Jan 2020 00:00:00 GMT"), ("Test", "1")]),
            validated(
                after=3,
                say=[("Date", 0)],
                sent={"If-Modified-Since": "Wed, 01 Jan 2020 00:00:00 GMT"},
                gets=200,
                has={"Test": "1"},
            ),
            cached(has={"Test": "1"}),
        ],
        id="§4.3.4 what a 304 omits stays",
    ),
    pytest.param(
        [
            fetched(say=[*SHORT, ("ETag", '"a"'), ("Content-Length", "4"), ("Content-Encoding", "x")]),
            validated(
                after=3,
                gets=200,
                text="body",
                has={"Content-Encoding": "x"},
                say=[*SHORT, ("ETag", '"a"'), ("Content-Length", "99"), ("Content-Encoding", "y")],
            ),
        ],
        id="§3.2 a 304 changes nothing about the bytes",
    ),
    pytest.param(
        [
            fetched(say=[*SHORT, ("ETag", 'W/"a"')]),
            validated(after=3, say=[*SHORT, ("ETag", 'W/"a"')], sent={"If-None-Match": 'W/"a"'}, gets=200),
        ],
        id="§4.3.1 a weak tag",
    ),
    pytest.param(
        [
            fetched(say=[*SHORT, ("ETag", '"a"'), ("Vary", "X")], ask={"X": "1"}),
            validated(after=3, say=[*SHORT, ("ETag", '"a"')], ask={"X": "1"}, sent={"X": "1"}, gets=200),
        ],
        id="§4.3.1 the selecting fields go along",
    ),
    pytest.param(
        [
            fetched(say=[*SHORT, ("ETag", '"a"')], body="old"),
            validated(after=3, say=[*SHORT, ("ETag", '"b"')], status=201, body="new", text="new"),
            cached(text="new", gets=201),
        ],
        id="§4.3.3 a whole answer takes the place of the stored one",
    ),
    pytest.param(
        [
            fetched(say=[*SHORT, ("ETag", '"a"')]),
            Step(after=3, status=503, say={"Date": 0}, text="body"),
            Step(say=[*SHORT, ("ETag", '"a"')], want="validated", gets=200, text="body"),
        ],
        id="§4.3.3 an error is passed on, and what is stored stays",
    ),
    pytest.param(
        [
            fetched(say=[*SHORT, ("ETag", '"a"')]),
            validated(after=3, ask={"If-None-Match": '"a"'}, say=[*SHORT, ("ETag", '"a"')], gets=304),
            cached(ask={"If-None-Match": '"a"'}, gets=304),
        ],
        id="§4.3.2 304 to the client after 304 from the target",
    ),
    pytest.param(
        [
            fetched(say=[*SHORT, ("ETag", '"a"')]),
            validated(
                after=3,
                ask={"If-None-Match": '"b"'},
                say=[*SHORT, ("ETag", '"a"')],
                gets=200,
                text="body",
                sent={"If-None-Match": '"a"'},
            ),
        ],
        id="§4.3.2 200 to the client after 304 from the target",
    ),
    pytest.param(
        [
            fetched(say=[*SHORT, ("ETag", '"a"'), ("Age", "1")]),
            validated(after=3, say=[*SHORT, ("ETag", '"a"')], gets=200),
            cached(after=1, has={"Age": "1"}),
        ],
        id="§4.2.3 the age begins anew with a 304",
    ),
]

WISHES = [
    pytest.param([fetched(say=FRESH), fetched(say=FRESH, ask={"Cache-Control": "no-cache"})], id="§5.2.1.4 no-cache"),
    pytest.param(
        [fetched(say=ETAG), validated(say=ETAG, ask={"Cache-Control": "no-cache"}, gets=200)],
        id="§5.2.1.4 no-cache: validated",
    ),
    pytest.param([fetched(say=FRESH), cached(ask={"Pragma": "no-cache"})], id="§5.4 Pragma means nothing"),
    pytest.param([fetched(say=FRESH), fetched(ask={"Cache-Control": "no-store"})], id="§5.2.1.5 no-store"),
    pytest.param([fetched(say=FRESH, ask={"Cache-Control": "no-store"}), fetched()], id="§5.2.1.5 is not kept"),
    pytest.param([fetched(say=FRESH), fetched(after=1, ask={"Cache-Control": "max-age=0"})], id="§5.2.1.1 max-age=0"),
    pytest.param([fetched(say=FRESH), cached(after=5, ask={"Cache-Control": "max-age=9"})], id="§5.2.1.1 young enough"),
    pytest.param(
        [fetched(say=[*FRESH, ("Age", "1800")]), fetched(ask={"Cache-Control": "max-age=600"})], id="§5.2.1.1 too old"
    ),
    pytest.param([fetched(say=FRESH), fetched(ask={"Cache-Control": "min-fresh=4000"})], id="§5.2.1.3 min-fresh"),
    pytest.param([fetched(say=FRESH), cached(ask={"Cache-Control": "min-fresh=3000"})], id="§5.2.1.3 is met"),
    pytest.param([fetched(say=[*SHORT, ("ETag", '"a"')]), cached(after=5, ask={"Cache-Control": "max-stale=9"})],
                 id="§5.2.1.2 max-stale"),
    pytest.param([fetched(say=[*SHORT, ("ETag", '"a"')]), cached(after=500, ask={"Cache-Control": "max-stale"})],
                 id="§5.2.1.2 max-stale without end"),
    pytest.param(
        [fetched(say=[*SHORT, ("ETag", '"a"')]), Step(after=50, ask={"Cache-Control": "max-stale=9"}, want="validated",
                                                      say=[*SHORT, ("ETag", '"a"')], gets=200)],
        id="§5.2.1.2 too stale",
    ),
    pytest.param(
        [
            fetched(say=[("Cache-Control", "max-age=2, must-revalidate"), ("ETag", '"a"')]),
            validated(after=5, ask={"Cache-Control": "max-stale=9"}, gets=200, say=[("ETag", '"a"')]),
        ],
        id="§4.2.4 the origin forbids what the client would take",
    ),
    pytest.param([cached(ask={"Cache-Control": "only-if-cached"}, gets=504)], id="§5.2.1.7 nothing there: 504"),
    pytest.param([fetched(say=FRESH), cached(ask={"Cache-Control": "only-if-cached"})], id="§5.2.1.7 there"),
    pytest.param([fetched(say=FRESH), cached(ask={"Cache-Control": "unknown=1"})], id="§5.2.3 one that is not known"),
]  # fmt: skip

HEAD = [
    pytest.param(
        [fetched(say=FRESH, status=204), cached(method="HEAD", gets=204, lacks=["Content-Length"])],
        id="RFC 9110 §8.6 no length beside 204",
    ),
    pytest.param(
        [
            fetched(say=[("Cache-Control", "max-age=2, stale-while-revalidate=60")], body="old"),
            Step(after=3, method="HEAD", say=FRESH, body="new"),
            cached(text="new"),
        ],
        id="RFC 5861 §3 HEAD of what is stale has the whole fetched",
    ),
    pytest.param(
        [fetched(say=FRESH), cached(method="HEAD", text="", has={"Content-Length": "4"})], id="RFC 9110 §9.3.2 from GET"
    ),
    pytest.param([fetched(method="HEAD", say=FRESH), fetched(say=FRESH)], id="RFC 9110 §9.3.2 HEAD alone is no GET"),
    pytest.param(
        [
            fetched(say=[*SHORT, ("Test", "1"), ("ETag", '"a"')]),
            fetched(after=3, method="HEAD", say=[*FRESH, ("Test", "2"), ("ETag", '"a"')]),
            cached(has={"Test": "2"}, text="body"),
        ],
        id="§4.3.5 HEAD renews",
    ),
    pytest.param(
        [
            fetched(say=[*SHORT, ("ETag", '"a"')]),
            fetched(after=3, method="HEAD", say=[*FRESH, ("ETag", '"b"')]),
            fetched(say=FRESH),
        ],
        id="§4.3.5 HEAD of something else removes",
    ),
    pytest.param(
        [
            fetched(say=[*SHORT, ("Test", "1")]),
            fetched(after=3, method="HEAD", say=[*FRESH, ("Content-Length", "99")]),
            fetched(say=FRESH),
        ],
        id="§4.3.5 another length removes",
    ),
]

DIGITS: list[tuple[str, str | int]] = [*FRESH, ("Content-Type", "text/plain"), ("ETag", '"a"')]


def ranged(text: str, want: str, told: str, gets: int = 206, ask: Pairs = ()) -> list[Step]:
    more = ask.items() if isinstance(ask, Mapping) else ask
    has = {"Content-Range": told} if told else {}
    lacks = () if told else ("Content-Range",)
    return [
        fetched(say=DIGITS, body="0123456789A"),
        cached(ask=[("Range", text), *more], gets=gets, text=want, has=has, lacks=lacks),
    ]


RANGES = [
    pytest.param(ranged("bytes=0-1", "01", "bytes 0-1/11"), id="RFC 9110 §14.1.2 the first two"),
    pytest.param(ranged("bytes=1-", "123456789A", "bytes 1-10/11"), id="RFC 9110 §14.1.2 from the second on"),
    pytest.param(ranged("bytes=-1", "A", "bytes 10-10/11"), id="RFC 9110 §14.1.2 the last one"),
    pytest.param(ranged("bytes=-99", "0123456789A", "bytes 0-10/11"), id="RFC 9110 §14.1.2 more than there is"),
    pytest.param(ranged("bytes=9-99", "9A", "bytes 9-10/11"), id="RFC 9110 §14.1.2 beyond the end"),
    pytest.param(ranged("bytes=11-", "", "bytes */11", 416), id="RFC 9110 §15.5.17 nothing of it"),
    pytest.param(ranged("bytes=-0", "", "bytes */11", 416), id="RFC 9110 §14.1.2 the last none"),
    pytest.param(ranged("bytes=5-2", "0123456789A", "", 200), id="RFC 9110 §14.1.1 invalid is ignored"),
    pytest.param(ranged("lines=0-1", "0123456789A", "", 200), id="RFC 9110 §14.2 another unit is ignored"),
    pytest.param(ranged("bytes=a-b", "0123456789A", "", 200), id="RFC 9110 §14.2 nonsense is ignored"),
    pytest.param(
        ranged("bytes=" + ",".join(["0-0"] * 17), "0123456789A", "", 200), id="RFC 9110 §17.15 many are ignored"
    ),
    pytest.param(ranged("bytes=0-9,0-9", "0123456789A", "", 200), id="RFC 9110 §17.15 overlapping are ignored"),
    pytest.param(
        ranged("bytes=0-1", "01", "bytes 0-1/11", ask={"If-Range": '"a"'}), id="RFC 9110 §13.1.5 If-Range holds"
    ),
    pytest.param(
        ranged("bytes=0-1", "0123456789A", "", 200, ask={"If-Range": '"b"'}), id="RFC 9110 §13.1.5 If-Range does not"
    ),
    pytest.param(
        ranged("bytes=0-1", "0123456789A", "", 200, ask={"If-Range": 'W/"a"'}), id="RFC 9110 §13.1.5 a weak one never"
    ),
    pytest.param(
        ranged("bytes=0-1", "", "", 304, ask={"If-None-Match": '"a"'}), id="RFC 9110 §13.2.2 conditions come first"
    ),
    pytest.param(
        [
            fetched(
                ask={"Range": "bytes=0-1"},
                say=[*FRESH, ("Content-Range", "bytes 0-1/9")],
                status=206,
                sent={"Range": "bytes=0-1"},
            ),
            fetched(ask={"Range": "bytes=0-1"}, say=FRESH, status=206),
            fetched(say=FRESH),
        ],
        id="§3.3 nothing stored: a range goes to the target, and is not kept",
    ),
    pytest.param(
        [
            fetched(say=[*SHORT, ("ETag", '"a"')], body="0123456789"),
            validated(
                after=3,
                ask={"Range": "bytes=0-1"},
                say=[*SHORT, ("ETag", '"a"')],
                gets=206,
                text="01",
                sent={"Range": ""},
            ),
        ],
        id="§4.3.1 a range of what is stale: the whole is validated",
    ),
    pytest.param(
        [fetched(say=DIGITS, body="0123"), cached(ask={"Range": "bytes=0-1"}, method="HEAD", gets=200, text="")],
        id="RFC 9110 §14.2 Range is for GET",
    ),
]

INVALIDATION = [
    *[
        pytest.param(
            [fetched(say=FRESH), fetched(method=method, sends="x", status=status), fetched(say=FRESH)],
            id=f"§4.4 {method} {status}",
        )
        for method, status in (("POST", 200), ("PUT", 204), ("DELETE", 200), ("M-SEARCH", 200), ("PATCH", 302))
    ],
    pytest.param([fetched(say=FRESH), fetched(method="POST", status=500), cached()], id="§4.4 not by a failure"),
    pytest.param(
        [fetched(say=FRESH), fetched(method="POST", error=UpstreamReset(), gets=502), fetched(say=FRESH)],
        id="§4.4 by what nobody knows the end of",
    ),
    pytest.param(
        [fetched(say=FRESH), fetched(method="POST", error=Forbidden(), gets=403), cached()],
        id="§4.4 not by what an inner plugin refuses",
    ),
    pytest.param([fetched(say=FRESH), fetched(method="POST", status=404), cached()], id="§4.4 nor by a refusal"),
    pytest.param([fetched(say=FRESH), fetched(method="OPTIONS"), cached()], id="§4.4 nor by a safe method"),
    pytest.param([fetched(say=FRESH), fetched(method="POST", path="/b"), cached()], id="§4.4 nor another URL"),
    *[
        pytest.param(
            [fetched(say=FRESH, path="/x/b"), fetched(method="POST", path="/x/a", say={name: value}), last],
            id=f"§4.4 {name}: {value}",
        )
        for name in ("Location", "Content-Location")
        for value, last in (
            ("/x/b", fetched(say=FRESH, path="/x/b")),
            ("b", fetched(say=FRESH, path="/x/b")),
            ("http://gateway.test/x/b", fetched(say=FRESH, path="/x/b")),
            ("http://GATEWAY.test:80/x/b", fetched(say=FRESH, path="/x/b")),
            ("http://other.test/x/b", cached(path="/x/b")),
            ("http://gateway.test.evil/x/b", cached(path="/x/b")),
            ("https://gateway.test/x/b", cached(path="/x/b")),
        )
    ],
    pytest.param(
        [
            fetched(say=[*FRESH, ("Vary", "X")], ask={"X": "1"}),
            fetched(say=[*FRESH, ("Vary", "X")], ask={"X": "2"}),
            fetched(method="POST"),
            fetched(say=FRESH, ask={"X": "1"}),
        ],
        id="§4.4 all variants",
    ),
    pytest.param(
        [
            fetched(say=[*FRESH, ("Cache-Groups", '"a", "b"')]),
            fetched(method="POST", path="/z", say={"Cache-Group-Invalidation": '"b"'}),
            fetched(say=FRESH),
        ],
        id="RFC 9875 §3 a group",
    ),
    pytest.param(
        [
            fetched(say=[*FRESH, ("Cache-Groups", '"a", "b"')]),
            fetched(method="POST", path="/z", say={"Cache-Group-Invalidation": '"B", "c"'}),
            cached(),
        ],
        id="RFC 9875 §2 a group's case",
    ),
    pytest.param(
        [
            fetched(say=[*FRESH, ("Cache-Groups", '"a"')]),
            fetched(path="/z", say={"Cache-Group-Invalidation": '"a"'}),
            cached(),
        ],
        id="RFC 9875 §3 not by a safe method",
    ),
    pytest.param(
        [
            fetched(say=[*FRESH, ("Cache-Groups", '"a"')]),
            fetched(method="POST", host="other.test", say={"Cache-Group-Invalidation": '"a"'}),
            cached(),
        ],
        id="RFC 9875 §2.1 not of another origin",
    ),
    pytest.param(
        [
            fetched(say=[*FRESH, ("Cache-Groups", '"a"')]),
            fetched(method="POST", path="/z", status=500, say={"Cache-Group-Invalidation": '"a"'}),
            cached(),
        ],
        id="RFC 9875 §3 not by a failure",
    ),
    pytest.param(
        [
            fetched(say=[*FRESH, ("Cache-Groups", '"a"')]),
            fetched(path="/b", say=[*FRESH, ("Cache-Groups", '"a", "b"')]),
            fetched(path="/c", say=[*FRESH, ("Cache-Groups", '"b"')]),
            fetched(method="POST"),
            fetched(path="/b", say=FRESH),
            cached(path="/c"),
        ],
        id="RFC 9875 §2.2.1 what shares a group with what is invalidated, and no further",
    ),
    pytest.param(
        [
            fetched(say=[*FRESH, ("Cache-Groups", "a, b")]),
            fetched(method="POST", path="/z", say={"Cache-Group-Invalidation": "a"}),
            cached(),
        ],
        id="RFC 9875 §2 tokens are no strings",
    ),
]


def posted(said: Pairs, *, keeps: bool, path: str = "/a", **given: Any) -> list[Step]:
    return [
        fetched(method="POST", path=path, sends="x", say=said, body="told", **given),
        (cached if keeps else fetched)(path=path, text="told" if keeps else "body", gets=200),
    ]


POSTED = [
    pytest.param(posted([*FRESH, ("Content-Location", "/a")], keeps=True), id="RFC 9110 §9.3.3 its own URL"),
    pytest.param(posted([*FRESH, ("Content-Location", "")], keeps=True), id="RFC 9110 §9.3.3 an empty reference"),
    pytest.param(
        posted([*FRESH, ("Content-Location", "?b=1")], keeps=True, path="/a?b=1"), id="RFC 9110 §9.3.3 with a query"
    ),
    pytest.param(posted([*FRESH, ("Content-Location", "/b")], keeps=False), id="RFC 9110 §9.3.3 another URL"),
    pytest.param(posted(FRESH, keeps=False), id="RFC 9110 §9.3.3 it does not say"),
    pytest.param(
        posted([("Last-Modified", -86400), ("Content-Location", "/a")], keeps=False),
        id="RFC 9110 §9.3.3 no stated time",
    ),
    pytest.param(
        posted([("Cache-Control", "private, max-age=60"), ("Content-Location", "/a")], keeps=False),
        id="RFC 9110 §9.3.3 what is private",
    ),
    pytest.param(
        posted([*FRESH, ("Content-Location", "/a")], keeps=False, status=201), id="RFC 9110 §9.3.3 another status"
    ),
    pytest.param(
        posted([*FRESH, ("Content-Location", "http://other.test/a")], keeps=False), id="RFC 9110 §9.3.3 another host"
    ),
]


STALE = [
    pytest.param(
        [
            fetched(say=[("Cache-Control", "max-age=2, stale-while-revalidate=60")], body="old"),
            Step(after=5, say=FRESH, body="new", text="old", has={"Age": "5"}),
            cached(text="new"),
        ],
        id="RFC 5861 §3 stale now, fresh the next time",
    ),
    pytest.param(
        [
            fetched(say=[("Cache-Control", "max-age=2, stale-while-revalidate=60")], body="old"),
            fetched(after=63, say=FRESH, body="new", text="new"),
        ],
        id="RFC 5861 §3 no longer than said",
    ),
    *[
        pytest.param(
            [
                fetched(say=[("Cache-Control", f"max-age=2, stale-while-revalidate=60, stale-if-error=60, {cc}")]),
                fetched(after=3, error=ConnectFailed(), gets=502),
            ],
            id=f"§4.2.4 {cc}: never stale",
        )
        for cc in ("must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=2")
    ],
    pytest.param(
        [
            fetched(say=[("Cache-Control", "max-age=2, stale-if-error=60")]),
            fetched(after=30, status=503, gets=200, text="body"),
            fetched(after=60, status=503, gets=503),
        ],
        id="RFC 5861 §4 an error",
    ),
    pytest.param(
        [
            fetched(say=[("Cache-Control", "max-age=2, stale-if-error=60")]),
            fetched(after=30, error=ConnectFailed(), text="body", has={"Age": "30"}),
        ],
        id="RFC 5861 §4 no target",
    ),
    pytest.param([fetched(say=SHORT), fetched(after=3, error=ConnectFailed(), text="body")], id="§4.2.4 disconnected"),
    pytest.param([fetched(say=SHORT), fetched(after=300, error=ConnectFailed(), gets=502)], id="§4.2.4 not for ever"),
    pytest.param([fetched(say=SHORT), fetched(after=3, status=503)], id="§4.2.4 an error is no disconnection"),
]

TARGETED = [
    pytest.param(kept(None, ("CDN-Cache-Control", "max-age=3600")), id="RFC 9213 §2.1 max-age"),
    pytest.param(kept(None, ("CDN-Cache-Control", "max-age=99999999999")), id="RFC 9213 §2.1 a large number"),
    pytest.param(not_kept(None, ("CDN-Cache-Control", "max-age=3600"), ("Age", "7200")), id="RFC 9213 §2.1 Age"),
    pytest.param(not_kept("max-age=1", ("CDN-Cache-Control", "max-age =100")), id="RFC 9213 §2.1 a blank: ignored"),
    pytest.param(not_kept("max-age=100", ("CDN-Cache-Control", "max-age=0")), id="RFC 9213 §2.2 nought over all"),
    pytest.param(kept(None, ("CDN-Cache-Control", "foobar, max-age=36")), id="RFC 9213 §2.1 an extension"),
    pytest.param(
        kept(None, ("CDN-Cache-Control", "max-age=3600"), ("Expires", -9), ("Date", 0)), id="RFC 9213 §2.2 Expires"
    ),
    pytest.param(
        not_kept(None, ("CDN-Cache-Control", "max-age=0"), ("Expires", HOUR)), id="RFC 9213 §2.2 nought over Expires"
    ),
    pytest.param(kept("max-age=1", ("CDN-Cache-Control", "max-age=3600")), id="RFC 9213 §2.2 longer"),
    pytest.param(not_kept("max-age=3600", ("CDN-Cache-Control", "max-age=1")), id="RFC 9213 §2.2 shorter"),
    pytest.param(not_kept("max-age=3600", ("CDN-Cache-Control", "private")), id="RFC 9213 §2.1 private"),
    pytest.param(not_kept("max-age=3600", ("CDN-Cache-Control", "no-cache")), id="RFC 9213 §2.1 no-cache"),
    pytest.param(not_kept("max-age=3600", ("CDN-Cache-Control", "no-store")), id="RFC 9213 §2.1 no-store"),
    pytest.param(kept("no-store", ("CDN-Cache-Control", "max-age=3600")), id="RFC 9213 §2.2 over no-store"),
    pytest.param(
        not_kept("no-store", ("CDN-Cache-Control", "max-age=3600, &&&")), id="RFC 9213 §2.1 what cannot be read"
    ),
    pytest.param(not_kept("no-store", ("CDN-Cache-Control", 'max-age="3600"')), id="RFC 9213 §2.1 of another type"),
    pytest.param(kept("max-age=60", ("CDN-Cache-Control", "")), id="RFC 9213 §2.1 empty is none"),
    pytest.param(
        [
            fetched(
                say=[
                    ("Cache-Control", "no-store"),
                    ("Sidegate-Cache-Control", "max-age=60"),
                    ("CDN-Cache-Control", "no-store"),
                ],
                lacks=["Sidegate-Cache-Control"],
                has={"CDN-Cache-Control": "no-store"},
            ),
            cached(lacks=["Sidegate-Cache-Control"]),
        ],
        id="RFC 9213 §2.2 ours first, and it does not go on",
    ),
]

TOLD = [
    pytest.param(
        [
            fetched(say=FRESH, has={"Cache-Status": "sidegate; fwd=uri-miss; fwd-status=200; stored"}),
            cached(after=10, has={"Cache-Status": "sidegate; hit; ttl=3590"}),
        ],
        id="RFC 9211 miss, then hit",
    ),
    pytest.param(
        [fetched(say={"Cache-Control": "no-store"},
                 has={"Cache-Status": "sidegate; fwd=uri-miss; fwd-status=200; detail=no-store"})],
        id="RFC 9211 why it is not kept",
    ),
    pytest.param(
        [
            fetched(say=[*FRESH, ("Vary", "X")], ask={"X": "1"}),
            fetched(say=[*FRESH, ("Vary", "X")], ask={"X": "2"},
                    has={"Cache-Status": "sidegate; fwd=vary-miss; fwd-status=200; stored"}),
        ],
        id="RFC 9211 vary-miss",
    ),
    pytest.param(
        [
            fetched(say=[*SHORT, ("ETag", '"a"')]),
            validated(after=3, say=[*SHORT, ("ETag", '"a"')], gets=200,
                      has={"Cache-Status": "sidegate; fwd=stale; fwd-status=304; stored"}),
        ],
        id="RFC 9211 validated",
    ),
    pytest.param(
        [fetched(method="POST", has={"Cache-Status": "sidegate; fwd=method; fwd-status=200"})], id="RFC 9211 method"
    ),
    pytest.param(
        [fetched(ask={"Cache-Control": "no-store"}, has={"Cache-Status": "sidegate; fwd=request; fwd-status=200"})],
        id="RFC 9211 request",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    "steps",
    [
        *FRESHNESS, *AGE, *STORING, *KEYS, *VARY, *CONDITIONS, *VALIDATION, *WISHES, *HEAD, *RANGES, *INVALIDATION,
        *POSTED, *STALE, *TARGETED, *TOLD,
    ],
)  # fmt: skip
async def test_the_standard(steps: list[Step]) -> None:
    await play(None, steps)
