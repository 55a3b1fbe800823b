"""Parameters as they stand in requests, read by style (§4.8.12.3): text to the values that their schemas speak of.

A value that more than one reading fits comes as several candidates, the likeliest first. Delimiters are looked for
before percent-decoding, so that an encoded one is data (RFC 6570 §3.2.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote, unquote_plus

from gateway.plugin.openapi.operation import Parameter
from gateway.plugin.openapi.shape import Shape

MOST_ITEMS: Final = 1000
DEEPEST: Final = 8
"""Brackets of one deepObject name."""

Pairs = Sequence[tuple[str, str]]
"""Of a query or form: names decoded, values as they came."""


class Misspelt(ValueError):
    """A value that is not written in the parameter's style. The text is for the client."""


def pairs_of(query: str, most: int = MOST_ITEMS) -> list[tuple[str, str]]:
    """A raw query or form, name by name. Raises Misspelt beyond ``most`` pairs."""
    if not query:
        return []
    if query.count("&") >= most:
        raise Misspelt(f"more than {most} parameters")
    found = []
    for pair in query.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            found.append((unquote_plus(name), value))
    return found


def decode_pairs(parameter: Parameter, shape: Shape, pairs: Pairs) -> list[Any] | None:
    """Candidates of a query or form parameter; None if it is not there. Raises Misspelt."""
    name = parameter.name
    if parameter.style == "deepObject":
        return _deep(name, shape, pairs)
    given = [value for key, value in pairs if key == name]
    if "object" in shape.types and shape.schemas and parameter.style == "form" and parameter.explode:
        return _spread(shape, pairs, given)
    array = "array" in shape.types and len(shape.types) < _ALL
    if not given and array and parameter.explode:
        given = [value for key, value in pairs if key == name + "[]"]
    if not given:
        return None
    if not array and not ("object" in shape.types and not parameter.explode and shape.schemas):
        if len(given) > 1 and len(shape.types) < _ALL:
            raise Misspelt("given more than once")
        return [shape.read(unquote_plus(given[0])), *_as_text(shape, given[0], unquote_plus)]
    if parameter.explode:
        items = [shape.each.read(unquote_plus(value)) for value in given]
        return [items, *_single(shape, given)]
    if len(given) > 1:
        raise Misspelt("given more than once")
    separator = _SEPARATORS[parameter.style]
    raw = given[0]
    for other in _OTHER_SPELLINGS.get(parameter.style, ()):
        raw = raw.replace(other, separator)
    return _separated(shape, raw, separator, unquote_plus) + _single(shape, given)


_ALL: Final = 7
_SEPARATORS: Final = {"form": ",", "spaceDelimited": " ", "pipeDelimited": "|"}
_OTHER_SPELLINGS: Final = {"spaceDelimited": ("%20", "+"), "pipeDelimited": ("%7C", "%7c")}


def _single(shape: Shape, given: Sequence[str]) -> list[Any]:
    """Where a list may also be a single value."""
    if len(given) != 1 or not shape.types - {"array", "object", "null"}:
        return []
    return [shape.read(unquote_plus(given[0])), *_as_text(shape, given[0], unquote_plus)]


def _as_text(shape: Shape, raw: str, decode: Callable[[str], str]) -> list[Any]:
    return [decode(raw)] if "string" in shape.types and len(shape.types) > 1 else []


def decode_text(parameter: Parameter, shape: Shape, raw: str) -> list[Any]:
    """Candidates of a path, header or cookie parameter. Raises Misspelt."""
    decode = unquote if parameter.place == "path" else _same
    separator, text = ",", raw
    if parameter.style == "label":
        text = _after(text, ".")
        separator = "." if parameter.explode else ","
    elif parameter.style == "matrix":
        return _matrix(parameter, shape, raw)
    if not shape.types & {"array", "object"} or len(shape.types) == _ALL:
        return [shape.read(decode(text)), *_as_text(shape, text, decode)]
    return _separated(shape, text, separator, decode, pairs=parameter.explode)


def _same(text: str) -> str:
    return text


def _after(text: str, prefix: str) -> str:
    if not text.startswith(prefix):
        raise Misspelt(f"must begin with {prefix!r}")
    return text[len(prefix) :]


def _separated(
    shape: Shape, text: str, separator: str, decode: Callable[[str], str], *, pairs: bool = False
) -> list[Any]:
    """``a,b,c`` as a list; as an object ``name,value,name,value``, or with ``pairs`` ``name=value,name=value``."""
    if text.count(separator) >= MOST_ITEMS:
        raise Misspelt(f"more than {MOST_ITEMS} items")
    pieces = [piece.strip() if separator == "," and decode is _same else piece for piece in text.split(separator)]
    found: list[Any] = []
    if "array" in shape.types:
        found.append([shape.each.read(decode(piece)) for piece in pieces] if text else [])
    if "object" in shape.types:
        if pairs:
            members = [(name, value) for name, _, value in (piece.partition("=") for piece in pieces)]
        elif len(pieces) % 2:
            if found:
                return found
            raise Misspelt("names and values do not come in pairs")
        else:
            members = list(zip(pieces[::2], pieces[1::2], strict=True))
        found.append({decode(name): shape.within(decode(name)).read(decode(value)) for name, value in members})
    return found


def _matrix(parameter: Parameter, shape: Shape, raw: str) -> list[Any]:
    pieces = [piece.partition("=") for piece in _after(raw, ";").split(";")][:MOST_ITEMS]
    if parameter.explode and "object" in shape.types and len(shape.types) < _ALL:
        return [{unquote(name): shape.within(unquote(name)).read(unquote(value)) for name, _, value in pieces}]
    if any(unquote(name) != parameter.name for name, _, _ in pieces):
        raise Misspelt(f"must be written as ;{parameter.name}=…")
    values = [value for _, _, value in pieces]
    if "array" in shape.types and len(shape.types) < _ALL and parameter.explode:
        return [[shape.each.read(unquote(value)) for value in values]]
    if len(values) > 1:
        raise Misspelt("given more than once")
    if shape.types & {"array", "object"} and len(shape.types) < _ALL:
        return _separated(shape, values[0], ",", unquote)
    return [shape.read(unquote(values[0])), *_as_text(shape, values[0], unquote)]


def _spread(shape: Shape, pairs: Pairs, given: Sequence[str]) -> list[Any] | None:
    """An exploded object: its properties are the parameters."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key not in shape.schemas:
            continue
        inner = shape.within(key)
        if "array" in inner.types and len(inner.types) < _ALL:
            found.setdefault(key, []).append(inner.each.read(unquote_plus(value)))
        elif key in found:
            raise Misspelt("a member is given more than once")
        else:
            found[key] = inner.read(unquote_plus(value))
    if not found and given and shape.types - {"object", "array"}:
        return [shape.read(unquote_plus(given[0]))]
    return [found] if found else None


def _deep(name: str, shape: Shape, pairs: Pairs) -> list[Any] | None:
    """``name[a]=1&name[b][c]=2&name[d][]=3``. OpenAPI leaves deeper than one undefined; this is what clients send."""
    tree: dict[str, Any] = {}
    bare: list[str] = []
    for key, value in pairs:
        if key == name:
            bare.append(value)
        elif key.startswith(name + "[") and key.endswith("]"):
            tokens = key[len(name) + 1 : -1].split("][")
            if len(tokens) > DEEPEST:
                raise Misspelt("nested too deeply")
            _plant(tree, tokens, unquote_plus(value))
    if tree:
        if bare:
            raise Misspelt("given both as a value and as an object")
        return [_grown(tree, shape)]
    if not bare:
        return None
    if len(bare) > 1:
        raise Misspelt("given more than once")
    return [shape.read(unquote_plus(bare[0])), *_as_text(shape, bare[0], unquote_plus)]


def _plant(tree: dict[str, Any], tokens: Sequence[str], value: str) -> None:
    for token in tokens[:-1]:
        below = tree.setdefault(token, {})
        if not isinstance(below, dict):
            raise Misspelt("given both as a value and as an object")
        tree = below
    last = tokens[-1]
    if last == "":
        tree[str(len(tree))] = value
    elif last in tree:
        raise Misspelt("a member is given more than once")
    else:
        tree[last] = value


def _grown(tree: Mapping[str, Any], shape: Shape) -> Any:
    """Lists where the schema has lists and the names are numbers from 0."""
    is_list = "array" in shape.types and all(key.isdecimal() for key in tree)
    if is_list and ("object" not in shape.types or len(shape.types) < _ALL):
        ordered = sorted(tree, key=int)
        return [_leaf(tree[key], shape.each) for key in ordered]
    return {key: _leaf(value, shape.within(key)) for key, value in tree.items()}


def _leaf(value: Any, shape: Shape) -> Any:
    return _grown(value, shape) if isinstance(value, dict) else shape.read(value)
