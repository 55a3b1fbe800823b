"""``gateway webhook``: sign a request as a provider would, or find out why a signature does not hold; offline."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from multidict import CIMultiDict

from gateway.http import Request
from gateway.plugin import Command
from plugins.webhook_signature.key import UnusableKey, read_key
from plugins.webhook_signature.scheme import SYMMETRIC, Algorithm, Scheme, presets
from plugins.webhook_signature.signer import CannotSign, request_of, signed
from plugins.webhook_signature.verifier import Unverified, Verifier, Why

OK, REFUSED, USAGE = 0, 1, 2
ENCODINGS: Final = ("hex", "base64", "base64url")
MOST_SHOWN: Final = 300


class _Wrong(Exception):
    """The command line cannot be followed."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "examples:\n"
        "  gateway webhook providers\n"
        "  gateway webhook sign --provider stripe --secret-env STRIPE_WHSEC --body event.json "
        "--url http://127.0.0.1:8080/hooks/stripe --curl\n"
        "  gateway webhook verify --provider github --secret-file secret --body event.json "
        "--header 'X-Hub-Signature-256: sha256=757107ea…'"
    )
    steps = parser.add_subparsers(dest="step", required=True, metavar="sign | verify | providers")
    for name, what in (("sign", "print the fields of a signed request"), ("verify", "say whether a signature holds")):
        step = steps.add_parser(name, help=what, description=what)
        step.add_argument("--provider", required=True, metavar="NAME", help="a preset: see `gateway webhook providers`")
        secret = step.add_mutually_exclusive_group(required=True)
        secret.add_argument("--secret-env", metavar="NAME", help="the secret or key is in this variable")
        secret.add_argument("--secret-file", metavar="PATH", help="the secret or key is in this file")
        step.add_argument("--body", default="-", metavar="PATH", help="file with the bytes of the body; - is stdin")
        step.add_argument("--url", default="https://gateway.test/", help="what the sender calls")
        step.add_argument("--method", default="POST", help="POST unless said otherwise")
        step.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help="as often as needed")
        step.add_argument("--value", action="append", default=[], metavar="NAME=TEXT", help="for {value.NAME}")
        step.add_argument("--at", type=float, metavar="SECONDS", help="the time, since 1970; now by default")
        if name == "sign":
            step.add_argument("--curl", action="store_true", help="print a command that sends it")
    steps.add_parser("providers", help="list the presets", description="list the presets")


def run(options: argparse.Namespace) -> int:
    """Do it; the exit code is 0, 1 for a signature that does not hold, 2 for what cannot be done."""
    try:
        step: Callable[[argparse.Namespace], int] = _STEPS[options.step]
        return step(options)
    except (_Wrong, CannotSign, UnusableKey, OSError) as error:
        sys.stderr.write(f"gateway webhook: {error}\n")
        return USAGE


COMMAND: Final = Command("webhook", "sign a webhook, or find out why a signature does not hold", run, arguments)


def _providers(options: argparse.Namespace) -> int:
    del options
    known = presets()
    width = max(map(len, known))
    for name, preset in known.items():
        _say(f"{name:{width}}  {preset.title} ({preset.algorithm}; {preset.known})")
    return OK


def _sign(options: argparse.Namespace) -> int:
    scheme, body = _scheme(options), _body(options.body)
    key = read_key(scheme, _secret(options), private=True)
    at = time.time() if options.at is None else options.at
    headers = _headers(options)
    if body[:1] in (b"{", b"["):
        headers.setdefault("Content-Type", "application/json")
    if scheme.event_id is not None and "{id}" in scheme.signed:
        headers.setdefault(scheme.event_id.strip("{}").removeprefix("header."), f"msg_{int(at)}")
    made = signed(
        scheme, key, body, at=at, url=options.url, method=options.method, headers=headers, values=_values(options)
    )
    data = made.body.whole or b""
    lines = [f"{name}: {value}" for name, value in made.headers.items()]
    if not options.curl:
        for line in lines:
            _say(line)
        if data != body:
            _say("")
            _say(data.decode("utf-8", "backslashreplace"))
        return OK
    url = f"{made.scheme}://{made.host}{made.path}" + (f"?{made.query}" if made.query else "")
    given = "@" + options.body if data == body and options.body != "-" else data.decode("utf-8", "surrogateescape")
    parts = ["curl", "-i", "-X", options.method, *(word for line in lines for word in ("-H", line))]
    _say(shlex.join([*parts, "--data-binary", given, url]))
    return OK


def _verify(options: argparse.Namespace) -> int:
    scheme, body = _scheme(options), _body(options.body)
    secret = _secret(options)
    key = read_key(scheme, secret)
    now = time.time() if options.at is None else options.at
    request = request_of(options.method, options.url, _headers(options), body)
    values = _values(options)
    try:
        found = Verifier(scheme, values=values).verify(request, body, now, (key,))
    except Unverified as error:
        _say(f"refused: {error.why}: {error}")
        for hint in _hints(scheme, secret, request, body, now, values, error.why):
            _say(f"  {hint}")
        return REFUSED
    _say("the signature holds" + (f"; event {found.id}" if found.id is not None else ""))
    return OK


_STEPS: Final = {"sign": _sign, "verify": _verify, "providers": _providers}


# -- why it does not hold ----------------------------------------------------------------------------------------------


def _hints(
    scheme: Scheme, secret: str, request: Request, body: bytes, now: float, values: dict[str, str], why: Why
) -> Iterator[str]:
    """What would make it hold, tried out: the mistakes that people make."""

    def holds(other: Scheme, text: str = secret, data: bytes = body) -> bool:
        try:
            Verifier(other, values=values).verify(request, data, now, (read_key(other, text),))
        except (Unverified, UnusableKey):
            return False
        return True

    timeless = scheme.model_copy(update={"tolerance": None})
    if why is Why.BAD_TIMESTAMP:
        yield (
            "it holds but for its age: look at the clocks, or give --at" if holds(timeless) else "and it would not hold"
        )
        return
    if why is Why.NO_HEADER:
        yield f"fields that came: {', '.join(request.headers) or 'none'}"
        return
    for name, data in _bodies(body):
        if data != body and holds(timeless, data=data):
            yield f"it holds for {name}: something changed the bytes on the way"
    for encoding in ENCODINGS:
        if encoding != scheme.encoding and holds(timeless.model_copy(update={"encoding": encoding})):
            yield f"it holds if the signature is {encoding}, not {scheme.encoding}"
    yield from _secret_hints(timeless, secret, holds)
    yield from _signed_hints(scheme, request, body, values)


def _secret_hints(scheme: Scheme, secret: str, holds: Callable[..., bool]) -> Iterator[str]:
    if secret.strip() != secret and holds(scheme, secret.strip()):
        yield "it holds with the secret stripped of blanks or line ends"
    if scheme.algorithm not in SYMMETRIC:
        return
    for encoding in ("utf8", "hex", "base64"):
        other = scheme.model_copy(update={"secret_encoding": encoding, "secret_prefixes": ("whsec_", "")})
        if encoding != scheme.secret_encoding and holds(other):
            yield f"it holds if the secret is {encoding}"
    for algorithm in (Algorithm.HMAC_SHA1, Algorithm.HMAC_SHA256, Algorithm.HMAC_SHA512):
        if algorithm is not scheme.algorithm and holds(scheme.model_copy(update={"algorithm": algorithm})):
            yield f"it holds if the algorithm is {algorithm}"


def _signed_hints(scheme: Scheme, request: Request, body: bytes, values: dict[str, str]) -> Iterator[str]:
    if scheme.algorithm in (Algorithm.JWT, Algorithm.TOKEN, Algorithm.SHA256) or scheme.each is not None:
        return
    message = Verifier(scheme, values=values).message(request, body)
    if message is not None:
        shown = message[:MOST_SHOWN]
        yield f"signed should be ({len(message)} bytes): {shown!r}{'…' if len(message) > MOST_SHOWN else ''}"
    if "{url}" in scheme.signed:
        yield "the URL is signed: --url must be what the sender called, scheme, host, port and query"


def _bodies(body: bytes) -> Iterator[tuple[str, bytes]]:
    yield "the body without the line end at its end", body.rstrip(b"\r\n")
    yield "the body with a line end", body + b"\n"
    yield "the body with LF line ends", body.replace(b"\r\n", b"\n")
    yield "the body with CRLF line ends", body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    try:
        document = json.loads(body)
    except ValueError:
        return
    yield "the JSON written without blanks", json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    yield "the JSON written with blanks", json.dumps(document, ensure_ascii=False).encode()
    yield "the JSON written without blanks in ASCII", json.dumps(document, separators=(",", ":")).encode()


# -- what was given ----------------------------------------------------------------------------------------------------


def _scheme(options: argparse.Namespace) -> Scheme:
    found = presets().get(options.provider)
    if found is None:
        raise _Wrong(f"no provider {options.provider!r}: gateway webhook providers")
    if found.algorithm is Algorithm.JWT:
        raise _Wrong("signed tokens are verified on a route only, with the provider's keys")
    return found


def _secret(options: argparse.Namespace) -> str:
    if options.secret_file is not None:
        return Path(options.secret_file).read_text("utf-8").rstrip("\r\n")
    found = os.environ.get(options.secret_env)
    if not found:
        raise _Wrong(f"{options.secret_env} is not set")
    return found


def _body(path: str) -> bytes:
    return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()


def _headers(options: argparse.Namespace) -> CIMultiDict[str]:
    found: CIMultiDict[str] = CIMultiDict()
    for line in options.header:
        name, colon, value = line.partition(":")
        if not colon:
            raise _Wrong(f"a header is `Name: value`, not {line!r}")
        found.add(name.strip(), value.strip())
    return found


def _values(options: argparse.Namespace) -> dict[str, str]:
    return {name: text for name, _, text in (each.partition("=") for each in options.value)}


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
