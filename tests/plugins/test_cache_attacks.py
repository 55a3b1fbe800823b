"""cache: what one caller does to be told another's answer, or to have others told theirs; rows begin with the way."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.http import Principal

_spec = importlib.util.spec_from_file_location("cache_table", Path(__file__).with_name("test_cache.py"))
table = importlib.util.module_from_spec(_spec)
sys.modules["cache_table"] = table  # dataclasses look their module up
_spec.loader.exec_module(table)
fetched, cached, play, FRESH = table.fetched, table.cached, table.play, table.FRESH


def poisoned(vary: str = "", path: str = "/a", victim: str = "/a", **attack: Any) -> list[Any]:
    """Somebody asks so first; whoever asks plainly afterwards is told what the origin says to a plain request."""
    said = [*FRESH, *([("Vary", vary)] if vary else [])]
    return [fetched(say=said, path=path, body="evil", **attack), fetched(say=said, path=victim, body="good")]


LANGUAGE = {"Accept-Language": "de"}


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        pytest.param({}, poisoned("X-Kind", ask={"X_Kind": "b"}), id="underscore: the target's Vary is about both"),
        pytest.param({}, poisoned(ask={"Accept_Language": "de"}), id="underscore: a language that is not compared"),
        pytest.param({}, poisoned(ask={"If_None_Match": "*"}), id="underscore: a condition that we do not see"),
        pytest.param({}, poisoned(ask={"Cache_Control": "x"}), id="underscore: a directive that we do not see"),
        pytest.param({}, poisoned(ask={"X_HTTP_METHOD_OVERRIDE": "HEAD"}), id="underscore: another method"),
        pytest.param(
            {"key": {"headers": ["X-Kind"]}}, poisoned(ask={"X_Kind": "b"}), id="underscore: a field of the key"
        ),
        pytest.param({}, poisoned(ask={"X-HTTP-Method-Override": "POST"}), id="method: overridden by a field"),
        pytest.param({}, poisoned(ask={"X-HTTP-Method": "POST"}), id="method: overridden as OData does"),
        pytest.param({}, poisoned(ask={"X-Method-Override": "POST"}), id="method: overridden by an older field"),
        pytest.param({}, poisoned(sends="id=2"), id="method: a GET with a body"),
        pytest.param({}, poisoned(method="QUERY"), id="method: a safe one that is not GET"),
        pytest.param(
            {},
            [
                fetched(say=[*FRESH, ("Vary", "Accept-Language")], ask={**LANGUAGE, "Connection": "Accept-Language"}),
                fetched(say=[*FRESH, ("Vary", "Accept-Language")], ask=LANGUAGE),
            ],
            id="Connection: names a field that is compared, and the target never sees",
        ),
        pytest.param(
            {"key": {"cookies": ["lang"]}},
            [
                fetched(say=FRESH, ask={"Cookie": "lang=de", "Connection": "close, cookie"}),
                fetched(say=FRESH, ask={"Cookie": "lang=de"}),
            ],
            id="Connection: names the cookie that is compared",
        ),
        pytest.param(
            {},
            [fetched(say=FRESH, ask={"Connection": "keep-alive, TE"}), cached(ask={"Connection": "close"})],
            id="Connection: its usual options harm nobody",
        ),
        pytest.param(
            {"key": {"query": {"ignore": ["utm_*"]}}},
            poisoned(path="/a?utm_source=x;id=2", victim="/a"),
            id="query: another parameter behind a ; in one that is ignored",
        ),
        pytest.param(
            {"key": {"query": {"only": ["id"]}}},
            poisoned(path="/a?id=1&x;id=2", victim="/a?id=1"),
            id="query: another parameter behind a ; in one that does not count",
        ),
        pytest.param(
            {"key": {"query": {"only": ["id"]}}},
            poisoned(path="/a?id=1&+id=2", victim="/a?id=1"),
            id="query: a name with a blank in front, which PHP drops",
        ),
        pytest.param(
            {"key": {"query": {"only": ["id"]}}},
            poisoned(path="/a?id=1&id%00x=2", victim="/a?id=1"),
            id="query: a name with a NUL, where C ends",
        ),
        pytest.param(
            {"key": {"query": {"only": ["id"]}}},
            poisoned(path="/a?id=1&ID=2", victim="/a?id=1"),
            id="query: a name in another case",
        ),
        pytest.param(
            {"key": {"query": {"only": ["a_b"]}}},
            poisoned(path="/a?a_b=1&a.b=2", victim="/a?a_b=1"),
            id="query: a name with a dot, which PHP takes for _",
        ),
        pytest.param(
            {"key": {"query": {"only": ["id"]}}},
            poisoned(path="/a?id=1&id[]=2", victim="/a?id=1"),
            id="query: a name with brackets",
        ),
        pytest.param(
            {"key": {"query": {"sort": True}}},
            poisoned(path="/a?id=2&id=1", victim="/a?id=1&id=2"),
            id="query: sorted, but the order of one name's values counts",
        ),
        pytest.param(
            {"key": {"query": {"sort": True}}},
            [fetched(say=FRESH, path="/a?b=1&a=2"), cached(path="/a?a=2&b=1")],
            id="query: the order of names does not",
        ),
        pytest.param({}, poisoned(path="/a?id=1&id=2", victim="/a?id=2&id=1"), id="query: twice the same parameter"),
        pytest.param(
            {"key": {"cookies": ["lang"]}},
            [
                fetched(say=FRESH, ask={"Cookie": "lang=en; lang=de"}),
                fetched(say=FRESH, ask={"Cookie": "lang=en"}),
            ],
            id="cookie: given twice, and the target takes the last",
        ),
        pytest.param(
            {"key": {"cookies": ["lang"]}},
            [
                fetched(say=FRESH, ask={"Cookie": "lang=en, lang=de"}),
                fetched(say=FRESH, ask={"Cookie": "lang=en"}),
            ],
            id="cookie: given twice, with a comma between",
        ),
        pytest.param({}, poisoned(ask={"X-Forwarded-Host": "evil.test"}), id="host: told by a proxy that passes it on"),
        pytest.param({}, poisoned(ask={"X-Forwarded-Prefix": "/evil"}), id="path: told by a proxy that passes it on"),
        pytest.param({}, poisoned(ask={"Forwarded": "for=1;host=evil.test"}), id="host: the same in Forwarded"),
        pytest.param(
            {},
            [
                fetched(say=FRESH, ask={"Forwarded": "for=192.0.2.1;proto=http"}),
                cached(ask={"Forwarded": "for=192.0.2.2;proto=http"}),
            ],
            id="host: Forwarded is not about the client's address",
        ),
        pytest.param({}, poisoned(host="evil.test"), id="host: another one"),
        pytest.param({}, poisoned(host="gateway.test:81"), id="host: another port"),
        pytest.param(
            {},
            [
                fetched(say=[*FRESH, ("Content-Encoding", "gzip")], ask={"Accept-Encoding": "gzip"}),
                fetched(say=FRESH, ask={}),
                cached(ask={}),
            ],
            id="coding: coded without a Vary, for one who cannot read it",
        ),
        pytest.param(
            {},
            [fetched(say=[*FRESH, ("Vary", "X-Forwarded-For")]), fetched(say=[*FRESH, ("Vary", "X-Forwarded-For")])],
            id="Vary: by a field that the gateway writes",
        ),
        pytest.param(
            {},
            [fetched(say=[*FRESH, ("Vary", "Cookie;x")]), fetched(say=[*FRESH, ("Vary", "Cookie;x")])],
            id="Vary: by what is no field's name",
        ),
        pytest.param(
            {},
            [fetched(say=FRESH, principal=Principal("")), fetched(say=FRESH, principal=Principal(""))],
            id="caller: authenticated, and nobody knows as whom",
        ),
        pytest.param(
            {},
            [
                fetched(say=FRESH, principal=Principal("ann", scopes=frozenset({"admin", "read"}))),
                fetched(say=FRESH, principal=Principal("ann", scopes=frozenset({"read"}))),
                cached(principal=Principal("ann", scopes=frozenset({"read", "admin"}))),
            ],
            id="caller: the same with a token for less",
        ),
        pytest.param(
            {},
            [
                fetched(say=FRESH, principal=Principal("ann", roles=frozenset({"x"}))),
                fetched(say=FRESH, principal=Principal("ann", scopes=frozenset({"x"}))),
            ],
            id="caller: a role is no scope",
        ),
    ],
)
async def test_nobody_is_told_what_another_made_of_it(settings: dict[str, Any], steps: list[Any]) -> None:
    await play(settings, steps)
