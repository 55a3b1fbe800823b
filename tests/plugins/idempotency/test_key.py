"""Keys as clients write them, whose they are, and what tells requests apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.testing import request
from plugins.idempotency.key import fingerprint, parse_key, subject

PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=60)


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.mark.parametrize(
    ("lines", "bare", "key"),
    [
        pytest.param(['"8e03978e-40d5"'], False, "8e03978e-40d5", id="a string"),
        pytest.param([' "a b" '], False, "a b", id="blanks around it, and in it"),
        pytest.param(['"a\\"b"'], False, 'a"b', id="an escape"),
        pytest.param(['"a";x=1'], False, "a", id="a parameter"),
        pytest.param(["8e03978e-40d5"], True, "8e03978e-40d5", id="bare, beginning with a digit"),
        pytest.param(["order:1/2=="], True, "order:1/2==", id="bare, with signs"),
        pytest.param(["8e03978e"], False, None, id="bare where that may not be"),
        pytest.param(["abc"], False, None, id="a token is not a string"),
        pytest.param(["12"], False, None, id="a number"),
        pytest.param([":aGk=:"], False, None, id="bytes"),
        pytest.param(['%"f%c3%bc"'], False, None, id="a display string"),
        pytest.param(['"a", "b"'], False, None, id="a list"),
        pytest.param(['"a"', '"b"'], False, None, id="two lines"),
        pytest.param(["a", "a"], True, None, id="two bare lines"),
        pytest.param(['"a'], False, None, id="not closed"),
        pytest.param(['"a'], True, None, id="not closed, where bare may be"),
        pytest.param(['"a" x'], False, None, id="something behind it"),
        pytest.param(['""'], False, None, id="an empty string"),
        pytest.param([""], True, None, id="nothing"),
        pytest.param(["a b"], True, None, id="bare with a blank"),
        pytest.param(["a,b"], True, None, id="bare with a comma"),
        pytest.param(["ä"], True, None, id="bare and not ASCII"),
        pytest.param(['"ä"'], False, None, id="not ASCII"),
        pytest.param(['"' + "x" * 255 + '"'], False, "x" * 255, id="the longest"),
        pytest.param(['"' + "x" * 256 + '"'], False, None, id="one too long"),
        pytest.param(["x" * 256], True, None, id="one too long, bare"),
        pytest.param(['"' + "x" * 100_000], False, None, id="far too long"),
    ],
)
def test_keys(lines, bare, key):
    if key is None:
        with pytest.raises(ValueError, match=r"key|Key"):
            parse_key(lines, bare=bare, longest=255)
    else:
        assert parse_key(lines, bare=bare, longest=255) == key


@given(PRINTABLE, st.booleans())
def test_any_printable_text_is_a_key_in_quotation_marks(text, bare):
    assert parse_key([quoted(text)], bare=bare, longest=255) == text


@given(st.text(max_size=40), st.booleans())
def test_what_is_no_key_is_a_value_error_with_a_sentence(text, bare):
    try:
        key = parse_key([text], bare=bare, longest=255)
    except ValueError as error:
        assert str(error).endswith((".", '".'))
    else:
        assert key.isascii()


@given(st.lists(st.text(max_size=4), min_size=1, max_size=4), st.lists(st.text(max_size=4), min_size=1, max_size=4))
def test_no_two_callers_share_a_key(first, second):
    same = subject(first[:-1], first[-1]) == subject(second[:-1], second[-1])
    assert same is (first == second)


def test_a_fingerprint_says_nothing_without_the_key():
    asked = request("POST", "/", body="4242")
    assert fingerprint(asked, b"4242", (), "a") != fingerprint(asked, b"4242", (), "b")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param([("X", "a"), ("X", "b")], [("X", "a, b")], id="two lines are not one"),
        pytest.param([("X", ""), ("Y", "a")], [("X", "a"), ("Y", "")], id="a value moves to another field"),
        pytest.param([], [("X", "")], id="absent is not empty"),
    ],
)
def test_fields_cannot_be_shifted(one, other):
    made = [fingerprint(request("POST", "/", headers=each), b"", ("X", "Y"), "k") for each in (one, other)]
    assert made[0] != made[1]
