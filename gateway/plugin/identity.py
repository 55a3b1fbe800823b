"""What an issuer's claims make of a caller: how settings name them, the principal, header fields, times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway.http import Principal
from gateway.plugin.claims import MOST_ENTRIES, find, same, values_of
from gateway.plugin.settings import Settings, expected

LONGEST_ID: Final = 512


class Unacceptable(Exception):
    """The claims are genuine and still not good here. ``expired`` is the only thing their sender is told."""

    def __init__(self, reason: str, *, expired: bool = False) -> None:
        super().__init__(reason)
        self.expired = expired


# -- in settings -------------------------------------------------------------------------------------------------------

_ONE_OR_MORE: Final = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 64},
    ]
}


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _named(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(values) > 64 or not all(values):
        raise expected("a text that is not empty, or a list of at most 64")
    return values


Several = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_named), WithJsonSchema(_ONE_OR_MORE)]
"""One text, or a list of them."""
Scalar = str | bool | int


def _values(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


Wanted = Annotated[
    tuple[Scalar, ...],
    BeforeValidator(_values),
    Field(min_length=1, max_length=64),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": ["string", "boolean", "integer"]},
                {"type": "array", "items": {"type": ["string", "boolean", "integer"]}, "minItems": 1, "maxItems": 64},
            ]
        }
    ),
]


class PrincipalClaims(Settings):
    """Where in the claims the caller's description stands.

    A claim is named as a whole (`https://example.com/roles`) or by its path (`realm_access.roles`); of several the
    first that is there counts.
    """

    id: Several = Field(default=("sub",), description="Who it is; a token without it is refused.")
    prefix: str = Field(
        default="",
        max_length=64,
        description="Put in front of the id. A `sub` is unique within its issuer only, so with several issuers on a "
        "route give each its own.",
    )
    tenant: Several = Field(default=(), description="The tenant, as text. None by default: no name is usual.")
    roles: Several = Field(default=("roles",), description="Roles: a list, or text parted by spaces.")
    scopes: Several = Field(default=("scope", "scp"), description="Scopes: a list, or text parted by spaces.")
    rate_class: Several = Field(default=(), description="The rate class, as text.")


# -- in tokens ---------------------------------------------------------------------------------------------------------


def principal_of(claims: Mapping[str, Any], paths: PrincipalClaims) -> Principal:
    """The caller. Raises Unacceptable if the token does not say who."""
    who = _text(claims, paths.id)
    if who is None or len(who) > LONGEST_ID:
        raise Unacceptable("does not say who the caller is")
    return Principal(
        paths.prefix + who,
        tenant=_text(claims, paths.tenant),
        roles=_set(claims, paths.roles),
        scopes=_set(claims, paths.scopes),
        rate_class=_text(claims, paths.rate_class),
        claims=claims if isinstance(claims, MappingProxyType) else MappingProxyType(dict(claims)),
        expires=moment(claims, "exp"),
    )


def header_value(claims: Mapping[str, Any], paths: tuple[str, ...]) -> str | None:
    """A claim as a header field's value; None where it is absent or cannot be written as one (RFC 9110 §5.5)."""
    found = _first(claims, paths)
    if isinstance(found, bool):
        text = "true" if found else "false"
    elif isinstance(found, str | int | float):
        text = str(found)
    elif isinstance(found, list) and all(isinstance(each, str) and "," not in each for each in found):
        text = ",".join(found)
    else:
        return None
    # White space around a value is not part of it: whoever reads the field would take `admin ` for `admin`.
    return text if text.isprintable() and text == text.strip() else None


def fits(found: Any, wanted: tuple[Any, ...]) -> bool:
    """Whether a claim, or a member of it, is one of these values."""
    return any(same(value, each) for value in values_of(found) for each in wanted)


def mismatch(claims: Mapping[str, Any], wanted: Mapping[str, tuple[Any, ...]]) -> str | None:
    """The first claim that is none of the values it must be."""
    return next((path for path, values in wanted.items() if not fits(find(claims, path), values)), None)


def dress(claims: Mapping[str, Any], named: Mapping[str, tuple[str, ...]]) -> Sequence[tuple[str, str]]:
    """Header fields, each with the claim it is to carry; those whose claim is absent are left out."""
    found = ((name, header_value(claims, paths)) for name, paths in named.items())
    return [(name, value) for name, value in found if value is not None]


def moment(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 §2), None if it is not there. Raises Unacceptable for what is none."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unacceptable(f"{name} is not a number")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not 0 <= seconds < 1e11:
        raise Unacceptable(f"{name} is not a time")
    return seconds


def _first(claims: Mapping[str, Any], paths: tuple[str, ...]) -> Any:
    for path in paths:
        found = find(claims, path)
        if found is not None:
            return found
    return None


def _text(claims: Mapping[str, Any], paths: tuple[str, ...]) -> str | None:
    found = _first(claims, paths)
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    return found if isinstance(found, str) and found and found.isprintable() else None


def _set(claims: Mapping[str, Any], paths: tuple[str, ...]) -> frozenset[str]:
    found = _first(claims, paths)
    if isinstance(found, str):
        found = found.split()
    if not isinstance(found, list):
        return frozenset()
    return frozenset(each for each in found[:MOST_ENTRIES] if isinstance(each, str))
