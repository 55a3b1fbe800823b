"""What is compiled."""

import pytest

from plugins.request_validation.compiled import compile_schema, is_json


def test_patterns_run_in_linear_time_or_within_bounds():
    assert not compile_schema({"pattern": "^(a+)+$"}).is_valid("a" * 5000 + "b")
    look = compile_schema({"pattern": "^(?!x)(a+)+$"})
    assert look.is_valid("aaa")
    assert not look.is_valid("a" * 5000 + "b")


def test_what_is_no_schema():
    with pytest.raises(ValueError):
        compile_schema({"pattern": "("})
    with pytest.raises(ValueError):
        compile_schema({"$ref": "http://evil.test/"})


@pytest.mark.parametrize(("kind", "json"), [("application/json", True), ("a/b+json", True), ("text/plain", False)])
def test_is_json(kind, json):
    assert is_json(kind) is json
