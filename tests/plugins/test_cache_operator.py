"""cache: what operators may say on top of the standard, and what they may ask of a running cache."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConnectFailed
from gateway.http import Principal

_spec = importlib.util.spec_from_file_location("cache_table", Path(__file__).with_name("test_cache.py"))
table = importlib.util.module_from_spec(_spec)
sys.modules["cache_table"] = table  # dataclasses look their module up
_spec.loader.exec_module(table)
fetched, cached, validated, kept, not_kept, play = (
    table.fetched, table.cached, table.validated, table.kept, table.not_kept, table.play
)  # fmt: skip
FRESH, SHORT, Step = table.FRESH, table.SHORT, table.Step
ANN, BOB, EVE = Principal("ann", tenant="a"), Principal("bob", tenant="a"), Principal("ann", tenant="b")


def by_principal(*callers: Any, same: bool) -> list[Any]:
    first, second = callers
    return [fetched(say=FRESH, principal=first), (cached if same else fetched)(say=FRESH, principal=second)]


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        pytest.param({"ttl": "5m"}, kept(), id="ttl: nothing said, so the operator's"),
        pytest.param({"ttl": "5m"}, not_kept("max-age=1"), id="ttl: what the origin says comes first"),
        pytest.param({"ttl": "5m"}, not_kept(status=500), id="ttl: not for errors"),
        pytest.param({"ttl": {"200": "5m"}}, kept(), id="ttl: by status"),
        pytest.param({"ttl": {"200": "5m"}}, not_kept(status=404), id="ttl: by status, another one"),
        pytest.param({"ttl": {"404": "5m"}}, kept(status=404), id="ttl: of a 404"),
        pytest.param({"ttl": {"500": "5m"}}, kept(status=500), id="ttl: even of an error, if asked for"),
        pytest.param({"negative_ttl": "1m"}, kept(status=404), id="negative_ttl: a 404"),
        pytest.param({"negative_ttl": "1m"}, not_kept(status=200), id="negative_ttl: nothing else"),
        pytest.param({"negative_ttl": "1m"}, not_kept("no-store", status=404), id="negative_ttl: if it may"),
        pytest.param({"ttl": "5m", "override": "lifetime"}, kept("max-age=1"), id="override lifetime: max-age"),
        pytest.param({"ttl": "1s", "override": "lifetime"}, not_kept("max-age=100"), id="override lifetime: shorter"),
        pytest.param({"ttl": "5m", "override": "lifetime"}, not_kept("no-store"), id="override lifetime: not no-store"),
        pytest.param({"ttl": "5m", "override": "lifetime"}, not_kept("private"), id="override lifetime: not private"),
        pytest.param({"ttl": "5m", "override": "all"}, kept("no-store, private"), id="override all"),
        pytest.param(
            {"ttl": "5m", "override": "all"}, not_kept("no-store", ("Set-Cookie", "a=b")), id="override all: no cookies"
        ),
        pytest.param(
            {"ttl": "5m", "override": "all"},
            [fetched(ask={"Authorization": "Bearer ann"}), fetched(ask={"Authorization": "Bearer bob"}), fetched()],
            id="override all: one caller's answer is not another's",
        ),
        pytest.param({"ttl": "5m"}, not_kept(status=405), id="ttl: not for what anybody may provoke"),
        pytest.param(
            {"set_cookie": "strip"},
            [
                fetched(say=[("Cache-Control", "max-age=2"), ("ETag", '"a"')]),
                validated(after=3, status=304, gets=200, say=[("Cache-Control", "max-age=60"), ("Set-Cookie", "a=b")]),
                cached(lacks=["Set-Cookie"]),
            ],
            id="set_cookie: strip, of a 304 too",
        ),
        pytest.param({"max_ttl": "2s"}, not_kept("max-age=3600"), id="max_ttl: a bound"),
        pytest.param({"statuses": [200]}, not_kept("max-age=60", status=404), id="statuses: another is not kept"),
        pytest.param({"statuses": [200]}, kept("max-age=60"), id="statuses: this one is"),
        pytest.param(
            {"heuristic": "0%"},
            [fetched(say=[("Last-Modified", -86400)]), validated(after=1, say=[("Last-Modified", -86400)], gets=200)],
            id="heuristic: off",
        ),
        pytest.param({"set_cookie": "keep"}, kept("max-age=60", ("Set-Cookie", "a=b")), id="set_cookie: keep"),
        pytest.param(
            {"set_cookie": "strip"},
            [
                fetched(say=[*FRESH, ("Set-Cookie", "a=b")], lacks=["Set-Cookie"]),
                cached(lacks=["Set-Cookie"]),
            ],
            id="set_cookie: strip",
        ),
        pytest.param(
            {"request_directives": False}, [fetched(say=FRESH), cached(ask={"Cache-Control": "no-cache"})],
            id="request_directives: off, nobody goes past at will",
        ),
        pytest.param({"status_header": False}, [fetched(say=FRESH, lacks=["Cache-Status"]),
                                                cached(lacks=["Cache-Status"])], id="status_header: off"),
        pytest.param({"methods": ["GET"]}, [fetched(say=FRESH), fetched(method="HEAD")], id="methods: no HEAD"),
        pytest.param(
            {"methods": ["GET", "POST"]},
            [
                fetched(method="POST", sends="a", say=FRESH, body="1"),
                cached(method="POST", sends="a", text="1"),
                fetched(method="POST", sends="b", say=FRESH, body="2"),
                fetched(say=FRESH, body="3"),
                cached(method="POST", sends="a", text="1"),
            ],
            id="methods: POST is told apart by its body, and changes nothing",
        ),
        pytest.param(
            {"methods": ["POST"]},
            [fetched(method="POST", say=[("Last-Modified", -86400)]), fetched(method="POST", say=FRESH)],
            id="methods: POST needs a stated time (RFC 9110 §9.3.3)",
        ),
        pytest.param(
            {"methods": ["GET", "POST"]},
            [
                fetched(say=FRESH, body="of GET"),
                fetched(method="POST", say=FRESH, body="of POST", text="of POST"),
                cached(text="of GET"),
                cached(method="POST", text="of POST"),
            ],
            id="methods: POST without a body is no GET",
        ),
        pytest.param({"methods": ["POST"]}, [fetched(say=FRESH), fetched(say=FRESH)], id="methods: not GET"),
        pytest.param({"tiers": ["shared"]}, kept("max-age=60"), id="tiers: a shared store in memory is memory"),
        pytest.param(
            {"methods": ["POST"], "max_request": "2B"},
            [fetched(method="POST", sends="aaa", say=FRESH), fetched(method="POST", sends="aaa", say=FRESH)],
            id="methods: a large request passes by",
        ),
        pytest.param({"key": {"scheme": False}}, [fetched(say=FRESH), cached(scheme="https")], id="key: no scheme"),
        pytest.param(
            {"key": {"query": {"ignore": ["utm_*"]}}},
            [fetched(say=FRESH, path="/a?b=1&utm_x=1"), cached(path="/a?utm_y=2&b=1"), fetched(path="/a?b=2")],
            id="key: parameters that do not count",
        ),
        pytest.param(
            {"key": {"query": {"ignore": ["utm_*"]}}},
            [fetched(say=FRESH, path="/a?b=1"), fetched(method="POST", path="/a?utm_x=1&b=1"),
             fetched(say=FRESH, path="/a?b=1")],
            id="key: an unsafe request with parameters that do not count",
        ),
        pytest.param(
            {"key": {"query": {"only": ["b"]}}},
            [fetched(say=FRESH, path="/a?b=1&c=1"), cached(path="/a?b=1&d=3"), cached(path="/a?b=1")],
            id="key: the only parameter that counts",
        ),
        pytest.param(
            {"key": {"query": {"ignore": ["utm_*"]}}},
            [fetched(say=FRESH, path="/a?utm%5fx=1"), cached(path="/a")],
            id="key: a parameter in another spelling",
        ),
        pytest.param(
            {"key": {"query": {"sort": True}}},
            [fetched(say=FRESH, path="/a?b=1&a=2"), cached(path="/a?a=2&b=1")],
            id="key: the order of parameters",
        ),
        pytest.param(
            {"key": {"headers": ["X-Country"]}},
            [fetched(say=FRESH, ask={"X-Country": "de"}), fetched(say=FRESH, ask={"X-Country": "fr"}),
             cached(ask={"X-Country": "de"})],
            id="key: a field",
        ),
        pytest.param(
            {"key": {"cookies": ["lang"]}},
            [fetched(say=FRESH, ask={"Cookie": "a=1; lang=de"}), fetched(say=FRESH, ask={"Cookie": "lang=fr"}),
             cached(ask={"Cookie": "lang=de; b=2"})],
            id="key: a cookie",
        ),
        pytest.param(
            {"key": {"headers": ["A", "B"]}},
            [fetched(say=FRESH, ask={"A": "xy", "B": ""}),
             fetched(say=FRESH, ask={"A": "x", "B": "y"})],
            id="key: no part can be taken for two",
        ),
        pytest.param({}, by_principal(ANN, BOB, same=False), id="partition auto: callers apart"),
        pytest.param({}, by_principal(ANN, ANN, same=True), id="partition auto: the same caller"),
        pytest.param({}, by_principal(ANN, EVE, same=False), id="partition auto: the same name of another tenant"),
        pytest.param({}, by_principal(None, ANN, same=False), id="partition auto: nobody and somebody"),
        pytest.param({"partition": "none"}, by_principal(ANN, BOB, same=True), id="partition none: all share"),
        pytest.param({"partition": "tenant"}, by_principal(ANN, BOB, same=True), id="partition tenant: share"),
        pytest.param({"partition": "tenant"}, by_principal(ANN, EVE, same=False), id="partition tenant: apart"),
        pytest.param({"partition": "tenant"}, by_principal(None, None, same=False), id="partition tenant: nobody's"),
        pytest.param({"partition": "principal"}, by_principal(None, None, same=False), id="partition principal"),
        pytest.param(
            {}, [fetched(say=FRESH, principal=ANN, ask={"Authorization": "x"}), fetched(principal=ANN, say=FRESH)],
            id="§3.5 holds within a partition as well",
        ),
        pytest.param(
            {"authenticated": True},
            [
                fetched(say=FRESH, principal=ANN, ask={"Authorization": "x"}),
                cached(principal=ANN, ask={"Authorization": "x"}),
                fetched(say=FRESH, principal=BOB, ask={"Authorization": "y"}),
                fetched(say=FRESH, ask={"Authorization": "z"}),
                fetched(say=FRESH),
            ],
            id="authenticated: each caller's own",
        ),
        pytest.param(
            {"stale_while_revalidate": "1m"},
            [fetched(say=SHORT, body="old"), Step(after=5, say=FRESH, body="new", text="old"), cached(text="new")],
            id="stale_while_revalidate: the operator's",
        ),
        pytest.param(
            {"stale_while_revalidate": "1m"},
            [fetched(say=[("Cache-Control", "max-age=2, stale-while-revalidate=0")]), fetched(after=3, say=SHORT)],
            id="stale_while_revalidate: the origin's comes first",
        ),
        pytest.param(
            {"stale_while_revalidate": "1m", "stale_if_error": "1m", "disconnected": "0s"},
            [fetched(say=[("Cache-Control", "max-age=2, must-revalidate")]),
             fetched(after=3, error=ConnectFailed(), gets=502)],
            id="stale: must-revalidate comes first",
        ),
        pytest.param(
            {"stale_if_error": "1m"}, [fetched(say=SHORT), fetched(after=9, status=500, gets=200, text="body")],
            id="stale_if_error: the operator's",
        ),
        pytest.param(
            {"disconnected": "0s"}, [fetched(say=SHORT), fetched(after=9, error=ConnectFailed(), gets=502)],
            id="disconnected: off",
        ),
        pytest.param(
            {"targets": ["Surrogate-Control"]}, not_kept(None, ("CDN-Cache-Control", "max-age=60")), id="targets"
        ),
        pytest.param(
            {"targets": ["Surrogate-Control"]}, kept("no-store", ("Surrogate-Control", "max-age=60")),
            id="targets: an older field, where the operator says so",
        ),
        pytest.param({}, not_kept("no-store", ("Surrogate-Control", "max-age=60")), id="targets: and not else"),
        pytest.param(
            {"invalidate": [{"on": "POST /messages", "purge": ["/messages*"]}]},
            [
                fetched(say=FRESH, path="/messages/1"),
                fetched(say=FRESH, path="/other"),
                fetched(method="POST", path="/messages", status=201),
                fetched(say=FRESH, path="/messages/1"),
                cached(path="/other"),
            ],
            id="invalidate: what a request makes out of date",
        ),
        pytest.param(
            {"invalidate": [{"on": "* /users/{id}", "purge": ["/lists/{id}", "/users/{id}/*"]}]},
            [
                fetched(say=FRESH, path="/lists/7?page=2"),
                fetched(say=FRESH, path="/lists/77"),
                fetched(say=FRESH, path="/users/7/photo"),
                fetched(method="PUT", path="/users/7"),
                fetched(say=FRESH, path="/lists/7?page=2"),
                cached(path="/lists/77"),
                fetched(say=FRESH, path="/users/7/photo"),
            ],
            id="invalidate: with parameters",
        ),
        pytest.param(
            {"invalidate": [{"on": "POST /messages", "purge": ["/messages*"]}]},
            [fetched(say=FRESH, path="/messages/1"), fetched(method="POST", path="/messages", status=400),
             cached(path="/messages/1")],
            id="invalidate: not by what failed",
        ),
        pytest.param(
            {"invalidate": [{"on": "POST /m", "purge": ["/a"], "soft": True}], "stale_while_revalidate": "1m"},
            [fetched(say=FRESH, body="old"), fetched(method="POST", path="/m"), Step(say=FRESH, body="new", text="old"),
             cached(text="new")],
            id="invalidate: softly",
        ),
    ],
)  # fmt: skip
async def test_what_operators_decide(settings: dict[str, Any], steps: list[Any]) -> None:
    await play(settings, steps)
