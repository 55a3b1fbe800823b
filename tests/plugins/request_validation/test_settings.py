"""Settings: either a document, or schemas."""

import pytest
from pydantic import ValidationError

from gateway.testing import settings_of
from plugins.request_validation import RequestValidation


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"body": {}, "document": {"openapi": "3.1.0"}},
        {"body": {}, "base_path": "v1"},
        {"body": {}, "status": 500},
        {"body": {}, "content_types": []},
        {"body": {}, "max_depth": 0},
        {"document": 3},
    ],
)
def test_what_cannot_be_meant(given):
    with pytest.raises(ValidationError):
        settings_of(RequestValidation, given)


def test_schemas_alone():
    made = settings_of(RequestValidation, {"query": {"properties": {}}})
    assert (made.document, made.body, made.status) == (None, None, 400)
