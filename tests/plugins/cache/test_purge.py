"""The purge log, what a purge speaks of, and what operators declare."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.cache.entry import Entry, Place, Since
from plugins.cache.purge import MOST_PATTERNS, Declared, Kind, Purge, PurgeLog, purge_of, undisturbed, url_of


def entry(url: str = "a.test/x", seq: int = 0, groups: str = "") -> Entry:
    lines = [b"Cache-Groups: " + groups.encode()] if groups else []
    return Entry(Place(f"http://{url}", url), 200, b"", lines, b"", Since(seq, 0))


def test_a_purge_holds_for_what_was_asked_for_before_it_and_for_nothing_after():
    log = PurgeLog()
    old = entry(seq=log.seq)
    log.add(Purge(Kind.URL, "a.test/x"))
    new = entry(seq=log.seq)
    assert log.judge(old) is not None
    assert log.judge(new) is None
    assert log.missed_by("a.test/x", (), 0)
    assert not log.missed_by("a.test/x", (), 1)


def test_a_hard_purge_outweighs_a_soft_one_before_or_after_it():
    for softly in ((True, False), (False, True)):
        log, swept = PurgeLog(), []
        log.sweeps.append(swept.extend)
        old = entry()
        for soft in softly:
            log.add(Purge(Kind.PATTERN, "/x", soft))
            log.add(Purge(Kind.URL, "a.test/x", soft))
        found = log.judge(old)
        assert found is not None
        assert not found.soft or any(not each.soft for each in swept), "carried out before it was overwritten"


def test_what_was_looked_at_once_is_compared_with_later_purges_only():
    log, one = PurgeLog(), entry()
    log.add(Purge(Kind.PATTERN, "/other*"))
    assert log.judge(one) is None
    assert one.vouched == log.seq
    log.add(Purge(Kind.PATTERN, "/x*"))
    assert log.judge(one) is not None


def test_everything():
    log, one = PurgeLog(), entry()
    log.add(Purge(Kind.ALL, "", True))
    found = log.judge(one)
    assert found is not None and found.soft
    log.add(Purge(Kind.ALL, ""))
    found = log.judge(one)
    assert found is not None and not found.soft
    assert log.judge(entry(seq=log.seq)) is None


def test_the_log_is_bounded_and_forgets_nothing_that_still_matters():
    log, swept = PurgeLog(), []
    log.sweeps.append(swept.extend)
    for number in range(MOST_PATTERNS + 1):
        log.add(Purge(Kind.PATTERN, f"/{number}"))
    assert len(log.patterns) <= MOST_PATTERNS
    assert {each.what for each in swept} | set(log.patterns) == {f"/{number}" for number in range(MOST_PATTERNS + 1)}
    assert log.missed_by("a.test/none", (), 0), "a fetch that is older than what is forgotten is not trusted"
    assert not log.missed_by("a.test/none", (), log.seq)


@given(st.lists(st.tuples(st.sampled_from(["u", "p", "g", "all"]), st.integers(0, 3), st.booleans()), max_size=20))
@settings(max_examples=100)
def test_it_says_what_looking_at_every_purge_would_say(purges: list[tuple[str, int, bool]]):
    log, held, every, swept = PurgeLog(), [], [], []
    log.sweeps.append(swept.extend)
    for kind, number, soft in purges:
        held.append(entry(f"a.test/{number}", log.seq, f'"g{number}"'))
        purge = {
            "u": Purge(Kind.URL, f"a.test/{number}", soft),
            "p": Purge(Kind.PATTERN, f"/{number}*", soft),
            "g": Purge(Kind.GROUP, f"\ng{number}", soft),
            "all": Purge(Kind.ALL, "", soft),
        }[kind]
        every.append(log.add(purge))
    for each in held:
        later = [purge for purge in every if purge.seq > each.seq and purge.matches(each.url, each.groups)]
        found = log.judge(each)
        carried_out = any(not purge.soft and purge in later for purge in swept)
        assert (found is not None) is bool(later)
        assert carried_out or found is None or found.soft is all(purge.soft for purge in later)


@pytest.mark.parametrize(
    ("text", "kind", "what"),
    [
        pytest.param("*", Kind.ALL, "", id="everything"),
        pytest.param("/a", Kind.PATTERN, "/a", id="a path"),
        pytest.param("/a*", Kind.PATTERN, "/a*", id="a prefix"),
        pytest.param("http://A.test:80/a?b", Kind.URL, "a.test/a?b", id="a URL"),
        pytest.param("https://a.test:443", Kind.URL, "a.test/", id="a URL without a path"),
        pytest.param("http://a.test:443/", Kind.URL, "a.test:443/", id="another's port"),
        pytest.param("http://a.test/a*", Kind.PATTERN, "a.test/a*", id="a prefix with a host"),
        pytest.param("http://a.test?b=%7E", Kind.URL, "a.test/?b=%7E", id="a query without a path"),
        pytest.param("http://a.test/%7Eann/./x", Kind.URL, "a.test/~ann/x", id="as requests have it"),
        pytest.param("/caf\u00e9*", Kind.PATTERN, "/caf%C3%A9*", id="a path that nobody encoded"),
        pytest.param("/a%2fb;c", Kind.PATTERN, "/a%2Fb;c", id="what some routes let through"),
    ],
)
def test_what_operators_write(text: str, kind: Kind, what: str):
    made = purge_of(text, soft=False)
    assert (made.kind, made.what) == (kind, what)


@pytest.mark.parametrize("text", ["", "a", "/a b", "/*a", "ftp://a/", "http:///a", "http://a@b/", "/%zz", "/../a"])
def test_what_they_cannot_mean(text: str):
    with pytest.raises(ValueError, match=r"expected|no path"):
        purge_of(text, soft=False)


def test_who_else_purged_is_known_by_how_often():
    log, ours = PurgeLog(), [Purge(Kind.URL, "a.test/x")]
    log.add(Purge(Kind.GROUP, "\ng"))
    before = log.declared("a.test/x", ("g",))
    log.add(ours[0])
    assert undisturbed(before, log.declared("a.test/x", ("g",)), ours)
    log.add(Purge(Kind.URL, "a.test/y"))
    assert undisturbed(before, log.declared("a.test/x", ("g",)), ours), "another URL"
    for other in (ours[0], Purge(Kind.PATTERN, "/x*"), Purge(Kind.GROUP, "\ng"), Purge(Kind.ALL, "", True)):
        again = PurgeLog()
        again.add(Purge(Kind.GROUP, "\ng"))
        again.add(ours[0])
        again.add(other)
        assert not undisturbed(before, again.declared("a.test/x", ("g",)), ours)


def test_a_fragment_names_nothing():
    assert url_of("http://a.test/x#y") == "a.test/x"


@pytest.mark.parametrize(
    ("on", "method", "path", "purges"),
    [
        pytest.param("POST /a", "POST", "/a", ["/x"], id="exactly"),
        pytest.param("POST /a", "POST", "/a/b", [], id="not below"),
        pytest.param("POST /a", "PUT", "/a", [], id="another method"),
        pytest.param("* /a", "PUT", "/a", ["/x"], id="any method"),
        pytest.param("POST /a*", "POST", "/a/b", ["/x"], id="what begins so"),
        pytest.param("POST /a.b", "POST", "/axb", [], id="a dot is a dot"),
    ],
)
def test_declared(on: str, method: str, path: str, purges: list[str]):
    assert [each.what for each in Declared(on, ["/x"], soft=False).purges(method, path)] == purges


def test_a_parameter_is_one_segment_and_goes_where_it_is_named():
    declared = Declared("PUT /a/{id}/b/{n}", ["/l/{n}/{id}", "/m*"], soft=True)
    assert [(each.what, each.soft) for each in declared.purges("PUT", "/a/1/b/2")] == [("/l/2/1", True), ("/m*", True)]
    assert declared.purges("PUT", "/a/1/2/b/3") == []


def test_a_star_that_a_client_sent_purges_nothing_but_itself():
    declared = Declared("PUT /users/{id}", ["/users/{id}"], soft=False)
    (made,) = declared.purges("PUT", "/users/*")
    assert not made.matches("a.test/users/1", ())
