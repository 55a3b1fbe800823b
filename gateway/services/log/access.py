"""The line about each exchange, as JSON.

Without processors a line is put together as text if none of its values needs escaping, which one look at all of them
tells and which is nearly always so. Else, and with processors, it goes through a dictionary that each processor may
change or drop; a processor that can tell at once that only the client's address changes has a shorter way. Values of
the query are left out, header fields too, apart from the user agent: both hold secrets.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.http import Exchange
from gateway.http.delivery import Delivery, delivery_of
from gateway.services.log.selection import Sampling, Slow, plugin_times
from gateway.services.log.sink import Outlet, Sink

Processor = Callable[[dict[str, Any]], dict[str, Any] | None]
"""Changes a line, or drops it by returning None. Must not raise; if it does the line is dropped and counted."""

AGENT: Final = 256
"""Characters of the user agent that are kept."""
PATH: Final = 2048
REASON: Final = 512
Quick = Callable[[str, str, str, tuple[str, str], tuple[str, ...]], str | None]
"""A processor's shorter way for the plainest line: from the request's id, the client, the path, host and target, and
the other texts to the client as it may be written, if nothing else has to change; None: take the long way."""
LONGEST: Final = select.PIPE_BUF
"""Bytes of a line. What is longer can be torn on a pipe into which several workers write, so its texts are cut."""
_SHORT: Final = 256
"""Bytes of each text in a line that would be longer."""

_encode: Final = msgspec.json.Encoder().encode


class _Nowhere(Sink):
    """Of a log that is off and yet tells of slow requests."""

    def write(self, line: bytes) -> None:
        """Forget it."""


_NOWHERE: Final = _Nowhere()


class AccessLog:
    """Turns exchanges into lines for a sink. Called once an exchange, after its end."""

    def __init__(
        self,
        sink: Outlet | None,
        processors: Sequence[Processor] = (),
        of_routes: Mapping[str, Sequence[Processor]] | None = None,
        *,
        sampling: Sampling | None = None,
        slow: Slow | None = None,
        plugins: bool = False,
    ) -> None:
        """``of_routes`` says what lines of a route go through; those of every other go through ``processors``.

        ``sampling`` leaves lines out, ``slow`` tells of slow requests (without a ``sink`` that is all), ``plugins``
        adds the time in each plugin.
        """
        self.sink = sink if sink is not None else _NOWHERE
        self._chosen = sink is None or sampling is not None or slow is not None or plugins
        self._sampling = sampling
        self._slow = slow
        self._plugins = plugins
        self.failures = 0
        """Lines that a processor failed on."""
        self._processors = tuple(processors)
        self._of_routes = {name: tuple(each) for name, each in (of_routes or {}).items()}
        self._quick = {each: quick_of(each) for each in {self._processors, *self._of_routes.values()}}
        self._millisecond = -1
        self._stamp = ""

    def __call__(self, exchange: Exchange) -> None:
        """Write the line."""
        if self._chosen and self._choose(exchange):
            return
        request = exchange.request
        processors = self._of_routes.get(request.route.name, self._processors)
        quick = None
        if processors and (quick := self._quick[processors]) is None:
            self._processed(exchange, processors)
            return
        if request.extras is not None and Delivery in request.extras:  # they come one by one: nobody waits for them
            self._whole(exchange, processors)
            return
        name, host, path, target = request.route.name, request.host, request.path, request.target
        caller, client, method = request.id, request.client_ip, request.method
        agent = request.headers.get("User-Agent", "")
        more = ""
        if len(path) > PATH or len(agent) > AGENT:
            path, agent = path[:PATH], agent[:AGENT]
        words: tuple[str, ...] = (method, name, agent)
        principal, error, trace = request.principal, exchange.error, request.trace
        tenant = request.tenant
        if principal is not None or error is not None or exchange.aborted or tenant is not None:
            known = principal.id if principal is not None else ""
            if tenant is None and principal is not None:
                tenant = principal.tenant
            code, reason = (error.code, error.reason[:REASON]) if error is not None else ("", "")
            if _odd(known + code + reason + (tenant or "")):
                self._whole(exchange, processors)
                return
            words = (*words, known, code, reason, tenant or "")
            more = (
                (f',"principal":"{known}"' if principal is not None else "")
                + (f',"tenant":"{tenant}"' if tenant is not None else "")
                + (f',"error":"{code}","reason":"{reason}"' if error is not None else "")
                + (',"aborted":true' if exchange.aborted else "")
            )
        if quick is not None:
            try:
                masked = quick(caller, client, path, (host, target), words)
            except Exception:  # noqa: BLE001 - as in `_processed`
                self.failures += 1
                return
            if masked is None:
                self._processed(exchange, processors)
                return
            client = masked
        if _odd(f"{caller}{client}{method}{host}{path}{name}{target}{agent}"):
            self._whole(exchange, processors)
            return
        if agent:
            more += f',"agent":"{agent}"'
        if trace is not None:
            ids = trace.decode()
            more += f',"trace":"{ids[3:35]}","span":"{ids[36:52]}"'
        line = (
            f'{{"ts":"{self._now()}","request_id":"{caller}","client":"{client}","method":"{method}","host":"{host}",'
            f'"path":"{path}","status":{exchange.status},"duration_ms":{exchange.duration * 1000:.3f},'
            f'"bytes_in":{exchange.received_bytes},"bytes_out":{exchange.sent_bytes},"route":"{name}",'
            f'"target":"{target}","attempts":{request.attempts}{more}}}\n'
        ).encode()
        if len(line) > LONGEST:
            self._whole(exchange, processors)
        else:
            self.sink.write(line)

    def _choose(self, exchange: Exchange) -> bool:
        """As asked: slow requests told of, a sample taken, times added. Whether nothing is left to do."""
        slow = self._slow is not None and self._slow(exchange)
        share = 1.0 if self._sampling is None or slow else self._sampling(exchange)
        if not share or self.sink is _NOWHERE:
            return True
        spent = exchange.request.spent
        if share < 1.0 or (self._plugins and spent is not None and spent.plugins is not None):
            more: dict[str, Any] = {"sampled": share} if share < 1.0 else {}
            if self._plugins and spent is not None and spent.plugins is not None:
                more["plugins_ms"] = plugin_times(spent)
            processors = self._of_routes.get(exchange.request.route.name, self._processors)
            self._processed(exchange, processors, more)
            return True
        return False

    def _whole(self, exchange: Exchange, processors: Sequence[Processor]) -> None:
        if processors:
            self._processed(exchange, processors)
        else:
            self.sink.write(_line(record_of(exchange, self._now())))

    def _processed(
        self, exchange: Exchange, processors: Sequence[Processor], more: dict[str, Any] | None = None
    ) -> None:
        line: dict[str, Any] | None = record_of(exchange, self._now()) | (more or {})
        try:
            for process in processors:
                if line is None:
                    return
                line = process(line)
            if line is not None:
                self.sink.write(_line(line))
        except Exception:  # noqa: BLE001 - a line that cannot be masked must not be written, and must not end a request
            self.failures += 1

    def _now(self) -> str:
        millisecond = time.time_ns() // 1_000_000
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            second, rest = divmod(millisecond, 1000)
            self._stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{rest:03d}Z"
        return self._stamp


def quick_of(processors: Sequence[Processor]) -> Quick | None:
    """The shorter way of a single processor that has one (its attribute ``quick``)."""
    return getattr(processors[0], "quick", None) if len(processors) == 1 else None


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
    tenant = request.tenant
    if tenant is None and request.principal is not None:
        tenant = request.principal.tenant
    if tenant is not None:
        line["tenant"] = tenant
    if error is not None:
        line["error"], line["reason"] = error.code, error.reason[:REASON]
    if exchange.aborted:
        line["aborted"] = True
    if (delivery := delivery_of(request)) is not None:
        line["delivery"], line["delivery_attempt"] = delivery.item, delivery.number
    if agent := request.headers.get("User-Agent"):
        line["agent"] = agent[:AGENT]
    if request.trace is not None:
        line["trace"], line["span"] = request.trace[3:35].decode(), request.trace[36:52].decode()
    return {key: _clean(value) if isinstance(value, str) else value for key, value in line.items()}


def _line(record: dict[str, Any]) -> bytes:
    line = _encode(record) + b"\n"
    if len(line) > LONGEST:
        short = {key: _cut(value) if isinstance(value, str) else value for key, value in record.items()}
        line = _encode(short) + b"\n"
    return line


def _cut(text: str) -> str:
    """The first bytes of a text, counted as JSON writes them: at most two for each of ASCII."""
    return text.encode()[: _SHORT // 2].decode(errors="ignore") if len(text.encode()) > _SHORT // 2 else text


def _clean(text: str) -> str:
    """Bytes that were no UTF-8 (surrogates) cannot be written as JSON."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _odd(text: str) -> bool:
    """Something in it has to be escaped in JSON, or is not ASCII. Several looks in C are faster than one pattern."""
    return not (text.isascii() and text.isprintable()) or '"' in text or "\\" in text
