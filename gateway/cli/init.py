"""Write a configuration to start from: everything goes to one service, and comments say what else there is.

  gateway init --upstream http://127.0.0.1:9000
  gateway init --upstream unix:/run/app.sock --listen 0.0.0.0:8080 --output front.yaml
  gateway init --upstream http://app:9000 --output -       to stdout

The next step is to read it; the one after that, `gateway check`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Final

from gateway.config.address import is_loopback, parse_bind, parse_origin

_LISTEN: Final = "127.0.0.1:8080"
_BESIDE: Final = "127.0.0.1:8081"
"""Where to listen if the service itself is at `_LISTEN`."""

# Comments that do not begin with a capital letter are YAML, used by taking the # away; a test takes them all away.
_TEXT: Final = """\
# Sidegate in front of {upstream}. Every key with its default: `gateway reference`.
#
#   gateway check {file}      every mistake in this file
#   gateway run {file}        saving the file is enough to change a running gateway
#   gateway explain GET http://{listen}/

listeners:
  - bind: {listen}{open}

# Metrics, health, routes, configuration: curl http://127.0.0.1:9901/metrics
admin:
  bind: 127.0.0.1:9901

access_log: stdout # off | stdout | stderr | {{file: path}}

#workers: auto # processes; 1 unless said otherwise

upstreams:
  service:
    targets:
      - {target}
      #- http://127.0.0.2:9000 # one more target shares the load
    timeout: {{connect: 2s, first_byte: 15s, total: 60s, stream_idle: 5m}}
    retry: {{attempts: 2, budget: 20%}} # never for what may not be done twice
    #health: {{active: {{path: /healthz, interval: 10s}}}} # a path that answers 200 while all is well

defaults:
  plugins:
    - plugin: pii_masking # no secrets and no personal data in logs, traces and stored requests
      #with: {{countries: [de, at, ch]}} # whose numbers of persons are looked for; of 42 unless said otherwise

routes:
  # The most specific match wins, wherever it stands. Requests go down a list of plugins, answers come up.
  #- name: api
  #  match: {{path: /api/}} # ends in /: this path and everything below it
  #  upstream: service
  #  rewrite: {{strip_prefix: /api}}
  #  plugins:
  #    - plugin: size_limit
  #      mode: shadow # counts and logs what it would refuse, and lets it through; then: enforce
  #      with: {{json: 100KB}}

  # Everything else.
  - name: all
    match: {{path: /}}
    upstream: service
"""


def origin(text: str) -> str:
    """A target's URL, checked. Raises argparse.ArgumentTypeError."""
    try:
        parse_origin(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, got {text!r}") from None
    return text.rstrip("/")


def bind(text: str) -> str:
    """An address to listen on, checked. Raises argparse.ArgumentTypeError."""
    try:
        parse_bind(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, got {text!r}") from None
    return text


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--upstream", required=True, type=origin, metavar="URL", help="the service: http://, https:// or unix:/path"
    )
    parser.add_argument("--listen", type=bind, metavar="ADDRESS", help=f"where to take requests (default: {_LISTEN})")
    parser.add_argument(
        "--output", default="gateway.yaml", metavar="FILE", help="default: %(default)s; - for standard output"
    )
    parser.add_argument("--force", action="store_true", help="replace the file if there is one")


def run(options: argparse.Namespace) -> int:
    """Write it."""
    text = starting_text(options.upstream, options.listen, options.output if options.output != "-" else "gateway.yaml")
    if options.output == "-":
        print(text, end="")
        return 0
    path = Path(options.output)
    try:
        with path.open("w" if options.force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        print(f"gateway init: {path} is there already; --force would replace it", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"gateway init: cannot write {path}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"wrote {path}; next:\n  gateway check {path}\n  gateway run {path}")
    return 0


def starting_text(upstream: str, listen: str | None, file: str) -> str:
    """The configuration. Without ``listen``, an address that is not the service's own."""
    address = parse_origin(upstream).address
    if listen is None:
        listen = _BESIDE if is_loopback(address) and address.port == parse_bind(_LISTEN).port else _LISTEN
    local = is_loopback(parse_bind(listen))
    return _TEXT.format(
        upstream=re.sub(r"\s", " ", upstream),
        listen=scalar(listen),
        open=f" # 0.0.0.0:{parse_bind(listen).port} opens it to other machines" if local and ":/" not in listen else "",
        target=scalar(upstream),
        file=file,
    )


def scalar(text: str) -> str:
    """Text as a YAML scalar that means itself, ``${`` included."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*(?::[A-Za-z0-9._/-]+)*", text):
        return text
    return json.dumps(text.replace("${", "$${"), ensure_ascii=False)
