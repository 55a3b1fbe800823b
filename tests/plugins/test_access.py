"""access: which rule decides, what a refusal tells, and what is warned of."""

from __future__ import annotations

import pytest

from gateway.config import ConfigurationError, load_text
from gateway.http import Principal
from gateway.testing import answering, exchange, opened, ports, request, settings_of
from plugins.access import Access

NOW = 1_800_000_000  # what the test ports' clock says
EXAMPLE = {
    "rules": [
        {"name": "health", "path": "/healthz", "require": "anyone"},
        {"name": "suspended", "if": {"role": "suspended"}, "deny": True},
        {"name": "read", "path": "/orders/", "methods": "GET", "require": {"scope": "orders:read"}},
        {"name": "write", "path": "/orders/", "methods": ["POST", "PUT"], "require": {"role": ["clerk", "chief"]}},
        {
            "name": "refund",
            "path": "/orders/{id}/refund",
            "require": {"role": "chief", "strength": {"acr": ["phr", "mfa"], "max_age": "5m"}},
        },
        {"name": "account", "path": "/me", "require": "authenticated"},
    ]
}


def caller(**more):
    return Principal(
        "ada", **{key: frozenset(value) if key in ("roles", "scopes") else value for key, value in more.items()}
    )


def strong(acr="mfa", since=NOW, **more):
    return {"acr": acr, "auth_time": since, **more}


@pytest.mark.parametrize(
    ("method", "path", "principal", "status", "reason"),
    [
        pytest.param("GET", "/healthz", None, 200, "", id="anyone"),
        pytest.param("GET", "/healthz/", None, 401, "no rule lets it in", id="a path next to it: default deny"),
        pytest.param("GET", "/other", caller(), 403, "no rule lets it in", id="default deny of a known caller"),
        pytest.param("GET", "/orders/1", caller(scopes=["orders:read"]), 200, "", id="a scope"),
        pytest.param("HEAD", "/orders/1", caller(scopes=["orders:read"]), 200, "", id="HEAD is GET"),
        pytest.param("get", "/orders/1", caller(), 403, "rule read requires scope orders:read", id="and so is get"),
        pytest.param("GET", "/orders", None, 401, "rule read: nobody is authenticated", id="nobody"),
        pytest.param("POST", "/orders/", caller(roles=["clerk"]), 200, "", id="one of the roles"),
        pytest.param(
            "POST",
            "/orders/",
            caller(scopes=["clerk"]),
            403,
            "rule write requires role clerk or chief",
            id="a scope is no role",
        ),
        pytest.param(
            "POST",
            "/orders/",
            caller(roles=["Clerk"]),
            403,
            "rule write requires role clerk or chief",
            id="roles have case",
        ),
        pytest.param(
            "GET",
            "/orders/1",
            caller(roles=["suspended"], scopes=["orders:read"]),
            403,
            "rule suspended denies",
            id="the first rule that fits",
        ),
        pytest.param(
            "DELETE", "/orders/1", caller(roles=["chief"]), 403, "no rule lets it in", id="a method that no rule names"
        ),
        pytest.param(
            "PATCH", "/orders/1/refund", caller(roles=["chief"], claims=strong()), 200, "", id="strong enough"
        ),
        pytest.param("GET", "/me", caller(), 200, "", id="whoever is known"),
        pytest.param("GET", "/me", None, 401, "rule account: nobody is authenticated", id="but not nobody"),
        pytest.param("GET", "/orders%2f1", caller(), 403, "no rule lets it in", id="an encoded slash is no slash"),
    ],
)
async def test_who_may(method, path, principal, status, reason):
    target, given_ports = answering(200), ports()
    response = await exchange(Access, EXAMPLE, request(method, path, principal=principal), target, ports=given_ports)
    assert (response.status, target.calls) == (status, 1 if status == 200 else 0)
    if reason:
        assert response.error.reason == reason
        assert b"rule" not in response.body.whole and reason.split()[1].encode() not in response.body.whole


@pytest.mark.parametrize(
    ("principal", "status", "challenge"),
    [
        pytest.param(None, 401, 'Bearer realm="test"', id="nobody"),
        pytest.param(caller(), 403, None, id="no role: nothing that credentials mend"),
        pytest.param(
            caller(roles=["chief"]),
            401,
            'Bearer realm="test", error="insufficient_user_authentication", acr_values="phr mfa", max_age="300"',
            id="nothing known of how it was authenticated",
        ),
        pytest.param(caller(roles=["chief"], claims=strong(acr="pwd")), 401, "acr_values", id="too weak"),
        pytest.param(caller(roles=["chief"], claims=strong(since=NOW - 301)), 401, "max_age", id="too long ago"),
        pytest.param(caller(roles=["chief"], claims=strong(since=NOW - 300)), 200, None, id="just in time"),
        pytest.param(caller(roles=["chief"], claims=strong(since=NOW + 61)), 401, "max_age", id="in the future"),
        pytest.param(caller(roles=["chief"], claims=strong(since=NOW + 60)), 200, None, id="a clock that is ahead"),
        pytest.param(caller(roles=["chief"], claims=strong(since=True)), 401, "max_age", id="a time that is none"),
        pytest.param(caller(roles=["chief"], claims=strong(since=str(NOW))), 401, "max_age", id="a time that is text"),
        pytest.param(
            caller(roles=["chief"], claims=strong(since=float("inf"))), 401, "max_age", id="a time without end"
        ),
        pytest.param(
            caller(roles=["chief"], claims=strong(acr=["mfa"])), 401, "acr_values", id="acr is text, not a list"
        ),
    ],
)
async def test_step_up(principal, status, challenge):
    rules = {"rules": [EXAMPLE["rules"][4]]}  # "write" would decide on POST before
    response = await exchange(Access, rules, request("POST", "/orders/1/refund", principal=principal))
    assert response.status == status
    assert challenge is None or challenge in response.headers["WWW-Authenticate"]
    assert challenge is not None or "WWW-Authenticate" not in response.headers


def only(condition, **more):
    return {"rules": [{"name": "only", "require": condition, **more}]}


@pytest.mark.parametrize(
    ("condition", "principal", "status", "scope"),
    [
        pytest.param(
            {"scope": {"all": ["a", "b"]}}, caller(scopes=["a"]), 403, 'scope="a b"', id="all that are needed"
        ),
        pytest.param({"scope": ["a", "b"]}, caller(), 403, 'scope="a"', id="of several the first"),
        pytest.param(
            {"any": [{"role": "x"}, {"scope": "s"}]}, caller(), 403, 'scope="s"', id="the way that can be gone"
        ),
        pytest.param({"all": [{"role": "x"}, {"scope": "s"}]}, caller(), 403, None, id="no way: nothing is told"),
        pytest.param({"not": {"scope": "s"}}, caller(scopes=["s"]), 403, None, id="less scope is not asked for"),
        pytest.param({"not": {"not": {"scope": "s"}}}, caller(), 403, None, id="twice not: nothing is told"),
        pytest.param({"scope": "s", "strength": {"acr": "mfa"}}, caller(), 403, 'scope="s"', id="scope first"),
        pytest.param(
            {"scope": "s", "strength": {"acr": "mfa"}},
            caller(scopes=["s"]),
            401,
            'acr_values="mfa"',
            id="then strength",
        ),
    ],
)
async def test_what_a_refusal_tells(condition, principal, status, scope):
    response = await exchange(Access, only(condition), request(principal=principal))
    assert response.status == status
    if scope is None:
        assert "WWW-Authenticate" not in response.headers
    else:
        assert response.headers["WWW-Authenticate"].endswith(scope)
        assert response.error.code.startswith("insufficient_")


@pytest.mark.parametrize(
    ("rules", "status"),
    [
        pytest.param(
            [{"name": "a", "require": {"not": {"role": "x"}}}], 401, id="a negation lets nobody in that is nobody"
        ),
        pytest.param([{"name": "a", "deny": True}], 403, id="denied to all: credentials would not help"),
        pytest.param([{"name": "a", "if": {"not": {"role": "x"}}, "deny": True}], 401, id="denied to some"),
        pytest.param([{"name": "a", "if": "anonymous", "deny": True}], 403, id="denied to whoever is nobody"),
        pytest.param([{"name": "a", "if": "authenticated", "require": "anyone"}], 401, id="for known callers"),
        pytest.param([{"name": "a", "if": "anonymous", "require": "anyone"}], 200, id="for unknown ones"),
        pytest.param([{"name": "a", "if": {"tenant": "acme"}, "require": "anyone"}], 200, id="a tenant found without"),
    ],
)
async def test_nobody(rules, status):
    response = await exchange(Access, {"rules": rules}, request(tenant="acme"))
    assert response.status == status
    assert ("WWW-Authenticate" in response.headers) is (status == 401)


RULES = [
    {"name": "admin", "path": "/admin/", "require": {"role": "admin"}},
    {"name": "no deletes", "methods": "DELETE", "deny": True},
    {"name": "rest", "require": "authenticated"},
]
OPEN = {"rules": [{**RULES[0], "name": "admin"}, {**RULES[1], "name": "deletes"}, RULES[2]]}


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        pytest.param(request("GET", "/admin", principal="ada"), 403, id="the prefix itself"),
        pytest.param(request("GET", "/admin/x%3Ay", principal="ada"), 403, id="encoded delimiters below it"),
        pytest.param(request("GET", "/adminx", principal="ada"), 200, id="a neighbour"),
        pytest.param(request("DELETE", "/x", principal="ada"), 403, id="the method"),
        pytest.param(request("delete", "/x", principal="ada"), 403, id="the method in small letters"),
        pytest.param(
            request("POST", "/x", headers={"X-HTTP-Method-Override": "DELETE"}, principal="ada"), 403, id="by a field"
        ),
        pytest.param(
            request("POST", "/x", headers={"X-Method-Override": "delete"}, principal="ada"), 403, id="by another field"
        ),
        pytest.param(
            request("POST", "/x", headers={"X_HTTP_Method_Override": "DELETE"}, principal="ada"),
            403,
            id="by a field as CGI and WSGI read it",
        ),
        pytest.param(
            request("POST", "/x", headers=[("X-HTTP-Method", "PUT"), ("X-HTTP-Method", "DELETE")], principal="ada"),
            403,
            id="by the second of two",
        ),
        pytest.param(
            request("POST", "/x", headers={"X-HTTP-Method-Override": "PATCH"}, principal="ada"),
            200,
            id="one that may be",
        ),
        pytest.param(request("GET", "/x?role=admin", headers={"X-Role": "admin"}), 401, id="roles that a client says"),
    ],
)
async def test_attacks(asked, status):
    assert (await exchange(Access, OPEN, asked)).status == status


async def test_a_service_that_ignores_case():
    asked = request("GET", "/Admin/x", principal="ada")
    assert (await exchange(Access, OPEN, asked)).status == 200
    asked = request("GET", "/Admin/x", principal="ada")
    assert (await exchange(Access, {**OPEN, "ignore_case": True}, asked)).status == 403


async def test_shadow_counts_and_lets_through():
    async with opened(Access, EXAMPLE, mode="shadow") as live:
        assert (await live(request("GET", "/orders/1", principal=caller()))).status == 200
        assert live.ports.would_refuse == ["insufficient_scope"]
        assert live.ports.value("access_decisions_total", "test", "access", "read", "refused") == 1
        assert (await live(request("GET", "/healthz"))).status == 200
        assert live.ports.value("access_decisions_total", "test", "access", "health", "allowed") == 1


async def test_many_paths_are_not_all_remembered():
    async with opened(Access, EXAMPLE) as live:
        for number in range(5000):
            await live(request("GET", f"/orders/{number}", principal=caller(scopes=["orders:read"])))
        assert len(live.plugin._about) <= 4096
        await live(request("GET", "/orders/" + "x" * 5000, principal=caller()))
        assert max(len(path) for _, path in live.plugin._about) < 600


# -- at load -------------------------------------------------------------------------

CONFIG = """
listeners: [{bind: 127.0.0.1:0}]
upstreams: {u: {targets: ["http://127.0.0.1:1"]}}
routes:
  - name: r
    upstream: u
    plugins:
      - plugin: access
        with:
          rules:
            - name: one
              require: authenticated
              path: /a/
            - name: two
              path: /a/b
              %s
"""


def test_a_mistake_has_its_line():
    with pytest.raises(ConfigurationError) as caught:
        load_text(CONFIG % "require: {rol: admin}", {})
    assert "gateway.yaml:16:25" in str(caught.value) and "did you mean 'role'?" in str(caught.value)


def test_check_warns_of_a_method_that_is_misspelt():
    found = settings_of(Access, {"rules": [{"name": "a", "methods": ["GET", "DELTE"], "deny": True}]})
    assert Access.check(found) == ["rule 'a': DELTE is no method that is in use; is it misspelt?"]


def test_mistakes_in_a_file_have_their_line(tmp_path):
    (tmp_path / "rules.yaml").write_text("- {name: a, deny: true}\n- {name: b}\n")
    config = CONFIG[: CONFIG.index("          rules:")] + f"          rules: {{file: {tmp_path}/rules.yaml}}\n"
    with pytest.raises(ConfigurationError, match=r"rules\.yaml:2:3: .*either `require` or `deny: true`"):
        load_text(config, {})


def test_check_warns_of_a_rule_that_cannot_decide():
    (problem,) = [each for each in load_text(CONFIG % "deny: true", {}).problems if "rule" in each.message]
    assert problem.severity == "warning"
    assert "rule 'two' can never decide: what it is about is decided by 'one' before" in problem.message


@pytest.mark.parametrize(
    ("before", "rule", "dead"),
    [
        pytest.param([{}], {"path": "/x"}, True, id="all before"),
        pytest.param([{"path": "/a/"}], {"path": "/a/b/{id}"}, True, id="a prefix"),
        pytest.param([{"path": "/a/{x}"}], {"path": "/a/b"}, True, id="a template"),
        pytest.param([{"path": "/a/b"}], {"path": "/a/{x}"}, False, id="less than a template"),
        pytest.param([{"path": "/a/"}], {"path": ["/a/b", "/c"]}, False, id="one path is left"),
        pytest.param(
            [{"methods": "GET"}, {"methods": ["POST"]}], {"methods": ["GET", "POST"]}, True, id="two between them"
        ),
        pytest.param(
            [{"methods": "GET"}, {"methods": ["POST"]}], {"methods": "GET", "path": "/a"}, True, id="with HEAD"
        ),
        pytest.param([{"methods": "GET"}], {}, False, id="methods are left"),
        pytest.param([{"if": {"role": "a"}}], {}, False, id="callers are left"),
        pytest.param([{"if": {"role": "a"}}], {"if": {"role": "a"}}, True, id="the same callers"),
        pytest.param([{"if": {"role": "a"}}], {"if": {"role": "b"}}, False, id="other callers"),
    ],
)
def test_unreachable(before, rule, dead):
    rules = [{"name": f"r{at}", "require": "authenticated", **each} for at, each in enumerate([*before, rule])]
    found = Access.check(settings_of(Access, {"rules": rules}))
    assert any(f"rule 'r{len(before)}'" in each for each in found) is dead
