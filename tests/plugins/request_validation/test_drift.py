"""Differences are counted by what they have in common."""

import pytest

from plugins.request_validation.drift import shape_of_path


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/orders/123", "/orders/{}"),
        ("/orders/123e4567-e89b-12d3-a456-426614174000/items", "/orders/{}/items"),
        ("/users/cus_9s6XKzkNRiz8i3", "/users/{}"),
        ("/api/v1/users", "/api/v1/users"),
        ("/deadbeef00", "/{}"),
    ],
)
def test_shape_of_path(path, shape):
    assert shape_of_path(path) == shape
