"""Show which route takes a request and why, and what happens to it on its way.

  gateway explain GET http://localhost:8080/orders/5
  gateway explain POST /orders -H 'Host: shop.example.com' -H 'X-Canary: 1' --client 203.0.113.7
  gateway explain GET '/orders//..%2f' -c base.yaml -c prod.yaml --json

Nothing is connected to, and nothing is sent: it is worked out from the files. Exit code 1 if no route takes it.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

from gateway.cli.explanation import Explanation, asked
from gateway.cli.files import chosen, define_files, read
from gateway.cli.report import report
from gateway.plugin.tree import Severity

_SHOWN: Final = 5
"""Routes that did not take the request and are shown to people."""
_LONGEST: Final = 100
"""Characters of a plugin's settings that are shown to people."""


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("method", type=_method, metavar="METHOD", help="GET, POST, …")
    parser.add_argument("url", metavar="URL", help="a whole one, or a path")
    parser.add_argument(
        "-H", "--header", action="append", type=_header, default=[], metavar="'NAME: VALUE'", help="may be repeated"
    )
    parser.add_argument(
        "--client", type=_address, default="127.0.0.1", metavar="IP", help="who asks (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="everything, as one JSON object")
    define_files(parser)


def run(options: argparse.Namespace) -> int:
    """Explain."""
    try:
        request = asked(options.method, options.url, options.header, options.client)
    except ValueError as error:
        print(f"gateway explain: {error}", file=sys.stderr)
        return 2
    paths = chosen(options.files)
    loaded, problems = read(paths)
    if loaded is None:
        report([problem for problem in problems if problem.severity is Severity.ERROR], sys.stderr, files=paths)
        return 1
    explanation = Explanation(loaded, request)
    if options.json:
        print(json.dumps(explanation.told, indent=2, ensure_ascii=False, default=str))
    else:
        print("\n".join(lines(explanation.told)))
    return 0 if explanation.answered else 1


def _method(text: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", text):
        raise argparse.ArgumentTypeError(f"expected a method such as GET, got {text!r}")
    return text


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise argparse.ArgumentTypeError(f"expected 'Name: value', got {text!r}")
    return name, value.strip()


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected an IP address, got {text!r}") from None


# -- for people --------------------------------------------------------------------------------------------------------


def lines(told: dict[str, Any]) -> Iterator[str]:
    """What was found, line by line: a word on the left, what it is about on the right."""
    yield from _block("request", [_request(told["request"])])
    if "path" in told:
        path = told["path"]
        yield from _block("path", [path["normal"] + _remark(path["sent"] != path["normal"], f"sent as {path['sent']}")])
    if "refused" in told:
        refused = told["refused"]
        yield from _block("refused", [f"{refused['status']} {refused['code']}: {refused['why']}"])
    if "route" in told:
        yield from _block("route", _route(told["route"]))
    yield from _block("not taken", _candidates(told.get("candidates", ())))
    if "route" not in told:
        return
    yield from _block("chain", [_entry(entry) for entry in told["chain"]] or ["no plugin"])
    built_in = [f"{name}, built in (`defaults: {{masking: off}}` leaves it out)" for name in told["masked_by"]]
    yield from _block("masked by", built_in)
    yield from _block("left out", [f"{each['id']}  {each['why']}  ({each['place']})" for each in told["left_out"]])
    if "redirect" in told:
        yield from _block("redirect", [f"{told['redirect']['status']} to {told['redirect']['location']}"])
    elif not told.get("ways"):
        yield from _block("upstream", ["none is asked: a plugin answers"])
    for way in told.get("ways", ()):
        yield from _way(way)


def _block(word: str, texts: Sequence[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        yield f"{word if number == 0 else '':10}{text}".rstrip()


def _remark(condition: object, text: str) -> str:
    return f"  ({text})" if condition else ""


def _request(request: dict[str, Any]) -> str:
    where = f"{request['scheme']}://{request['host']}" if request["host"] else ""
    query = f"?{request['query']}" if request["query"] else ""
    return f"{request['method']} {where}{request['path']}{query}  from {request['client']}"


def _route(route: dict[str, Any]) -> list[str]:
    texts = [f"{route['name']}  ({route['place']}): {route['why']}"]
    if route["parameters"]:
        texts.append("with " + ", ".join(f"{name} = {value!r}" for name, value in route["parameters"].items()))
    return texts


def _candidates(candidates: Sequence[dict[str, Any]]) -> list[str]:
    texts = [f"{each['route']}: {each['why_not']}" for each in candidates[:_SHOWN]]
    if len(candidates) > _SHOWN:
        texts.append(f"… and {len(candidates) - _SHOWN} more; --json tells")
    return texts


def _entry(entry: dict[str, Any]) -> str:
    if "any" in entry:
        name = f"{entry['id']} of {', '.join(each['plugin'] for each in entry['any'])}"
        settings = ""
    else:
        name = entry["plugin"] if entry["id"] == entry["plugin"] else f"{entry['id']} ({entry['plugin']})"
        settings = json.dumps(entry["given"], ensure_ascii=False, default=str)
    text = f"{entry['number']}. {name}"
    text += f"  [{entry['mode']}]" if entry["mode"] != "enforce" else ""
    if entry["when"] is not None:
        condition = json.dumps(entry["when"], ensure_ascii=False)
        text += f"  when {condition}: {'holds' if entry['runs'] else 'does not hold, so it is passed by'}"
    text += f"  from {entry['from']}, {entry['place']}"
    text += "  answers by itself" if entry["answers"] and entry["runs"] else ""
    if settings not in ("", "{}"):
        text += f"\n{'':13}{settings[:_LONGEST]}{'…' if len(settings) > _LONGEST else ''}"
    return text


def _way(way: dict[str, Any]) -> Iterator[str]:
    share = f"  gets {_percent(way['share'])} of such requests" if way["share"] < 1 else ""
    yield from _block("upstream", [f"{way['upstream']}  ({way['place']}): {way['why']}{share}"])
    yield from _block("target", _targets(way))
    sent = way["sent"]
    query = f"?{sent['query']}" if sent["query"] else ""
    yield from _block("sent", [f"{sent['method']} {sent['path']}{query}  Host: {sent['host']}"])
    phases = ", ".join(
        f"{phase} {each['value']}{_remark(each['from'] == 'route', 'the route says so').replace('  ', ' ')}"
        for phase, each in way["timeout"].items()
    )
    yield from _block("timeout", [phases])
    yield from _block("retry", [_retry(way["retry"], sent["method"])])
    yield from _block("attempt", [_entry(entry) for entry in way["attempt"]])


def _targets(way: dict[str, Any]) -> list[str]:
    several = sum(bool(target["share"]) for target in way["targets"]) > 1
    texts = []
    for target in way["targets"]:
        if target["share"] == 1:
            texts.append(f"{target['url']}: {way['choice']}")
        elif target["share"]:
            texts.append(f"{target['url']}  {_percent(target['share'])}")
        elif target["weight"] == 0:
            texts.append(f"{target['url']}  none: its weight is 0")
        elif target["priority"] > min(each["priority"] for each in way["targets"] if each["weight"]):
            texts.append(f"{target['url']}  only while those before it are not well (priority {target['priority']})")
    return [way["choice"], *texts] if several else texts


def _percent(share: float) -> str:
    return f"{share * 100:.4g}%"


def _retry(retry: dict[str, Any], method: str) -> str:
    if retry["attempts"] == 1:
        return "none"
    on = ", ".join(str(each) for each in retry["on"])
    text = f"up to {retry['attempts']} attempts, on {on}; budget {retry['budget']}"
    if not retry["repeatable"] and "unsent" in retry["on"]:
        return f"{text}; {method} is not idempotent, so only what reached no target is tried again"
    return text if retry["repeatable"] else f"none: {method} is not idempotent, and `on` does not have `unsent`"
