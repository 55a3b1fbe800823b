"""The line between a supervisor and its workers: JSON messages over a socket pair, each answered once."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

log = logging.getLogger("gateway.control")

LIMIT: Final = 64 * 1024 * 1024
"""Bytes of one message: a snapshot of a gateway with very many routes."""

_encode: Final = msgspec.json.Encoder(enc_hook=str).encode
_decode: Final = msgspec.json.Decoder().decode


class Refusal(Exception):
    """The other side could not do what it was asked; its words."""


class Line:
    """One end. `ask` sends and waits for the answer; ``serve`` answers what the other end asks."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def over(cls, sock: socket.socket) -> Line:
        """A line over one end of a socket pair."""
        sock.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=LIMIT)
        return cls(reader, writer)

    async def ask(self, what: str, timeout: float, **arguments: Any) -> Any:  # noqa: ASYNC109
        """Ask the other end. Raises Refusal, TimeoutError, or ConnectionError when it is gone."""
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._send({"ask": what, "number": number, "arguments": arguments})
            async with asyncio.timeout(timeout):
                return await answer
        finally:
            self._waiting.pop(number, None)

    def _send(self, message: dict[str, Any]) -> None:
        if self._writer.is_closing():
            raise ConnectionResetError("the line is closed")
        self._writer.write(_encode(message) + b"\n")

    async def serve(self, answer: Callable[[str, dict[str, Any]], Awaitable[Any]]) -> None:
        """Take messages until the other end closes the line."""
        try:
            while line := await self._reader.readline():
                message = _decode(line)
                if "ask" in message:
                    task = asyncio.get_running_loop().create_task(self._answer(message, answer))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                    continue
                waiting = self._waiting.get(message["number"])
                if waiting is None or waiting.done():
                    continue
                if "error" in message:
                    waiting.set_exception(Refusal(message["error"]))
                else:
                    waiting.set_result(message["result"])
        except (ConnectionError, ValueError):
            pass
        finally:
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionResetError("the line is closed"))

    async def _answer(self, message: dict[str, Any], answer: Callable[[str, dict[str, Any]], Awaitable[Any]]) -> None:
        reply: dict[str, Any] = {"number": message["number"]}
        try:
            reply["result"] = await answer(message["ask"], message["arguments"])
        except LookupError as error:
            reply["error"] = f"lookup: {error}"
        except Exception as error:
            log.debug("%s failed", message["ask"], exc_info=True)
            reply["error"] = str(error) or type(error).__name__
        try:
            self._send(reply)
        except ConnectionError:
            return

    def close(self) -> None:
        """Idempotent."""
        self._writer.close()
