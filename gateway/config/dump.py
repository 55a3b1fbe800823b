"""The configuration as it is shown: written as in YAML, secrets masked."""

from __future__ import annotations

import warnings
from typing import Any

from gateway.config.model import Config
from gateway.plugin.settings import Settings


def dump_masked(settings: Config | Settings) -> dict[str, Any]:
    """As JSON can hold it: durations and sizes with units, secrets as asterisks, passwords out of store URLs."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dumped: dict[str, Any] = settings.model_dump(mode="json", by_alias=True, exclude_defaults=False)
    return dumped
