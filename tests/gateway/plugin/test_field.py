"""Header fields in settings: nothing that splits a message or touches its framing."""

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.plugin.field import FRAMING, FieldName, FieldValue

NAME, VALUE = TypeAdapter(FieldName), TypeAdapter(FieldValue)


@pytest.mark.parametrize("name", ["X-Request-Id", "x_y", "ETag", "a!#$%&'*+-.^_`|~9"])
def test_names(name):
    assert NAME.validate_python(name) == name


@pytest.mark.parametrize(
    "name", ["", "X Y", "X:", "X\r\nY", "Ä", "a/b", *sorted(FRAMING), "Content-Length", "TRANSFER-ENCODING"]
)
def test_names_that_are_refused(name):
    with pytest.raises(ValidationError):
        NAME.validate_python(name)


@pytest.mark.parametrize("value", ["", "a b", "äö", "\ta"])
def test_values(value):
    assert VALUE.validate_python(value) == value


@pytest.mark.parametrize("value", ["a\r\nB: c", "a\nb", "a\rb", "a\0b"])
def test_values_that_are_refused(value):
    with pytest.raises(ValidationError):
        VALUE.validate_python(value)
