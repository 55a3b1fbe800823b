"""Lets pages of other origins read answers (the CORS protocol of the Fetch standard), and answers their preflights.

Stands outside whatever may refuse, so that a page also sees a 401 or 429. What the service says about CORS itself is
replaced: two voices in one answer are refused by browsers. CORS tells browsers who may read; it keeps nobody out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import Field, model_validator

from gateway.errors import Forbidden
from gateway.http import Handler, Request, Response
from gateway.plugin import Context, Duration, Plugin, Settings, Stage
from gateway.plugin.field import FieldName
from gateway.plugin.origin import Origin, OriginPattern, origin_matcher

_METHOD: Final = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
_LONGEST: Final = 300
"""Characters of an origin that are looked at: the longest host name has 253."""
_MOST: Final = 1024
"""Origins whose verdict is remembered."""
_STRANGERS: Final = ("https://stranger.invalid", "http://stranger.invalid")
"""Whoever's pattern matches one of these means everybody."""


class OriginRefused(Forbidden):
    """A browser asked on behalf of a page whose origin is not in `origins`."""

    code, title = "origin_refused", "Origin not allowed"


Names = tuple[FieldName, ...]


class CorsSettings(Settings):
    """Whose pages may read what, and what they may send."""

    origins: tuple[Origin, ...] = Field(
        min_length=1,
        description="Origins as browsers send them: exact; `https://*.example.com` for every subdomain, not for "
        "example.com itself; `{regex: …}`; `null` for sandboxed pages and files, which anybody can make; `*` alone "
        "for everybody.",
    )
    methods: tuple[Annotated[str, Field(pattern=_METHOD)], ...] = Field(
        default=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"), description="Methods a page may use."
    )
    headers: Names = Field(
        default=("Authorization", "Content-Type", "Idempotency-Key"),
        description="Header fields a page may send beside the harmless ones; `*` alone for any.",
    )
    expose: Names = Field(
        default=(), description="Header fields of answers that a page may read, such as `Retry-After`."
    )
    credentials: bool = Field(
        default=False, description='Whether a page may send the user\'s cookies with it. Not with `origins: ["*"]`.'
    )
    max_age: Duration = Field(
        default=600.0, le=86400, description="How long a browser keeps a preflight's answer; some stop at two hours."
    )
    private_network: bool = Field(
        default=False, description="Whether public pages may reach this gateway in a private network."
    )

    @model_validator(mode="after")
    def _nobody_means_everybody(self) -> CorsSettings:
        if "*" in self.origins and len(self.origins) > 1:
            raise ValueError("`*` in `origins` stands alone: it allows all others, too")
        if "*" in self.headers and len(self.headers) > 1:
            raise ValueError("`*` in `headers` stands alone: it allows all others, too")
        if self.credentials:
            if "*" in self.methods or "*" in self.expose:
                raise ValueError(
                    "`*` in `methods` and `expose` is only a name where `credentials: true` (Fetch §3.2.5)"
                )
            if "*" in self.origins:
                raise ValueError("`*` with `credentials: true` would let any page act as its visitor; name the origins")
            for pattern in self.origins:
                if isinstance(pattern, OriginPattern) and any(re.fullmatch(pattern.regex, one) for one in _STRANGERS):
                    raise ValueError(f"{pattern.regex!r} matches any origin, which `credentials: true` does not allow")
        return self


class Cors(Plugin[CorsSettings]):
    stage = Stage.DRESS
    refuses = True
    preflights = True

    def __init__(self, settings: CorsSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._everybody = "*" in settings.origins
        self._allows = origin_matcher(settings.origins)
        self._known: dict[str, _Lines | None] = {}
        self._any_header = "*" in settings.headers
        vary = [] if self._everybody else ["Origin"]
        self._vary = _Lines([("Vary", "Origin")] if vary else [])
        """On an answer to a page that is not allowed, or to no page."""
        vary.append("Access-Control-Request-Method")
        vary += ["Access-Control-Request-Headers"] if self._any_header else []
        vary += ["Access-Control-Request-Private-Network"] if settings.private_network else []
        self._preflight: list[tuple[str, str]] = [
            ("Vary", ", ".join(vary)),
            ("Access-Control-Allow-Methods", ", ".join(settings.methods)),
            ("Access-Control-Max-Age", str(int(settings.max_age))),
        ]
        if settings.headers and not self._any_header:
            self._preflight.append(("Access-Control-Allow-Headers", ", ".join(settings.headers)))
        self._refused_vary = ", ".join(vary)

    @classmethod
    def check(cls, settings: CorsSettings) -> Sequence[str]:
        if settings.credentials and "null" in settings.origins:
            return ("`null` with `credentials: true`: any page can make itself that origin with a sandboxed frame",)
        return ()

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        headers = request.headers
        origin = headers.get("Origin")
        lines = self._vary if origin is None and not self._everybody else self._lines(origin)
        if origin is not None and request.method == "OPTIONS" and "Access-Control-Request-Method" in headers:
            if lines is not None:
                return self._answer(request, lines)
            self.refuse(OriginRefused(headers=(("Vary", self._refused_vary),), reason="preflight of another origin"))
        response = await proceed(request)
        if response.tunnel is None and (lines is not None or not self.shadow):  # WebSockets know no CORS
            (self._vary if lines is None else lines).put_on(response)
        return response

    def _lines(self, origin: str | None) -> _Lines | None:
        """What an answer for this origin gets; None if it is not allowed."""
        key = "*" if self._everybody or origin is None else origin
        try:
            return self._known[key]
        except KeyError:
            pass
        made = None
        if self._everybody or (len(key) <= _LONGEST and key.isascii() and self._allows(key)):
            fields = [("Access-Control-Allow-Origin", key)]
            if self.settings.credentials:
                fields.append(("Access-Control-Allow-Credentials", "true"))
            if self.settings.expose:
                fields.append(("Access-Control-Expose-Headers", ", ".join(self.settings.expose)))
            made = _Lines([*fields, *(() if self._everybody else [("Vary", "Origin")])])
        if len(self._known) >= _MOST:
            self._known.clear()
        if len(key) <= _LONGEST:
            self._known[key] = made
        return made

    def _answer(self, request: Request, lines: _Lines) -> Response:
        """To a preflight (Fetch §3.2.2, "CORS-preflight request")."""
        fields = [field for field in lines.fields if field[0] not in ("Vary", "Access-Control-Expose-Headers")]
        fields += self._preflight
        headers = request.headers
        if self._any_header and (asked := headers.get("Access-Control-Request-Headers")):
            # Said back instead of `*`, which means a field of that name where credentials are sent, and never
            # `Authorization`.
            fields.append(("Access-Control-Allow-Headers", asked))
        if self.settings.private_network and headers.get("Access-Control-Request-Private-Network") == "true":
            fields.append(("Access-Control-Allow-Private-Network", "true"))
        return Response(204, fields=[(name.encode(), value.encode("utf-8", "replace")) for name, value in fields])


class _Lines:
    """Fields for an answer, in both forms that an answer has."""

    __slots__ = ("_lines", "_vary", "fields")

    def __init__(self, fields: Sequence[tuple[str, str]]) -> None:
        self.fields = fields
        self._lines = [f"{name}: {value}".encode() for name, value in fields if name != "Vary"]
        self._vary = any(name == "Vary" for name, _ in fields)

    def put_on(self, response: Response) -> None:
        """In place of what the service says of CORS. `Vary` is added to."""
        lines = response.lines
        if lines is None or response.edited:
            self._edit(response)
            return
        # What a target sent and nobody has looked at stays in wire form: three times as fast as fields.
        kept = self._lines
        vary = self._vary
        for line in lines:
            first = line[0]
            if first == 65 or first == 97:  # noqa: PLR1714 - A, a
                if line[:15].lower() == b"access-control-":
                    self._edit(response)
                    return
            elif (first == 86 or first == 118) and line[:5].lower() == b"vary:":  # noqa: PLR1714 - V, v
                vary = vary and not _covers(line[5:].decode("latin-1"))
        response.lines = [*lines, *kept, b"Vary: Origin"] if vary else [*lines, *kept]

    def _edit(self, response: Response) -> None:
        headers = response.edit_headers()
        for name in {name for name in headers if name[:15].lower() == "access-control-"}:
            headers.popall(name, None)
        for name, value in self.fields:
            if name != "Vary":
                headers[name] = value
        if self._vary and not any(_covers(line) for line in headers.getall("Vary", [])):
            headers.add("Vary", "Origin")


def _covers(vary: str) -> bool:
    """Whether a `Vary` names the origin already, or everything (RFC 9110 §12.5.5)."""
    return any(token.strip().lower() in ("origin", "*") for token in vary.split(","))
