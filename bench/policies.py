"""What single policies add to a request, on the composed chain without a socket: ``python -m bench.policies``.

Each sees requests as the server makes them (fields with the parser's view of them) and answers as the transport does
(lines in wire form), so that reading, editing and dressing cost here what they cost there.
"""

import asyncio
import gc
import hashlib
import hmac
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt as pyjwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from multidict import CIMultiDict, CIMultiDictProxy

from gateway import registry
from gateway.chain import Link, compose
from gateway.errors import GatewayError
from gateway.http import Body, Exchange, Handler, Request, Response
from gateway.plugin import Context
from gateway.services.audit import Audit, Event, Kind, Result, TrailOptions
from gateway.testing import ports, settings_of

CALLS = 50_000
AUDITED = 4_000
"""Requests before their records are waited for: below what may wait in the queue."""
BEST_OF = 7
TOKENS = 1_000
NOW = 1_800_000_000
"""When the clock of the harness stands still."""
KEY = "sgk_000000000000_bench"
SECRET = "whsec_000000000000_bench"
LINES = [
    b"Content-Type: application/json",
    b"Content-Length: 200",
    b"Date: Sat, 21 Nov 2026 12:00:00 GMT",
    b"Server: nginx",
]
BASE = {"Host": "shop.example", "User-Agent": "wrk", "Accept": "application/json"}


Make = Callable[[], Request]


@dataclass(frozen=True)
class Policy:
    """A plugin with settings, and the requests that go through it."""

    plugin: str
    settings: dict[str, Any]
    requests: Sequence[Make]


def asking(headers: dict[str, str], method: str = "GET", path: str = "/orders/17", body: bytes = b"") -> Make:
    every = BASE | headers
    view = CIMultiDictProxy(CIMultiDict(every))
    fields = tuple((name.encode(), value.encode()) for name, value in every.items())

    def make() -> Request:
        return Request(
            method, path, fields=fields, view=view, host="shop.example", client_ip="192.0.2.1", body=Body(body)
        )

    return make


def with_tokens() -> Policy:
    key = rsa.generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    claims = {"iss": "https://id.example.com", "aud": "shop", "iat": NOW, "exp": NOW + 3600, "scope": "read write"}
    tokens = [pyjwt.encode({**claims, "sub": f"user-{number}"}, key, algorithm="RS256") for number in range(TOKENS)]
    issuer = {"issuer": claims["iss"], "audience": "shop", "public_keys": [public]}
    return Policy("jwt", {"issuers": [issuer]}, [asking({"Authorization": f"Bearer {token}"}) for token in tokens])


def with_key(folder: Path) -> Policy:
    file = folder / "keys.json"
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    file.write_text(json.dumps({"keys": [{"id": "bench", "hash": f"sha256:{digest}", "roles": ["reader"]}]}))
    return Policy("api_key", {"keys": {"file": str(file)}}, [asking({"X-API-Key": KEY})])


def with_webhook() -> Policy:
    """Events of Stripe, 2 KB each, every one new: signature, age, and the memory for replays. Making and signing them
    is paid for with and without the policy.
    """
    numbers = itertools.count()
    rest = b'","object":"event","data":{"object":{"id":"ch_1","amount":1999,"note":"' + b"x" * 1_950 + b'"}}}'

    def make() -> Request:
        body = b'{"id":"evt_%012d' % next(numbers) + rest
        digest = hmac.digest(SECRET.encode(), b"%d." % NOW + body, "sha256").hex()
        return asking({"Stripe-Signature": f"t={NOW},v1={digest}"}, "POST", "/hooks/stripe", body)()

    return Policy("webhook_signature", {"provider": "stripe", "secrets": [SECRET]}, [make])


def with_schema() -> Policy:
    """An order of 2 KB, and what is asked of each of its lines."""
    line = {
        "type": "object",
        "required": ["sku", "quantity", "price"],
        "additionalProperties": False,
        "properties": {
            "sku": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{6}$"},
            "quantity": {"type": "integer", "minimum": 1, "maximum": 100},
            "price": {"type": "number", "exclusiveMinimum": 0},
            "note": {"type": "string", "maxLength": 200},
        },
    }
    order = {
        "type": "object",
        "required": ["customer", "lines"],
        "properties": {
            "customer": {"type": "string", "format": "uuid"},
            "lines": {"type": "array", "minItems": 1, "maxItems": 50, "items": line},
        },
    }
    lines = [{"sku": f"ABC-{number:06}", "quantity": 2, "price": 9.99, "note": "n" * 50} for number in range(18)]
    body = json.dumps({"customer": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "lines": lines}).encode()
    return Policy(
        "request_validation",
        {"body": order},
        [asking({"Content-Type": "application/json", "Content-Length": str(len(body))}, "POST", "/orders", body)],
    )


def policies(folder: Path) -> dict[str, Policy]:
    """By the name of their figure."""
    page = {"Origin": "https://app.example.com"}
    return {
        "jwt": with_tokens(),
        "api_key": with_key(folder),
        "webhook_signature": with_webhook(),
        "request_validation": with_schema(),
        "cors": Policy("cors", {"origins": ["https://*.example.com"]}, [asking(page)]),
    }


def render(error: GatewayError, _: Request) -> Response:
    """Nothing may be refused here."""
    raise error


async def last(_: Request) -> Response:
    return Response(200, lines=list(LINES), body=b"x" * 200)


async def per_call(handler: Handler, requests: Sequence[Make], calls: int) -> float:
    """Microseconds, a new request and a new answer for each call included."""
    count = len(requests)
    began = time.perf_counter()
    for number in range(calls):
        request = requests[number % count]()
        response = await handler(request)
        if request.awaited:
            request.finish(Exchange(request, response, response.status, 0.0))
    return (time.perf_counter() - began) / calls * 1e6


async def added(policy: Policy, calls: int, best_of: int) -> float:
    """Microseconds that the policy adds to a chain without it, the best of several rounds in turn."""
    found = registry.find(policy.plugin)
    made = found(
        settings_of(found, policy.settings), Context(ports(), route="bench", plugin=policy.plugin, id=policy.plugin)
    )
    await made.open()
    chains = [compose([], last, render), compose([Link(made)], last, render)]
    best = [float("inf")] * 2
    for handler in chains:
        await per_call(handler, policy.requests, len(policy.requests))  # what is remembered is remembered now
    for _ in range(best_of):
        for number, handler in enumerate(chains):
            best[number] = min(best[number], await per_call(handler, policy.requests, calls))
    await made.close()
    return best[1] - best[0]


async def audited(folder: Path, calls: int, best_of: int) -> float:
    """Microseconds that recording a request costs in all: the plugin, and the thread that masks, chains and writes.

    They share an interpreter, so the clock stops when the last record of a round is on the disk.
    """
    held = ports()
    audit = Audit(held.metrics, held.masking)
    await audit.prepare(TrailOptions(path=folder / "audit", instance="bench", secrets=(KEY.encode(),)))
    audit.commit()
    held.audit = audit
    found = registry.find("audit")
    made = found(settings_of(found, {}), Context(held, route="bench", plugin="audit", id="audit"))
    requests = [asking({})]
    chains = [compose([], last, render), compose([Link(made)], last, render)]
    best = [float("inf")] * 2
    last_one = Event(Kind.GATEWAY, "round", "bench", Result.SUCCESS)
    for _ in range(best_of):
        for number, handler in enumerate(chains):
            began = time.perf_counter()
            for _ in range(calls // AUDITED):
                await per_call(handler, requests, AUDITED)
                if number:
                    await audit.record_and_wait(last_one, 60)
            best[number] = min(best[number], (time.perf_counter() - began) / (calls // AUDITED * AUDITED) * 1e6)
    await audit.close()
    return best[1] - best[0]


def measure(calls: int = CALLS, best_of: int = BEST_OF) -> dict[str, float]:
    """Microseconds added, by policy."""
    with tempfile.TemporaryDirectory(prefix="sidegate-bench-") as folder:
        every = policies(Path(folder))
        gc.collect()
        gc.freeze()
        found = {name: asyncio.run(added(policy, calls, best_of)) for name, policy in every.items()}
        return found | {"audit": asyncio.run(audited(Path(folder), calls, best_of))}


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:20} {value:6.2f} µs")
