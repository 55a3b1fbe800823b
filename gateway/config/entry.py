"""Entries of a list of plugins: which plugin, with which settings, how and when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from gateway import registry
from gateway.plugin.context import Mode
from gateway.plugin.settings import Name, Settings, expected

PathPattern = Annotated[str, Field(pattern=r"^/")]
Token = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
"""A method or a header's name (RFC 9110 §5.6.2)."""


class When(Settings):
    """For which requests of the route a plugin runs; every condition given must hold."""

    methods: tuple[Token, ...] = Field(
        default=(), description="Methods; empty means any. Case matters, as in HTTP: GET, not get."
    )
    path: PathPattern | None = Field(
        default=None,
        description="Path; one that ends in / is a prefix on a segment boundary, as in `match`. Unset means any.",
    )
    headers: dict[Token, str] = Field(
        default={},
        description="Header fields that must be there with exactly this value; `*` takes any value. Empty means any.",
    )


def _mode_of(data: dict[str, Any]) -> Mode:
    """What holds where nothing is said. ``data``: the keys that were read before."""
    return registry.find(data["plugin"]).default_mode if "plugin" in data else Mode.ENFORCE


class PluginEntry(Settings):
    """A plugin in a list."""

    plugin: str = Field(
        description="Its name: one of the bundled plugins, one from an installed package (entry point group "
        "`gateway.plugins`), or `package.module:Class`.",
    )
    id: Name | None = Field(
        default=None,
        description="Tells two entries of the same plugin on a route apart in metrics and logs, and keeps their state "
        "over a reload. Unset: the plugin's name, with its number on the route from the second on.",
    )
    mode: Mode = Field(
        default_factory=_mode_of,
        description="`enforce` refuses; `shadow` evaluates, counts and logs what it would refuse, and lets it through; "
        "`off` leaves the plugin out. Shadow is how a policy is tried in front of live traffic. Unset: `enforce`, or "
        "`shadow` of plugins that guess.",
    )
    when: When | None = Field(default=None, description="For which requests it runs. Unset: for all of the route's.")
    with_: SerializeAsAny[Settings] = Field(
        alias="with", default={}, validate_default=True, description="The plugin's own settings."
    )

    @field_validator("plugin")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            registry.find(value)
        except registry.UnknownPlugin as error:
            raise PydanticCustomError("unknown_plugin", "{why}", {"why": str(error), "names": error.names}) from None
        except registry.BrokenPlugin as error:
            raise PydanticCustomError("broken_plugin", "{why}", {"why": str(error)}) from None
        return value

    @field_validator("with_", mode="plain", json_schema_input_type=dict[str, Any])
    @classmethod
    def _own(cls, value: Any, info: ValidationInfo) -> Any:
        """By the plugin's own model; its errors pass through and keep their place below ``with``."""
        if "plugin" not in info.data:
            return Settings()  # the name is already reported
        given = {} if value is None else value  # `with:` with nothing under it
        return registry.find(info.data["plugin"]).settings_type.model_validate(given, context=info.context)

    @property
    def settings(self) -> Settings:
        """The plugin's settings, an instance of its ``settings_type``."""
        return self.with_

    @property
    def name(self) -> str:
        """What it is called where one word must do."""
        return self.id or self.plugin


class AnyEntry(Settings):
    """Several authenticators of which one must know the caller: the first whose credentials hold decides."""

    any: tuple[PluginEntry, ...] = Field(
        min_length=1, description="Authenticators, tried in this order; the refusal asks for all of them."
    )
    id: Name | None = Field(default=None, description="As with a plugin. Unset: `any`.")
    mode: Mode = Field(default=Mode.ENFORCE, description="As with a plugin, for all of them together.")
    when: When | None = Field(default=None, description="As with a plugin, for all of them together.")

    @property
    def name(self) -> str:
        return self.id or "any"


def _dispatch(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, (PluginEntry, AnyEntry)):
        return value
    if not isinstance(value, dict):
        raise expected("a mapping with `plugin:` and mostly `with:`, or with `any:`")
    if "any" in value and "plugin" not in value:
        return AnyEntry.model_validate(value, context=info.context)
    return PluginEntry.model_validate(value, context=info.context)


Entry = Annotated[PluginEntry | AnyEntry, BeforeValidator(_dispatch)]
"""One element of a list of plugins."""


def plugins_in(entries: tuple[PluginEntry | AnyEntry, ...]) -> Iterator[PluginEntry]:
    """Every plugin entry, those within ``any`` too."""
    for entry in entries:
        if isinstance(entry, AnyEntry):
            yield from entry.any
        else:
            yield entry
