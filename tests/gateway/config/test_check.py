"""What a well-formed configuration may still have wrong with it."""

# ruff: noqa: E501 - a message is compared whole, in one line
from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.config import ConfigurationError, load_text

UPSTREAMS = "upstreams: {app: {targets: ['http://127.0.0.1:9000']}}\n"
ROUTE = "routes: [{name: r, upstream: app}]\n"
GOOD = UPSTREAMS + ROUTE


def found(text: str) -> list[str]:
    """``severity path: message`` of everything that is to be said."""
    try:
        problems = load_text(text, {}).problems
    except ConfigurationError as error:
        problems = error.problems
    return [f"{problem.severity} {problem.path}: {problem.message}" for problem in problems]


def route(**keys: str) -> str:
    return UPSTREAMS + "routes: [{name: r" + "".join(f", {key}: {value}" for key, value in keys.items()) + "}]\n"


def app(**keys: str) -> str:
    return f"upstreams: {{app: {{{', '.join(f'{key}: {value}' for key, value in keys.items())}}}}}\n" + ROUTE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(GOOD, [], id="nothing is wrong"),
        # -- listeners
        pytest.param(
            GOOD + "listeners: [{bind: '127.0.0.1:80'}, {bind: ':80'}]",
            ["error listeners[1].bind: expected an address of its own; listeners[0] has 127.0.0.1:80"],
            id="two listeners on one address",
        ),
        pytest.param(
            GOOD + "listeners: [{bind: '0.0.0.0:9901'}]",
            ["error admin.bind: expected an address of its own; listeners[0] has 0.0.0.0:9901"],
            id="admin on a listener's address",
        ),
        pytest.param(GOOD + "listeners: [{bind: ':0'}, {bind: ':0'}]", [], id="port 0 is never taken"),
        pytest.param(GOOD + "listeners: [{bind: ':80'}, {bind: 'unix:/run/a'}]", [], id="a port and a socket"),
        pytest.param(
            GOOD + "listeners: [{bind: 'unix:/run/a'}, {bind: 'unix:/run/a'}]",
            ["error listeners[1].bind: expected an address of its own; listeners[0] has unix:/run/a"],
            id="one unix socket twice",
        ),
        pytest.param(
            GOOD + "listeners: [{bind: ':80', proxy_protocol: true}]",
            [
                "error listeners[0].proxy_protocol: expected `trusted_proxies` to name who may send PROXY headers; it is empty"
            ],
            id="PROXY headers of nobody",
        ),
        pytest.param(
            GOOD + "admin: {bind: '0.0.0.0:1'}",
            ["error admin.bind: expected `admin.token`, because others than this machine can reach this address"],
            id="admin open to all without a token",
        ),
        pytest.param(GOOD + "admin: {bind: '0.0.0.0:1', token: x}", [], id="admin open to all with a token"),
        pytest.param(GOOD + "admin: {bind: '[::1]:1'}", [], id="admin on the other loopback"),
        pytest.param(GOOD + "admin: {bind: 'unix:/run/a'}", [], id="admin on a socket"),
        pytest.param(GOOD + "admin: off", [], id="no admin"),
        # -- operation
        pytest.param(
            GOOD + "access_log: {file: /no/such/directory/log}",
            ["error access_log.file: expected a file in a directory that exists; /no/such/directory does not"],
            id="a log in a directory that is not there",
        ),
        pytest.param(
            GOOD + "replicas: heartbeat",
            ["error replicas: expected a Redis in `stores.shared`: heartbeats are counted there"],
            id="heartbeats without a Redis",
        ),
        pytest.param(
            route(upstream="app", plugins="[{plugin: 'kinds:Guard'}]") + "workers: 2",
            [
                (
                    "warning routes[0].plugins[0].plugin: its state is kept apart in each worker and replica, so what it counts is "
                    "approximate; a Redis in `stores.shared` makes it exact"
                )
            ],
            id="shared state in several memories",
        ),
        pytest.param(
            route(upstream="app", plugins="[{plugin: 'kinds:Guard'}]") + "workers: 2\nstores: {shared: 'redis://h'}",
            [],
            id="shared state in Redis",
        ),
        pytest.param(
            route(upstream="app", plugins="[{plugin: 'kinds:Exact'}]") + "replicas: 2",
            [
                (
                    "error routes[0].plugins[0].plugin: expected a Redis in `stores.shared`: its state must be one for all "
                    "workers and replicas"
                )
            ],
            id="state that must be exact in several memories",
        ),
        pytest.param(
            route(upstream="app", plugins="[{plugin: 'kinds:Exact'}]"), [], id="state that must be exact in one memory"
        ),
        pytest.param(
            route(upstream="app", plugins="[{plugin: 'kinds:Exact', with: {keeps: false}}]") + "replicas: 2",
            [],
            id="state that must be exact, switched off",
        ),
        # -- upstreams
        pytest.param(
            app(targets="['http://h:1', {url: 'http://h:1'}]"),
            ["error upstreams.app.targets[1]: expected each target once; `weight` gives one more of the requests"],
            id="a target twice",
        ),
        pytest.param(
            app(targets="[{url: 'http://h:1', weight: 0}]"),
            ["error upstreams.app.targets: expected a target with a weight above 0"],
            id="no target with a weight",
        ),
        pytest.param(
            app(targets="['http://127.0.0.1:8080']"),
            ["warning upstreams.app.targets[0]: this is the gateway's own listener: requests would go in a circle"],
            id="the gateway as its own target",
        ),
        pytest.param(
            app(targets="['http://h:1']", tls="{verify: false}"),
            ["warning upstreams.app.tls: no target is https, so this has no effect"],
            id="TLS settings without TLS",
        ),
        pytest.param(
            app(targets="['https://h:1']", tls="{verify: false}"),
            ["warning upstreams.app.tls.verify: anybody on the way to the target can read and change what is sent"],
            id="certificates that are not checked",
        ),
        pytest.param(
            app(targets="['http://h:1']", timeout="{first_byte: 9s, total: 5s}"),
            ["warning upstreams.app.timeout.first_byte: longer than `total`, which ends the wait first"],
            id="a timeout that can never pass",
        ),
        pytest.param(
            app(targets="['http://h:1']", timeout="{total: 5s}"), [], id="a short total with the default first byte"
        ),
        # -- plugins
        pytest.param(
            route(upstream="app", plugins="[{plugin: 'kinds:Breaker'}]"),
            [
                (
                    "error routes[0].plugins[0].plugin: kinds:Breaker works around each attempt at a target: it belongs into "
                    "`attempt` of an upstream"
                )
            ],
            id="an attempt's plugin on a route",
        ),
        pytest.param(
            app(targets="['http://h:1']", attempt="[{plugin: 'kinds:Either'}]"),
            [],
            id="one of both kinds on an attempt",
        ),
        pytest.param(
            route(upstream="app", plugins="[{plugin: 'kinds:Either'}]"), [], id="one of both kinds on a route"
        ),
        pytest.param(
            app(targets="['http://h:1']", attempt="[{plugin: 'kinds:Guard'}]"),
            [
                (
                    "error upstreams.app.attempt[0].plugin: kinds:Guard works around the whole request: it belongs into `plugins` of "
                    "a route"
                )
            ],
            id="a route's plugin on an attempt",
        ),
        pytest.param(
            route(upstream="app", plugins="[{plugin: headers, mode: shadow}]"),
            [
                "error routes[0].plugins[0].mode: expected enforce or off: headers never refuses a request, so shadow means nothing"
            ],
            id="shadow on what never refuses",
        ),
        pytest.param(
            route(upstream="app", plugins="[{plugin: size_limit, mode: shadow}]"), [], id="shadow on what refuses"
        ),
        pytest.param(
            route(upstream="app", plugins="[{any: [{plugin: 'kinds:Who'}, {plugin: headers}]}]"),
            [
                "error routes[0].plugins[0].any[1].plugin: expected a plugin that finds out who the caller is; headers does not"
            ],
            id="any of what is no authenticator",
        ),
        pytest.param(
            route(upstream="app", plugins="[{any: [{plugin: 'kinds:Who'}, {plugin: 'kinds:Who', mode: off}]}]"),
            [],
            id="any with a member that is off",
        ),
        pytest.param(
            route(upstream="app", plugins="[{any: [{plugin: 'kinds:Lonely'}]}]"),
            [],
            id="any of what may stand in it",
        ),
        pytest.param(
            route(upstream="app", plugins="[{any: [{plugin: 'kinds:Lonely', with: {answers: true}}]}]"),
            [
                "error routes[0].plugins[0].any[0].with.answers: expected an entry of kinds:Lonely by itself for this: `any` only asks who it is"
            ],
            id="any of what would have no effect in it",
        ),
        pytest.param(
            route(upstream="app", plugins="[{any: [{plugin: 'kinds:Who', mode: off}]}]"),
            [
                "error routes[0].plugins[0].any: expected a member that is not off: nobody could come in; switch off the `any` as a whole"
            ],
            id="any of nobody",
        ),
        pytest.param(
            route(upstream="app", plugins="[{any: [{plugin: 'kinds:Who'}, {plugin: 'kinds:Who', mode: shadow}]}]"),
            [
                "error routes[0].plugins[0].any[1].mode: expected enforce or off: a member in shadow would let in whom it knows; give `any` the mode"
            ],
            id="any with a member in shadow",
        ),
        pytest.param(
            route(upstream="app", plugins="[{any: [{plugin: 'kinds:Who', when: {path: /a}}]}]"),
            ["error routes[0].plugins[0].any[0].when: expected `when` beside `any`, for all its members together"],
            id="any with a member for some requests",
        ),
        pytest.param(
            route(upstream="app", plugins="[{plugin: headers, id: a}, {plugin: size_limit, id: a}]"),
            ["error routes[0].plugins[1].id: expected an id of its own; 'a' stands in this list already"],
            id="an id twice",
        ),
        pytest.param(
            route(upstream="app", plugins="[{plugin: 'kinds:Guard', with: {limit: 0}}]"),
            ["warning routes[0].plugins[0].with: a limit of 0 refuses everything"],
            id="a plugin's own warning",
        ),
        # -- routes
        pytest.param(
            UPSTREAMS + "routes: [{name: r, upstream: app}, {name: r, upstream: app}]",
            ["error routes[1].name: another route is called 'r' too; names are unique"],
            id="a name twice",
        ),
        pytest.param(
            route(upstream="app", split="[{upstream: app, weight: 1}]"),
            ["error routes[0].split: expected either `upstream` or `split`"],
            id="upstream and split",
        ),
        pytest.param(
            route(split="[{upstream: app, weight: 1}, {upstream: b, weight: 1}]", override="{header: X, upstream: c}"),
            [
                "error routes[0].split[1].upstream: no upstream is called 'b'",
                "error routes[0].override[0].upstream: no upstream is called 'c'",
            ],
            id="split and override to nowhere",
        ),
        pytest.param(
            route(upstream="app", sticky="client_ip"),
            ["warning routes[0].sticky: without `split` there are no sides to stay on"],
            id="sticky to what is not split",
        ),
        pytest.param(
            route(override="{header: X, upstream: app}", plugins="[{plugin: respond}]"),
            ["error routes[0].override: expected `upstream` or `split` for all other requests"],
            id="an override of nothing",
        ),
        pytest.param(
            route(match="{path: /a}") + "x-a: 1",
            [
                "warning upstreams.app: no route and no plugin uses this upstream",
                "error routes[0]: expected `upstream`, `split`, `redirect`, or a plugin that answers every request",
            ],
            id="nothing that answers",
        ),
        pytest.param(
            "routes: [{name: r, plugins: [{plugin: respond, when: {methods: [GET]}}]}]",
            ["error routes[0]: expected `upstream`, `split`, `redirect`, or a plugin that answers every request"],
            id="an answer for some requests only",
        ),
        pytest.param("routes: [{name: r, plugins: [{plugin: respond}]}]", [], id="a plugin that answers"),
        pytest.param("routes: [{name: r, redirect: {scheme: https}}]", [], id="a redirect"),
        pytest.param(
            "defaults: {plugins: [{plugin: respond, id: all}]}\nroutes: [{name: r}, {name: s, without: [respond]}]",
            ["error routes[1]: expected `upstream`, `split`, `redirect`, or a plugin that answers every request"],
            id="a default that answers, and a route without it",
        ),
        pytest.param(
            "defaults: {plugins: [{plugin: headers}]}\n" + route(upstream="app", without="[header]"),
            ["error routes[0].without[0]: nothing in `defaults.plugins` is called 'header'"],
            id="without what is not there",
        ),
        pytest.param(
            route(upstream="app", match="{path: '/a/{b}'}", rewrite="{path: '/{c}'}"),
            [
                "error routes[0].rewrite.path: expected a parameter of every pattern in match.path (these are: b), not {c}"
            ],
            id="a rewrite to a parameter that is not matched",
        ),
        pytest.param(
            "upstreams: {app: {targets: ['http://h:1']}, spare: {targets: ['http://h:2']}}\n"
            "routes: [{name: r, upstream: app, plugins: [{plugin: 'kinds:Guard', with: {upstream: spare}}]}]",
            [],
            id="an upstream that only a plugin uses",
        ),
    ],
)
def test_findings(text: str, expected: list[str]):
    assert found(text) == expected


def certificate(directory: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (directory / f"{name}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (directory / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


class TestTls:
    @pytest.fixture(autouse=True)
    def files(self, tmp_path: Path, monkeypatch):
        certificate(tmp_path, "a")
        certificate(tmp_path, "b")
        (tmp_path / "junk").write_text("junk")
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize(
        ("tls", "expected"),
        [
            pytest.param("{cert: a.crt, key: a.key, client_ca: b.crt}", [], id="all is well"),
            pytest.param(
                "{cert: a.crt, key: no}",
                ["key: cannot read no: No such file or directory"],
                id="a file that is not there",
            ),
            pytest.param(
                "{cert: a.crt, key: b.key}",
                [
                    "cert: expected a PEM certificate and, in `key`, the key to it, without a password: KEY_VALUES_MISMATCH"
                ],
                id="a certificate and another's key",
            ),
            pytest.param(
                "{cert: a.crt, key: a.key, client_ca: junk}",
                ["client_ca: expected PEM certificates of authorities: NO_CERTIFICATE_OR_CRL_FOUND"],
                id="authorities that are none",
            ),
        ],
    )
    def test_of_a_listener(self, tls: str, expected: list[str]):
        assert found(GOOD + f"listeners: [{{bind: ':1', tls: {tls}}}]") == [
            f"error listeners[0].tls.{text}" for text in expected
        ]

    @pytest.mark.parametrize(
        ("tls", "expected"),
        [
            pytest.param("{cert: a.crt, key: a.key, ca: b.crt}", [], id="all is well"),
            pytest.param(
                "{ca: no}", ["ca: cannot read no: No such file or directory"], id="authorities that are not there"
            ),
            pytest.param(
                "{cert: a.crt, key: a.crt}",
                ["cert: expected a PEM certificate and, in `key`, the key to it, without a password: "],
                id="no key",
            ),
        ],
    )
    def test_of_an_upstream(self, tls: str, expected: list[str]):
        messages = found(app(targets="['https://h:1']", tls=tls))
        assert len(messages) == len(expected)
        assert all(
            one.startswith(f"error upstreams.app.tls.{text}") for one, text in zip(messages, expected, strict=True)
        )
