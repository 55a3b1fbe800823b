"""What a `Prefer` field says."""

import pytest

from plugins.respond_async.prefer import Preference, preference_of


@pytest.mark.parametrize(
    ("lines", "preference"),
    [
        pytest.param([], Preference(), id="nothing"),
        pytest.param(["respond-async"], Preference(True), id="an answer later"),
        pytest.param(["Respond-Async"], Preference(True), id="in any case"),
        pytest.param(["respond-async, wait=10"], Preference(True, 10.0), id="after a wait (§4.3)"),
        pytest.param(["respond-async; x=1"], Preference(True), id="with a parameter"),
        pytest.param(["wait=10", "respond-async"], Preference(True, 10.0), id="in two lines"),
        pytest.param(["wait=1, wait=9"], Preference(False, 1.0), id="twice: the first counts (§2)"),
        pytest.param(['wait="7"'], Preference(False, 7.0), id="in quotes"),
        pytest.param(["wait=soon, respond-async"], Preference(True), id="a wait that is none"),
        pytest.param(["wait=-1"], Preference(), id="less than nothing"),
        pytest.param(["wait=99999999"], Preference(), id="far too long"),
        pytest.param(["return=minimal, respond-async"], Preference(True, None, "return=minimal"), id="another one"),
        pytest.param(
            ['a="x, respond-async", b'], Preference(False, None, 'a="x, respond-async", b'), id="a comma in quotes"
        ),
        pytest.param(
            ['a="\\", respond-async"'], Preference(False, None, 'a="\\", respond-async"'), id="an escaped quote"
        ),
        pytest.param([", ,respond-async,"], Preference(True), id="empty elements"),
    ],
)
def test_what_is_preferred(lines, preference):
    assert preference_of(lines) == preference
