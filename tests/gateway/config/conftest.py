"""Plugins of every kind, under names such as ``kinds:Guard``."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import pytest
from pydantic import Field, model_validator

from gateway import registry
from gateway.plugin import Authenticator, Duration, Plugin, Scope, Settings, Size
from gateway.plugin.settings import Document, FilePath, FromFile, Secret, Text


class Inner(Settings):
    wait: Duration = Field(default=1.0, description="d")
    secrets: tuple[Secret, ...] = Field(default=(), description="d")


class GuardSettings(Settings):
    limit: Size = Field(default=10, description="d")
    inner: Inner = Field(default=Inner(), description="d")
    secret: Secret | None = Field(default=None, description="d")
    rows: Annotated[tuple[Inner, ...], FromFile] = Field(default=(), description="d")
    document: Document = Field(default=None, description="d")
    text: Text = Field(default="", description="d")
    path: FilePath | None = Field(default=None, description="d")
    upstream: str | None = Field(default=None, description="d")
    anything: Any = Field(default=None, description="d")
    low: int = Field(default=1, description="d")
    high: int = Field(default=2, description="d")

    @model_validator(mode="after")
    def _ordered(self) -> GuardSettings:
        if self.high < self.low:
            raise ValueError("`high` to be at least `low`")
        return self


class Guard(Plugin[GuardSettings]):
    refuses = True
    scope = Scope.FLEET

    @classmethod
    def check(cls, settings: GuardSettings) -> Sequence[str]:
        return ("a limit of 0 refuses everything",) if settings.limit == 0 else ()


class ExactSettings(Settings):
    keeps: bool = Field(default=True, description="d")


class Exact(Plugin[ExactSettings]):
    scope = Scope.FLEET
    exact = True

    @classmethod
    def scope_of(cls, settings: ExactSettings) -> Scope:
        return cls.scope if settings.keeps else Scope.NONE


class NeededSettings(Settings):
    needed: str = Field(description="d")


class Needed(Plugin[NeededSettings]):
    pass


class Breaker(Plugin[Settings]):
    on_attempt = True
    refuses = True


class Either(Breaker):
    on_route = True


class Answer(Plugin[Settings]):
    ends = True


class Who(Authenticator[Settings]):
    pass


class LonelySettings(Settings):
    answers: bool = False


class Lonely(Authenticator[LonelySettings]):
    @classmethod
    def alone(cls, settings: LonelySettings) -> str:
        return "answers" if settings.answers else ""


@pytest.fixture(autouse=True)
def kinds() -> Iterator[types.ModuleType]:
    module = types.ModuleType("kinds")
    for plugin in (Guard, Exact, Needed, Breaker, Either, Answer, Who, Lonely):
        setattr(module, plugin.__name__, plugin)
    module.NotAPlugin = object  # type: ignore[attr-defined]
    sys.modules["kinds"] = module
    registry.find.cache_clear()
    yield module
    del sys.modules["kinds"]
    registry.find.cache_clear()
