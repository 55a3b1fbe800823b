"""What each proxy makes of a request and of its answer: ``python -m bench.heads`` prints the heads beside each other.

It shows whether the configurations are equal in what they do; nothing is measured.
"""

import http.client
import shutil
import socket
import sys
import threading
from collections.abc import Sequence

from bench import machine
from bench.install import CannotHave
from bench.origin import Origin, work_dir
from bench.subject import DEFAULT, PLAIN, SUBJECTS, serving

ASKED = b"GET /small?q=1 HTTP/1.1\r\nHost: service.example\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n"


class Mirror:
    """A target that answers each request with the head it got."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    @staticmethod
    def _serve(connection: socket.socket) -> None:
        with connection:
            data = b""
            while more := connection.recv(65536):
                data += more
                while b"\r\n\r\n" in data:
                    head, _, data = data.partition(b"\r\n\r\n")
                    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b"
                    connection.sendall(answer % (len(head), head))


def exchange(port: int) -> tuple[str, str]:
    """(fields of the answer, head that reached the target)."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(ASKED)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        fields = "\n".join(f"{name}: {value}" for name, value in answer.getheaders())
        return fields, answer.read().decode("latin-1").replace("\r", "")


def main(names: Sequence[str]) -> None:
    work = work_dir()
    try:
        work.chmod(0o755)
        show(names, Origin(Mirror().port, work))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def show(names: Sequence[str], mirror: Origin) -> None:
    for name in names:
        try:
            with serving(SUBJECTS[name], PLAIN, mirror, machine.cores().proxy) as proxy:
                answer, reached = exchange(proxy.port)
        except CannotHave as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        print(f"==== {name}: to the target\n{reached}\n---- {name}: to the client\n{answer}\n")


if __name__ == "__main__":
    main(sys.argv[1:] or DEFAULT)
