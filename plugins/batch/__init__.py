"""Answers one request that carries many: each part takes its own route, and all answers come back together.

`POST` a JSON array of parts such as `{"id": 1, "method": "POST", "path": "/orders", "headers": {}, "body": {"n": 1}}`.
The answer is 200 and an array in the same order, `{"id": 1, "status": 201, "headers": {}, "body": {}}`. A body is a
JSON value, or with `"encoding": "text"` or `"base64"` a string. 200 says that the batch was carried out: each part says
how it fared itself, and 207 (RFC 4918) would promise an XML document.

Each part passes its route's whole chain, as if it had come alone: nothing is authenticated or allowed by the batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import Field, model_validator

from gateway.errors import BadRequest, GatewayError, InternalError, MethodNotAllowed
from gateway.http import Body, Handler, Request, Response
from gateway.http.fields import KINDS, Kind
from gateway.plugin import Context, Count, Duration, Plugin, Settings, Size, Stage
from gateway.plugin.field import FieldName
from gateway.plugin.settings import expected
from plugins.batch.part import Answer, Part, Unusable, answer_of, encode, failed, parse, request_of

__all__ = ["Batch", "BatchSettings"]

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class BadBatch(BadRequest):
    """The body is no batch, or one of its parts cannot be sent. None was carried out."""

    code, title = "bad_batch", "Bad batch"


class BatchMediaType(BadBatch):
    """A batch is JSON and says so: a page of another origin cannot send that unasked (Fetch §4.10)."""

    code, status, title = "unsupported_media_type", 415, "Unsupported media type"


class NestedBatch(BadBatch):
    """A part of a batch is a batch."""

    code, title = "nested_batch", "Nested batch"


class BatchSettings(Settings):
    """The route needs no upstream."""

    max_parts: Annotated[Count, Field(ge=1, le=1000)] = Field(default=20, description="Most parts; more is a 400.")
    max_request: Size = Field(default=1_000_000, description="Largest body of a batch, which is held; more is a 413.")
    max_answer: Size = Field(
        default=5_000_000,
        description="Most bytes of all parts' answers, which are held. A part that does not fit any more gets 502, "
        "though it was carried out.",
    )
    concurrency: Annotated[Count, Field(ge=1, le=100)] = Field(
        default=8, description="Parts under way at once: a batch must not be a way around what a client may do at once."
    )
    sequential: bool = Field(
        default=False, description="Whether a part begins only when the one before it has its answer."
    )
    deadline: Duration = Field(
        default=30.0, gt=0, description="How long a part may take; longer is a 504 for that part."
    )
    methods: tuple[str, ...] = Field(default=METHODS, min_length=1, description="Methods that parts may have.")
    inherit: tuple[FieldName, ...] = Field(
        default=("Authorization",),
        description="Fields that a part has of the batch unless it has its own. With `Cookie` here, routes that change "
        "something need protection against forged requests (`csrf`), as they do for requests that come alone.",
    )

    @model_validator(mode="after")
    def _whole(self) -> BatchSettings:
        if unknown := set(self.methods) - set(METHODS):
            raise expected(f"`methods` out of {', '.join(METHODS)}, not {', '.join(sorted(unknown))}")
        if wrong := [name for name in self.inherit if KINDS[name.encode()] != Kind.PASS]:
            raise expected(f"`inherit` without fields that the gateway writes itself, such as {wrong[0]}")
        return self


class Batch(Plugin[BatchSettings]):
    stage = Stage.SHAPE
    ends = True
    buffers_body = True

    def __init__(self, settings: BatchSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._methods = frozenset(settings.methods)
        self._runners = 1 if settings.sequential else settings.concurrency
        family = context.metrics.counter(
            "batch_parts_total", "Parts of batches by their status class.", ("route", "plugin", "status")
        )
        self._counts = {number: family.child(context.route, context.id, f"{number}xx") for number in range(1, 6)}

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        del proceed
        parts = await self._parts(request)
        run = _Run(self, request, parts)
        answers = await run.all()
        for answer in answers:
            self._counts[min(max(answer.status // 100, 1), 5)].value += 1
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        return Response(200, headers=headers, body=Body(encode(answers)))

    async def _parts(self, request: Request) -> list[Part]:
        if request.method != "POST":
            raise MethodNotAllowed(headers=(("Allow", "POST"),))
        types = request.headers.getall("Content-Type", ())
        if len(types) != 1 or types[0].partition(";")[0].strip().lower() != "application/json":
            raise BatchMediaType("A batch is application/json.")
        body = await request.body.read(self.settings.max_request)
        try:
            parts = parse(body, self._methods)
        except Unusable as error:
            extensions = {"part": error.part} if error.part is not None else None
            raise BadBatch(str(error), extensions=extensions) from None
        if not 1 <= len(parts) <= self.settings.max_parts:
            raise BadBatch(f"A batch has 1 to {self.settings.max_parts} parts.")
        return parts

    @property
    def runners(self) -> int:
        """Parts under way at once."""
        return self._runners


class _Run:
    """One batch under way."""

    __slots__ = ("_answers", "_batch", "_left", "_nested", "_parts", "_request")

    def __init__(self, batch: Batch, request: Request, parts: list[Part]) -> None:
        self._batch = batch
        self._request = request
        self._parts = parts
        self._answers: dict[int, Answer] = {}
        self._left = batch.settings.max_answer
        self._nested = False

    async def all(self) -> list[Answer]:
        """The answers, in the order of the parts. Cancellation ends all that is under way. Raises NestedBatch."""
        numbered = enumerate(self._parts)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._batch.runners, len(self._parts))):
                _ = group.create_task(self._some(numbered))
        if self._nested:
            raise NestedBatch("A part of a batch cannot be a batch.")
        return [self._answers[number] for number in range(len(self._parts))]

    async def _some(self, numbered: Iterator[tuple[int, Part]]) -> None:
        for number, part in numbered:
            if self._nested:
                return
            self._answers[number] = await self._one(number, part)

    async def _one(self, number: int, part: Part) -> Answer:
        """A part's answer; what goes wrong is one, too."""
        settings = self._batch.settings
        request = request_of(part, number, self._request, settings.inherit)
        try:
            async with asyncio.timeout(settings.deadline):
                return await self._exchange(request, part)
        except TimeoutError:
            return failed(504, "Gateway timeout", "deadline_exceeded", part)
        except GatewayError as error:  # its answer's body broke off
            return failed(error.status, error.title, error.code, part)

    async def _exchange(self, request: Request, part: Part) -> Answer:
        try:
            response = await self._batch.context.dispatch(request)
        except InternalError:  # told by the gateway only of a request that was itself dispatched
            self._nested = True
            return failed(400, NestedBatch.title, NestedBatch.code, part)
        try:
            if response.tunnel is not None:
                response.tunnel.close()
                return failed(502, "Bad gateway", "malformed_answer", part)
            if request.method == "HEAD":
                return answer_of(response, b"", part)
            body = await self._read(response.body)
            if body is None:
                return failed(502, "Answer too large", "batch_answer_too_large", part)
            return answer_of(response, body, part)
        finally:
            response.body.close()

    async def _read(self, body: Body) -> bytes | None:
        """The whole body, charged to what all answers may have; None if it does not fit, and nothing is charged."""
        if body.whole is not None:
            if len(body.whole) > self._left:
                return None
            self._left -= len(body.whole)
            return body.whole
        held, whole = bytearray(), False
        try:
            while chunk := await body.pull():
                if len(chunk) > self._left:
                    return None
                self._left -= len(chunk)
                held += chunk
            whole = True
        finally:
            if not whole:
                self._left += len(held)
        return bytes(held)
