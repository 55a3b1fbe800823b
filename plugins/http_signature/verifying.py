"""Which of a message's signatures hold (RFC 9421 §3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import http_sf
from multidict import MultiMapping

from plugins.http_signature.component import Component, Unusable, View, component_of, signature_base
from plugins.http_signature.key import Key

LONGEST: Final = 16_384
"""Characters of all `Signature-Input` or `Signature` fields together."""
_TYPES: Final[Mapping[str, type]] = {
    "created": int, "expires": int, "nonce": str, "alg": str, "keyid": str, "tag": str,
}  # fmt: skip


_IMPLIED: Final[Mapping[str, Sequence[str]]] = {
    "@target-uri": ("@scheme", "@authority", "@path", "@query"),
    "@request-target": ("@path", "@query"),
}
"""What is covered by what covers it."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of a message, not yet verified."""

    label: str
    components: Sequence[Component]
    parameters: Mapping[str, Any]
    text: str
    """Components and parameters in strict form: what ``@signature-params`` stands for."""
    value: bytes


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of signatures. Times in seconds."""

    keys: Mapping[str, Key]
    required: Sequence[Component]
    max_age: float
    skew: float
    tag: str | None
    require_expires: bool
    require_nonce: bool


def signatures_of(headers: MultiMapping[str], most: int, tag: str | None) -> list[Signature]:
    """The signatures of a message that may be meant for us, at most so many. Raises Unusable."""
    inputs, values = (_dictionary(headers, name) for name in ("Signature-Input", "Signature"))
    found = []
    for label, member in inputs.items():
        items, parameters = member
        if not isinstance(items, list):
            raise Unusable("a signature's input that is no list of components")
        if tag is not None and parameters.get("tag") != tag:
            continue
        value = values.get(label, (None, {}))[0]
        if not isinstance(value, bytes):
            raise Unusable("a label without its signature")
        for name, kind in _TYPES.items():
            if name in parameters and type(parameters[name]) is not kind:
                raise Unusable(f"the parameter {name!r} is not what it must be")
        components = [component_of(str(name) if isinstance(name, str) else None, given) for name, given in items]
        found.append(Signature(label, components, parameters, str(http_sf.ser([member])), value))
    return found[:most]


def _dictionary(headers: MultiMapping[str], name: str) -> Mapping[str, Any]:
    text = ", ".join(headers.getall(name, ()))
    if len(text) > LONGEST:
        raise Unusable(f"more than {LONGEST} characters of {name}")

    def twice(_key: str, _where: str) -> None:
        raise Unusable(f"{name} names something twice")

    try:
        parsed: Any = http_sf.parse(text.encode("ascii"), tltype="dictionary", on_duplicate_key=twice)
    except Unusable:
        raise
    except (ValueError, http_sf.StructuredFieldError):
        raise Unusable(f"{name} cannot be read") from None
    return dict(parsed)


def verify(signature: Signature, view: View, rules: Rules, now: float, structured: Mapping[str, str]) -> Key:
    """The key that made the signature. Raises Unusable if it does not hold, with the reason for the log."""
    parameters = signature.parameters
    key = rules.keys.get(parameters.get("keyid", ""))
    if key is None:
        raise Unusable("no `keyid`, or one that is not known")
    if parameters.get("alg", key.algorithm) != key.algorithm:
        raise Unusable("`alg` is not the key's algorithm")
    _timely(parameters, rules, now)
    if rules.require_nonce and not parameters.get("nonce"):
        raise Unusable("no `nonce`")
    covered = {each.key for each in signature.components}
    covered |= {Component(name).key for each in covered if not each[1] for name in _IMPLIED.get(each[0], ())}
    for each in rules.required:
        if each.key not in covered:
            raise Unusable(f"{each} is not covered")
    if not key.verifies(signature_base(signature.components, signature.text, view, structured), signature.value):
        raise Unusable("the signature is not that of this message by this key")
    return key


def _timely(parameters: Mapping[str, Any], rules: Rules, now: float) -> None:
    created, expires = parameters.get("created"), parameters.get("expires")
    if created is None:
        raise Unusable("no `created`")
    if created > now + rules.skew:
        raise Unusable("created in the future")
    if created < now - rules.max_age - rules.skew:
        raise Unusable("too old")
    if expires is None and rules.require_expires:
        raise Unusable("no `expires`")
    if expires is not None and expires < now - rules.skew:
        raise Unusable("expired")
