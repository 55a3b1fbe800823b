"""Adds the header fields by which browsers guard a site: transport, content, frames, referrers, features, isolation.

What the service says itself stands, unless `override` is set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from gateway.http import Handler, Request, Response
from gateway.plugin import Context, Duration, Off, Plugin, Settings, Stage
from gateway.plugin.field import FieldValue


class Hsts(Settings):
    """`Strict-Transport-Security` (RFC 6797), sent over https only: browsers ignore it elsewhere (§8.1)."""

    max_age: Duration = Field(
        default=31_536_000.0, description="How long a browser insists on https; a year, the least for preload lists."
    )
    subdomains: bool = Field(default=False, description="Whether it holds for all subdomains, too: all must have TLS.")
    preload: bool = Field(default=False, description="Consent to being built into browsers. Hard to take back.")

    @model_validator(mode="after")
    def _may_be_preloaded(self) -> Hsts:
        if self.preload and not (self.subdomains and self.max_age >= 31_536_000):
            raise ValueError("`preload` needs `subdomains: true` and a `max_age` of at least 365d (hstspreload.org)")
        return self

    def __str__(self) -> str:
        parts = [f"max-age={int(self.max_age)}"]
        parts += ["includeSubDomains"] * self.subdomains + ["preload"] * self.preload
        return "; ".join(parts)


_HSTS: Final = Hsts()
PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "api": {
        "hsts": _HSTS,
        "content_type_options": True,
        "csp": "default-src 'none'; frame-ancestors 'none'",
        "frame_options": "DENY",
        "referrer_policy": "no-referrer",
    },
    "web": {
        "hsts": _HSTS,
        "content_type_options": True,
        "csp": "base-uri 'self'; frame-ancestors 'self'; object-src 'none'",
        "frame_options": "SAMEORIGIN",
        "referrer_policy": "strict-origin-when-cross-origin",
        "permissions_policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "coop": "same-origin",
    },
    "none": {},
}
"""What is set where a setting is not given."""

_UNSET: Final = "Unset: the preset's; `off`: not sent."
Referrer = Literal[
    "no-referrer",
    "no-referrer-when-downgrade",
    "origin",
    "origin-when-cross-origin",
    "same-origin",
    "strict-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
]


class SecurityHeadersSettings(Settings):
    """A preset, and what differs from it."""

    preset: Literal["api", "web", "none"] = Field(
        default="api",
        description="`api`: answers are data, nothing in them is ever run or framed. `web`: pages, with nothing that "
        "breaks usual ones. `none`: only what is given here.",
    )
    hsts: Annotated[Hsts | None, Off] = Field(default=None, description=f"`Strict-Transport-Security`. {_UNSET}")
    content_type_options: bool | None = Field(
        default=None, description="`X-Content-Type-Options: nosniff`. Unset: the preset's."
    )
    csp: Annotated[FieldValue | None, Off] = Field(default=None, description=f"`Content-Security-Policy`. {_UNSET}")
    csp_report_only: FieldValue | None = Field(
        default=None,
        description="`Content-Security-Policy-Report-Only`: a stricter policy on trial, reported and not enforced.",
    )
    frame_options: Annotated[Literal["DENY", "SAMEORIGIN"] | None, Off] = Field(
        default=None, description=f"`X-Frame-Options`, for browsers that do not know `frame-ancestors`. {_UNSET}"
    )
    referrer_policy: Annotated[Referrer | None, Off] = Field(default=None, description=f"`Referrer-Policy`. {_UNSET}")
    permissions_policy: Annotated[FieldValue | None, Off] = Field(
        default=None, description=f"`Permissions-Policy`: features a page may use. {_UNSET}"
    )
    coop: Annotated[
        Literal["unsafe-none", "same-origin-allow-popups", "same-origin", "noopener-allow-popups"] | None, Off
    ] = Field(default=None, description=f"`Cross-Origin-Opener-Policy`. {_UNSET}")
    coep: Annotated[Literal["unsafe-none", "require-corp", "credentialless"] | None, Off] = Field(
        default=None, description=f"`Cross-Origin-Embedder-Policy`; in no preset, as it stops foreign images. {_UNSET}"
    )
    corp: Annotated[Literal["same-site", "same-origin", "cross-origin"] | None, Off] = Field(
        default=None, description=f"`Cross-Origin-Resource-Policy`; in no preset. {_UNSET}"
    )
    override: bool = Field(default=False, description="Whether these replace what the service says itself.")

    def chosen(self, key: str) -> Any:
        """What is given, else the preset's."""
        return getattr(self, key) if key in self.model_fields_set else PRESETS[self.preset].get(key)


_NAMES: Final = {
    "content_type_options": "X-Content-Type-Options",
    "csp": "Content-Security-Policy",
    "csp_report_only": "Content-Security-Policy-Report-Only",
    "frame_options": "X-Frame-Options",
    "referrer_policy": "Referrer-Policy",
    "permissions_policy": "Permissions-Policy",
    "coop": "Cross-Origin-Opener-Policy",
    "coep": "Cross-Origin-Embedder-Policy",
    "corp": "Cross-Origin-Resource-Policy",
}


class SecurityHeaders(Plugin[SecurityHeadersSettings]):
    stage = Stage.DRESS

    def __init__(self, settings: SecurityHeadersSettings, context: Context) -> None:
        super().__init__(settings, context)
        plain = []
        for key, name in _NAMES.items():
            value = settings.chosen(key)
            if value:
                plain.append((name, "nosniff" if value is True else str(value)))
        hsts = settings.chosen("hsts")
        secure = [("Strict-Transport-Security", str(hsts))] if hsts is not None else []
        self._plain = _Fields(plain)
        self._secure = _Fields([*plain, *secure])

    @classmethod
    def check(cls, settings: SecurityHeadersSettings) -> Sequence[str]:
        if not any(settings.chosen(key) for key in ("hsts", *_NAMES)):
            return ("nothing is sent: the preset is `none` and nothing else is given",)
        return ()

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        response = await proceed(request)
        if response.tunnel is None:
            fields = self._secure if request.scheme == "https" else self._plain
            fields.put_on(response, override=self.settings.override)
        return response


class _Fields:
    """Fields for an answer, in both forms that an answer has."""

    __slots__ = ("_initials", "_lines", "_names", "pairs")

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = pairs
        self._lines = [f"{name}: {value}".encode() for name, value in pairs]
        self._names = frozenset(name.lower().encode() for name, _ in pairs)
        self._initials = frozenset(byte for name in self._names for byte in (name[0], name.upper()[0]))

    def put_on(self, response: Response, *, override: bool) -> None:
        """Each that the service has not set; with ``override`` all."""
        lines = response.lines
        if lines is not None and not response.edited:
            # What a target sent and nobody has looked at stays in wire form if it has none of these fields.
            initials, names = self._initials, self._names
            for line in lines:
                if line[0] in initials and line.partition(b":")[0].lower() in names:
                    break
            else:
                response.lines = lines + self._lines
                return
        headers = response.edit_headers()
        for name, value in self.pairs:
            if override or name not in headers:
                headers[name] = value
