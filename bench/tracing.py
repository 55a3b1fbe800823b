"""What traces cost on the path of a request, measured as in `bench.path`: ``python -m bench.tracing``.

The collector is a process of its own that takes everything; encoding and sending happen in the gateway's, in a thread,
and are in the figures.
"""

from __future__ import annotations

import subprocess
import sys

import uvloop

from bench.path import ANSWER, CONFIG, REQUEST, rounds_of

_COLLECTOR = """
import http.server, sys
class Taking(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taking)
print(server.server_address[1], flush=True)
server.serve_forever()
"""

CASES = {
    "off": "",
    "unsampled": "sampling: {ratio: 0%, errors: false}",
    "unsampled_watched": "sampling: {ratio: 0%, errors: true, slow: 10s}",
    "sampled_10_percent": "sampling: {ratio: 10%}",
    "sampled": "sampling: {ratio: 100%}",
}
"""Figure → what stands under ``tracing``. ``unsampled_watched`` notes everything, in case the exchange fails."""


def measure(count: int = 10_000, rounds: int = 5) -> dict[str, float]:
    """µs per request, best of ``rounds``."""
    with subprocess.Popen([sys.executable, "-c", _COLLECTOR], stdout=subprocess.PIPE, text=True) as collector:
        assert collector.stdout is not None
        port = int(collector.stdout.readline())
        try:
            found = {}
            for name, settings in CASES.items():
                where = f'endpoint: "http://127.0.0.1:{port}", batch: {{queue: 100000}}'
                more = f"tracing: {{{where}, {settings}}}\n" if settings else ""
                found[name] = uvloop.run(rounds_of(CONFIG + more, count, rounds, (REQUEST,), (ANSWER,)))
            return found
        finally:
            collector.kill()


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:20} {value:7.2f} µs")
