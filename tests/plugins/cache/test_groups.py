"""Cache groups."""

import pytest

from plugins.cache.groups import LONGEST, MOST, groups_of


@pytest.mark.parametrize(
    ("lines", "groups"),
    [
        pytest.param([], (), id="absent"),
        pytest.param(['"a", "b"'], ("a", "b"), id="RFC 9875 §2 strings"),
        pytest.param(['"a"', '"b", "a"'], ("a", "b"), id="RFC 9875 §2 lines, once each"),
        pytest.param(['"a";x=1'], ("a",), id="RFC 9875 §2 parameters mean nothing"),
        pytest.param(["a"], (), id="RFC 9875 §2 a token is no string"),
        pytest.param(['"a", ("b")'], ("a",), id="RFC 9875 §2 nor is a list"),
        pytest.param(['"a'], (), id="what cannot be read"),
        pytest.param(['"' + "x" * 32 + '"'], ("x" * 32,), id="RFC 9875 §2 32 characters at least"),
        pytest.param(['"' + "x" * (LONGEST + 1) + '"'], (), id="longer than heeded"),
    ],
)
def test_groups(lines: list[str], groups: tuple[str, ...]):
    assert groups_of(lines) == groups


def test_there_is_a_most():
    made = groups_of([", ".join(f'"{number}"' for number in range(200))])
    assert len(made) == MOST >= 32, "RFC 9875 §2 wants 32 at least"
