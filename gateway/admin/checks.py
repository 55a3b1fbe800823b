"""Named checks of things outside (`health.checks`): looked at by one task each, shown by ``/readyz``."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from gateway.config.address import parse_bind
from gateway.config.model import Check
from gateway.errors import GatewayError
from gateway.services.client import Client


class Checks:
    """Runs the checks of a configuration; one owner a gateway."""

    def __init__(self) -> None:
        self.results: dict[str, dict[str, Any]] = {}
        self._client = Client()
        self._running: dict[str, tuple[Check, asyncio.Task[None]]] = {}

    def start(self, checks: dict[str, Check]) -> None:
        """Run these from now on, instead of what was run before; one that is the same goes on with what it knows."""
        for name, (check, task) in list(self._running.items()):
            if checks.get(name) != check:
                task.cancel()
                del self._running[name]
        known = self.results
        self.results = {
            name: known[name]
            if name in self._running
            else {"ok": None, "critical": check.critical, "kind": _kind(check)}
            for name, check in checks.items()
        }
        loop = asyncio.get_running_loop()
        for name, check in checks.items():
            if name not in self._running:
                self._running[name] = check, loop.create_task(self._run(check, self.results[name]))

    async def _run(self, check: Check, result: dict[str, Any]) -> None:
        while True:
            began = time.monotonic()
            error = ""
            try:
                async with asyncio.timeout(check.timeout):
                    await self._look(check)
            except TimeoutError:
                error = f"no answer in {check.timeout:g}s"
            except GatewayError as failure:
                error = failure.reason
            except Exception as failure:  # noqa: BLE001 - whatever it is, it is the check's result
                error = f"{type(failure).__name__}: {failure}"
            result.update(ok=not error, seconds=round(time.monotonic() - began, 6), checked_at=round(time.time(), 3))
            result.pop("error", None)
            if error:
                result["error"] = error[:300]
            # Jitter: gateways that started together should not look together.
            await asyncio.sleep(check.interval * random.uniform(0.9, 1.1))  # noqa: S311

    async def _look(self, check: Check) -> None:
        if check.http is not None:
            answer = await self._client.request("GET", check.http, timeout=check.timeout)
            if not 200 <= answer.status < 400:
                raise ConnectionError(f"status {answer.status}")
        elif check.tcp is not None:
            address = parse_bind(check.tcp)
            _, writer = await asyncio.open_connection(address.host, address.port)
            writer.close()
        elif check.redis is not None:
            import redis.asyncio as redis  # noqa: PLC0415 - only who checks a Redis pays for its library

            url = check.redis.get_secret_value()
            connection: Any = redis.Redis.from_url(url, socket_timeout=check.timeout)
            try:
                await connection.ping()
            finally:
                await connection.aclose()

    async def close(self) -> None:
        """Stop looking."""
        tasks = [task for _, task in self._running.values()]
        self._running.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()


def _kind(check: Check) -> str:
    return "http" if check.http is not None else "tcp" if check.tcp is not None else "redis"
