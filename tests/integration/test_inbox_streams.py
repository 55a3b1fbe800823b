"""inbox over a Redis that two gateways share: whatever is killed, what was answered 202 arrives."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import aiohttp

from gateway.testing import origin


def config(redis: str, target: str) -> dict[str, Any]:
    retry = {"base": "100ms", "max": "500ms"}
    return {
        "stores": {"durable": redis},
        "upstreams": {"service": {"targets": [target]}},
        "routes": [
            {
                "name": "hooks",
                "match": {"path": "/hooks/"},
                "plugins": [{"plugin": "inbox", "with": {"retry": retry, "lease": "1s", "recovery": "1s"}}],
                "upstream": "service",
            }
        ],
        "shutdown": {"drain": "5s"},
    }


class Senders:
    """Send one after the other until they are told to stop, and note what they were told."""

    def __init__(self) -> None:
        self.accepted: set[bytes] = set()
        self.refused = 0
        self.stopped = False

    async def send(self, url: str, name: str) -> None:
        async with aiohttp.ClientSession() as session:
            for number in range(100_000):
                if self.stopped:
                    return
                body = f"{name}{number}".encode()
                try:
                    async with session.post(
                        f"{url}/hooks/x", data=body, headers={"Webhook-Id": body.decode()}
                    ) as answer:
                        await answer.read()
                except (aiohttp.ClientError, OSError):
                    return  # this gateway is gone
                if answer.status == 202:
                    self.accepted.add(body)
                else:
                    assert (answer.status, int(answer.headers["Retry-After"]) > 0) == (503, True)
                    self.refused += 1
                    await asyncio.sleep(0.02)


async def test_what_two_gateways_accepted_arrives_whatever_dies(
    start_redis: Any, gateway: Any, until: Any, tmp_path: Path
) -> None:
    redis = start_redis("--appendonly", "yes", "--appendfsync", "always")
    async with origin(200) as target:
        first, second = gateway(config(redis.url, target.url)), gateway(config(redis.url, target.url))
        senders = Senders()
        floods = [
            asyncio.ensure_future(senders.send(process.url, f"{process.url[-5:]}-{number}-"))
            for process in (first, second)
            for number in range(4)
        ]
        for _ in range(2):
            before = len(senders.accepted)
            await until(lambda before=before: len(senders.accepted) > before + 100)
            await asyncio.to_thread(redis.restart)
        before = len(senders.accepted)
        await until(lambda: len(senders.accepted) > before + 100)
        first.signal(signal.SIGKILL)
        await first.ended()
        before = len(senders.accepted)
        await until(lambda: len(senders.accepted) > before + 50)
        senders.stopped = True
        await asyncio.gather(*floods)
        assert senders.refused
        # What the killed one held comes to the other when its leases run out.
        await until(lambda: senders.accepted <= set(target.bodies))

        async def empty() -> bool:
            queue = (await second.tell("/readyz"))["queue"]
            topics = queue["topics"].values()
            return bool(queue["ok"] and not any(each["ready"] + each["leased"] + each["dead"] for each in topics))

        await until(empty)
