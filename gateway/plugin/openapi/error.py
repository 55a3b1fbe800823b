"""What can be wrong with an API description."""

from __future__ import annotations


class OpenApiError(ValueError):
    """The document is not one, or says something that cannot be held to. The text is for the operator."""
