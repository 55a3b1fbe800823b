"""Validation errors in the operator's words: where, what was expected, what was found, what was probably meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from gateway.plugin.document import FileReference, Reading
from gateway.plugin.settings import format_duration, keys_of
from gateway.plugin.tree import Node, Position, Problem

Step = str | int

_PATTERNS: Final[Mapping[str, str]] = {
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$": "a name of letters, digits, `_`, `-` and `.`, 64 at most",
    r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$": "a token: letters, digits and !#$%&'*+-.^_`|~",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$": "a host's name without a port",
    r"^/": "a path that begins with /",
    r"^/[!-~]*$": "a path that begins with / and holds no blanks",
}
_EXPECTATIONS: Final[Mapping[str, str]] = {
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "dataclass_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "iterable_type": "a list",
    "string_type": "text",
    "string_unicode": "text of valid characters",
    "string_sub_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number that is not so large",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "none_required": "nothing",
    "url_parsing": "a URL",
    "url_type": "a URL",
    "date_from_datetime_parsing": "a date such as 2027-01-31",
    "date_type": "a date such as 2027-01-31",
}
_STRUCTURES: Final = frozenset({"a mapping", "a list"})
_UNECHOED: Final = re.compile(r"secret|passw|token|credential|private|keys?$", re.IGNORECASE)
_USERINFO: Final = re.compile(r"(?<=://).*@", re.DOTALL)
LONGEST_ECHO: Final = 60


def path_text(path: Sequence[Step]) -> str:
    """``routes[0].plugins[1].with.rate``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[A-Za-z0-9_-]+", step):
            text += f".{step}" if text else step
        else:
            text += f"[{step!r}]"
    return text


def suggest(wrong: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """``did you mean 'targets'?``, or nothing if nothing is near."""
    known = sorted(known)
    # difflib's time grows with the square of the length, and names are short.
    near = difflib.get_close_matches(wrong[:LONGEST_ECHO], known, n=1, cutoff=cutoff)
    if not near:
        near = [name for name in known if name.lower().replace("-", "_") == wrong.lower().replace("-", "_")]
    return f"did you mean {near[0]!r}?" if near else ""


def find(root: Node, location: Sequence[Step]) -> tuple[tuple[Step, ...], Node, Node | None]:
    """Follow a location as far as the file has it: the real path, the node there, and the node around it.

    Steps that the file does not have are left out: branches of unions, and items of lists that were written as one.
    """
    path: list[Step] = []
    node, parent = root, None
    for step in location:
        following = node.step(step)
        if following is not None:
            path.append(step)
            node, parent = following, node
    return tuple(path), node, parent


def place(root: Node, path: Sequence[Step], *, of_key: bool = False) -> Position:
    """Where the value of a path stands, or its key; the nearest thing around it that is in a file."""
    real, node, parent = find(root, path)
    if parent is not None and real and (of_key or node.document is not None or isinstance(node.value, dict | list)):
        within = parent.document or parent
        return within.keys.get(str(real[-1]), node.position)
    return node.position


def unset(node: Node) -> bool:
    """Whether a variable in it, or in what it holds, has no value."""
    if node.variables == ("?",):
        return True
    value = node.value
    inner: Iterable[Node] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(unset(each) for each in inner)


def problems(error: ValidationError, root: Node, raw: Any, reading: Reading) -> list[Problem]:
    """One problem for each place; the branches of a union that failed are told together."""
    grouped: dict[tuple[Step, ...], list[tuple[dict[str, Any], Node]]] = {}
    for detail in error.errors(include_url=False, include_input=False):
        found: dict[str, Any] = dict(detail)
        path, node, _ = find(root, found["loc"])
        if found["type"] not in ("missing", "extra_forbidden") and unset(node):
            continue  # a variable in it is not set, which is told already
        if found["type"] == "missing":
            written = node.step("with") if "with_" in found["loc"] else None
            if node.variables == ("?",) or (written is not None and unset(written)):
                continue
            left_out = ("with",) if "with_" in found["loc"] else ()  # a default's place has the field's name
            path = (*path, *left_out, found["loc"][-1])
        grouped.setdefault(path, []).append((found, node))
    return [
        _problem(path, details, root, raw, reading)
        for path, details in grouped.items()
        if not _explained(path, details, grouped)
    ]


def _explained(path: tuple[Step, ...], details: list[tuple[dict[str, Any], Node]], grouped: Iterable[Any]) -> bool:
    """Another branch of the same union got further in: what went wrong there is what matters."""
    if any(detail["loc"][-1:] == ("[key]",) for detail, _ in details):
        return False
    # A list that is too short once its wrong items are left out is only a consequence, too.
    if not all(len(detail["loc"]) > len(path) or detail["type"] == "too_short" for detail, _ in details):
        return False
    return any(len(other) > len(path) and other[: len(path)] == path for other in grouped)


def _problem(
    path: tuple[Step, ...], details: list[tuple[dict[str, Any], Node]], root: Node, raw: Any, reading: Reading
) -> Problem:
    detail, node = details[0]
    kind = detail["type"]
    if kind == "missing":
        position = place(root, path[:-1], of_key=True)
        return Problem(position, path_text(path), f"the key {path[-1]!r} is missing here")
    if kind == "extra_forbidden":
        known = _known_keys(raw, path[:-1], reading)
        hint = suggest(str(path[-1]), known - _given(root, path[:-1])) or (
            f"known here: {', '.join(sorted(known))}" if known and len(known) <= 12 else ""
        )
        return Problem(place(root, path, of_key=True), path_text(path), f"unknown key {str(path[-1])!r}", hint)
    if kind == "unknown_plugin":
        hint = suggest(str(node.value), detail["ctx"]["names"])
        return Problem(node.position, path_text(path), str(detail["msg"]), hint or "`gateway schema` lists them")
    if kind in ("file", "broken_plugin"):
        return Problem(place(root, path), path_text(path), str(detail["msg"]))
    if detail["loc"] and detail["loc"][-1] == "[key]":
        return Problem(place(root, path, of_key=True), path_text(path), f"as a key, {_expectation(detail, node)}")
    texts = list(dict.fromkeys(_expectation(each, node) for each, _ in details))
    message = texts[0]
    if len(texts) > 1:
        message = "expected " + " or ".join(text.removeprefix("expected ") for text in texts)
    message += _got(path, details, node, message)
    return Problem(place(root, path), path_text(path), message, _literal_hint(details, node))


def _expectation(detail: Mapping[str, Any], node: Node) -> str:
    """``expected …``: what one error wanted."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in ("expected", "expected_secret"):
        return str(detail["msg"])
    if kind in ("value_error", "assertion_error"):
        return f"expected {context.get('error', detail['msg'])}"
    if kind in _EXPECTATIONS:
        return f"expected {_EXPECTATIONS[kind]}"
    if kind in ("literal_error", "enum"):
        return f"expected {context['expected']}"
    if kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        return f"expected {_PATTERNS.get(pattern, f'text that matches {pattern}')}"
    bounds = {"greater_than_equal": ("at least", "ge"), "greater_than": ("more than", "gt")}
    bounds |= {"less_than_equal": ("at most", "le"), "less_than": ("less than", "lt")}
    if kind in bounds:
        words, key = bounds[kind]
        bound = context[key]
        timed = isinstance(node.value, str) and re.fullmatch(r"[0-9].*[a-z]", node.value) and "B" not in node.value
        return f"expected {words} {format_duration(bound) if timed else format(bound, 'g')}"
    if kind in ("too_short", "string_too_short"):
        unit = "characters" if kind == "string_too_short" else "of them"
        least = context["min_length"]
        return f"expected at least {'one' if least == 1 else f'{least} {unit}'}"
    if kind in ("too_long", "string_too_long"):
        return f"expected at most {context['max_length']}"
    return f"expected otherwise: {detail['msg']}"


def _got(path: tuple[Step, ...], details: list[tuple[dict[str, Any], Node]], node: Node, message: str) -> str:
    """``, got …``, as far as it may be told."""
    kinds = {detail["type"] for detail, _ in details}
    if "expected_secret" in kinds:
        return ""
    value = node.value
    if isinstance(value, (dict, list)):
        # A model's own rule is about the whole mapping; that it is a mapping is no news.
        told = "a mapping" if isinstance(value, dict) else "a list"
        return "" if kinds <= {"value_error", "assertion_error", "too_short", "too_long"} else f", got {told}"
    if isinstance(value, str):
        if message.removeprefix("expected ") in _STRUCTURES or any(_UNECHOED.search(str(step)) for step in path):
            return ", got text"
        if node.variables:
            return f", got what {', '.join(f'${{{name}}}' for name in node.variables)} holds"
        if len(value) > LONGEST_ECHO:
            return f", got {len(value)} characters"
        return f", got {_USERINFO.sub('***@', value)!r}"
    return f", got {_scalar(value)}"


def _scalar(value: float | bool | None) -> str:
    if value is None:
        return "nothing"
    return str(value).lower() if isinstance(value, bool) else f"the number {value}"


_TRUE: Final = frozenset({"yes", "on", "y", "t", "1", "enabled"})
_FALSE: Final = frozenset({"no", "n", "f", "0", "disabled"})
"""What YAML 1.1 and other languages take for a boolean."""


def _literal_hint(details: list[tuple[dict[str, Any], Node]], node: Node) -> str:
    if any(detail["type"] in ("bool_type", "bool_parsing") for detail, _ in details) and not node.variables:
        word = str(node.value).lower()
        return "did you mean true?" if word in _TRUE else "did you mean false?" if word in _FALSE else ""
    if not isinstance(node.value, str) or node.variables:
        return ""
    choices = [
        choice
        for detail, _ in details
        if detail["type"] in ("literal_error", "enum", "expected")
        for choice in re.findall(r"[a-z_0-9]{3,}", str(detail["msg"]))
    ]
    listed = all(detail["type"] != "expected" for detail, _ in details)
    return suggest(node.value, choices, cutoff=0.6 if listed else 0.75)  # prose holds other words, too


def _given(root: Node, path: Sequence[Step]) -> set[str]:
    _, node, _ = find(root, path)
    value = (node.document or node).value
    return set(value) if isinstance(value, dict) else set()


def _known_keys(raw: Any, path: Sequence[Step], reading: Reading) -> set[str]:
    """The keys that the mapping at a path could have, by the model that was made from it."""
    value = raw
    for step in path:
        if isinstance(value, FileReference) and value.content is not None:
            value = value.content
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return set()
    if isinstance(value, FileReference) and value.content is not None:
        value = value.content
    _, model = reading.models.get(id(value), (None, None))
    return set() if model is None else set(keys_of(model))
