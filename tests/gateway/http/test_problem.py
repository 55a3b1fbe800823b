"""Errors as clients see them: stable for programs, readable for people, and nothing in them that is not theirs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    Forbidden,
    GatewayError,
    InternalError,
    RouteNotFound,
    TooManyRequests,
    Unauthorized,
    catalogue,
)
from gateway.http.problem import Problems, preferred, prefers_html, quality
from gateway.testing import request

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


def problem(error, headers=(), **more):
    response = Problems(**more)(error, request(headers=headers, id="id-1"))
    return response, json.loads(response.body.whole)


def test_a_problem_document():
    error = TooManyRequests("Ten a second.", headers=(("Retry-After", "3"),), extensions={"limit": 10})
    response, document = problem(error)
    assert document == {
        "type": "about:blank",
        "title": "Too many requests",
        "status": 429,
        "code": "rate_limited",
        "detail": "Ten a second.",
        "instance": "id-1",
        "limit": 10,
    }
    assert response.status == 429
    assert response.error is error
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Retry-After"] == "3"
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("error", catalogue(), ids=lambda error: error.__name__)
def test_every_error_renders_as_json_and_as_a_page(error):
    response, document = problem(error())
    assert (response.status, document["status"], document["code"]) == (error.status, error.status, error.code)
    page = Problems()(error(), request(headers={"Accept": BROWSER}))
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert error.code in page.body.whole.decode()
    assert "{" not in page.body.whole.decode().partition("</style>")[2]


def test_the_log_s_reason_is_not_the_client_s_business():
    secret = "10.0.0.7 refused the password hunter2"
    for accept in ("application/json", BROWSER):
        response = Problems()(InternalError(reason=secret), request(headers={"Accept": accept}))
        assert b"hunter2" not in response.body.whole
        assert all("hunter2" not in value for value in response.headers.values())


def test_without_a_detail_or_an_id_there_is_none():
    response = Problems()(Forbidden(), request(id=""))
    assert set(json.loads(response.body.whole)) == {"type", "title", "status", "code"}


def test_a_type_of_its_own_stands():
    _, document = problem(Forbidden(extensions={"type": "https://e.example/quota", "left": 0}))
    assert (document["type"], document["left"], document["code"]) == ("https://e.example/quota", 0, "forbidden")


def test_members_of_the_document_are_not_replaced_by_chance():
    _, document = problem(Forbidden(extensions={"status": 200, "code": "fine", "title": "Fine", "detail2": 1}))
    assert (document["status"], document["code"], document["title"]) == (403, "forbidden", "Forbidden")


def test_repeated_headers_are_kept():
    error = Unauthorized(headers=(("WWW-Authenticate", "Bearer"), ("WWW-Authenticate", "Basic")))
    response, _ = problem(error)
    assert response.headers.getall("WWW-Authenticate") == ["Bearer", "Basic"]


# -- pages and languages -----------------------------------------------------------------------------------------------


def test_what_is_filled_into_a_page_is_escaped_and_not_filled_again():
    response = Problems("{detail}|{code}")(Forbidden("<script>{code}&\"'"), request(headers={"Accept": "text/html"}))
    assert response.body.whole.decode() == "&lt;script&gt;{code}&amp;&quot;&#x27;|forbidden"


def test_an_operators_page_may_hold_braces_of_its_own():
    page = "body{x} {status} {unknown} {{title}}"
    response = Problems(page)(Forbidden(), request(headers={"Accept": "text/html"}))
    assert response.body.whole.decode() == "body{x} 403 {unknown} {Forbidden}"


MESSAGES = {"de": {"forbidden": "Nicht erlaubt"}, "pt-BR": {"forbidden": "Proibido"}, "en": {"forbidden": "Not yours"}}


@pytest.mark.parametrize(
    ("accepted", "language", "detail"),
    [
        pytest.param("de", "de", "Nicht erlaubt", id="asked for"),
        pytest.param("de-AT, en;q=0.5", "de", "Nicht erlaubt", id="a region falls back on its language"),
        pytest.param("pt-br", "pt-br", "Proibido", id="a region of its own, in any case"),
        pytest.param("en;q=0.5, de;q=0.9", "de", "Nicht erlaubt", id="the best first"),
        pytest.param("de;q=0, en", "en", "Not yours", id="not wanted at all"),
        pytest.param("fr", "en", "Not yours", id="not there: English"),
        pytest.param("*", "en", "Not yours", id="anything"),
        pytest.param("", "en", "Not yours", id="not said"),
        pytest.param(";;;,,=q", "en", "Not yours", id="nonsense"),
    ],
)
def test_the_detail_speaks_the_readers_language_and_the_code_does_not(accepted, language, detail):
    response, document = problem(Forbidden("as written"), {"Accept-Language": accepted}, messages=MESSAGES)
    assert (response.headers["Content-Language"], document["detail"]) == (language, detail)
    assert (document["code"], document["title"]) == ("forbidden", "Forbidden")


def test_a_text_that_the_catalogue_lacks_stays_as_written():
    _, document = problem(TooManyRequests("as written"), {"Accept-Language": "de"}, messages=MESSAGES)
    assert document["detail"] == "as written"


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        pytest.param(BROWSER, True, id="a browser"),
        pytest.param("text/html", True, id="a page and nothing else"),
        pytest.param("TEXT/HTML, application/json", False, id="in another case it is not looked for"),
        pytest.param("text/html, application/json", True, id="both alike"),
        pytest.param("text/html;q=0.5, application/json", False, id="JSON before"),
        pytest.param("text/html;q=0.5, application/problem+json;q=0.4", True, id="problem+json after"),
        pytest.param("text/html;q=0", False, id="no page, please"),
        pytest.param("text/html;q=x", False, id="a weight that is none"),
        pytest.param("*/*", False, id="curl"),
        pytest.param("", False, id="nothing said"),
        pytest.param("application/xhtml+xml;text/html", False, id="in a parameter"),
    ],
)
def test_who_gets_a_page(accept, page):
    assert prefers_html(accept) is page


@pytest.mark.parametrize(
    ("parameters", "weight"),
    [
        ("", 1.0),
        ("q=0.5", 0.5),
        (" Q = 0.25 ", 0.25),
        ("q=2", 0.0),
        ("q=-1", 0.0),
        ("q=nan", 0.0),
        ("q=", 0.0),
        ("a=1;q=0", 0),
    ],
)
def test_quality(parameters, weight):
    assert quality(parameters) == weight


def test_eight_languages_are_read():
    assert len(preferred(",".join(f"l{number}" for number in range(1000)))) == 8


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=60))
def test_no_request_breaks_the_rendering(accept, language, detail):
    """A header of surrogates, controls or nonsense still gets an answer that is JSON or a page."""

    class Own(GatewayError):
        pass

    asked = request(headers={"Accept": accept, "Accept-Language": language})
    response = Problems(messages=MESSAGES)(Own(detail), asked)
    assert response.body.whole
    assert response.fields
    if response.headers["Content-Type"].startswith("application/"):
        assert json.loads(response.body.whole)["status"] == 500


@pytest.mark.parametrize("error", [RouteNotFound(), Forbidden("Not today.")])
def test_a_page_has_no_empty_paragraph(error):
    page = Problems()(error, request(headers={"Accept": "text/html"})).body.whole
    assert b"<p></p>" not in page
    assert page.count(b"<p>") == (2 if error.detail else 1)
