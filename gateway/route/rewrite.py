"""The path that goes to the target, where it is not the one that came."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

from gateway.config.pattern import PLACEHOLDER
from gateway.config.routing import Rewrite
from gateway.http.path import PathPolicy, comparable, normalize

Parameters = Mapping[str, str] | None
Rewriter = Callable[[str, Parameters], str]
"""(path in normal form, path parameters) → path in normal form. Raises MalformedPath where it would not be one."""

_KEEP: Final = PathPolicy(encoded_slash=True, path_parameters=True)


def compile_rewrite(rewrite: Rewrite | None, policy: PathPolicy, *, ignore_case: bool = False) -> Rewriter | None:
    """What a route's `rewrite` does to paths, or None if nothing. ``policy`` is that of the route's match."""
    if rewrite is None:
        return None
    if rewrite.path is not None:
        return fill(rewrite.path, policy)
    strip = normalize(rewrite.strip_prefix or "/", _KEEP).rstrip("/")
    add = normalize(rewrite.add_prefix or "/", _KEEP).rstrip("/")
    if not strip and not add:
        return None
    return _replace_prefix(strip, add, ignore_case)


def _replace_prefix(strip: str, add: str, ignore_case: bool) -> Rewriter:
    """Whole segments only. A path that does not begin with ``strip`` keeps all of its own, and ``add`` goes before."""
    begin, length, depth = strip + "/", len(strip), strip.count("/") + 1
    wanted = comparable(strip).lower() if ignore_case else comparable(strip)

    def rewriter(path: str, _params: Parameters) -> str:
        if path.startswith(begin):
            return add + path[length:]
        if path == strip:
            return add or "/"
        if ignore_case or "%" in path or "%" in strip:  # the same segments, spelt otherwise
            parts = path.split("/", depth)
            start = comparable("/".join(parts[:depth]))
            if (start.lower() if ignore_case else start) == wanted:
                return add + "/" + parts[depth] if len(parts) > depth else add or "/"
        return add + path

    return rewriter


def fill(template: str, policy: PathPolicy) -> Rewriter:
    """A path with parameters put in.

    The result is normalised, as an empty or odd value must not make another path of it: ``/{rest}/x`` with nothing in
    it would begin with ``//``.
    """
    pieces: list[str] = []
    names: list[str | None] = []
    position = 0
    for found in PLACEHOLDER.finditer(template):
        pieces += (quote(template[position : found.start()], safe="%/!$&'()*+,;:=@"), found[1])
        names += (None, found[1])
        position = found.end()
    pieces.append(quote(template[position:], safe="%/!$&'()*+,;:=@"))
    names.append(None)
    if len(pieces) == 1:
        fixed = normalize(pieces[0], _KEEP)
        return lambda _path, _params: fixed
    # What the template itself holds was written by who runs the gateway; only values are held to the route's policy.
    lax = PathPolicy(
        encoded_slash=policy.encoded_slash or re.search("%2F|%5C", template, re.IGNORECASE) is not None,
        path_parameters=policy.path_parameters or ";" in template,
    )

    def rewriter(_path: str, params: Parameters) -> str:
        values = params or {}
        filled = [piece if name is None else values.get(name, "") for piece, name in zip(pieces, names, strict=True)]
        return normalize("".join(filled), lax)

    return rewriter
