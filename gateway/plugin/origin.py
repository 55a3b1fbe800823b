"""Origins of web pages as operators write them in settings (RFC 6454, Fetch): exact, by subdomain, by pattern."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from gateway.plugin.settings import Settings, expected

_ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.-]*)://(\*\.)?([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?", re.ASCII)
_PORTS: Final = {"http": "80", "https": "443"}


class OriginPattern(Settings):
    """Origins by regular expression."""

    regex: str = Field(
        max_length=500, description="Must match the whole origin, such as `https://pr-[0-9]+[.]example[.]com`."
    )

    @model_validator(mode="after")
    def _compiles(self) -> OriginPattern:
        try:
            re.compile(self.regex)
        except (re.error, OverflowError, RecursionError) as error:
            raise expected(f"a regular expression ({error})") from None
        return self


def _origin(value: Any) -> Any:
    """One spelling, the browsers' (Fetch §3.2, HTML's serialization of an origin): lower case, no default port."""
    if not isinstance(value, str) or value in ("*", "null"):
        return value
    text = value.lower()
    found = _ORIGIN.fullmatch(text)
    if found is None or found[3].startswith("."):
        raise expected("an origin such as https://app.example.com or https://*.example.com, without a path")
    if found[4] is not None and found[4] == _PORTS.get(found[1]):
        text = text.rpartition(":")[0]
    return text


Origin = Annotated[
    str | OriginPattern,
    BeforeValidator(_origin),
    WithJsonSchema(
        {
            "title": "origin",
            "anyOf": [
                {"type": "string", "examples": ["https://app.example.com", "https://*.example.com", "null", "*"]},
                OriginPattern.model_json_schema(),
            ],
        }
    ),
]


def origin_matcher(origins: Sequence[str | OriginPattern]) -> Callable[[str], bool]:
    """Whether an origin, as a browser sends it, is one of these."""
    exact = frozenset(each for each in origins if isinstance(each, str) and "*" not in each)
    patterns = [re.compile(each.regex) for each in origins if isinstance(each, OriginPattern)]
    for each in origins:
        if isinstance(each, str) and "://*." in each:
            scheme, _, rest = each.partition("://*")
            label = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
            patterns.append(re.compile(rf"{re.escape(scheme)}://{label}(?:\.{label})*{re.escape(rest)}"))
    return lambda origin: origin in exact or any(pattern.fullmatch(origin) for pattern in patterns)
