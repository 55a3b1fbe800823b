"""Holds requests to a description of the API, OpenAPI 3.0 or 3.1, or to JSON Schemas of the route's own.

Path, query, header fields, cookies and body are checked before the service sees the request, and every failure is
listed. In shadow mode nobody is refused, and the admin view `drift` tells how far document and traffic are apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from gateway.errors import GatewayError, MethodNotAllowed, PayloadTooLarge
from gateway.http import Handler, Request, Response
from gateway.plugin import AdminView, Context, Plugin, Stage
from gateway.plugin.issuer import in_the_open
from gateway.plugin.openapi import ApiDocument, FetchedDocument, GivenDocument, OpenApiError
from plugins.request_validation.body import CODINGS, decode, inflate, looked_into, media_type
from plugins.request_validation.compiled import CheckedMedia, CheckedOperation
from plugins.request_validation.description import Description, by_document, by_schemas
from plugins.request_validation.drift import Drift, shape_of_path
from plugins.request_validation.error import (
    DescriptionUnavailable,
    MediaTypeUnsupported,
    OperationUnknown,
    RequestInvalid,
)
from plugins.request_validation.settings import RequestValidationSettings
from plugins.request_validation.strict import Unreadable
from plugins.request_validation.wording import Findings

__all__ = ["RequestValidation", "RequestValidationSettings"]

FIRST_RETRY = 1.0
LAST_RETRY = 60.0


class RequestValidation(Plugin[RequestValidationSettings]):
    stage = Stage.VERIFY
    refuses = True
    buffers_body = True

    def __init__(self, settings: RequestValidationSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._description: Description | None = None
        self._drift = Drift(context, settings.drift_window) if settings.drift else None
        self._fetching: asyncio.Task[Any] | None = None
        self._error = ""
        self._fetched = b""

    # -- the description ------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Raises OpenApiError for a description that cannot be held to."""
        source = self.settings.document
        if isinstance(source, FetchedDocument):
            wait = await self._fetch(source)
            self._fetching = self.context.spawn(self._keep_fresh(source, wait), f"API description of {self.context.id}")
            self.context.report("request_validation", self._state)
        elif isinstance(source, GivenDocument):
            self._description = await asyncio.to_thread(by_document, source.document, self.settings)
        else:
            self._description = by_schemas(self.settings)
        self._warn()

    async def close(self) -> None:
        task, self._fetching = self._fetching, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _warn(self) -> None:
        for problem in self._description.skipped if self._description is not None else ():
            self.context.log.warning("route %s: not checked: %s", self.context.route, problem)

    async def _keep_fresh(self, source: FetchedDocument, wait: float) -> None:
        retry = FIRST_RETRY
        while True:
            await asyncio.sleep(wait)
            wait = await self._fetch(source)
            if self._error:
                wait, retry = retry, min(retry * 2, LAST_RETRY)
            else:
                retry = FIRST_RETRY

    async def _fetch(self, source: FetchedDocument) -> float:
        """Fetch now; seconds until the next time. What goes wrong is logged, and what is at hand stays."""
        try:
            answer = await self.context.client().request(
                "GET", source.url, timeout=source.timeout, limit=source.max_size, redirects=True
            )
            if answer.status != 200:
                raise OpenApiError(f"status {answer.status}")
            if answer.body != self._fetched:
                self._description = await asyncio.to_thread(self._read, answer.body)
                self._fetched = answer.body
                self._warn()
            self._error = ""
        except (GatewayError, OpenApiError) as error:
            why = error.reason if isinstance(error, GatewayError) else str(error)
            if why != self._error:
                self.context.log.warning("route %s: the API's description: %s", self.context.route, why)
            self._error = why
            return FIRST_RETRY
        return float(source.refresh)

    def _read(self, content: bytes) -> Description:
        return by_document(ApiDocument.read(content), self.settings)

    def _state(self) -> dict[str, Any]:
        return {"ready": self._description is not None, "error": self._error}

    def admin(self) -> Sequence[AdminView]:
        return (AdminView("drift", self._report),)

    async def _report(self, asked: Mapping[str, str]) -> Any:
        del asked
        description = self._description
        if self._drift is None or description is None:
            return {"document": "", "differences": [], "called": 0, "never_called": []}
        return {**self._drift.report(description.title, description.names()), "skipped": description.skipped}

    # -- requests ---------------------------------------------------------------------------------------------------

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        description = self._description
        if description is None:
            if self.settings.unavailable == "refuse":
                self.refuse(DescriptionUnavailable(headers=(("Retry-After", "5"),), reason=self._error))
            return await proceed(request)
        try:
            found = await description.find(request)
        except OpenApiError as error:
            self.refuse(DescriptionUnavailable(reason=str(error)))
            return await proceed(request)
        if not isinstance(found, tuple):
            self._unknown(request, found)
            return await proceed(request)
        operation, values = found
        wrong = await self._judge(request, operation, values)
        if wrong is not None:
            if self._drift is not None:
                self._drift.note("invalid", operation.name, wrong.code)
            self.refuse(wrong)
        if self._drift is None:
            return await proceed(request)
        self._drift.called(operation.name)
        response = await proceed(request)
        if response.error is None and operation.outcomes and not _described(operation.outcomes, response.status):
            self._drift.note("status", operation.name, str(response.status))
        return response

    def _unknown(self, request: Request, methods: Sequence[str]) -> None:
        if self._drift is not None:
            self._drift.note("operation", f"{request.method[:20]} {shape_of_path(request.path)}")
        if self.settings.unknown_operations == "allow":
            return
        if methods:
            self.refuse(MethodNotAllowed(headers=(("Allow", ", ".join(methods)),), reason="not in the document"))
        else:
            self.refuse(OperationUnknown())

    async def _judge(
        self, request: Request, operation: CheckedOperation, values: Mapping[str, str]
    ) -> GatewayError | None:
        """What is wrong with the request."""
        findings = Findings(self.settings.errors)
        unknown = operation.check_head(request, values, findings)
        for name in unknown:
            if self._drift is not None:
                self._drift.note("query", operation.name, name)
            if self.settings.unknown_query == "refuse":
                findings.parameter(name, "query", "is not a known parameter")
        try:
            error = await self._judge_body(request, operation, findings)
        except PayloadTooLarge as too_large:
            return too_large
        if error is not None or not findings.entries:
            return error
        invalid = RequestInvalid(
            "The request is not what the API's description says.",
            reason=f"{operation.name}: {len(findings.entries)} failures, first: {_first(findings)}",
            extensions={"errors": findings.entries},
        )
        invalid.status = self.settings.status
        return invalid

    async def _judge_body(
        self, request: Request, operation: CheckedOperation, findings: Findings
    ) -> GatewayError | None:
        """Raises PayloadTooLarge."""
        body = request.body
        if not (body.whole or (body.whole is None and body.length != 0)):
            if operation.body_required:
                findings.body("a body is required")
            return None
        if not operation.has_body:
            if self._drift is not None:
                self._drift.note("body", operation.name)
            if self.settings.unknown_body == "refuse":
                findings.body("no body is expected")
            return None
        given = request.headers.getall("Content-Type", ())
        kind, parameters = media_type(given[0] if len(given) == 1 else "")
        found = operation.media(kind) if kind else None
        if found is None:
            if body.whole is None and body.length is None and not await body.read(self.settings.max_body):
                if operation.body_required:  # chunked, and nothing came
                    findings.body("a body is required")
                return None
            if self._drift is not None:
                self._drift.note("media_type", operation.name, kind)
            taken = ", ".join(operation.content)
            return MediaTypeUnsupported("The body's media type is not taken here.", headers=(("Accept", taken),))
        if not looked_into(kind):
            return None
        return await self._judge_content(request, operation, (kind, parameters, found[1]), findings)

    async def _judge_content(
        self,
        request: Request,
        operation: CheckedOperation,
        told: tuple[str, Mapping[str, str], CheckedMedia],
        findings: Findings,
    ) -> GatewayError | None:
        kind, parameters, media = told
        data = await request.body.read(self.settings.max_body)
        if not data:
            if operation.body_required:
                findings.body("a body is required")
            return None
        codings = _codings(request) if "Content-Encoding" in request.headers else ()
        if len(codings) > 1 or any(coding not in CODINGS for coding in codings):
            return MediaTypeUnsupported(
                "The body's content coding is not taken here.", headers=(("Accept-Encoding", "gzip, deflate"),)
            )
        try:
            if codings:
                data = inflate(data, codings[0], self.settings.max_body)
            value = decode(data, kind, parameters, media, self.settings.max_depth)
        except Unreadable as error:
            findings.body(str(error))
            return None
        validator = media.validator
        if validator is not None and not validator.is_valid(value):
            findings.schema(validator.failures(value), findings.body)
        return None

    @classmethod
    def check(cls, settings: RequestValidationSettings) -> Sequence[str]:
        found = []
        source = settings.document
        if isinstance(source, FetchedDocument) and in_the_open(source.url):
            found.append("`document.url` is fetched without TLS: whoever is on the way decides what is valid")
        return found


def _codings(request: Request) -> Sequence[str]:
    lines = request.headers.getall("Content-Encoding")
    listed = [coding.strip().lower() for line in lines for coding in line.split(",")]
    return [coding for coding in listed if coding not in ("", "identity")]


def _described(outcomes: frozenset[str], status: int) -> bool:
    return str(status) in outcomes or f"{status // 100}XX" in outcomes or "default" in outcomes


def _first(findings: Findings) -> str:
    """For the log: place and sentence of the first failure."""
    entry = findings.entries[0]
    where = entry.get("pointer") or f"{entry.get('in')} {quote(entry.get('parameter', ''), safe='[]')}"
    return f"{where} {entry['detail']}"
