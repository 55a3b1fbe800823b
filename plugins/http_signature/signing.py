"""Signatures made (RFC 9421 §3.1)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

import http_sf
from multidict import CIMultiDict

from plugins.http_signature.component import Component, Unusable, View, parse_component, signature_base, value_of
from plugins.http_signature.settings import SignSettings

REQUEST: Final = ("@method", "@target-uri", "content-digest")
ANSWER: Final = ("@status", "content-type", "content-digest", "@method;req", "@authority;req", "@path;req")


class Signer:
    """Signs messages as its settings say."""

    def __init__(self, settings: SignSettings, usual: Sequence[str], structured: Mapping[str, str]) -> None:
        self.settings = settings
        self._key = settings.key()
        named = settings.components if settings.components is not None else usual
        self._components = [parse_component(each) for each in named]
        self._structured = structured

    @property
    def covers_body(self) -> bool:
        """The body's digest is among what is signed."""
        return any(each.name == "content-digest" and not each.has("req") for each in self._components)

    def sign(self, view: View, headers: CIMultiDict[str], now: float) -> None:
        """Put a signature on a message; one of the same label that was there goes, others stay."""
        settings = self.settings
        components = [each for each in self._components if self._is_there(each, view)]
        parameters: dict[str, Any] = {"created": int(now), "expires": int(now + settings.expires)}
        if settings.nonce:
            parameters["nonce"] = secrets.token_urlsafe(16)
        parameters |= {"keyid": settings.id, "alg": settings.algorithm}
        if settings.tag is not None:
            parameters["tag"] = settings.tag
        member: Any = ([(each.name, dict(each.parameters)) for each in components], parameters)
        text = str(http_sf.ser([member]))
        made = self._key.sign(signature_base(components, text, view, self._structured))
        self._put(headers, "Signature-Input", text)
        self._put(headers, "Signature", str(http_sf.ser([(made, {})])))

    def _is_there(self, component: Component, view: View) -> bool:
        if component.name.startswith("@"):
            return True
        try:
            value_of(component, view, self._structured)
        except Unusable:
            return False
        return True

    def _put(self, headers: CIMultiDict[str], name: str, value: str) -> None:
        others: dict[str, Any] = {}
        try:
            given: Any = http_sf.parse(", ".join(headers.popall(name, ())).encode("ascii"), tltype="dictionary")
            others = {label: member for label, member in given.items() if label != self.settings.label}
        except (ValueError, http_sf.StructuredFieldError):
            pass  # what cannot be read is nobody's signature
        kept = [str(http_sf.ser(others))] if others else []
        headers[name] = ", ".join([*kept, f"{self.settings.label}={value}"])
