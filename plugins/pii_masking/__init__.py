"""Masks what identifies people and what opens doors, in every line of the access log and the gateway's own log.

By the name of a field, by the shape of secrets, by check digits. Lines stay useful: the same value can get the same
token (`hash`), addresses keep their network, numbers their last digits; order numbers, UUIDs, times and versions stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

from pydantic import Field, model_validator

from gateway.plugin import Context, LogProcessor, Plugin, Settings, Size, Stage
from gateway.plugin.settings import Secret, identity
from plugins.pii_masking.actions import CATEGORIES, Action, Substitute
from plugins.pii_masking.government import Numbers
from plugins.pii_masking.masker import Aims, Counts, Masker

Category = Literal["credential", "secret", "card", "iban", "email", "phone", "government_id", "address", "personal"]
# fmt: off
Country = Literal[
    "us", "gb", "de", "fr", "es", "it", "pl", "nl", "se", "fi", "be", "br", "ca", "ch", "cn", "sg", "in", "at", "dk",
    "no", "pt", "ie", "cz", "ro", "gr", "tr", "mx", "ar", "cl", "za", "au", "nz", "jp", "kr", "bg", "hr", "sk", "ee",
    "lt", "il", "th", "tw",
]
# fmt: on
DEFAULTS: Final[dict[str, Action]] = {
    **dict.fromkeys(CATEGORIES, Action.REPLACE),
    "phone": Action.PARTIAL,
    "card": Action.PARTIAL,
    "address": Action.TRUNCATE,
}
SHORTEST_KEY: Final = 16


class PiiMaskingSettings(Settings):
    """Everything is masked unless an action says `keep`. Put it into `defaults`; a route may be stricter."""

    actions: Mapping[Category, Action] = Field(
        default={},
        description="What is done by category: `keep`, `drop` it, `replace` it by the category's name, `partial` "
        "(last 4 of numbers, domain of e-mail), `truncate` (addresses to /24 and /48), `hash` (a token, the same for "
        "the same value). Unset: `partial` for phone and card, `truncate` for address, `replace` for the rest.",
    )
    key: Secret | None = Field(
        default=None,
        description="For `hash`, at least 16 bytes; the same everywhere lines are to be joined. Who has it can try out "
        "values.",
    )
    countries: tuple[Country, ...] = Field(
        default=get_args(Country), description="Whose numbers of persons are looked for, by ISO 3166 code."
    )
    budget: Size = Field(
        default=16_384,
        ge=512,
        le=1_048_576,
        description="Characters of a line that are looked at. What is beyond is cut off, never written unseen.",
    )

    @model_validator(mode="after")
    def _has_key(self) -> PiiMaskingSettings:
        if Action.HASH in self.actions.values() and self.key is None:
            raise ValueError("`hash` needs a `key`")
        if self.key is not None and len(self.key.get_secret_value().encode()) < SHORTEST_KEY:
            raise ValueError(f"`key` needs at least {SHORTEST_KEY} bytes")
        return self


class PiiMasking(Plugin[PiiMaskingSettings]):
    """Does nothing to requests: what it brings is its step in the log pipeline."""

    stage = Stage.ANYWHERE

    def __init__(self, settings: PiiMaskingSettings, context: Context) -> None:
        super().__init__(settings, context)
        hits = context.metrics.counter("masking_hits_total", "Values that were masked, by category.", ("category",))
        leaks = context.metrics.counter(
            "masking_leaks_total",
            "Values that were masked where neither a name nor a description said that there would be any, by category.",
            ("category",),
        )
        actions = DEFAULTS | {str(name): action for name, action in settings.actions.items()}
        self._masker = Masker(
            identity(settings),
            Substitute(actions, settings.key.get_secret_value().encode() if settings.key is not None else b""),
            Aims(
                frozenset(name for name, action in actions.items() if action is not Action.KEEP),
                Numbers(settings.countries),
                settings.budget,
            ),
            Counts(
                {name: hits.child(name).inc for name in CATEGORIES},
                {name: leaks.child(name).inc for name in CATEGORIES},
            ),
        )

    def log_processor(self) -> LogProcessor:
        """Mask a line."""
        return self._masker

    @classmethod
    def check(cls, settings: PiiMaskingSettings) -> Sequence[str]:
        """What is kept is told."""
        kept = sorted(name for name, action in settings.actions.items() if action is Action.KEEP)
        exposed = [name for name in kept if name in {"credential", "secret", "card"}]
        return [f"{', '.join(exposed)} will stand in the logs as they are"] if exposed else []
