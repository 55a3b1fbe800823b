"""The line about each exchange, as JSON.

Without processors a line is put together from pieces that need no escaping, which nearly all do not; with them it goes
through a dictionary that each processor may change or drop. Values of the query are left out, header fields too, apart
from the user agent: both hold secrets.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from gateway.http import Exchange
from gateway.services.log.sink import Sink

Processor = Callable[[dict[str, Any]], dict[str, Any] | None]
"""Changes a line, or drops it by returning None. Must not raise; if it does the line is dropped and counted."""

AGENT: Final = 256
"""Characters of the user agent that are kept."""
PATH: Final = 2048

_ODD: Final = re.compile(r'["\\\x00-\x1f\x7f-\uffff]|[\U00010000-\U0010ffff]')
_encode: Final = msgspec.json.Encoder().encode


class AccessLog:
    """Turns exchanges into lines for a sink. Called once an exchange, after its end."""

    def __init__(self, sink: Sink, processors: Sequence[Processor] = ()) -> None:
        self.sink = sink
        self.failures = 0
        """Lines that a processor failed on."""
        self._processors = tuple(processors)
        self._second = -1
        self._date = ""

    def __call__(self, exchange: Exchange) -> None:
        """Write the line."""
        if self._processors:
            self._processed(exchange)
            return
        request = exchange.request
        error = exchange.error
        principal = request.principal
        text = "".join(
            (
                f'{{"ts":"{self._now()}","request_id":"{request.id}","client":"{request.client_ip}",',
                f'"method":"{request.method}","host":{_text(request.host)},"path":{_text(request.path[:PATH])},',
                f'"status":{exchange.status},"duration_ms":{exchange.duration * 1000:.3f},',
                f'"bytes_in":{exchange.received_bytes},"bytes_out":{exchange.sent_bytes},',
                f'"route":"{request.route.name}","target":"{request.target}","attempts":{request.attempts}',
                f',"principal":{_text(principal.id)}' if principal is not None else "",
                f',"error":"{error.code}","reason":{_text(error.reason[:512])}' if error is not None else "",
                ',"aborted":true' if exchange.aborted else "",
                f',"agent":{_text(agent[:AGENT])}' if (agent := request.headers.get("User-Agent")) else "",
                f',"trace":"{request.trace[3:35].decode()}"' if request.trace is not None else "",
                "}\n",
            )
        )
        self.sink.write(text.encode("utf-8", "replace"))

    def _processed(self, exchange: Exchange) -> None:
        line: dict[str, Any] | None = record_of(exchange, self._now())
        try:
            for process in self._processors:
                if line is None:
                    return
                line = process(line)
            if line is not None:
                self.sink.write(_encode(line) + b"\n")
        except Exception:  # noqa: BLE001 - a line that cannot be masked must not be written, and must not end a request
            self.failures += 1

    def _now(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._date}.{int((now - second) * 1000):03d}Z"


def record_of(exchange: Exchange, timestamp: str) -> dict[str, Any]:
    """The same fields as a dictionary, in the same order; absent ones left out."""
    request, error = exchange.request, exchange.error
    line: dict[str, Any] = {
        "ts": timestamp,
        "request_id": request.id,
        "client": request.client_ip,
        "method": request.method,
        "host": request.host,
        "path": request.path[:PATH],
        "status": exchange.status,
        "duration_ms": round(exchange.duration * 1000, 3),
        "bytes_in": exchange.received_bytes,
        "bytes_out": exchange.sent_bytes,
        "route": request.route.name,
        "target": request.target,
        "attempts": request.attempts,
    }
    if request.principal is not None:
        line["principal"] = request.principal.id
    if error is not None:
        line["error"], line["reason"] = error.code, error.reason[:512]
    if exchange.aborted:
        line["aborted"] = True
    if agent := request.headers.get("User-Agent"):
        line["agent"] = agent[:AGENT]
    if request.trace is not None:
        line["trace"] = request.trace[3:35].decode()
    return {key: _clean(value) if isinstance(value, str) else value for key, value in line.items()}


def _clean(text: str) -> str:
    """Bytes that were no UTF-8 (surrogates) cannot be written as JSON."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _text(value: str) -> str:
    """As a JSON string."""
    if value.isascii() and _ODD.search(value) is None:
        return f'"{value}"'
    return _encode(_clean(value)).decode()
