"""What settings are made of: a strict model and the field types of the configuration language.

A type's validator says what it expected (`expected`), never what it got: the loader adds the value where it may be
shown. Numbers without a unit are refused in YAML; code may give seconds, bytes and shares as plain numbers.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    SecretBytes,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from gateway.plugin.document import FileReference, Reading, read_bytes


class Settings(BaseModel):
    """A frozen model that refuses keys it does not know. Nothing of pydantic runs per request."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _note_model(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(info.context, Reading) or not isinstance(value, dict):
            return value
        # The loader looks up here which keys a mapping could have had, for its did-you-mean.
        info.context.models[id(value)] = (value, cls)
        # pydantic takes yes, on, "1" and 1 for true. In YAML 1.2 they are words and numbers: only `off`, which switches
        # off everything that can be, is a word for false here as well.
        wrong = {
            name: _NO_BOOLEAN
            for name, field in cls.model_fields.items()
            if name in value and field.annotation in _BOOLEANS and _is_no_boolean(value[name])
        }
        return {**value, **wrong} if wrong else value


_BOOLEANS: Final = (bool, bool | None)
_NO_BOOLEAN: Final = object()


def _is_no_boolean(value: Any) -> bool:
    """Neither true nor false, nor what a variable can hold of them."""
    return not (value is None or isinstance(value, bool) or (isinstance(value, str) and value.lower() in _TEXTS))


_TEXTS: Final = frozenset({"true", "false", "off"})


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys as they are written in YAML."""
    return [field.alias or name for name, field in model.model_fields.items()]


def identity(settings: BaseModel) -> str:
    """A digest of resolved settings, secrets included: equal settings, equal digest. For comparing, not for showing."""

    def reveal(value: Any) -> Any:
        if isinstance(value, SecretStr | SecretBytes):
            return str(value.get_secret_value())
        return sorted(map(repr, value)) if isinstance(value, set | frozenset) else str(value)

    dumped = settings.model_dump(mode="python", by_alias=True)
    return hashlib.sha256(json.dumps(dumped, default=reveal, sort_keys=True).encode()).hexdigest()


def expected(what: str) -> PydanticCustomError:
    """The error of a value that is not ``what``; the loader appends what was found, unless it is secret."""
    return PydanticCustomError("expected", "expected {what}", {"what": what})


def expected_secret(what: str) -> PydanticCustomError:
    """As `expected`, of a value that is never shown."""
    return PydanticCustomError("expected_secret", "expected {what}", {"what": what})


def _in_yaml(info: ValidationInfo) -> bool:
    return isinstance(info.context, Reading)


# -- durations, sizes, shares ------------------------------------------------------------------------------------------

_DURATION_UNITS: Final[dict[str, Decimal]] = {
    "d": Decimal(86400),
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}
_SIZE_UNITS: Final = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KIB": 1024,
    "MIB": 1024**2,
    "GIB": 1024**3,
}
_QUANTITY: Final = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,9})?) ?([A-Za-z]{1,3})", re.ASCII)
LONGEST: Final = 3650 * 86400
"""Seconds: ten years. Event loops overflow on more."""
LARGEST: Final = 2**60
"""Bytes."""


def parse_duration(text: str) -> float:
    """Seconds of ``250ms``, ``2s``, ``5m``, ``1h``, ``7d`` or compounds such as ``1h30m``. Raises ValueError."""
    position, total = 0, Decimal(0)
    for found in _QUANTITY.finditer(text):
        if found.start() != position or found[2] not in _DURATION_UNITS:
            break
        total += Decimal(found[1]) * _DURATION_UNITS[found[2]]
        position = found.end()
    if not text or position != len(text):
        raise expected("a duration with its unit such as 250ms, 2s, 5m, 1h or 7d")
    if total > LONGEST:
        raise expected("a duration of at most 3650d")
    return float(total)


def format_duration(seconds: float) -> str:
    """The shortest spelling that `parse_duration` reads back as the same number."""
    rest = Decimal(repr(float(seconds)))
    for unit, factor in _DURATION_UNITS.items():
        count = rest / factor
        if count >= 1 and count == count.to_integral_value():
            return f"{int(count)}{unit}"
    if not rest:
        return "0s"
    milliseconds = rest * 1000
    return f"{milliseconds.normalize():f}ms" if rest < 1 else f"{rest.normalize():f}s"


def parse_size(text: str) -> int:
    """Bytes of ``512B``, ``100KB`` (1000) or ``1MiB`` (1024²). Raises ValueError."""
    found = _QUANTITY.fullmatch(text)
    if found is None or found[2].upper() not in _SIZE_UNITS:
        raise expected("a size with its unit such as 512B, 100KB, 1MB or 1MiB")
    count = int(Decimal(found[1]) * _SIZE_UNITS[found[2].upper()])
    if count > LARGEST:
        raise expected("a size of at most 1152921504606846976B")
    return count


def format_size(count: int) -> str:
    """The shortest spelling that `parse_size` reads back as the same number."""
    for unit, name in (("GB", "GB"), ("GIB", "GiB"), ("MB", "MB"), ("MIB", "MiB"), ("KB", "KB"), ("KIB", "KiB")):
        if count and count % _SIZE_UNITS[unit] == 0:
            return f"{count // _SIZE_UNITS[unit]}{name}"
    return f"{count}B"


def _quantity(parse: Callable[[str], float], most: float, what: str) -> Callable[[Any, ValidationInfo], float]:
    def read(value: Any, info: ValidationInfo) -> float:
        if isinstance(value, str):
            return parse(value.strip())
        # Zero needs no unit; other bare numbers are for code only.
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and (value == 0 or (not _in_yaml(info) and 0 <= value <= most)):
            return value  # type: ignore[no-any-return]
        raise expected(what)

    return read


def parse_percent(text: str) -> float:
    """A share between 0 and 1 of ``20%``. Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%", text, re.ASCII)
    if found is None or Decimal(found[1]) > 100:
        raise expected("a percentage such as 20%, from 0% to 100%")
    return float(Decimal(found[1]) / 100)


def format_percent(share: float) -> str:
    """The spelling that `parse_percent` reads back."""
    return f"{(Decimal(repr(float(share))) * 100).normalize():f}%"


FORMATS: Final[Mapping[str, Callable[[Any], str]]] = {
    "duration": format_duration,
    "size": format_size,
    "percentage": format_percent,
}
"""By the title that a type has in JSON Schema: how a number is written in YAML."""

_DURATION: Final = "a duration with its unit such as 250ms, 2s, 5m, 1h or 7d"
_SIZE: Final = "a size with its unit such as 512B, 100KB, 1MB or 1MiB"
_PERCENT: Final = "a percentage such as 20%, from 0% to 100%"

Duration = Annotated[
    float,
    BeforeValidator(_quantity(parse_duration, LONGEST, _DURATION)),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "title": "duration",
            "anyOf": [
                {
                    "type": "string",
                    "pattern": r"^([0-9]+(\.[0-9]+)? ?(ms|s|m|h|d))+$|\$\{",
                    "examples": ["250ms", "5m"],
                },
                {"const": 0},
            ],
        }
    ),
]
"""Seconds as a float, written in YAML with a unit: ``250ms``, ``2s``, ``5m``, ``1h30m``, ``7d``."""

Size = Annotated[
    int,
    BeforeValidator(_quantity(parse_size, LARGEST, _SIZE)),
    PlainSerializer(format_size, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "title": "size",
            "anyOf": [
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?([KMGkmg][iI]?)?[bB]$|\$\{", "examples": ["100KB"]},
                {"const": 0},
            ],
        }
    ),
]
"""Bytes, written in YAML with a unit: ``512B``, ``100KB`` (1000), ``1MiB`` (1024²)."""

Percent = Annotated[
    float,
    BeforeValidator(_quantity(parse_percent, 1, _PERCENT)),
    PlainSerializer(format_percent, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "title": "percentage",
            "anyOf": [
                {"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]+)?%$|\$\{", "examples": ["20%"]},
                {"const": 0},
            ],
        }
    ),
]
"""A share from 0 to 1, written in YAML as ``20%``."""


def _no_switch(value: Any) -> Any:
    if isinstance(value, bool):  # pydantic would take true for 1
        raise expected("a whole number")
    return value


Count = Annotated[int, BeforeValidator(_no_switch)]
"""A whole number; ``true`` is not one."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""What routes, upstreams and checks are called: a metric label, a key in a store and part of an admin URL."""


class Off:
    """``Annotated[X | None, Off]``: ``off`` in YAML switches it off, which is None in code."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: None if value is False or (isinstance(value, str) and value == "off") else value,
            handler(source),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler(schema)
        return {**made, "anyOf": [{"const": "off"} if one == {"type": "null"} else one for one in made["anyOf"]]}


class OneOrMany:
    """Annotation of a tuple: one item may be written where a list may stand."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: value if isinstance(value, list | tuple) else (value,), handler(source)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        many = handler(schema)
        return {"anyOf": [many["items"], many]}


# -- what stands in a file ---------------------------------------------------------------------------------------------


def resolve(value: Any, info: ValidationInfo) -> Any:
    """A path relative to the file that names it; to the working directory if it was given in code."""
    if not isinstance(value, (str, Path)) or not str(value):
        raise expected("the path of a file")
    if "\0" in str(value):
        raise expected("the path of a file, without a null byte")
    if not isinstance(info.context, Reading):
        return Path(value)
    _, directory = info.context.placed.get(id(value), (None, info.context.directory))
    return directory / value


def _reference(value: Any) -> FileReference | None:
    if isinstance(value, FileReference):
        return value
    if isinstance(value, dict) and set(value) == {"file"} and isinstance(value["file"], (str, Path)):
        return FileReference(value)
    return None


def _read_secret(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, SecretStr):
        return value
    if (reference := _reference(value)) is not None:
        value = _decode(reference, read_bytes(reference, info.context, 64 * 1024)).rstrip("\r\n")
    if not isinstance(value, str) or not value:
        raise expected_secret("a secret: text that is not empty (best as ${VARIABLE}), or {file: path}")
    return str(value)


def _decode(reference: FileReference, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PydanticCustomError("file", "{path} is not UTF-8 text", {"path": str(reference.path)}) from None


def _read_text(value: Any, info: ValidationInfo) -> Any:
    if (reference := _reference(value)) is not None:
        return _decode(reference, read_bytes(reference, info.context))
    if not isinstance(value, str):
        raise expected("text, or {file: path}")
    return value


def _read_document(value: Any, info: ValidationInfo) -> Any:
    reference = _reference(value)
    return value if reference is None else reference.parse(cast("Reading | None", info.context))


_FILE_SCHEMA: Final = {
    "type": "object",
    "properties": {"file": {"type": "string", "description": "Path, relative to the file that names it."}},
    "required": ["file"],
    "additionalProperties": False,
}

FilePath = Annotated[Path, BeforeValidator(resolve), WithJsonSchema({"type": "string", "format": "path"})]
"""A path, relative to the configuration file that names it. Nothing is read."""

Secret = Annotated[
    SecretStr,
    BeforeValidator(_read_secret),
    WithJsonSchema({"title": "secret", "anyOf": [{"type": "string", "minLength": 1}, _FILE_SCHEMA]}),
]
"""A secret: ``${VARIABLE}``, ``{file: path}`` (a trailing line end is dropped) or, not advised, the text itself."""


class FromFile:
    """``Annotated[X, FromFile]``: an X given inline, or ``{file: path}`` of a YAML or JSON document that holds it."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_before_validator_function(_read_document, handler(source))

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler(schema)
        return {"anyOf": [made, _FILE_SCHEMA]} if made else made


Document = Annotated[Any, FromFile]
"""A mapping or list given inline, or ``{file: path}`` of a YAML or JSON document."""

Text = Annotated[
    str,
    BeforeValidator(_read_text),
    WithJsonSchema({"title": "text", "anyOf": [{"type": "string"}, _FILE_SCHEMA]}),
]
"""Text given inline, or ``{file: path}``."""
