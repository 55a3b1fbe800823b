"""Whether an answer may be kept and for how long, against a small model of RFC 9111 written straight from its text."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from plugins.cache.dates import format_date
from plugins.cache.freshness import Rules, Terms, Unstored, judge

NOW = 1_800_000_000.0
HEURISTICALLY = {200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501}
"""RFC 9110 §15.1."""

durations = st.one_of(st.none(), st.integers(0, 5000))
flags = st.fixed_dictionaries(
    {
        name: st.booleans()
        for name in ("public", "private", "no-store", "no-cache", "must-revalidate", "proxy-revalidate", "x-unknown")
    }
)
dates = st.one_of(st.none(), st.integers(-5000, 5000))


def answer(
    flags_: dict[str, bool], max_age: int | None, s_maxage: int | None, expires: int | None, date: int | None,
    modified: int | None, age: int | None, vary: str,
) -> CIMultiDict[str]:  # fmt: skip
    directives = [name for name, there in flags_.items() if there]
    directives += [f"max-age={max_age}"] if max_age is not None else []
    directives += [f"s-maxage={s_maxage}"] if s_maxage is not None else []
    headers: CIMultiDict[str] = CIMultiDict()
    if directives:
        headers["Cache-Control"] = ", ".join(directives)
    for name, when in (("Expires", expires), ("Date", date), ("Last-Modified", modified)):
        if when is not None:
            headers[name] = format_date(NOW + when)
    if age is not None:
        headers["Age"] = str(age)
    if vary:
        headers["Vary"] = vary
    return headers


def may_store(status: int, said: dict[str, bool], explicit: bool, authorized: bool, shared: bool, vary: str) -> bool:
    """RFC 9111 §3, clause by clause."""
    if said["no-store"] or said["private"] or status in (206, 304) or "*" in vary:
        return False
    if authorized and not (said["public"] or said["must-revalidate"] or shared):
        return False
    return said["public"] or explicit or status in HEURISTICALLY


@given(
    said=flags, max_age=durations, s_maxage=durations, expires=dates, date=dates, modified=dates, age=durations,
    vary=st.sampled_from(["", "Foo", "*", "Foo, *"]), authorized=st.booleans(), delay=st.integers(0, 10),
    status=st.sampled_from([200, 204, 206, 299, 302, 304, 404, 410, 500, 503]),
)  # fmt: skip
@settings(max_examples=100)
def test_the_model_of_the_standard(
    said: dict[str, bool], max_age: int | None, s_maxage: int | None, expires: int | None, date: int | None,
    modified: int | None, age: int | None, vary: str, authorized: bool, delay: int, status: int,
) -> None:  # fmt: skip
    headers = answer(said, max_age, s_maxage, expires, date, modified, age, vary)
    made = judge(status, headers, Rules(), authorized=authorized, asked=NOW - delay, arrived=NOW)
    explicit = max_age is not None or s_maxage is not None or expires is not None
    if not may_store(status, said, explicit, authorized, s_maxage is not None, vary):
        assert isinstance(made, Unstored)
        return
    generated = 0 if date is None else date
    # §4.2.1
    if s_maxage is not None:
        lifetime = float(s_maxage)
    elif max_age is not None:
        lifetime = float(max_age)
    elif expires is not None:
        lifetime = float(max(0, expires - generated))
    elif modified is not None and modified <= generated:
        lifetime = (generated - modified) / 10
    else:
        lifetime = -1.0
    # §4.2.3
    current = max(0, -generated, (age or 0) + delay)
    fresh = lifetime > current and not said["no-cache"]
    if isinstance(made, Unstored):
        assert not fresh, "what is fresh and may be kept is kept"
        return
    assert made.fresh is fresh
    if fresh:
        assert abs((made.lifetime - made.age) - (lifetime - current)) < 1
    # §4.2.4: these forbid the use of what is stale
    forbidden = said["must-revalidate"] or said["proxy-revalidate"] or s_maxage is not None or said["no-cache"]
    assert made.strict is forbidden


@given(said=flags, max_age=durations, ttl=st.integers(1, 5000))
@settings(max_examples=50)
def test_an_operators_ttl_never_keeps_what_the_origin_forbids(said: dict[str, bool], max_age: int | None, ttl: int):
    headers = answer(said, max_age, None, None, 0, None, None, "")
    for rules in (Rules(ttl=float(ttl)), Rules(ttl=float(ttl), ttl_by_status={200: 9.0})):
        made = judge(200, headers, rules, authorized=False, asked=NOW, arrived=NOW)
        if said["no-store"] or said["private"]:
            assert isinstance(made, Unstored)
        elif isinstance(made, Terms):
            assert not (made.fresh and said["no-cache"])


def test_why_something_is_not_kept_is_said():
    cases = {
        Unstored.NO_STORE: {"Cache-Control": "no-store"},
        Unstored.PRIVATE: {"Cache-Control": "private"},
        Unstored.VARY: {"Cache-Control": "max-age=9", "Vary": "*"},
        Unstored.SET_COOKIE: {"Cache-Control": "max-age=9", "Set-Cookie": "a=b"},
        Unstored.STALE: {"Cache-Control": "max-age=0"},
    }
    for why, headers in cases.items():
        assert judge(200, CIMultiDict(headers), Rules(), authorized=False, asked=NOW, arrived=NOW) is why
    headers = CIMultiDict({"Cache-Control": "max-age=9"})
    assert judge(200, headers, Rules(), authorized=True, asked=NOW, arrived=NOW) is Unstored.AUTHORIZATION
    assert judge(206, headers, Rules(), authorized=False, asked=NOW, arrived=NOW) is Unstored.STATUS
