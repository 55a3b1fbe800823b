"""Looks for attacks in URL, header fields and bodies by a small set of rules with scores.

A guess, not a proof: it finds tools and careless attackers, and buys time to mend the service behind. It is in shadow
unless told otherwise: its reports come first, and refusing is a decision for afterwards, `mode: enforce`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec
from pydantic import Field, model_validator

from gateway.errors import Forbidden, PayloadTooLarge
from gateway.http import Handler, Request, Response
from gateway.plugin import Context, Count, Mode, Plugin, Settings, Size, Stage
from plugins.request_inspection.rules import Hit, Place, Rule, Ruleset, bundled, texts, total

MOST_FIELDS: Final = 1000
"""Parameters of a query or form that are looked at; one with more is refused elsewhere (`size_limit`)."""
REMEMBERED: Final = 4096
"""Header values whose verdict is kept: the same few come with every request."""
_STRUCTURED: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "authorization",
        "connection",
        "content-length",
        "date",
        "dnt",
        "expect",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "idempotency-key",
        "keep-alive",
        "range",
        "sec-ch-ua",
        "sec-ch-ua-mobile",
        "sec-ch-ua-platform",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-fetch-user",
        "signature",
        "signature-input",
        "te",
        "traceparent",
        "tracestate",
        "upgrade-insecure-requests",
        "via",
        "x-request-id",
    }
)
"""Fields with a grammar of their own, which the engine or another plugin holds them to."""


class SuspiciousRequest(Forbidden):
    """Rules for attacks matched, and their scores reached the threshold."""

    code, title = "suspicious_request", "Request refused"


class RequestInspectionSettings(Settings):
    """The defaults find what leaves no doubt. Look at the reports before `mode: enforce`."""

    threshold: Count = Field(
        default=5, ge=1, le=50, description="The score from which a request is refused. A rule without doubt has 5."
    )
    disable: tuple[str, ...] = Field(
        default=(), description="Rules to leave out, by id as the log names them, such as `exposed-file`."
    )
    rules: tuple[Rule, ...] = Field(default=(), max_length=200, description="Rules of your own, like those bundled.")
    body: Size = Field(
        default=65_536, le=1_000_000, description="Largest body that is held and looked into; 0: none is."
    )
    oversize: Literal["pass", "refuse"] = Field(
        default="pass", description="What becomes of requests whose bodies are larger: `size_limit` is for those."
    )
    ignore: tuple[str, ...] = Field(
        default=(),
        description="Names of parameters, form fields, top-level JSON members and header fields that are not looked "
        "at, such as the text of a comment in a forum for programmers.",
    )

    @model_validator(mode="after")
    def _known(self) -> RequestInspectionSettings:
        known = {rule.id for rule in (*bundled(), *self.rules)}
        unknown = [name for name in self.disable if name not in known]
        if unknown:
            raise ValueError(f"`disable`: there is no rule {unknown[0]!r}")
        return self


class RequestInspection(Plugin[RequestInspectionSettings]):
    stage = Stage.VERIFY
    refuses = True
    default_mode = Mode.SHADOW
    buffers_body = True

    def __init__(self, settings: RequestInspectionSettings, context: Context) -> None:
        super().__init__(settings, context)
        rules = [rule for rule in (*bundled(), *settings.rules) if rule.id not in settings.disable]
        self._rules = Ruleset(rules)
        self._ignored = frozenset(name.lower() for name in settings.ignore)
        self._known: dict[tuple[str, str], list[Hit]] = {}
        hits = context.metrics.counter("inspection_hits_total", "Rules that matched.", ("route", "plugin", "rule"))
        self._hits = {rule.id: hits.child(context.route, context.id, rule.id) for rule in rules}
        self._unseen = context.metrics.counter(
            "inspection_unseen_total", "Bodies that were not looked into.", ("route", "plugin")
        ).child(context.route, context.id)

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        hits = self._in_url(request)
        hits += self._in_headers(request)
        if self.settings.body and request.body.length != 0:
            hits += await self._in_body(request)
        if hits:
            for hit in hits:
                self._hits[hit.rule].value += 1
            score = total(hits)
            if score >= self.settings.threshold:
                found = ", ".join(dict.fromkeys(hit.rule for hit in hits))  # never what was found: it may be a secret
                self.refuse(SuspiciousRequest(reason=f"score {score}: {found}"))
        return await proceed(request)

    def _in_url(self, request: Request) -> list[Hit]:
        hits = self._rules.look(request.path, Place.URL)
        return hits + self._in_pairs(request.query) if request.query else hits

    def _in_pairs(self, text: str) -> list[Hit]:
        """A query, or a form in the same notation; the rules take the encoding off themselves."""
        hits: list[Hit] = []
        for pair in text.split("&", MOST_FIELDS)[:MOST_FIELDS]:
            name, _, value = pair.partition("=")
            if name.lower() not in self._ignored:
                hits += self._rules.look(name, Place.NAME)
                hits += self._rules.look(value, Place.URL)
        return hits

    def _in_headers(self, request: Request) -> list[Hit]:
        hits: list[Hit] = []
        for name, value in request.headers.items():
            known = self._known.get((name, value))
            if known is None:
                known = self._in_field(name.lower(), value)
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                if len(value) <= 512:
                    self._known[name, value] = known
            hits += known
        return hits

    def _in_field(self, name: str, value: str) -> list[Hit]:
        if name in _STRUCTURED or name in self._ignored:
            return []
        if name == "user-agent":
            return self._rules.look(value, Place.AGENT)
        if name == "cookie":
            values = [pair.partition("=")[2] for pair in value.split(";")]
            return [hit for each in values for hit in self._rules.look(each.strip(), Place.HEADER)]
        return self._rules.look(value, Place.HEADER)

    async def _in_body(self, request: Request) -> list[Hit]:
        media = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        kind = media.rpartition("/")[2]
        is_json = kind == "json" or kind.endswith("+json")
        is_form = kind == "x-www-form-urlencoded"
        if not (is_json or is_form or media.startswith("text/") or kind.endswith("xml")):
            return []
        try:
            data = await request.body.read(self.settings.body)
        except PayloadTooLarge as error:
            self._unseen.value += 1
            if self.settings.oversize == "refuse":
                self.refuse(error)
            return []
        if "Content-Encoding" in request.headers:
            self._unseen.value += 1
            return []
        if is_form:
            return self._in_pairs(data.decode("utf-8", "replace"))
        if is_json:
            return self._in_json(data)
        return self._rules.look(data.decode("utf-8", "replace"), Place.BODY, prose=True)

    def _in_json(self, data: bytes) -> list[Hit]:
        try:
            document = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._rules.look(data.decode("utf-8", "replace"), Place.BODY, prose=True)  # a target may be laxer
        if isinstance(document, dict) and self._ignored:
            document = {name: value for name, value in document.items() if name.lower() not in self._ignored}
        found: Iterable[tuple[Place, str]] = texts(document)
        return [hit for place, text in found for hit in self._rules.look(text, place, prose=True)]

    @classmethod
    def check(cls, settings: RequestInspectionSettings) -> Sequence[str]:
        if settings.threshold < 5:
            return ("a `threshold` below 5 refuses requests for single signs that honest ones show, too",)
        return ()
