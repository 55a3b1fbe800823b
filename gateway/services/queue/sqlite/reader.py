"""Threads that read: what they do holds up neither the loop nor the writer."""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from gateway.services.queue.contract import QueueUnavailable
from gateway.services.queue.sqlite import schema
from gateway.services.queue.sqlite.transaction import Topics
from gateway.services.queue.sqlite.writer import reason_of

PENDING: Final = 4_096
"""Questions that wait for their turn; more are refused."""

_log: Final = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Question = Callable[[sqlite3.Connection, Topics], Answer]


class Reader:
    """One connection that cannot write, on a thread of its own that starts with the first question."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._inbox: queue.SimpleQueue[tuple[Question[Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._pending = 0
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._topics = Topics()
        self._closed: asyncio.Future[None] | None = None

    async def ask(self, question: Question[Answer]) -> Answer:
        """Raises QueueUnavailable."""
        if self._closed is not None:
            raise QueueUnavailable("the queue is closed")
        if self._pending >= PENDING:
            raise QueueUnavailable("too many questions wait for the queue")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"queue {self._name}", daemon=True)
            self._thread.start()
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._pending += 1
        self._inbox.put((question, future))
        return await future

    async def close(self) -> None:
        """Break off what is being read, and end."""
        if self._closed is None:
            self._closed = self._loop.create_future()
            if self._thread is None:
                self._closed.set_result(None)
            else:
                self._inbox.put(None)
                if (connection := self._connection) is not None:
                    connection.interrupt()
        await asyncio.shield(self._closed)

    def _settle(self, future: asyncio.Future[Any], result: Any) -> None:
        self._pending -= 1
        if future.done():
            return
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            _log.debug("the loop ended before its queue was closed")

    def _run(self) -> None:
        while (asked := self._inbox.get()) is not None:
            question, future = asked
            if not future.cancelled():
                self._tell(self._settle, future, self._answer(question))
            else:
                self._tell(self._settle, future, None)
        self._drop()
        assert self._closed is not None
        self._tell(self._closed.set_result, None)

    def _answer(self, question: Question[Any]) -> Any:
        try:
            if self._connection is None:
                self._connection = schema.connect(self._path, read_only=True)
            return question(self._connection, self._topics)
        except sqlite3.Error as error:
            self._drop()
            return QueueUnavailable(reason_of(error))
        except Exception as error:  # noqa: BLE001 - it is raised where it was asked
            return error

    def _drop(self) -> None:
        self._topics.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
