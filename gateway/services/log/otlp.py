"""Lines to an OpenTelemetry collector: OTLP over HTTP, protobuf.

Of the extra ``otel`` only the message classes are used (`opentelemetry-proto`). The SDK's log exporter is not public
API yet (its modules' names begin with an underscore, and what it takes changed within the versions that the extra
allows), has a queue and a thread of its own beside our sink's, and drops what does not fit without telling how much.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import importlib.metadata
import os
import socket
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from gateway.services.log.address import Secure, endpoint
from gateway.services.log.layout import (
    SERVICE,
    SEVERITY_NUMBERS,
    level_of,
    message_of,
    otel_attributes,
    record_of_line,
    scope_of,
    seconds_of,
)
from gateway.services.log.sink import Sink, Unwritten

BATCH: Final = 2048
"""Lines of one request."""
LARGEST_ANSWER: Final = 64 * 1024
AGAIN: Final = frozenset({429, 502, 503, 504})
"""Statuses after which the same is sent again (OTLP specification, "Retryable Response Codes")."""


class _Refused(Exception):
    def __init__(self, status: int, count: int) -> None:
        super().__init__(f"the collector refuses lines with status {status}")
        self.count = count
        """Lines."""


class OtlpSink(Sink):
    """Log records to one collector. What it cannot take now waits, up to a bound, and is sent later."""

    keeps: ClassVar[bool] = True

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        name: str = "otlp",
        secure: Secure | None = None,
    ) -> None:
        """Raises ModuleNotFoundError without the extra, ValueError for a URL that is none."""
        from opentelemetry.proto.collector.logs.v1 import logs_service_pb2  # noqa: PLC0415 - of the extra

        parts = urlsplit(endpoint(url))
        self._service = logs_service_pb2
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._path = parts.path + (f"?{parts.query}" if parts.query else "")
        self._headers = {
            **(headers or {}),
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "gzip",
            "User-Agent": f"{SERVICE}/{_version()}",
        }
        self._timeout = timeout
        self._tls = secure or Secure()
        self._connection: http.client.HTTPConnection | None = None
        self._no_sooner = 0.0
        self._resource = {
            "service.name": SERVICE,
            "service.version": _version(),
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        }
        super().__init__(None, name=name)

    def _deliver(self, lines: list[bytes]) -> None:
        for at in range(0, len(lines), BATCH):
            if self.too_late:
                raise Unwritten(lines[at:], "there was no time left")
            body = self._request(lines[at : at + BATCH])
            try:
                self._post(body)
            except _Refused as error:
                self.dropped += error.count
                raise Unwritten(lines[at + BATCH :], str(error)) from error
            except (OSError, http.client.HTTPException) as error:
                self._disconnect()
                reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                raise Unwritten(lines[at:], reason) from error

    def _request(self, lines: list[bytes]) -> bytes:
        """The message, in wire form. Lines of one logger stand together below its name."""
        message = self._service.ExportLogsServiceRequest()
        resource = message.resource_logs.add()
        _fill(resource.resource.attributes, self._resource)
        scopes: dict[str, Any] = {}
        for line in lines:
            try:
                record = record_of_line(line)
                name = scope_of(record)
                if name not in scopes:
                    scopes[name] = resource.scope_logs.add()
                    scopes[name].scope.name = name
                _record(scopes[name].log_records.add(), record)
            except Exception:  # noqa: BLE001 - one line that is odd must not hold up the others
                self.dropped += 1
        found: bytes = message.SerializeToString()
        return found

    def _post(self, body: bytes) -> None:
        """Raises OSError or HTTPException if it is to be sent again."""
        data = gzip.compress(body, 1)
        for attempt in (1, 2):
            reused = self._connection is not None
            connection = self._connection = self._connection or self._open()
            try:
                connection.request("POST", self._path, data, self._headers)
                answer = connection.getresponse()
                content = answer.read(LARGEST_ANSWER + 1)
            except (OSError, http.client.HTTPException):
                self._disconnect()
                if reused and attempt == 1:  # it was closed while nothing was sent
                    continue
                raise
            if answer.will_close or len(content) > LARGEST_ANSWER:
                self._disconnect()
            self._judge(answer.status, answer.getheader("Retry-After"), content, body)
            return

    def _judge(self, status: int, later: str | None, content: bytes, body: bytes) -> None:
        if status in AGAIN:
            if later is not None and later.isdecimal():
                self._no_sooner = time.monotonic() + min(int(later), 300)
            raise OSError(f"the collector answers {status}")
        if 200 <= status < 300:
            with contextlib.suppress(Exception):  # an answer that cannot be read says nothing of rejected records
                answer = self._service.ExportLogsServiceResponse.FromString(content)
                self.dropped += max(answer.partial_success.rejected_log_records, 0)
            return
        # It will not take this batch the next time either.
        sent = self._service.ExportLogsServiceRequest.FromString(body)
        raise _Refused(status, sum(len(s.log_records) for r in sent.resource_logs for s in r.scope_logs))

    def _failed(self, left: list[bytes], reason: str) -> None:
        super()._failed(left, reason)
        self._again_at = max(self._again_at, self._no_sooner)

    def _open(self) -> http.client.HTTPConnection:
        if self._secure:
            context = self._tls.context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Send what is left, once, and close the connection. Idempotent."""
        if not self._closed:
            super().close()
            if self._thread is None or not self._thread.is_alive():
                self._disconnect()


def _version() -> str:
    try:
        return importlib.metadata.version(SERVICE)
    except importlib.metadata.PackageNotFoundError:
        return "0"


def _record(made: Any, record: dict[str, Any]) -> None:
    level = level_of(record)
    made.time_unix_nano = round(seconds_of(record) * 1000) * 1_000_000
    made.observed_time_unix_nano = time.time_ns()
    made.severity_number = SEVERITY_NUMBERS.get(level, 9)
    made.severity_text = level.upper()
    made.body.string_value = message_of(record)
    for key, length, name in (("trace", 32, "trace_id"), ("span", 16, "span_id")):
        value = record.get(key)
        if isinstance(value, str) and len(value) == length:
            with contextlib.suppress(ValueError):  # masked, or no trace id at all
                setattr(made, name, bytes.fromhex(value))
    _fill(made.attributes, otel_attributes(record))


def _fill(attributes: Any, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        pair = attributes.add()
        pair.key = key
        _value(pair.value, value)


def _value(made: Any, value: Any) -> None:
    if isinstance(value, bool):
        made.bool_value = value
    elif isinstance(value, int) and -(2**63) <= value < 2**63:
        made.int_value = value
    elif isinstance(value, float):
        made.double_value = value
    elif isinstance(value, Mapping):
        made.kvlist_value.SetInParent()
        _fill(made.kvlist_value.values, value)
    elif isinstance(value, list):
        made.array_value.SetInParent()
        for each in value:
            _value(made.array_value.values.add(), each)
    elif value is not None:
        made.string_value = str(value)
