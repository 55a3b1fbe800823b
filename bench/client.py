"""Clients that no load generator has: many that read slowly, that stall, or that hold an idle connection.

Run by the bench as ``python -m bench.client KIND --port P …`` on the load generator's core. `idle` and `stall` write
one line of JSON when all connections stand and then hold them until standard input ends; `slow` writes one at its end.
"""

import argparse
import asyncio
import json
import socket
import sys
import time
from dataclasses import asdict, dataclass

# A client's port range holds about 28,000; each source address has its own.
PER_ADDRESS = 5_000
RECEIVE_BUFFER = 64 * 1024
CHUNK = 64 * 1024
AT_ONCE = 200
CONNECT_WITHIN = 20.0
HEAD_LIMIT = 16 * 1024


@dataclass(slots=True)
class Slow:
    """What the slow readers got."""

    complete: int = 0
    failed: int = 0
    bytes: int = 0
    seconds: float = 0.0


def _socket(index: int) -> socket.socket:
    one = socket.socket()
    one.setblocking(False)
    # Small, or the kernel would swallow megabytes on behalf of a reader that reads nothing.
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    one.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
    one.bind((f"127.0.0.{2 + index // PER_ADDRESS}", 0))
    return one


async def _asked(index: int, port: int, path: str, gate: asyncio.Semaphore) -> tuple[socket.socket, bytes, int]:
    """(socket, body bytes already read, Content-Length), once the head of the answer is here."""
    loop = asyncio.get_running_loop()
    one = _socket(index)
    try:
        async with gate, asyncio.timeout(CONNECT_WITHIN):
            await loop.sock_connect(one, ("127.0.0.1", port))
            await loop.sock_sendall(one, f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
            data = b""
            while b"\r\n\r\n" not in data:
                more = await loop.sock_recv(one, 4096)
                if not more or len(data) > HEAD_LIMIT:
                    raise ConnectionError("no head of an answer")
                data += more
    except BaseException:
        one.close()
        raise
    head, _, rest = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        one.close()
        raise ConnectionError(head.split(b"\r\n", 1)[0].decode("latin-1"))
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    return one, rest, length


async def hold(port: int, path: str, count: int, *, whole: bool) -> None:
    """Opens `count` connections that have each had an answer (`whole`) or only its beginning, then keeps them."""
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(index: int) -> socket.socket:
        sock, rest, length = await _asked(index, port, path, gate)
        while whole and len(rest) < length:
            rest += await loop.sock_recv(sock, CHUNK)
        return sock

    opened = await asyncio.gather(*(one(index) for index in range(count)), return_exceptions=True)
    sockets = [found for found in opened if isinstance(found, socket.socket)]
    print(json.dumps({"open": len(sockets), "failed": count - len(sockets)}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    for sock in sockets:
        sock.close()


async def read_slowly(port: int, path: str, count: int, seconds: float) -> Slow:
    """`count` readers, each taking the whole answer in `seconds` at an even pace."""
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(AT_ONCE)
    seen = Slow()
    began = time.monotonic()

    async def one(index: int) -> None:
        try:
            sock, rest, length = await _asked(index, port, path, gate)
        except (OSError, TimeoutError):
            seen.failed += 1
            return
        started, got = time.monotonic(), len(rest)
        buffer = memoryview(bytearray(CHUNK))
        try:
            while got < length:
                due = int(length * min(1.0, (time.monotonic() - started) / seconds)) - got
                if due < min(CHUNK, length - got):
                    await asyncio.sleep((min(CHUNK, length - got) - due) * seconds / length)
                    continue
                async with asyncio.timeout(seconds):
                    read = await loop.sock_recv_into(sock, buffer[: min(CHUNK, length - got)])
                if not read:
                    break
                got += read
                seen.bytes += read
        except (OSError, TimeoutError):
            pass
        finally:
            sock.close()
        if got == length:
            seen.complete += 1
        else:
            seen.failed += 1

    await asyncio.gather(*(one(index) for index in range(count)))
    seen.seconds = time.monotonic() - began
    return seen


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["idle", "stall", "slow"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    if asked.kind == "slow":
        print(
            json.dumps(asdict(asyncio.run(read_slowly(asked.port, asked.path, asked.count, asked.seconds)))), flush=True
        )
    else:
        asyncio.run(hold(asked.port, asked.path, asked.count, whole=asked.kind == "idle"))


if __name__ == "__main__":
    main()
