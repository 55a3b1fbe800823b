"""From files to a configuration, or to every mistake in them."""

# ruff: noqa: E501 - a message is compared whole, in one line
from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.config import Config, ConfigurationError, Finding, Loaded, Severity, load, load_text

GOOD = """\
upstreams:
  app: {targets: ["http://127.0.0.1:9000"]}
routes:
  - {name: app, upstream: app}
"""


def mistakes(text: str, **environ: str) -> list[str]:
    """``line:column path: message (hint)`` of each."""
    with pytest.raises(ConfigurationError) as caught:
        load_text(text, environ, name="g.yaml")
    return [str(problem).removeprefix("g.yaml:").replace(": error", "") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", ["1:1: routes: expected at least one route: nothing would be served"], id="an empty file"),
        pytest.param("- a", ["1:1: expected keys such as `upstreams:` and `routes:`"], id="a list"),
        pytest.param(
            GOOD + "my_upstreams: []\n",
            ["5:1: my_upstreams: unknown key 'my_upstreams'"],
            id="a key known already given is not suggested",
        ),
        pytest.param(
            GOOD + "worker: 2\n",
            ["5:1: worker: unknown key 'worker' (did you mean 'workers'?)"],
            id="an unknown key is marked where it stands, with what was meant",
        ),
        pytest.param(
            GOOD.replace('9000"]', '9000"], timeout: {connect: 2}'),
            [
                (
                    "2:64: upstreams.app.timeout.connect: expected a duration with its unit such as 250ms, 2s, 5m, 1h or 7d, "
                    "got the number 2"
                )
            ],
            id="a duration without its unit",
        ),
        pytest.param(
            GOOD + "limits: {url: 8000, head: fast}\n",
            [
                "5:15: limits.url: expected a size with its unit such as 512B, 100KB, 1MB or 1MiB, got the number 8000",
                "5:27: limits.head: expected a duration with its unit such as 250ms, 2s, 5m, 1h or 7d, got 'fast'",
            ],
            id="several mistakes in one line",
        ),
        pytest.param(
            GOOD + 'reload: {watch: "yes"}\n',
            ["5:17: reload.watch: expected true or false, got 'yes' (did you mean true?)"],
            id="a quoted word of YAML 1.1 is not true",
        ),
        pytest.param(
            GOOD + "reload: {watch: on}\n",
            ["5:17: reload.watch: expected true or false, got 'on' (did you mean true?)"],
            id="nor is one without quotes",
        ),
        pytest.param(
            GOOD + "reload: {watch: 0}\n",
            ["5:17: reload.watch: expected true or false, got the number 0 (did you mean false?)"],
            id="nor is a number",
        ),
        pytest.param(
            GOOD.replace('"http://127.0.0.1:9000"', '"${T}"'),
            ["2:19: the variable is not set: T; ${T:-…} would give a default"],
            id="what follows from a variable that is not set is not told",
        ),
        pytest.param(
            GOOD.replace("upstream: app}", 'upstream: "${U}"}') + "  - {name: b, upstream: c}\n",
            [
                "4:27: the variable is not set: U; ${U:-…} would give a default",
                "5:25: routes[1].upstream: no upstream is called 'c'",
            ],
            id="and what does not follow is",
        ),
        pytest.param(
            GOOD + 'admin: {bind: "0.0.0.0:9901", token: "${TOKEN}"}\n',
            ["5:38: the variable is not set: TOKEN; ${TOKEN:-…} would give a default"],
            id="a token that is not set is not one that was forgotten",
        ),
        pytest.param(
            GOOD + "  - {name: app, upstream: app, match: {path: /b}, x: 1}\n",
            [
                "5:12: routes[1].name: another route is called 'app' too; names are unique",
                "5:51: routes[1].x: unknown key 'x' (known here: match, name, override, plugins, redirect, rewrite, split, sticky, timeout, tracing, upstream, without)",
            ],
            id="two of a name, of which one is wrong otherwise",
        ),
        pytest.param(
            GOOD + "limits: {head: 0s, connections: 0}\n",
            [
                "5:16: limits.head: expected more than 0s, got '0s'",
                "5:33: limits.connections: expected at least 1, got the number 0",
            ],
            id="bounds are told in the unit of the value",
        ),
        pytest.param(
            GOOD.replace("{name: app, upstream: app}", "{upstream: ap}"),
            ["4:5: routes[0].name: the key 'name' is missing here"],
            id="a missing key is marked at the mapping that lacks it",
        ),
        pytest.param(
            GOOD.replace("upstream: app}", "upstream: apt}"),
            ["4:27: routes[0].upstream: no upstream is called 'apt' (did you mean 'app'?)"],
            id="an upstream that does not exist",
        ),
        pytest.param(
            GOOD + "  - {name: b, upstream: c, matsch: {}}\n  - {name: d, upstream: e}\nlog: {level: warn}\n",
            [
                "5:28: routes[1].matsch: unknown key 'matsch' (did you mean 'match'?)",
                "6:25: routes[2].upstream: no upstream is called 'e'",
                "7:14: log.level: expected 'debug', 'info', 'warning' or 'error', got 'warn' (did you mean 'warning'?)",
            ],
            id="what is right in itself is checked beside what is not",
        ),
        pytest.param(
            GOOD + "workers: many\n",
            ["5:10: workers: expected a number of workers from 1 to 256, or auto, got 'many'"],
            id="a number or a word",
        ),
        pytest.param(
            GOOD + "log: debug\n",
            ["5:6: log: expected a mapping, got text"],
            id="text where a mapping belongs is not shown",
        ),
        pytest.param(
            GOOD.replace("app}", "app, plugins: [{plugin: size_limt}]}"),
            ["4:51: routes[0].plugins[0].plugin: no plugin is called 'size_limt' (did you mean 'size_limit'?)"],
            id="a plugin that does not exist",
        ),
        pytest.param(
            GOOD.replace(
                "app}", "app, plugins: [{plugin: 'kinds:Guard', with: {limit: 3, iner: {}, inner: {wait: 5}}}]}"
            ),
            [
                (
                    "4:80: routes[0].plugins[0].with.limit: expected a size with its unit such as 512B, 100KB, 1MB or 1MiB, "
                    "got the number 3"
                ),
                (
                    "4:83: routes[0].plugins[0].with.iner: unknown key 'iner' (known here: anything, document, high, inner, limit, "
                    "low, path, rows, secret, text, upstream)"
                ),
                (
                    "4:107: routes[0].plugins[0].with.inner.wait: expected a duration with its unit such as 250ms, 2s, 5m, 1h "
                    "or 7d, got the number 5"
                ),
            ],
            id="a plugin's own settings, each mistake in its place",
        ),
        pytest.param(
            GOOD.replace("app}", "app, plugins: [{plugin: 'kinds:Guard', with: {low: 3}}]}"),
            ["4:66: routes[0].plugins[0].with: expected `high` to be at least `low`"],
            id="a rule over several keys",
        ),
        pytest.param(
            GOOD.replace("app}", "app, plugins: [{plugin: 'kinds:Needed'}]}"),
            ["4:42: routes[0].plugins[0].with.needed: the key 'needed' is missing here"],
            id="a required setting without with",
        ),
        pytest.param(
            GOOD.replace("app}", "app, plugins: [{any: [{plugin: 'kinds:Who', with: {x: 1}}]}]}"),
            ["4:78: routes[0].plugins[0].any[0].with.x: unknown key 'x'"],
            id="within any",
        ),
        pytest.param(
            GOOD.replace("app}", "app, plugins: [{plugin: 'kinds:NotAPlugin'}, {plugin: 'no_such_module:X'}]}"),
            [
                (
                    "4:51: routes[0].plugins[0].plugin: plugin 'kinds:NotAPlugin' cannot be loaded: kinds has no plugin class "
                    "NotAPlugin"
                ),
                (
                    "4:81: routes[0].plugins[1].plugin: plugin 'no_such_module:X' cannot be loaded: ModuleNotFoundError: No "
                    "module named 'no_such_module'"
                ),
            ],
            id="plugins that cannot be loaded",
        ),
        pytest.param(
            GOOD + "stores: {shared: '${A}', durable: '${B}'}\n",
            [
                "5:18: the variable is not set: A; ${A:-…} would give a default",
                "5:35: the variable is not set: B; ${B:-…} would give a default",
            ],
            id="variables that are not set, without mistakes that follow from them",
        ),
        pytest.param(
            GOOD + "a: 1\nworkers: 1\nworkers: 2\n",
            ["5:1: a: unknown key 'a'", "7:1: the key 'workers' stands twice, first in line 6"],
            id="a key that stands twice",
        ),
        pytest.param(
            GOOD + "log: {level: [}\n",
            ["5:15: not YAML: while parsing a flow node expected the node content, but found '}'"],
            id="what is no YAML",
        ),
    ],
)
def test_mistakes(text: str, expected: list[str]):
    assert mistakes(text) == expected


SECRETIVE = """\
admin: {bind: "127.0.0.1:0", token: {value: hunter2}}
stores: {shared: "redsi://:hunter2@h", durable: hunter2}
trusted_proxies: hunter2
upstreams:
  app: {targets: ["http://u:hunter2@h", "${SECRET}"]}
routes:
  - name: app
    upstream: app
    plugins:
      - {plugin: "kinds:Guard", with: {secret: [hunter2], inner: {secrets: hunter2, wait: "${SECRET}"}, pasword: hunter2}}
      - {plugin: "kinds:Guard", with: {secret: {file: hunter2.txt, x: 1}, inner: {secrets: [12345]}}}
      - {plugin: "kinds:Guard", with: {inner: {secrets: ["", {hunter2: 1}]}}}
"""


def test_a_secret_is_never_shown_wherever_it_was_put_by_mistake():
    found = mistakes(SECRETIVE, SECRET="hunter2")
    shown = "\n".join(found)
    assert len(found) >= 11
    assert "12345" not in shown
    assert [line for line in found if "hunter2" in line] == []


def test_what_a_variable_held_is_named_not_shown():
    text = GOOD + "limits: {head: '${HEAD}'}\n"
    assert mistakes(text, HEAD="hunter2")[0].endswith("1h or 7d, got what ${HEAD} holds")


def test_variables_are_typed_by_the_field_that_takes_them():
    text = """\
workers: ${WORKERS}
replicas: ${REPLICAS:-heartbeat}
stores: {shared: "${REDIS:-redis://h}"}
limits: {head: "${HEAD}", connections: "${MOST}"}
admin: {token: "${TOKEN}"}
upstreams:
  app: {targets: ["http://${HOST}:9000"], critical: "${CRITICAL}"}
routes:
  - {name: app, upstream: app, timeout: {total: "${TOTAL:-off}"}}
"""
    environ = {"WORKERS": "3", "HEAD": "3s", "MOST": "7", "TOKEN": "0123", "HOST": "10.0.0.1", "CRITICAL": "true"}
    config = load_text(text, environ).config
    assert (config.workers, config.replicas) == (3, "heartbeat")
    assert (config.limits.head, config.limits.connections) == (3.0, 7)
    assert config.admin is not None
    assert config.admin.token is not None
    assert config.admin.token.get_secret_value() == "0123"
    assert config.upstreams["app"].targets[0].url == "http://10.0.0.1:9000"
    assert config.upstreams["app"].critical is True
    assert config.timeout_of(config.routes[0], "app").total is None


def write(tmp_path: Path, **files: str) -> dict[str, Path]:
    made = {}
    for name, text in files.items():
        path = tmp_path / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        made[name] = path
    return made


def test_every_value_keeps_the_place_it_came_from(tmp_path: Path):
    files = write(
        tmp_path,
        base=GOOD + "limits: {head: fast}\n",
        prod="limits:\n  url: big\nroutes:\n- name: app\n  upsteam: x\n",
    )
    with pytest.raises(ConfigurationError) as caught:
        load([files["base"], files["prod"]], {})
    places = [(Path(found.position.file).name, found.position.line, found.path) for found in caught.value.problems]
    assert places == [("base", 5, "limits.head"), ("prod", 2, "limits.url"), ("prod", 5, "routes[0].upsteam")]


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path):
    entry = "upstreams: {app: {targets: ['http://h:1']}}\nroutes: [{name: app, upstream: app, plugins: [{plugin: 'kinds:Guard', with: WITH}]}]\n"
    files = write(
        tmp_path,
        one__base=entry.replace("WITH", "{path: x.pem, secret: {file: s}}"),
        one__s="first\n",
        two__prod=entry.replace("WITH", "{path: x.pem, secret: {file: s}, text: {file: t}, anything: plain}"),
        two__s="second\r\n",
        two__t="text\n",
    )

    def settings(*names: str):
        loaded = load([files[name] for name in names], {})
        return loaded, loaded.config.routes[0].plugins[0].settings

    _, base = settings("one__base")
    loaded, both = settings("one__base", "two__prod")
    assert (base.path, base.secret.get_secret_value()) == (tmp_path / "one/x.pem", "first")
    assert (both.path, both.secret.get_secret_value(), both.text) == (tmp_path / "two/x.pem", "second", "text\n")
    assert type(both.anything) is str
    assert set(loaded.files) == {files[name] for name in ("one__base", "two__prod", "two__s", "two__t")}


def test_mistakes_in_a_document_are_marked_in_the_document(tmp_path: Path):
    files = write(
        tmp_path,
        **{"g.yaml": GOOD.replace("app}", "app, plugins: [{plugin: 'kinds:Guard', with: {rows: {file: rows.yaml}}}]}")},
        **{"rows.yaml": "- wait: 1s\n- wait: 2\n  wiat: 3s\n"},
    )
    with pytest.raises(ConfigurationError) as caught:
        load([files["g.yaml"]], {})
    found = [
        (Path(problem.position.file).name, problem.position.line, problem.hint) for problem in caught.value.problems
    ]
    assert found == [("rows.yaml", 2, ""), ("rows.yaml", 3, "known here: secrets, wait")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("rows.yaml", None, "cannot read rows.yaml: No such file or directory", id="not there"),
        pytest.param(
            "rows.yaml",
            "a: [",
            "rows.yaml:1:5: not YAML: while parsing a flow node expected the node content",
            id="no YAML",
        ),
        pytest.param("rows.json", '[{"wait": }]', "rows.json:1:11: not JSON: Expecting value", id="no JSON"),
    ],
)
def test_documents_that_cannot_be_read(tmp_path: Path, monkeypatch, name: str, content: str | None, message: str):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_text(content)
    text = GOOD.replace("app}", f"app, plugins: [{{plugin: 'kinds:Guard', with: {{rows: {{file: {name}}}}}}}]}}")
    assert message in mistakes(text)[0]


def test_variables_are_not_looked_for_in_documents(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("d.yaml").write_text("pattern: ${UNSET}")
    text = GOOD.replace("app}", "app, plugins: [{plugin: 'kinds:Guard', with: {document: {file: d.yaml}}}]}")
    assert load_text(text, {}).config.routes[0].plugins[0].settings.document == {"pattern": "${UNSET}"}  # type: ignore[union-attr]


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"no\.yaml:1:1: error: cannot read it: No such file"):
        load([tmp_path / "no.yaml"], {})


def test_a_file_that_is_too_large(tmp_path: Path):
    file = tmp_path / "large.yaml"
    file.write_bytes(b"#" * (8 * 1024 * 1024 + 1))
    with pytest.raises(ConfigurationError, match="larger than 8388608 bytes"):
        load([file], {})


class TestDigest:
    def two(self, one: str, other: str, **environ: str) -> tuple[Loaded, Loaded]:
        return load_text(one, environ), load_text(other, {key: value + "2" for key, value in environ.items()})

    def test_the_same_in_another_spelling(self):
        one, other = self.two(GOOD, "# a comment\n" + GOOD + "workers: 1\n")
        assert (one.digest, one.identity) == (other.digest, other.identity)

    def test_a_change_shows_in_both(self):
        one, other = self.two(GOOD, GOOD + "workers: 2\n")
        assert one.digest != other.digest
        assert one.identity != other.identity

    def test_a_changed_secret_shows_in_the_identity_only(self):
        text = GOOD + "admin: {token: '${T}'}\n"
        one, other = self.two(text, text, T="x")
        assert one.digest == other.digest
        assert one.identity != other.identity

    def test_a_changed_file_behind_a_reference_shows_in_the_identity(self, tmp_path: Path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        text = GOOD.replace("app}", "app, plugins: [{plugin: 'kinds:Guard', with: {document: {file: d.yaml}}}]}")
        Path("d.yaml").write_text("a: 1")
        one = load_text(text, {})
        Path("d.yaml").write_text("a: 2")
        assert one.identity != load_text(text, {}).identity


def test_a_review_by_a_layer_above_is_part_of_the_one_answer():
    """It sees what is right in itself, and says where that stood."""
    text = GOOD + "  - {name: b, upstream: app, matsch: {}}\n  - {name: c, upstream: app}\n"
    seen: list[tuple[str, int]] = []

    def review(config: Config, places: Sequence[int]) -> list[Finding]:
        seen.extend((route.name, place) for route, place in zip(config.routes, places, strict=True))
        return [Finding(("routes", places[-1], "name"), "not this one")]

    with pytest.raises(ConfigurationError) as caught:
        load_text(text, {}, review=review)
    assert seen == [("app", 0), ("c", 2)]
    assert [problem.path for problem in caught.value.problems] == ["routes[1].matsch", "routes[2].name"]


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(GOOD.replace('http://127.0.0.1:9000"]', 'https://h"], tls: {ca: ca}'), id="of a target"),
        pytest.param(GOOD + "tracing: {endpoint: 'https://h', tls: {ca: ca}}\n", id="of a collector of traces"),
        pytest.param(GOOD + "access_log: {syslog: 'tls://h', tls: {ca: ca}}\n", id="of a syslog server"),
        pytest.param(GOOD + "log: {to: {otlp: 'https://h', tls: {ca: ca}}}\n", id="of a collector of logs"),
    ],
)
def test_a_new_certificate_under_an_old_name_is_a_change(tmp_path: Path, use: str):
    def write(name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        now = dt.datetime.now(dt.UTC)
        made = builder.serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
        (tmp_path / "ca").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    (tmp_path / "g.yaml").write_text(use)
    write("first")
    first = load([tmp_path / "g.yaml"], {})
    assert tmp_path / "ca" in first.files
    write("second")
    second = load([tmp_path / "g.yaml"], {})
    assert first.identity != second.identity
    assert first.digest == second.digest


def test_layers_above_locate_what_they_find():
    loaded = load_text(GOOD + "  - {name: b, match: {path: /b}, upstream: app}\n", {}, name="g.yaml")
    problem = loaded.problem(("routes", 1, "match", "path", 0), "never reached", severity=Severity.WARNING)
    assert str(problem) == "g.yaml:5:29: warning: routes[1].match.path[0]: never reached"
    assert str(loaded.locate(("routes", 1))) == "g.yaml:5:5"
    assert str(loaded.locate(("limits", "head"))) == "g.yaml:1:1"


def test_keys_of_the_operators_own_and_empty_sections():
    text = "x-plugins: &mine\n  - {plugin: headers}\ndefaults:\nlimits:\n  # url: 8KB\n" + GOOD.replace(
        "app}", "app, plugins: *mine}"
    )
    assert load_text(text, {}).config.routes[0].plugins[0].name == "headers"


def test_a_match_with_nothing_under_it_does_not_become_a_route_that_takes_all():
    assert "routes[0].match: expected a mapping, got nothing" in mistakes(GOOD.replace("app}", "app, match: }"))[0]


def test_warnings_do_not_refuse():
    loaded = load_text(GOOD.replace("routes", "  spare: {targets: ['http://h:1']}\nroutes"), {}, name="g.yaml")
    assert [str(problem) for problem in loaded.problems] == [
        "g.yaml:3:3: warning: upstreams.spare: no route and no plugin uses this upstream"
    ]


def test_what_a_plain_configuration_does_not_import():
    """Memory and start-up: the libraries of plugins and stores load when they are used."""
    code = (
        f"import sys; from gateway.config import load_text; load_text({GOOD!r}, {{}}); "
        "print([name for name in ('redis', 'cryptography', 'prometheus_client', 'jwt', 'aiohttp', 'plugins.size_limit') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
