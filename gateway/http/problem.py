"""The one place that renders errors: ``application/problem+json`` for programs (RFC 9457), a plain page for people.

``code`` and the member names never change with the reader; ``title`` and ``detail`` come from the message catalogue by
``Accept-Language`` where the operator gave one. Nothing of the target, the configuration or the client's own bytes is
in an answer.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from gateway.errors import GatewayError
from gateway.http.body import Body
from gateway.http.request import Request
from gateway.http.response import Response

Messages = Mapping[str, Mapping[str, str]]
"""Language tag → error code → text shown to the client."""

PAGE: Final = """<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{status} {title}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:15vh auto;padding:0 1em;color:#222}
small{color:#666}</style></head>
<body><h1>{title}</h1><p>{detail}</p><p><small>{status} · {code} · {request_id}</small></p></body></html>
"""

_encode: Final = msgspec.json.Encoder().encode

_PLACEHOLDER: Final = re.compile(r"\{(status|title|detail|code|request_id|language)\}")


class Problems:
    """Renders errors as an operator wants them: with their own page and their own words."""

    def __init__(self, page: str = PAGE, messages: Messages | None = None) -> None:
        self._page = page
        self._short = page.replace("<p>{detail}</p>", "")
        """For errors of which there is no more to say than their title."""
        self._messages = {tag.lower(): texts for tag, texts in (messages or {}).items()}

    def __call__(self, error: GatewayError, request: Request) -> Response:
        """The answer for ``error``: its ``.error`` is set, its body is whole."""
        headers = request.headers
        language, detail = self._words(error, headers.get("Accept-Language", "") if self._messages else "")
        if prefers_html(headers.get("Accept", "")):
            media, body = "text/html; charset=utf-8", self._html(error, request.id, language, detail)
        else:
            media, body = "application/problem+json", _json(error, request.id, detail)
        response = Response(error.status, headers=[("Content-Type", media), *error.headers], body=Body(body))
        edited = response.edit_headers()
        edited["Cache-Control"] = "no-store"
        if self._messages:
            edited["Content-Language"] = language
        response.error = error
        return response

    def _words(self, error: GatewayError, accepted: str) -> tuple[str, str]:
        for tag in preferred(accepted):
            for candidate in (tag, tag.partition("-")[0]):
                text = self._messages.get(candidate, {}).get(error.code)
                if text is not None:
                    return candidate, text
        return "en", self._messages.get("en", {}).get(error.code, error.detail)

    def _html(self, error: GatewayError, request_id: str, language: str, detail: str) -> bytes:
        values = {
            "status": str(error.status),
            "title": error.title,
            "detail": detail,
            "code": error.code,
            "request_id": request_id,
            "language": language,
        }
        # One pass: what is filled in may itself look like a placeholder.
        page = self._page if detail else self._short
        return _PLACEHOLDER.sub(lambda found: html.escape(values[found[1]]), page).encode()


def _json(error: GatewayError, request_id: str, detail: str) -> bytes:
    document = {"type": "about:blank", "title": error.title, "status": error.status, "code": error.code}
    if detail:
        document["detail"] = detail
    if request_id:
        document["instance"] = request_id
    if error.extensions:
        document = (
            {**error.extensions, **document} if "type" not in error.extensions else {**document, **error.extensions}
        )
    return _encode(document)


def preferred(accepted: str) -> list[str]:
    """Language tags of an ``Accept-Language`` (RFC 9110 §12.5.4), best first, lower case; at most eight are read."""
    ranked = []
    for item in accepted[:512].split(",")[:8]:
        tag, _, rest = item.partition(";")
        weight = quality(rest)
        if weight > 0 and (tag := tag.strip().lower()) and tag != "*":
            ranked.append((weight, tag))
    return [tag for _, tag in sorted(ranked, key=lambda pair: -pair[0])]


def quality(parameters: str) -> float:
    """The ``q`` of RFC 9110 §12.4.2: 1 if absent, 0 if it cannot be read."""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0.0 <= weight <= 1.0 else 0.0
    return 1.0


def prefers_html(accept: str) -> bool:
    """Whether ``Accept`` ranks a page above JSON, as browsers do; programs and ``*/*`` get JSON."""
    if "text/html" not in accept:
        return False
    page = json = 0.0
    for item in accept[:1024].split(","):
        media, _, rest = item.partition(";")
        media = media.strip().lower()
        if media == "text/html":
            page = quality(rest)
        elif media in ("application/json", "application/problem+json"):
            json = max(json, quality(rest))
    return page > 0 and page >= json
