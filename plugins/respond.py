"""Answers by itself, with a fixed status, header fields and body."""

from __future__ import annotations

from gateway.http import Handler, Request, Response
from gateway.plugin import Context, Plugin, Stage
from gateway.plugin.fixed import FixedAnswer


class RespondSettings(FixedAnswer):
    """Give `json` or `body`, or neither for an empty answer."""


class Respond(Plugin[RespondSettings]):
    stage = Stage.SHAPE
    ends = True

    def __init__(self, settings: RespondSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._answer = settings.ready()

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        del request, proceed
        return self._answer.response()
