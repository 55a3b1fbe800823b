"""Visitors: who is sent to a page, and where they may be sent back to."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.testing import request
from plugins.oidc.visitor import cross_site, is_local, navigates, return_path

NAVIGATE = {"Sec-Fetch-Mode": "navigate"}
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("method", "headers", "found"),
    [
        pytest.param("GET", NAVIGATE, True, id="a page"),
        pytest.param("GET", {**HTML, "Sec-Fetch-Mode": "no-cors"}, False, id="an image"),
        pytest.param("GET", {**HTML, "Sec-Fetch-Mode": "cors"}, False, id="a script"),
        pytest.param("GET", {**HTML, "Sec-Fetch-Mode": "websocket"}, False, id="a WebSocket"),
        pytest.param("GET", HTML, True, id="an older browser"),
        pytest.param("GET", {"Accept": "application/json, text/html;q=0.5"}, False, id="who prefers JSON"),
        pytest.param("GET", {**HTML, "X-Requested-With": "xmlhttprequest"}, False, id="an older script"),
        pytest.param("PUT", NAVIGATE, False, id="no page does this"),
    ],
)
def test_navigates(method, headers, found):
    assert navigates(request(method, headers=headers)) is found


def test_an_upgrade_is_no_page():
    asked = request(headers=NAVIGATE)
    asked.upgrade = "websocket"
    assert not navigates(asked)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.test"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Origin": "http://gateway.test"}, False),
        ({"Origin": "https://gateway.test"}, True),
        ({"Origin": "null"}, True),
        ({}, False),
    ],
)
def test_cross_site(headers, found):
    assert cross_site(request(headers=headers), "http://gateway.test") is found


@given(st.text(alphabet='/\\.:@?#%aé \t\r\n<>"', max_size=12))
def test_what_is_local_stays_on_the_host(target):
    if is_local(target):
        parts = urlsplit(urljoin("https://app.test/x", target))
        assert (parts.scheme, parts.netloc) == ("https", "app.test")
        assert "\\" not in target and target.isprintable()


@pytest.mark.parametrize(
    ("method", "path", "referer", "back"),
    [
        ("GET", "/a?b=c", "", "/a?b=c"),
        ("HEAD", "/a", "", "/a"),
        pytest.param("GET", "/a?b=é", "", "/a", id="a query that cannot be written"),
        pytest.param("GET", "/a?" + "x" * 2000, "", "/a", id="a query that is too long"),
        pytest.param("POST", "/save", "http://gateway.test/form?id=1#top", "/form?id=1", id="back to the form"),
        pytest.param("POST", "/save", "http://gateway.test.evil.test/form", "/", id="another host's form"),
        pytest.param("POST", "/save", "http://gateway.test//evil.test", "/", id="a form with a trick"),
        pytest.param("POST", "/save", "", "/", id="from nowhere"),
    ],
)
def test_return_path(method, path, referer, back):
    asked = request(method, path, headers={"Referer": referer} if referer else {})
    assert return_path(asked, "http://gateway.test") == back
