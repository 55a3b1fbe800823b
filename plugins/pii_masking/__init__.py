"""Masks what identifies people and what opens doors, in every line of the access log and the gateway's own log.

By the name of a field, by the shape of secrets, by check digits. Lines stay useful: the same value can get the same
token (`hash`), addresses keep their network, numbers their last digits; order numbers, UUIDs, times and versions stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal, get_args

from pydantic import Field, model_validator

from gateway.plugin import Command, Context, LogProcessor, Plugin, Settings, Size, Stage
from gateway.plugin.openapi import ApiDescription, FetchedDocument, GivenDocument
from gateway.plugin.settings import Secret, identity
from gateway.services.masking import SHORTEST_KEY
from plugins.pii_masking.actions import CATEGORIES, Action, Substitute
from plugins.pii_masking.aims import Aims, Counts
from plugins.pii_masking.command import COMMAND
from plugins.pii_masking.described import Templates, declared_in, paths_in
from plugins.pii_masking.government import Numbers
from plugins.pii_masking.masker import Masker
from plugins.pii_masking.names import plain_of

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
    fields: Mapping[str, Category | Literal["none"]] = Field(
        default={},
        description="Categories of fields by name, in any spelling of headers, parameters, forms and JSON: "
        "`{customer_ref: personal}`. `none` for one that only has a name like others: `{session: none}`.",
    )
    document: ApiDescription = Field(
        default=None,
        description="OpenAPI 3.0 or 3.1, `{file: path}` or the document itself: what its properties, parameters and "
        "headers are is taken from `x-pii` (true, a category, or false) and `format`; segments of paths, too. Unset: "
        "names and shapes alone tell.",
    )
    base_path: str | None = Field(
        default=None,
        pattern=r"^/",
        description="What precedes the document's paths in requests as clients send them. Unset: the paths of the "
        "document's `servers`.",
    )
    second_look: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=1000,
        description="One of so many lines is looked at again with everything decoded that is encoded in it; what shows "
        "only then is counted in `masking_missed_total` and withheld. 0: none is.",
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
        if isinstance(self.document, FetchedDocument):
            raise ValueError("`document` must be there at the load: `{file: path}`")  # noqa: TRY004 - pydantic's
        if self.key is not None and len(self.key.get_secret_value().encode()) < SHORTEST_KEY:
            raise ValueError(f"`key` needs at least {SHORTEST_KEY} bytes")
        return self


def _declared(settings: PiiMaskingSettings) -> tuple[dict[str, str], Templates | None]:
    """By names, and by paths; what settings say counts more than a document."""
    declared: dict[str, str] = {}
    templates = None
    if isinstance(settings.document, GivenDocument):
        document = settings.document.document.based(settings.base_path)
        declared = declared_in(document)
        templates = Templates(paths_in(document))
    own = {plain_of(name): "" if category == "none" else str(category) for name, category in settings.fields.items()}
    return declared | own, templates


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
        missed = context.metrics.counter(
            "masking_missed_total",
            "Values that only the second look at a sample of lines found, by category: multiply by the sample.",
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
                *_declared(settings),
                settings.second_look,
            ),
            Counts(
                {name: hits.child(name).inc for name in CATEGORIES},
                {name: leaks.child(name).inc for name in CATEGORIES},
                {name: missed.child(name).inc for name in CATEGORIES},
            ),
        )

    def log_processor(self) -> LogProcessor:
        """Mask a line."""
        return self._masker

    @classmethod
    def commands(cls) -> Sequence[Command]:
        return (COMMAND,)

    @classmethod
    def check(cls, settings: PiiMaskingSettings) -> Sequence[str]:
        """What is kept is told."""
        kept = sorted(name for name, action in settings.actions.items() if action is Action.KEEP)
        exposed = [name for name in kept if name in {"credential", "secret", "card"}]
        return [f"{', '.join(exposed)} will stand in the logs as they are"] if exposed else []
