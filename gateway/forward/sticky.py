"""A cookie that brings a client back to the target that served it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from gateway.config.upstream import Sticky
from gateway.forward.balance import cookie
from gateway.forward.target import LiveTarget
from gateway.http import Request, Response


class Stickiness:
    """The cookie of one upstream. Its value is a digest of the target's URL, the same on every replica."""

    __slots__ = ("_attributes", "_by_value", "_name", "_secure", "_value_of")

    def __init__(self, settings: Sticky, upstream: str, targets: Sequence[LiveTarget]) -> None:
        self._name = settings.cookie
        self._value_of = {target: _digest(upstream, target.name) for target in targets}
        self._by_value = {value: target for target, value in self._value_of.items()}
        attributes = ["Path=/", "HttpOnly", f"SameSite={settings.same_site.capitalize()}"]
        if settings.max_age is not None:
            attributes.append(f"Max-Age={max(1, int(settings.max_age))}")
        self._secure = settings.same_site == "none"  # browsers drop SameSite=None without Secure
        self._attributes = "; ".join(attributes)

    def target(self, request: Request) -> LiveTarget | None:
        """The target that the client's cookie names, if it is still one of the upstream's."""
        value = cookie(self._name, request)
        return self._by_value.get(value) if value else None

    def bind(self, request: Request, response: Response, target: LiveTarget) -> None:
        """Have the client come back to ``target``, unless its cookie says so already."""
        if self.target(request) is not target:
            secure = "; Secure" if self._secure or request.scheme == "https" else ""
            line = f"{self._name}={self._value_of[target]}; {self._attributes}{secure}"
            response.edit_headers().add("Set-Cookie", line)


def _digest(upstream: str, url: str) -> str:
    return blake2b(f"{upstream}\0{url}".encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()
