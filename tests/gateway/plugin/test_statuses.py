"""Statuses in settings, one by one or by class."""

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.plugin.statuses import Statuses, statuses_of

READ = TypeAdapter(Statuses)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        pytest.param(200, 200, id="a status"),
        pytest.param("2xx", "2xx", id="a class"),
        pytest.param("4XX", "4xx", id="a class in capitals"),
    ],
)
def test_what_is_read(given, read):
    assert READ.validate_python(given) == read


@pytest.mark.parametrize("given", [199, 600, True, "200", "1xx", "6xx", "xx", "2x", "²xx", None, 200.5])
def test_what_is_not(given):
    with pytest.raises(ValidationError, match="a status from 200 to 599"):
        READ.validate_python(given)


def test_what_is_meant():
    assert statuses_of(["2xx", 404]) == {*range(200, 300), 404}
    assert statuses_of([]) == frozenset()
